"""Who acts: parties, which must not share a port with one another, and the processes and threads they consist of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from parasuite.model.location import Location
from parasuite.model.words import AttributedBy, FixtureScope

PRESUMED = "~"


class Party(NamedTuple):
    """A copy of the suite, or one worker of a copy.

    *copy*: its number, from 0. *worker*: the names of the workers, from the copy's main process down, joined by "/"
    ("py311/gw0": the xdist worker gw0 of tox's environment py311); "" for what belongs to no worker. A name that
    begins with PRESUMED is that of a program which no test runner is known to have started as a worker.
    """

    copy: int
    worker: str = ""

    def meets(self, other: Party | None) -> bool:
        """Whether this party and *other* collide if they use one port.

        Copies do. Workers of one copy do, unless one is the other's: what starts workers, or serves all of them, is
        not a party beside them. A stranger (None) is not a party.
        """
        if other is None:
            return False
        if self.copy != other.copy:
            return True
        if not self.worker or not other.worker or self.worker == other.worker:
            return False
        # A "/" at the end, so that gw1 is not taken for the beginning of gw10.
        mine, others = f"{self.worker}/", f"{other.worker}/"
        return not mine.startswith(others) and not others.startswith(mine)

    def is_presumed_beside(self, other: Party | None) -> bool:
        """Whether this party and *other* meet for no better reason than that they were started side by side.

        That is so for two programs that one shell or make started. Scripts start a second instance on purpose, too.
        """
        if other is None or self.copy != other.copy or not self.meets(other):
            return False
        pairs = zip(self.worker.split("/"), other.worker.split("/"), strict=False)
        mine, others = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        return mine.startswith(PRESUMED) or others.startswith(PRESUMED)

    def is_within(self, other: Party) -> bool:
        """Whether this is *other*, or a worker below it."""
        return self.copy == other.copy and f"{self.worker}/".startswith(f"{other.worker}/" if other.worker else "")

    def is_of(self, copy: int) -> bool:
        """Whether this is the copy with that number, or a worker of it."""
        return self.copy == copy

    @property
    def worker_name(self) -> str:
        """The worker as people know it."""
        return self.worker.replace(PRESUMED, "")

    def __str__(self) -> str:
        return f"copy {self.copy}, {self.worker_name}" if self.worker else f"copy {self.copy}"


def some_meet(parties: Iterable[Party]) -> bool:
    """Whether two of *parties* meet, and not only for having been started side by side."""
    return any(one.meets(other) and not one.is_presumed_beside(other) for one, other in combinations(parties, 2))


class Process(NamedTuple):
    """A process, identified by *pid* and *start_s* together, since the system uses pids again.

    *start_s*: seconds since the epoch, 0.0 where unknown. *party*: None for a process outside the run, and where the
    party is not known.
    """

    party: Party | None = None
    pid: int = 0
    start_s: float = 0.0


class Fixture(NamedTuple):
    """A fixture that is being set up or torn down."""

    scope: FixtureScope
    name: str

    @classmethod
    def parse(cls, text: str) -> Fixture | None:
        """The fixture that "scope:name" describes; None for "". Raises ValueError for an unknown scope."""
        scope, _, name = text.partition(":")
        return cls(FixtureScope(scope), name) if text else None

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


class Caller(NamedTuple):
    """Who made a call, as far as a sensor could tell.

    *test*: a test's id, "" outside a test. *frames*: at most FRAMES_MAX frames of the user's own code, innermost
    first. Frames of installed packages are among them only if no frame of the project was on the stack.
    *attribution*: how *test* is known. *fixture*: the innermost fixture at work when the call was made, or when the
    thread or process that made it was started. What such a thread or process does belongs to no test if the fixture
    outlives its test. *library*: the file of the installed package that made the call for the frames of the project;
    "" if they made it themselves, and where no frame is the project's.
    """

    process: Process = Process()
    tid: int = 0
    test: str = ""
    frames: tuple[Location, ...] = ()
    attribution: AttributedBy = AttributedBy.NONE
    fixture: Fixture | None = None
    library: str = ""

    @property
    def location(self) -> Location | None:
        """The innermost frame; None where no frame is known."""
        return self.frames[0] if self.frames else None

    @property
    def fixture_scope(self) -> FixtureScope:
        """The scope of *fixture*; NONE outside a fixture."""
        return self.fixture.scope if self.fixture is not None else FixtureScope.NONE


UNKNOWN_CALLER = Caller()
