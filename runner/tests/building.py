"""Short ways to write the callers of events down."""

from __future__ import annotations

from parasuite.model.location import Location
from parasuite.model.party import Caller, Party, Process
from parasuite.model.words import AttributedBy


def by(
    copy: int | None = None,
    pid: int = 0,
    *,
    worker: str = "",
    start_s: float = 0.0,
    tid: int = 0,
    test: str = "",
    line: str = "",
    attribution: AttributedBy = AttributedBy.NONE,
) -> Caller:
    """A process of *copy* (None: outside the run) that is in *test*, at *line* ("file:line:function")."""
    party = None if copy is None else Party(copy, worker)
    location = Location.parse(line)
    return Caller(Process(party, pid, start_s), tid, test, () if location is None else (location,), attribution)
