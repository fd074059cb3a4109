"""What a detector reports: one cause or one effect, seen once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.ledger import Changes
from parasuite.model import words
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint, Event
from parasuite.model.words import Evidence, Severity


class Charge(NamedTuple):
    """What findings are told apart by: all that is charged alike is one thing to fix.

    *name*: a port in decimal, a Unix path, or what chose the port: "file:function" or a program.
    """

    cause: Cause
    protocol: words.Protocol
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCause:
    """A cause, seen once. *sides*: who does what must be fixed. *port*: the one insisted on, 0 if there is none.

    *severity*, *hint*: None for those of the cause.
    """

    charge: Charge
    evidence: Evidence
    endpoint: Endpoint
    sides: tuple[Side, ...]
    port: int = 0
    severity: Severity | None = None
    hint: str | None = None
    window_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEffect:
    """An effect, seen once, and what it is charged to: *charge*, *port* and *hint* as in SeenCause.

    *drawn_by*: who drew the port that was lost.
    """

    kind: EffectKind
    charge: Charge
    evidence: Evidence
    endpoint: Endpoint
    sides: tuple[Side, ...]
    severity: Severity
    port: int = 0
    hint: str | None = None
    recovered: bool = False
    window_ms: float | None = None
    drawn_by: Side | None = None


Seen: TypeAlias = SeenCause | SeenEffect


class Detector(Protocol):
    """Knows one or two causes or effects; is asked once for each event, then once at the end."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterable[Seen]: ...

    def conclude(self, knowledge: Knowledge) -> Iterable[Seen]: ...
