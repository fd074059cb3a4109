"""The report on a terminal: what failed, what collided, what was not seen, and the verdict as the last line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.results import TestResult
from parasuite.model.words import Severity
from parasuite.reports.wording import finding_lines, plural, printable

_FAILURES_SHOWN = 20
_FINDINGS_SHOWN = 20
_SIDES_SHOWN = 2
_OUTPUT_LINES_SHOWN = 5
_COLOUR_OF = {"error": "red", "warning": "yellow"}


def terminal(report: Report) -> Iterator[Text]:
    """The report, a line at a time, printable; colour only repeats what the words say."""
    yield from _failures(report)
    yield from _uneven_skips(report)
    yield from _reruns(report)
    yield from _bad_copies(report)
    yield from _findings(report)
    for note in report.notes:
        yield _line(f"note: {note}")
    yield from _not_seen(report)
    yield _verdict(report)


def _line(*parts: str | tuple[str, str], style: str = "") -> Text:
    """One line of text, or of text with a style each. Every line is made here, so that none has a name raw."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), of_part) for text, of_part in styled), style=style)


def _failures(report: Report) -> Iterator[Text]:
    by_id: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(report.results):
        for result in results:
            if result.outcome in ("failed", "error", "lost", "not-collected"):
                by_id.setdefault(result.id, []).append((copy, result))
    for test_id, runs in list(by_id.items())[:_FAILURES_SHOWN]:
        copies = ", ".join(str(copy) for copy, _ in runs)
        outcome = Counter(result.outcome for _, result in runs).most_common(1)[0][0]
        of = f"{len(runs)} of {len(report.results)} copies"
        yield _line((outcome, "red"), f" {test_id} in {of} ({copies})")
        message = runs[0][1].message.strip().partition("\n")[0]
        if message:
            yield _line(f"    {message[:200]}")
        if test_id == "copy":
            # No test tells what became of it; the end of its output may.
            for line in runs[0][1].text.rstrip().splitlines()[-_OUTPUT_LINES_SHOWN:]:
                yield _line(f"    | {line[:200]}")
    if len(by_id) > _FAILURES_SHOWN:
        yield _line(f"... and {plural(len(by_id) - _FAILURES_SHOWN, 'more test')}: see junit-merged.xml")


def _uneven_skips(report: Report) -> Iterator[Text]:
    """Tests that some copies skipped and others ran: a pass of them is a pass of few copies."""
    skipped: dict[str, list[tuple[int, TestResult]]] = {}
    passed: set[str] = set()
    for copy, results in enumerate(report.results):
        for result in results:
            if result.outcome == "skipped":
                skipped.setdefault(result.id, []).append((copy, result))
            elif result.outcome == "passed":
                passed.add(result.id)
    groups: dict[tuple[str, str], list[str]] = {}
    for test_id, runs in skipped.items():
        if test_id in passed:
            where = f"{len(runs)} of {len(report.results)} copies ({', '.join(str(copy) for copy, _ in runs)})"
            groups.setdefault((where, runs[0][1].message.strip().partition("\n")[0]), []).append(test_id)
    for (where, reason), ids in list(groups.items())[:_FAILURES_SHOWN]:
        others = f" and {plural(len(ids) - 1, 'more test')}" if len(ids) > 1 else ""
        yield _line(("skipped", "yellow"), f" in {where}, passed in others: {min(ids)}{others}")
        yield _line(f"    {reason[:200]}")
    if len(groups) > _FAILURES_SHOWN:
        yield _line(f"... and {plural(len(groups) - _FAILURES_SHOWN, 'more group')} of skips: see junit-merged.xml")


def _reruns(report: Report) -> Iterator[Text]:
    """Tests that failed and were run again, whatever came of it."""
    by_id: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(report.results):
        for result in results:
            if result.attempts:
                by_id.setdefault(result.id, []).append((copy, result))
    for test_id, runs in list(by_id.items())[:_FAILURES_SHOWN]:
        copies = f"{len(runs)} of {len(report.results)} copies ({', '.join(str(copy) for copy, _ in runs)})"
        attempts = [attempt for _, result in runs for attempt in result.attempts]
        yield _line(("run again", "yellow"), f" {test_id} in {copies}: {plural(len(attempts), 'failed attempt')}")
        message = attempts[0].message.strip().partition("\n")[0]
        yield _line(f"    {message[:200]}")
    if len(by_id) > _FAILURES_SHOWN:
        yield _line(f"... and {plural(len(by_id) - _FAILURES_SHOWN, 'more test')} run again: see junit-merged.xml")


def _bad_copies(report: Report) -> Iterator[Text]:
    for outcome in report.outcomes:
        if outcome.how != "exited" or (outcome.status or 0) < 0:
            yield _line((f"copy {outcome.copy}", "red"), f" {outcome}; its output: {_output(report, outcome.copy)}")
        if outcome.how == "timed-out" and outcome.why:
            yield _line(
                f"    its processes and listeners then: {report.folder}/copies/{outcome.copy:03d}/processes.txt"
            )
        if outcome.left_behind:
            ended = "not all could be ended" if outcome.unkillable else "ended"
            yield _line(f"copy {outcome.copy} left {plural(outcome.left_behind, 'process')} behind; {ended}")
        if outcome.unkillable:
            yield _line(f"copy {outcome.copy}: still running, could not be killed: {outcome.unkillable}")


def _output(report: Report, copy: int) -> str:
    return f"{report.folder}/copies/{copy:03d}/output.log"


def _findings(report: Report) -> Iterator[Text]:
    for finding in report.findings[:_FINDINGS_SHOWN]:
        first, *others = finding_lines(finding, report.start_ns, sides_max=_SIDES_SHOWN)
        colour = _COLOUR_OF[finding.severity]
        yield _line((f"{finding.severity} [{finding.kind}] ", colour), first)
        for line in others:
            yield _line("    " + line)
    if len(report.findings) > _FINDINGS_SHOWN:
        yield _line(f"... and {plural(len(report.findings) - _FINDINGS_SHOWN, 'more finding')}: see findings.json")


def _not_seen(report: Report) -> Iterator[Text]:
    if report.health.sensors and report.cannot_see:
        yield _line(f"not seen by {', '.join(sorted(report.health.sensors))}:", style="dim")
        for sentence in report.cannot_see:
            yield _line(f"    {sentence}", style="dim")


def _verdict(report: Report) -> Text:
    counts: Counter[str] = Counter(result.outcome for results in report.results for result in results)
    good = sum(outcome.how == "exited" and outcome.status == 0 for outcome in report.outcomes)
    tests = ", ".join(
        f"{counts[outcome]:,} {outcome}"
        for outcome in ("passed", "failed", "error", "lost", "not-collected", "skipped", "not-run")
        if counts[outcome] or outcome in ("passed", "failed")
    )
    attempts = sum(len(result.attempts) for results in report.results for result in results)
    tests += f", {plural(attempts, 'failed attempt')} run again" if attempts else ""
    findings = Counter(finding.severity for finding in report.findings)
    found = " and ".join(
        plural(findings[severity], severity) for severity in (Severity.ERROR, Severity.WARNING) if findings[severity]
    )
    health = report.health
    if not health.sensors:
        looked = "no sensor looked (--sensors none)"
    else:
        how = [plural(health.calls, "call")] if health.calls else []
        how += [plural(health.samples, "sample")] if "sampler" in health.sensors else []
        looked = f"{plural(health.listeners, 'listener')} seen in {' and '.join(how) or 'no call'}"
        looked += f", {health.proven} proven visible" if health.proven else ""
    colour = "green" if report.verdict.code == ExitCode.PASSED else "red"
    return _line(
        (report.verdict.reason, f"bold {colour}"),
        f": {good} of {len(report.outcomes)} copies ended well; tests: {tests}; ports: {found or 'no finding'}, "
        f"{looked}; {report.duration_s:.1f} s; {report.folder}",
    )
