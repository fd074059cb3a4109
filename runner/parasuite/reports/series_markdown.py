"""The report of a series in Markdown: for a pull request, or the summary of a step of GitHub Actions."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.judge.series import SeriesReport
from parasuite.reports.markdown import escaped
from parasuite.reports.rates import finding_rates, rate_of_test
from parasuite.reports.series_terminal import SUPPRESSED, rounds_counted, unsteady_tests
from parasuite.reports.wording import NOTE, plural

_SHOWN = 100
_TEXT_MAX = 500


def series_markdown(report: SeriesReport) -> str:
    """The whole text, well below 1 MiB: the first findings and tests in full, the rest counted."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: SeriesReport) -> Iterator[str]:
    yield f"## parasuite: {_text(report.reason)}"
    yield ""
    yield f"{_text(report.record.described)}: {rounds_counted(report)}"
    yield ""
    findings = [each for each in report.history.findings if not each.worst.suppressed]
    for finding in findings[:_SHOWN]:
        worst = finding.worst
        yield f"- **{worst.severity} \\[{worst.cause}\\]** {_text(worst.title)} (id {_text(worst.id)})"
        for rate in finding_rates(finding):
            yield f"  - {rate}"
    for test in unsteady_tests(report)[:_SHOWN]:
        yield f"- **failed** {_text(test.id)}"
        yield f"  - {rate_of_test(test)}"
    if suppressed := len(report.history.findings) - len(findings):
        yield f"- {SUPPRESSED.format(findings=plural(suppressed, 'finding'))}"
    for remark in report.remarks[:_SHOWN]:
        yield f"- {_text(NOTE.format(note=remark))}"
    left_out = max(0, len(findings) - _SHOWN) + max(0, len(unsteady_tests(report)) - _SHOWN)
    if left_out:
        yield f"- and {plural(left_out, 'more line')}: see findings.json"


def _text(text: str) -> str:
    return escaped(text[:_TEXT_MAX])
