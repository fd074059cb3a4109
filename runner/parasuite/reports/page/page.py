"""report.html of a run: verdict, findings, timeline, failures, tests, copies and sensors."""

from __future__ import annotations

from collections import Counter

from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import Severity, TestOutcome
from parasuite.reports.page.cards import FAILURES_MAX, FINDINGS_MAX, cards, cures_of, failures
from parasuite.reports.page.columns import embedded
from parasuite.reports.page.template import rendered
from parasuite.reports.page.test_data import test_data
from parasuite.reports.page.timeline_data import timeline_data
from parasuite.reports.wording import listeners_seen

SCRIPTS = ("elements.js", "tests.js", "data.js", "axis.js", "lanes.js", "timeline.js", "events.js", "main.js")
"""In the order in which they are put together."""
_FINDINGS_OPEN = 3
_FAILURES_AT_ONCE = 10  # The others are behind a summary.
TONES = {ExitCode.PASSED: "good", ExitCode.TEST_FAILED: "bad", ExitCode.FINDINGS: "bad"}


def page(report: Report) -> str:
    """The whole text of report.html."""
    shown = cards(report)
    all_failures = failures(report)
    return rendered(
        "page.html.j2",
        SCRIPTS,
        report=report,
        tone=TONES.get(report.verdict.code, "unsure"),
        timeline=embedded(timeline_data(report)),
        tests=embedded(test_data(report)),
        cards=shown,
        cures=cures_of(shown),
        findings_left_out=max(0, len(report.findings) - FINDINGS_MAX),
        failures=all_failures[:FAILURES_MAX],
        failures_left_out=max(0, len(all_failures) - FAILURES_MAX),
        severities=_severities(report),
        suppressed=sum(finding.suppressed is not None for finding in report.findings),
        outcomes=Counter(result.outcome for results in report.results for result in results),
        outcomes_of_copies=[Counter(result.outcome for result in results) for results in report.results],
        seen=_seen(report),
        Outcome=TestOutcome,
        OPEN_AT_ONCE=_FINDINGS_OPEN,
        SHOWN_AT_ONCE=_FAILURES_AT_ONCE,
    )


def _severities(report: Report) -> list[tuple[Severity, int]]:
    counts = Counter(finding.severity for finding in report.findings if finding.suppressed is None)
    return [(severity, counts[severity]) for severity in reversed(Severity) if counts[severity]]


def _seen(report: Report) -> str:
    health = report.health
    samples = health.samples if health.is_sampled else None
    return listeners_seen(health.listeners, calls=health.calls or None, samples=samples)
