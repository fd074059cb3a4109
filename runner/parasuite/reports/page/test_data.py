"""How often each test passed, as a row of the page: the worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from parasuite.judge.report import Report
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome
from parasuite.reports.page.columns import Strings

ROWS_MAX = 20_000
LETTERS = {
    TestOutcome.PASSED: "P",
    TestOutcome.FAILED: "F",
    TestOutcome.ERROR: "E",
    TestOutcome.LOST: "L",
    TestOutcome.SKIPPED: "S",
    TestOutcome.NOT_RUN: "N",
    TestOutcome.NOT_COLLECTED: "C",
}
_ABSENT = "-"


def test_data(report: Report) -> dict[str, object]:
    """For JSON: *outcomes* has a letter per copy, "-" where it has no result; *last* is how long the slowest took."""
    by_id: dict[str, list[TestResult | None]] = defaultdict(lambda: [None] * len(report.results))
    for copy, results in enumerate(report.results):
        for result in results:
            if not result.is_of_copy:
                by_id[result.id][copy] = result
    rows = sorted(by_id.items(), key=lambda item: (*_goodness(item[1]), item[0]))
    strings = Strings()
    shown = rows[:ROWS_MAX]
    names = [strings.number(name) for name, _ in shown]
    return {
        "unit": "copy",
        "first": 0,
        "more_in": "junit-merged.xml",
        "letters": {letter: str(outcome) for outcome, letter in LETTERS.items()},
        "names": names,
        "outcomes": ["".join(map(_letter, results)) for _, results in shown],
        "passed": [_passed(results) for _, results in shown],
        "of": [len(results) for _, results in shown],
        "last": [_slowest(results) for _, results in shown],
        "left_out": len(rows) - len(shown),
        "strings": strings.values,
    }


def _goodness(results: Sequence[TestResult | None]) -> tuple[int, bool]:
    bad = sum(result is not None and result.outcome.is_bad for result in results)
    uneven = len({None if result is None else result.outcome for result in results}) > 1
    return -bad, not uneven


def _letter(result: TestResult | None) -> str:
    return _ABSENT if result is None else LETTERS[result.outcome]


def _passed(results: Sequence[TestResult | None]) -> int:
    return sum(result is not None and result.outcome is TestOutcome.PASSED for result in results)


def _slowest(results: Sequence[TestResult | None]) -> str:
    return f"{max(result.duration_s for result in results if result is not None):.2f} s"
