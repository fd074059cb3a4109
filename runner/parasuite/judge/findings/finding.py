"""What a finding is: a kind, its evidence, its sides."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.model.events import Endpoint
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.words import AttributedBy, Evidence, Role, Severity, SocketOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one process did. *party*: None outside the run. *process*: its name. *since_ns*: None where unknown."""

    role: Role
    party: Party | None
    pid: int = 0
    process: str = ""
    command: str = ""
    test: str = ""
    attribution: AttributedBy = AttributedBy.NONE
    location: Location | None = None
    since_ns: int | None = None
    options: tuple[SocketOption, ...] = ()

    @property
    def origin(self) -> str:
        """What chose its port: a function of a file, else a program."""
        return self.location.place if self.location is not None else self.process


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A kind, its evidence, its sides.

    *id*: the same defect has the same id in every run. *window_ms*: of a rebind.
    """

    id: str
    kind: FindingKind
    severity: Severity
    evidence: Evidence
    endpoint: Endpoint
    parties: tuple[Party, ...]
    count: int
    message: str
    hint: str
    sides: tuple[Side, ...]
    window_ms: float | None = None
