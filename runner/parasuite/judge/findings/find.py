"""Reads the events once and asks each kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parasuite.judge.findings.knowledge import Facts
from parasuite.judge.findings.meetings import Crosstalk, Shared
from parasuite.judge.findings.model import Finding
from parasuite.judge.findings.numbers import HardCoded, Rebind, Reuse
from parasuite.judge.findings.reach import Exposed, Orphan
from parasuite.judge.findings.refused import Refused
from parasuite.judge.findings.table import Book, Detector
from parasuite.judge.ledger import in_order
from parasuite.model.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """*findings*: errors first. *notes*: what was seen and could not be judged, one line each."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def judge(events: Iterable[Event]) -> Judgement:
    """What *events*, sorted by time, prove. Reads them once; time and memory are linear in their number."""
    facts, book, refused = Facts(), Book(), Refused()
    detectors: tuple[Detector, ...] = (
        refused,
        Shared(),
        Crosstalk(),
        Orphan(),
        HardCoded(),
        Rebind(),
        Exposed(),
        Reuse(),
    )
    for event in in_order(events):
        changes = facts.apply(event)
        for detector in detectors:
            for occurrence in detector.observe(event, changes, facts):
                book.add(occurrence)
    for detector in detectors:
        for occurrence in detector.conclude(facts):
            book.add(occurrence)
    return Judgement(findings=tuple(book.findings(facts)), notes=tuple(_notes(refused)))


def _notes(refused: Refused) -> Iterable[str]:
    if refused.unattributed:
        yield f"{_binds(refused.unattributed)} whose holder was gone before it could be asked"
    if refused.closing:
        kept = "which the kernel still keeps (TIME_WAIT, FIN_WAIT)"
        yield f"{_binds(refused.closing)} that met only a closed connection, {kept}"


def _binds(count: int) -> str:
    return f"{count} refused bind{'s' if count > 1 else ''}"


def findings(events: Iterable[Event]) -> list[Finding]:
    """The findings that *events*, sorted by time, prove; errors first."""
    return list(judge(events).findings)
