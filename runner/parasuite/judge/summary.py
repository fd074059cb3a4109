"""From one run's Report to its summary, the part of it that a reader of many runs needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from parasuite.judge.findings import Finding
from parasuite.judge.report import Report
from parasuite.judge.verdict import is_failing
from parasuite.model.results import TestResult
from parasuite.model.run_summary import FindingSummary, RunSummary, TestCount
from parasuite.model.words import FailOn, TestOutcome

_TITLE_MAX = 500
"""Characters. Titles contain names of functions and programs."""

_REMARKS_MAX = 20


def summarize(report: Report) -> RunSummary:
    """The summary of a run."""
    return RunSummary(
        run_id=report.run_id,
        started_s=report.started_s,
        host=report.host,
        target=report.target,
        selection=tuple(report.selection),
        copies=len(report.copy_ends),
        duration_s=report.duration_s,
        ended=report.ended,
        code=int(report.verdict.code),
        exit_code=report.verdict.exit_code,
        verdict=report.verdict.reason,
        is_conclusive=report.verdict.code.is_conclusive,
        overlap=report.overlap,
        findings=tuple(_of_finding(finding, report.fail_on) for finding in report.findings),
        remarks=tuple(remark.text[:_TITLE_MAX] for remark in report.remarks[:_REMARKS_MAX]),
        tests=_counts(report.results),
    )


def _of_finding(finding: Finding, fail_on: FailOn) -> FindingSummary:
    place = next(iter(finding.places), None)
    return FindingSummary(
        id=finding.id,
        cause=finding.cause,
        severity=finding.severity,
        title=finding.title[:_TITLE_MAX],
        place="" if place is None else f"{place.file}:{place.line} {place.function}".rstrip()[:_TITLE_MAX],
        subject=finding.subject,
        effects=tuple(dict.fromkeys(effect.kind for effect in finding.effects)),
        is_failing=is_failing(finding, fail_on),
        suppressed="" if finding.suppressed is None else finding.suppressed.reason[:_TITLE_MAX],
    )


def _counts(results: Sequence[Sequence[TestResult]]) -> dict[str, TestCount]:
    """In how many copies each test passed and failed; (0, 0) for one that was skipped or not run in all of them."""
    passed: dict[str, int] = {}
    failed: dict[str, int] = {}
    for copy in results:
        for result in copy:
            passed[result.id] = passed.get(result.id, 0) + (result.outcome is TestOutcome.PASSED)
            failed[result.id] = failed.get(result.id, 0) + result.outcome.is_bad
    return {test_id: TestCount(passed[test_id], failed[test_id]) for test_id in passed}
