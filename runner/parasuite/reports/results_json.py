"""The part of findings.json that is about results: how each copy ended, and which tests failed in some copy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from parasuite.judge.report import Report
from parasuite.model.control import Control
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult, shortened
from parasuite.model.run_record import Overlap

MESSAGE_MAX = 2_000


def copies_json(report: Report) -> list[dict[str, object]]:
    """Every copy: how it ended, and how many tests had each outcome in it."""
    return [_copy(end, results) for end, results in zip(report.copy_ends, report.results, strict=True)]


def _copy(end: CopyEnd, results: Sequence[TestResult]) -> dict[str, object]:
    counts = Counter(result.outcome for result in results if not result.is_of_copy)
    own = [result for result in results if result.is_of_copy and result.outcome.is_bad]
    return {
        "copy": end.copy,
        "state": end.how,
        "status": end.status,
        "ended": str(end),
        "ended_well": end.is_good,
        "duration_s": round(end.duration_s, 3),
        "results": dict(sorted(counts.items())),
        # Why it counts as failed as a whole, where no test shows that.
        "message": shortened(own[0].message, MESSAGE_MAX) if own else "",
    }


def overlap_json(overlap: Overlap) -> dict[str, float]:
    """Seconds in which tests ran in any copy, in two or more, in all."""
    return {"any": overlap.any_s, "two": overlap.two_s, "all": overlap.all_s}


def bad_tests_json(report: Report) -> list[dict[str, object]]:
    """The tests that failed, were lost or were not collected in some copy, in the order of the copies."""
    bad: defaultdict[str, list[tuple[int, TestResult]]] = defaultdict(list)
    for copy, results in enumerate(report.results):
        for result in results:
            if result.outcome.is_bad and not result.is_of_copy:
                bad[result.id].append((copy, result))
    controls = {control.test: control for control in report.controls}
    return [_test(test, runs, report, controls.get(test)) for test, runs in bad.items()]


def _test(
    test: str, runs: Sequence[tuple[int, TestResult]], report: Report, control: Control | None
) -> dict[str, object]:
    copies: defaultdict[str, list[int]] = defaultdict(list)
    for copy, result in runs:
        copies[result.outcome].append(copy)
    explanations = dict.fromkeys(report.explanations.get((copy, test)) for copy, _ in runs)
    return {
        "id": test,
        "copies": copies,
        "message": shortened(runs[0][1].message, MESSAGE_MAX),
        "explained_by": [
            {"finding": each.finding, "is_certain": each.is_certain} for each in explanations if each is not None
        ],
        "alone": None
        if control is None
        else {"answer": control.answer, "passed": control.passed, "runs": control.runs},
    }
