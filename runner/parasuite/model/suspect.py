"""What `parasuite repro` provokes: one finding of an earlier run, and the calls that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.model.causes import Cause
from parasuite.model.location import Location
from parasuite.model.words import Protocol

_NOT_PROVOKED = {
    Cause.EXPOSED: "any host that reaches this machine can show it: there is nothing to provoke",
    Cause.LEAKED: "the listener is in the way of later tests of the same copy: run them, there is nothing to provoke",
    Cause.ORPHAN: "the process outlives its copy in every run: there is nothing to provoke",
    Cause.STRANGER: "the server is outside the run: stop it, and see which tests fail",
    Cause.UNKNOWN: "it is not known how the port was chosen, so it is not known which call to provoke",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFinding:
    """What an earlier run has recorded of a finding.

    *address*: of the endpoint, or its Unix path. *port*: 0 if it has none. *is_drawn*: whether the suite itself draws
    it at random. *tests*: ids, () where none is known. *places*: the user's own code that did it. *programs*: the
    names of the processes that did it.
    """

    id: str
    cause: Cause
    title: str
    protocol: Protocol
    address: str
    port: int
    tests: tuple[str, ...]
    places: tuple[Location, ...]
    programs: tuple[str, ...]
    is_drawn: bool = False

    @property
    def why_not_provoked(self) -> str:
        """Why parasuite cannot play the other side of it, for people; "" if it can."""
        if self.cause in _NOT_PROVOKED:
            return _NOT_PROVOKED[self.cause]
        if self.is_drawn:
            return "the suite draws its ports at random, so there is no port that the next run will ask for"
        if self.protocol is Protocol.UNIX:
            return "parasuite takes ports only: a server that unlinks its path first would not notice"
        if self.protocol not in (Protocol.TCP, Protocol.UDP):
            return f"parasuite takes ports of TCP and UDP only, not of {self.protocol or 'an unknown protocol'}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """Which calls of a copy are provoked: those that ask for what a finding is about.

    *port*: the one that a hard-coded finding is about; of the other causes it is another in each run. Those are
    recognised by *places* ("file:function" of the innermost frame, the file without its folder), or by *programs*
    where a call has no frame of the user's own.
    """

    cause: Cause
    protocol: Protocol
    port: int
    places: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @classmethod
    def of(cls, finding: StoredFinding) -> Suspect:
        """The suspect of a finding that can be provoked."""
        return cls(
            cause=finding.cause,
            protocol=finding.protocol,
            port=finding.port if finding.cause is Cause.HARD_CODED else 0,
            places=tuple(sorted({place_of(location) for location in finding.places})),
            programs=tuple(sorted({name for name in finding.programs if name})),
        )


def place_of(location: Location) -> str:
    """The file's name and the function: the same where the project lies in another folder."""
    return f"{location.file.rpartition('/')[2]}:{location.function}"
