"""report.html of a series: its verdict, how often each finding did harm and each test passed, and its rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from parasuite.judge.history import FAILED_IN_SOME, PASSED_IN_ALL, FindingHistory, TestHistory
from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.run_summary import RunSummary
from parasuite.model.words import Severity
from parasuite.reports.page.columns import Strings, embedded
from parasuite.reports.page.cures import cure
from parasuite.reports.page.page import TONES
from parasuite.reports.page.template import rendered
from parasuite.reports.series_terminal import rounds_counted, unsteady_tests

SCRIPTS = ("elements.js", "tests.js", "series.js")
"""In the order in which they are put together."""
FINDINGS_MAX = 100
ROUNDS_MAX = 1_000
CELLS_MAX = 100
"""Of a test: its last rounds."""
ROWS_MAX = 10_000


def series_page(report: SeriesReport) -> str:
    """The whole text of report.html."""
    history = report.history
    counting = [each.worst for each in history.findings if not each.worst.suppressed]
    rounds = list(_rounds(report))
    shown = history.findings[:FINDINGS_MAX]
    return rendered(
        "series.html.j2",
        SCRIPTS,
        report=report,
        tone=TONES.get(report.code, "unsure"),
        rounds_counted=rounds_counted(report),
        rounds_passed=sum(run.code == ExitCode.PASSED for run in history.runs),
        severities=_severities([each.severity for each in counting]),
        suppressed=len(history.findings) - len(counting),
        unsteady=len(unsteady_tests(report)),
        findings=[_with_round(finding, rounds) for finding in shown],
        cures=[(cause, cure(cause)) for cause in dict.fromkeys(each.worst.cause for each in shown)],
        findings_left_out=max(0, len(history.findings) - FINDINGS_MAX),
        rounds=rounds[-ROUNDS_MAX:],
        rounds_left_out=max(0, len(rounds) - ROUNDS_MAX),
        cells_shown=CELLS_MAX,
        cells_left_out=max(0, len(rounds) - CELLS_MAX),
        tests=embedded(series_test_data(history.tests, len(rounds))),
        problems=[*report.record.errors, *report.missing],
    )


def series_test_data(tests: Sequence[TestHistory], rounds: int) -> dict[str, object]:
    """For JSON, in the form of `test_data`: *outcomes* has a letter for each of the last rounds."""
    shown = tests[:ROWS_MAX]
    strings = Strings()
    first = max(0, rounds - CELLS_MAX)
    return {
        "unit": "round",
        "first": first + 1,
        "more_in": "junit.xml",
        "letters": {PASSED_IN_ALL: "passed", FAILED_IN_SOME: "failed"},
        "names": [strings.number(test.id) for test in shown],
        "outcomes": [test.outcomes[first:] for test in shown],
        "passed": [test.passed.count for test in shown],
        "of": [test.passed.of for test in shown],
        "last": [_interval(test) for test in shown],
        "left_out": len(tests) - len(shown),
        "strings": strings.values,
    }


def _interval(test: TestHistory) -> str:
    low, high = (round(100 * each) for each in test.passed.interval)
    return f"{low} to {high} %"


def _rounds(report: SeriesReport) -> Iterator[tuple[int, RunSummary, str]]:
    """Each round with its number and the address of its page, relative to the folder; "" if it has none."""
    for number, run in enumerate(report.history.runs, 1):
        page = report.pages[number - 1] if number <= len(report.pages) else ""
        # Quoted, with any colon, so that the name of a folder is not taken for a scheme.
        yield number, run, quote(page, errors="surrogateescape")


def _with_round(
    finding: FindingHistory, rounds: Sequence[tuple[int, RunSummary, str]]
) -> tuple[FindingHistory, str, int]:
    """The finding, and page and number of the last round that has it."""
    # Not by id: two runs from different machines may have the same one.
    number, _, page = next(each for each in rounds if each[1] is finding.last)
    return finding, page, number


def _severities(found: Sequence[Severity]) -> list[tuple[Severity, int]]:
    counts = Counter(found)
    return [(severity, counts[severity]) for severity in reversed(Severity) if counts[severity]]
