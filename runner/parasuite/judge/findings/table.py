"""One thing seen, and how many of them become one finding."""

from __future__ import annotations

import hashlib
import os.path
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from parasuite.judge.findings.finding import Finding, Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.ledger import Changes
from parasuite.model import words
from parasuite.model.events import Endpoint, Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.network import Network
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Severity

SIDES_MAX = 16  # A run has up to hundreds of copies; a reader compares a few.


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A defect, seen once. *port*: the one that the program insisted on, 0 if there was none.

    *severity*: None for the one that its kind has.
    """

    kind: FindingKind
    evidence: Evidence
    endpoint: Endpoint
    port: int
    message: str
    hint: str
    sides: tuple[Side, ...]
    severity: Severity | None = None
    window_ms: float | None = None

    @property
    def gravity(self) -> Severity:
        """Its own severity, or that of its kind."""
        return self.severity or self.kind.severity


class Detector(Protocol):
    """Knows one or two kinds; is asked once for each event, then once at the end."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterable[Occurrence]: ...

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]: ...


class FindingTable:
    """Collects occurrences; memory grows with the number of different ones, not with how often each was seen."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, ...], _Row] = {}

    def add(self, occurrence: Occurrence) -> None:
        """Count *occurrence* as a repeat of an earlier one, or as the first of its kind and sides."""
        key = (
            occurrence.kind,
            occurrence.evidence,
            occurrence.endpoint.protocol,
            occurrence.port,
            occurrence.endpoint.address if occurrence.endpoint.protocol == words.Protocol.UNIX else "",
            tuple((side.role, side.party, side.pid, side.test, side.location) for side in occurrence.sides),
        )
        row = self._rows.get(key)
        if row is None:
            self._rows[key] = _Row(occurrence)
        else:
            row.add_repeat(occurrence)

    def findings(self, knowledge: Knowledge) -> list[Finding]:
        """One finding for each id, errors first; what the sampler saw of an exact one is left out."""
        found = [row.finding(knowledge) for row in self._rows.values()]
        exact: dict[_Place, set[Party]] = defaultdict(set)
        for finding in found:
            if finding.evidence != Evidence.SAMPLED:
                exact[_place(finding)].update(finding.parties)
        by_id: dict[str, Finding] = {}
        for finding in found:
            if finding.evidence == Evidence.SAMPLED and exact.get(_place(finding), set()).issuperset(finding.parties):
                continue
            earlier = by_id.get(finding.id)
            by_id[finding.id] = finding if earlier is None else _joined(earlier, finding)
        return sorted(by_id.values(), key=_order)


class _Row:
    """The gravest of its occurrences, the first of them, is shown for all."""

    def __init__(self, occurrence: Occurrence) -> None:
        self._gravest = occurrence
        self._count = 1

    def add_repeat(self, occurrence: Occurrence) -> None:
        self._count += 1
        self._gravest = max(self._gravest, occurrence, key=lambda each: each.gravity.rank)

    def finding(self, knowledge: Knowledge) -> Finding:
        gravest = self._gravest
        sides = tuple(_named(side, knowledge) for side in gravest.sides)
        return Finding(
            id=finding_id(gravest.kind, gravest.endpoint, gravest.port, sides),
            kind=gravest.kind,
            severity=gravest.gravity,
            evidence=gravest.evidence,
            endpoint=gravest.endpoint,
            parties=tuple(sorted({side.party for side in sides if side.party is not None})),
            count=self._count,
            message=gravest.message,
            hint=gravest.hint,
            sides=sides[:SIDES_MAX],
            window_ms=gravest.window_ms,
        )


def finding_id(kind: FindingKind, endpoint: Endpoint, port: int, sides: Iterable[Side]) -> str:
    """The first 10 hex digits of a hash over what is the same in every run of the same defect.

    That is the kind, the protocol, the port insisted on (or `*`; a Unix socket's path), and of each side its role,
    its test without parameters (else its program), its file and function. No line, copy, pid, time, assigned port.
    """
    port_or_path = endpoint.address if endpoint.protocol == words.Protocol.UNIX else str(port or "*")
    parts = sorted({(str(side.role), _test_or_program(side), _place_of(side)) for side in sides})
    text = repr((str(kind), str(endpoint.protocol), port_or_path, parts))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:10]


def _test_or_program(side: Side) -> str:
    if side.test:
        file, separator, name = side.test.partition("::")
        return file + separator + name.partition("[")[0]
    return side.process or os.path.basename(side.command.partition(" ")[0])


def _place_of(side: Side) -> str:
    return side.location.place if side.location is not None else ""


def _named(side: Side, knowledge: Knowledge) -> Side:
    # A process may have been described after the first of its sockets was seen.
    if side.process or not side.pid:
        return side
    name, command = knowledge.process(side.pid)
    return replace(side, process=name, command=command)


_Place: TypeAlias = tuple[FindingKind, words.Protocol, int, Network]


def _place(finding: Finding) -> _Place:
    endpoint = finding.endpoint
    return (finding.kind, endpoint.protocol, endpoint.port, endpoint.network)


def _joined(first: Finding, repeat: Finding) -> Finding:
    """Both as one; the graver is shown."""
    first, repeat = sorted((first, repeat), key=lambda each: -each.severity.rank)
    sides = first.sides + tuple(side for side in repeat.sides if side not in first.sides)
    return replace(
        first,
        evidence=max(first.evidence, repeat.evidence, key=lambda each: each.rank),
        parties=tuple(sorted({*first.parties, *repeat.parties})),
        count=first.count + repeat.count,
        sides=sides[:SIDES_MAX],
    )


def _order(finding: Finding) -> tuple[int, str, Endpoint, str]:
    endpoint = finding.endpoint._replace(v6only=bool(finding.endpoint.v6only))
    return (-finding.severity.rank, finding.kind, endpoint, finding.id)
