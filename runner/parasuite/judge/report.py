"""What every report is made from: the whole of one run, as its folder tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parasuite.judge.copy_ends import Outcome
from parasuite.judge.findings import Finding
from parasuite.judge.verdict import Health, Verdict
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, judged. *results*: one sequence per copy, in the copies' order. *wall*: ISO 8601, UTC, when it began.

    *cannot_see*: what the sensors of this run are blind to, a sentence each. *notes*: what else a reader must know.
    *start_ns*: CLOCK_MONOTONIC of the run's begin, to which the times of events are relative.
    """

    run_id: str
    folder: str
    target: str
    wall: str
    host: str
    duration_s: float
    start_ns: int
    fail_on: str
    outcomes: Sequence[Outcome]
    results: Sequence[Sequence[TestResult]]
    findings: Sequence[Finding]
    health: Health
    verdict: Verdict
    overlap: Overlap = field(default_factory=Overlap)
    cannot_see: Sequence[str] = ()
    notes: Sequence[str] = ()
