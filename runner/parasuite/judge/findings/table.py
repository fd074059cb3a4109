"""One thing seen, and how many of them become one finding."""

from __future__ import annotations

import hashlib
import os.path
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from parasuite.judge.findings.knowledge import Facts
from parasuite.judge.findings.model import SEVERITIES, SEVERITY_OF, Finding, Side
from parasuite.judge.ledger import EVIDENCE, Changes
from parasuite.model.events import Endpoint, Event

SIDES_MAX = 16  # A run has up to hundreds of copies; a reader compares a few.


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A defect, seen once. *port*: the number that the program insisted on, 0 if there was none."""

    kind: str
    evidence: str
    endpoint: Endpoint
    port: int
    message: str
    hint: str
    sides: tuple[Side, ...]
    severity: str = ""
    window_ms: float | None = None


class Detector(Protocol):
    """Knows one or two kinds; is asked once for each event, then once at the end."""

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterable[Occurrence]: ...

    def conclude(self, facts: Facts) -> Iterable[Occurrence]: ...


class Book:
    """Collects occurrences; memory grows with the number of different ones, not with how often each was seen."""

    def __init__(self) -> None:
        self._entries: dict[tuple[object, ...], _Entry] = {}

    def add(self, occurrence: Occurrence) -> None:
        """Count *occurrence* as a repeat of its like, or as the first."""
        key = (
            occurrence.kind,
            occurrence.evidence,
            occurrence.endpoint.protocol,
            occurrence.port,
            occurrence.endpoint.address if occurrence.endpoint.protocol == "unix" else "",
            tuple((side.role, side.copy, side.pid, side.test, side.source) for side in occurrence.sides),
        )
        entry = self._entries.get(key)
        if entry is None:
            self._entries[key] = _Entry(occurrence)
        else:
            entry.again(occurrence)

    def findings(self, facts: Facts) -> list[Finding]:
        """One finding for each id, errors first; what the sampler saw of an exact one is left out."""
        found = [entry.finding(facts) for entry in self._entries.values()]
        exact: dict[tuple[str, str, int, int], set[int]] = defaultdict(set)
        for finding in found:
            if finding.evidence != "sampled":
                exact[_place(finding)].update(finding.copies)
        by_id: dict[str, Finding] = {}
        for finding in found:
            if finding.evidence == "sampled" and exact.get(_place(finding), set()).issuperset(finding.copies):
                continue
            earlier = by_id.get(finding.id)
            by_id[finding.id] = finding if earlier is None else _joined(earlier, finding)
        return sorted(by_id.values(), key=_order)


class _Entry:
    """The gravest of its occurrences, the first of them, speaks for all."""

    def __init__(self, occurrence: Occurrence) -> None:
        self._gravest = occurrence
        self._count = 1

    def again(self, occurrence: Occurrence) -> None:
        self._count += 1
        self._gravest = max(self._gravest, occurrence, key=lambda each: SEVERITIES.index(_severity(each)))

    def finding(self, facts: Facts) -> Finding:
        one = self._gravest
        sides = tuple(_named(side, facts) for side in one.sides)
        return Finding(
            id=identity(one.kind, one.endpoint, one.port, sides),
            kind=one.kind,
            severity=_severity(one),
            evidence=one.evidence,
            endpoint=one.endpoint,
            copies=tuple(sorted({side.copy for side in sides if side.copy is not None})),
            count=self._count,
            message=one.message,
            hint=one.hint,
            sides=sides[:SIDES_MAX],
            window_ms=one.window_ms,
        )


def _severity(occurrence: Occurrence) -> str:
    return occurrence.severity or SEVERITY_OF[occurrence.kind]


def identity(kind: str, endpoint: Endpoint, port: int, sides: Iterable[Side]) -> str:
    """The first 10 hex digits of a hash over what is the same in every run of the same defect.

    That is the kind, the protocol, the number insisted on (or `*`; a Unix socket's path), and of each side its role,
    its test without parameters (else its program), its file and function. No line, copy, pid, time, assigned port.
    """
    number = endpoint.address if endpoint.protocol == "unix" else str(port or "*")
    parties = sorted({(side.role, _test_or_program(side), _function(side.source)) for side in sides})
    text = repr((kind, endpoint.protocol, number, parties))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:10]


def _test_or_program(side: Side) -> str:
    if side.test:
        file, separator, name = side.test.partition("::")
        return file + separator + name.partition("[")[0]
    return side.process or os.path.basename(side.command.partition(" ")[0])


def _function(source: str) -> str:
    """ "file:line:function" without the line."""
    parts = source.rsplit(":", 2)
    return f"{parts[0]}:{parts[2]}" if len(parts) == 3 else source


def _named(side: Side, facts: Facts) -> Side:
    # A process may have been described after the first of its sockets was seen.
    if side.process or not side.pid:
        return side
    name, command = facts.process(side.pid)
    return replace(side, process=name, command=command)


def _place(finding: Finding) -> tuple[str, str, int, int]:
    endpoint = finding.endpoint
    return (finding.kind, endpoint.protocol, endpoint.port, endpoint.netns)


def _joined(first: Finding, again: Finding) -> Finding:
    """Both as one; the graver speaks."""
    first, again = sorted((first, again), key=lambda each: -SEVERITIES.index(each.severity))
    sides = first.sides + tuple(side for side in again.sides if side not in first.sides)
    return replace(
        first,
        evidence=max(first.evidence, again.evidence, key=EVIDENCE.index),
        copies=tuple(sorted({*first.copies, *again.copies})),
        count=first.count + again.count,
        sides=sides[:SIDES_MAX],
    )


def _order(finding: Finding) -> tuple[int, str, Endpoint, str]:
    endpoint = finding.endpoint._replace(v6only=bool(finding.endpoint.v6only))
    return (-SEVERITIES.index(finding.severity), finding.kind, endpoint, finding.id)
