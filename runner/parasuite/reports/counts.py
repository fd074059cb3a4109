"""What was counted in a run, a line for each kind of thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from parasuite.judge.report import Report
from parasuite.model.results import TestResult
from parasuite.model.words import NetworkMode, Severity
from parasuite.reports import wording
from parasuite.reports.wording import failures_explained, in_network, plural


def counted_lines(report: Report) -> Iterator[str]:
    """Copies, tests, how many failures are explained, findings and what the sensors saw, time and folder."""
    findings = Counter(finding.severity for finding in report.findings if finding.suppressed is None)
    severities = [severity for severity in reversed(Severity) if findings[severity]]
    *first, last = [plural(findings[severity], severity) for severity in severities] or ["no finding"]
    found = f"{', '.join(first)} and {last}" if first else last
    if suppressed := sum(finding.suppressed is not None for finding in report.findings):
        found += f", {suppressed:,} suppressed"
    good = sum(end.is_good for end in report.copy_ends)
    yield wording.COPIES_COUNTED.format(good=good, copies=len(report.copy_ends))
    yield _tests_counted(report.results)
    if explained := _explained(report):
        yield explained
    is_hosts = report.network is NetworkMode.HOST
    network = "" if is_hosts else f" {in_network(report.network, report.port_range)}"
    yield f"ports{network}: {found}, {_seen(report)}"
    yield wording.TIME_AND_FOLDER.format(seconds=f"{report.duration_s:.1f}", folder=report.folder)


def _explained(report: Report) -> str:
    failed = {
        (copy, result.id)
        for copy, results in enumerate(report.results)
        for result in results
        if result.outcome.is_bad
    }
    return failures_explained(len(failed), [why for case, why in report.explanations.items() if case in failed])


def _tests_counted(results: Sequence[Sequence[TestResult]]) -> str:
    counts = Counter(result.outcome for copy in results for result in copy)
    attempts = sum(len(result.attempts) for copy in results for result in copy)
    return wording.outcome_counts(counts, attempts)


def _seen(report: Report) -> str:
    health = report.health
    if not health.sensors:
        return wording.NO_SENSOR
    calls = health.calls if health.calls else None
    samples = health.samples if health.is_sampled else None
    seen = wording.listeners_seen(health.listeners, calls=calls, samples=samples)
    return seen + (f", {health.proven} proven visible" if health.proven else "")
