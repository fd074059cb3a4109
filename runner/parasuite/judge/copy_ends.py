"""From the events of a run to how each of its copies ended. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace

from parasuite.model.events import CopyState, Event
from parasuite.model.words import CopyPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyEnd:
    """How a copy ended.

    *how*: EXITED, TIMED_OUT (*why*: busy or hung), INTERRUPTED, FAILED (to start, *why*) or LOST (its supervision
    died, or the run did). *status*: as subprocess gives it, negative for a signal; None where there is none.
    *left_behind*: processes that outlived the main one and its grace time and were killed. *unkillable*: names of
    those that could not be.
    """

    copy: int
    how: CopyPhase = CopyPhase.LOST
    status: int | None = None
    started_ns: int = 0
    ended_ns: int = 0
    left_behind: int = 0
    unkillable: str = ""
    why: str = ""

    @property
    def is_good(self) -> bool:
        """Whether its main process ended by itself, with exit status 0."""
        return self.how == CopyPhase.EXITED and self.status == 0

    @property
    def duration_s(self) -> float:
        """Seconds from its start to the end of its main process."""
        return max(0, self.ended_ns - self.started_ns) / 1e9

    def __str__(self) -> str:
        match self.how:
            case CopyPhase.FAILED:
                return f"could not start: {self.why}"
            case CopyPhase.LOST:
                return SUPERVISION_DIED
            case CopyPhase.EXITED:
                return status_text(self.status)
            case how:
                doing = f" ({self.why})" if self.why else ""
                return how + doing + ("" if self.status is None else f", {status_text(self.status)}")


SUPERVISION_DIED = "lost: its supervision died"


def status_text(status: int | None) -> str:
    """An exit status in words: "exit status 2", "killed by SIGKILL"."""
    if status is None:
        return "no exit status"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def copy_ends(events: Iterable[Event], copies: int) -> list[CopyEnd]:
    """The end of each copy, in the copies' order; LOST for one of which no event reports an end."""
    ends = {copy: CopyEnd(copy=copy) for copy in range(copies)}
    for event in events:
        if isinstance(event, CopyState) and event.copy in ends:
            ends[event.copy] = _after(ends[event.copy], event)
    return list(ends.values())


def _after(end: CopyEnd, event: CopyState) -> CopyEnd:
    match event.state:
        case CopyPhase.STARTED:
            return replace(end, started_ns=event.t_ns, ended_ns=event.t_ns)
        case CopyPhase.FAILED:
            return replace(end, how=CopyPhase.FAILED, why=event.why, started_ns=event.t_ns, ended_ns=event.t_ns)
        case CopyPhase.TIMED_OUT | CopyPhase.INTERRUPTED:
            return replace(end, how=event.state, ended_ns=event.t_ns)
        case CopyPhase.EXITED:
            # A copy that parasuite is stopping exits, too; that it was stopped says more.
            how = CopyPhase.EXITED if end.how == CopyPhase.LOST else end.how
            return replace(end, how=how, status=event.status, ended_ns=event.t_ns)
        case CopyPhase.DESCRIBED:
            return replace(end, why=event.why)
        case CopyPhase.LEFT_BEHIND:
            return replace(end, left_behind=event.processes)
        case CopyPhase.UNKILLABLE:
            return replace(end, unkillable=event.why)
        case CopyPhase.LOST if end.status is None:
            return replace(end, how=CopyPhase.LOST, ended_ns=event.t_ns)
        case _:
            return end
