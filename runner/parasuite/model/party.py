"""Who acts: parties, which must not share a port with one another, and the processes and threads they consist of."""

from __future__ import annotations

from typing import NamedTuple

from parasuite.model.location import Location
from parasuite.model.words import AttributedBy


class Party(NamedTuple):
    """A copy of the suite, or one worker of a copy.

    *copy*: its number, from 0. *worker*: the name that its runner gives a worker ("gw3"); "" for the copy as a whole.
    """

    copy: int
    worker: str = ""

    def meets(self, other: Party | None) -> bool:
        """Whether this party and *other* collide if they use one port. A stranger (None) is no party."""
        return other is not None and self != other

    def is_of(self, copy: int) -> bool:
        """Whether this is the copy with that number, or a worker of it."""
        return self.copy == copy

    def __str__(self) -> str:
        return f"copy {self.copy}, {self.worker}" if self.worker else f"copy {self.copy}"


class Process(NamedTuple):
    """A process, identified by *pid* and *start_s* together, since the system uses pids again.

    *start_s*: seconds since the epoch, 0.0 where unknown. *party*: None for a process outside the run, and where the
    party is not known.
    """

    party: Party | None = None
    pid: int = 0
    start_s: float = 0.0


class Caller(NamedTuple):
    """Who made a call, as far as a sensor could tell.

    *test*: a test's id, "" outside a test. *location*: the first frame of the user's own, None where unknown.
    *attribution*: how *test* is known.
    """

    process: Process = Process()
    tid: int = 0
    test: str = ""
    location: Location | None = None
    attribution: AttributedBy = AttributedBy.NONE


UNKNOWN_CALLER = Caller()
