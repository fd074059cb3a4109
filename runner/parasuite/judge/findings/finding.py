"""What a finding is: a cause, with its sides and the effects that it had."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.judge.findings.programs import program_name
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.proof import Proof
from parasuite.model.suppression import Suppressed
from parasuite.model.words import AttributedBy, Evidence, Protocol, Role, Severity, SocketOption, SocketState


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one process did.

    *party*: None outside the run. *process*: its name. *frames*: the user's own, innermost first. *at_ns*: when it
    made the call, or since when it held the endpoint; None where unknown. *state*: of the socket that was in the
    way. *stranger*: which other run of parasuite a process outside this one belongs to, for people.
    """

    role: Role
    party: Party | None
    pid: int = 0
    process: str = ""
    command: str = ""
    test: str = ""
    attribution: AttributedBy = AttributedBy.NONE
    frames: tuple[Location, ...] = ()
    at_ns: int | None = None
    options: tuple[SocketOption, ...] = ()
    state: SocketState | None = None
    stranger: str = ""

    @property
    def location(self) -> Location | None:
        """The innermost of the user's own frames."""
        return self.frames[0] if self.frames else None

    @property
    def program(self) -> str:
        """What to call the process: by its script where no line is known, which says more than the interpreter."""
        return self.process if self.frames else program_name(self.process, self.command)

    @property
    def origin(self) -> str:
        """What chose its port: a function of a file, else a program."""
        location = self.location
        return self.program if location is None else location.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happened because of a cause, *count* times between the same two sides.

    *recovered*: the refused program went on to bind another port. *window_ms*: how long the port had been free before
    it was lost; None where unknown.
    """

    kind: EffectKind
    severity: Severity
    evidence: Evidence
    endpoint: Endpoint
    sides: tuple[Side, ...]
    recovered: bool = False
    count: int = 1
    window_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to fix.

    *id*: the same in every run of the same defect. *title*: a sentence that names the port or place. *hint*: what to
    write instead. *endpoint*: of the first that was seen. *port*: the one that the suite insists on; 0 if there is
    none. *is_ephemeral*: whether the kernel may assign that port to anyone. *is_drawn*: whether the suite itself
    draws its ports at random. *parties*: all that it concerns. *sides*: who does what must be fixed; they say so
    where there is no effect yet. *count*: how often that was seen.
    *related*: ids of findings about the same endpoint. *failed_tests*: ids of the tests whose failure it explains,
    or may explain. *suppressed*: why it does not count; None if it does. *expired*: what suppressed it until a day
    that is over. *proof*: the result of provoking it; None if that was not tried.
    """

    id: str
    cause: Cause
    severity: Severity
    evidence: Evidence
    title: str
    hint: str
    endpoint: Endpoint
    parties: tuple[Party, ...]
    sides: tuple[Side, ...]
    effects: tuple[Effect, ...] = ()
    port: int = 0
    is_ephemeral: bool = False
    is_drawn: bool = False
    count: int = 1
    window_ms: float | None = None
    related: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()
    suppressed: Suppressed | None = None
    expired: Suppressed | None = None
    proof: Proof | None = None

    @property
    def places(self) -> tuple[Location, ...]:
        """Where the user's code does it, without repeats."""
        return tuple(dict.fromkeys(side.location for side in self.sides if side.location is not None))

    @property
    def subject(self) -> str:
        """The port or path that the suite insists on, the same in every run: `tcp 8025`, `unix /tmp/x`; else ""."""
        protocol = self.endpoint.protocol
        if self.port:
            return f"{protocol} {self.port}"
        if protocol is Protocol.UNIX and self.cause is Cause.HARD_CODED:
            return f"{protocol} {self.endpoint.address}"
        return ""

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that its sides and effects belong to, without repeats."""
        sides = [*self.sides, *(side for effect in self.effects for side in effect.sides)]
        return tuple(dict.fromkeys(side.test for side in sides if side.test))


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a test failed. *finding*: an id. *is_certain*: whether the failure's text names the port or the error."""

    finding: str
    is_certain: bool
