"""From the events of a run to how each of its copies ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from parasuite.model.copy_life import CopyEnd, CopyLife
from parasuite.model.events import CopyState, Event


def copy_ends(events: Iterable[Event], copies: int) -> list[CopyEnd]:
    """The end of each copy, in the copies' order; LOST for one of which no event reports an end."""
    lives = {copy: CopyLife(CopyEnd(copy=copy)) for copy in range(copies)}
    for event in events:
        if isinstance(event, CopyState) and event.copy in lives:
            lives[event.copy] = lives[event.copy].after(event)
    return [life.end for life in lives.values()]
