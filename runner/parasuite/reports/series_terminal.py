"""The report of a series on a terminal: findings and tests with their rates, then the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from parasuite.judge.history import FindingHistory, TestHistory
from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import Severity
from parasuite.reports.rates import finding_rates, on_hosts, rate_of_test
from parasuite.reports.wording import NOTE, NOTES_COUNTED, TIME_AND_FOLDER, exit_code_of_suite, plural, printable

MORE_IN = "all sides: parasuite report {path}"
NEVER_JUDGED = "round {number} proves nothing: {verdict}; {path}"
AT_ONCE = "tests ran in two or more copies at once for {percent} of the time that tests ran"
TESTS = "tests: {tests}, {failed} of them failed in some round"
SUPPRESSED = "{findings} suppressed: see findings.json"
_SHOWN = 20
_LISTED = 50
_COLOUR_OF = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def series_terminal(report: SeriesReport) -> Iterator[Text]:
    """The report, a line at a time, printable; colour only repeats what the words say."""
    counting = [each for each in report.history.findings if not each.worst.suppressed]
    grave = [each for each in counting if each.worst.severity is not Severity.NOTE]
    for finding in grave[:_SHOWN]:
        yield from _finding(report, finding)
    if len(grave) > _SHOWN:
        yield _line(f"... and {plural(len(grave) - _SHOWN, 'more finding')}: see findings.json")
    if notes := len(counting) - len(grave):
        yield _line(NOTES_COUNTED.format(findings=plural(notes, "finding")))
    if suppressed := len(report.history.findings) - len(counting):
        yield _line(SUPPRESSED.format(findings=plural(suppressed, "finding")))
    unsteady = unsteady_tests(report)
    for test in unsteady[:_SHOWN]:
        yield _line(("failed", "red"), f" {test.id}")
        yield _line(f"    {rate_of_test(test)}")
    if len(unsteady) > _SHOWN:
        yield _line(f"... and {plural(len(unsteady) - _SHOWN, 'more test')}: see junit.xml")
    for remark in report.remarks[:_SHOWN]:
        yield _line(NOTE.format(note=remark))
    yield from _inconclusive_rounds(report)
    for problem in [*report.record.errors, *report.missing]:
        yield _line(f"error: {problem}")
    if report.exit_code != report.code:
        yield _line(exit_code_of_suite(report.exit_code, report.code))
    yield from _counts(report)
    yield _verdict(report)


def unsteady_tests(report: SeriesReport) -> list[TestHistory]:
    """The tests that failed in at least one round, most often first."""
    return [test for test in report.history.tests if test.passed.count < test.passed.of]


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line of text, or of text with a style each. Every line is made here, so that none contains a raw name."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), style) for text, style in styled))


def _finding(report: SeriesReport, finding: FindingHistory) -> Iterator[Text]:
    worst = finding.worst
    yield _line((f"{worst.severity} [{worst.cause}] ", _COLOUR_OF[worst.severity]), worst.title)
    if worst.place:
        yield _line(f"    at {worst.place}")
    for rate in finding_rates(finding):
        yield _line(f"    {rate}")
    if len(report.history.hosts) > 1:
        yield _line(f"    {on_hosts(finding, report.history)}")
    # Not by id: two runs from different machines may have the same one.
    paths = (path for run, path in zip(report.history.runs, report.paths, strict=True) if run is finding.last)
    yield _line(f"    {MORE_IN.format(path=next(paths))}")
    yield _line(f"    id {worst.id}")


def _inconclusive_rounds(report: SeriesReport) -> Iterator[Text]:
    rounds = [
        (number, run, path)
        for number, (run, path) in enumerate(zip(report.history.runs, report.paths, strict=True), 1)
        if not run.is_conclusive
    ]
    for number, run, path in rounds[:_LISTED]:
        yield _line(NEVER_JUDGED.format(number=number, verdict=run.verdict, path=path))
    if len(rounds) > _LISTED:
        yield _line(f"... and {plural(len(rounds) - _LISTED, 'more round')} that prove nothing")


def rounds_counted(report: SeriesReport) -> str:
    """`7 of 20 rounds, 6 of them conclusive`; what was asked for, and what proves nothing, only if it differs."""
    ran = len(report.history.runs)
    asked = report.record.repeat
    counted = f"{ran} of {plural(asked, 'round')}" if asked is not None and asked != ran else plural(ran, "round")
    conclusive = report.history.conclusive
    return counted if conclusive == ran else f"{counted}, {conclusive} of them conclusive"


def _counts(report: SeriesReport) -> Iterator[Text]:
    """What was counted in the series, a line for each kind of thing."""
    yield _line(rounds_counted(report))
    if any(run.copies > 1 for run in report.history.runs):
        yield _line(AT_ONCE.format(percent=f"{report.history.overlap.share * 100:.0f} %"))
    tests = report.history.tests
    yield _line(TESTS.format(tests=f"{len(tests):,}", failed=f"{len(unsteady_tests(report)):,}"))
    found = Counter(each.worst.severity for each in report.history.findings if not each.worst.suppressed)
    severities = [plural(found[severity], severity) for severity in reversed(Severity) if found[severity]]
    yield _line(f"ports: {', '.join(severities) or 'no finding'}")
    seconds = sum(run.duration_s for run in report.history.runs)
    yield _line(TIME_AND_FOLDER.format(seconds=f"{seconds:.1f}", folder=report.folder))


def _verdict(report: SeriesReport) -> Text:
    colour = "green" if report.code is ExitCode.PASSED else "red"
    return _line((report.reason, f"bold {colour}"))
