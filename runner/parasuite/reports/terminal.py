"""The report on a terminal: findings, what failed and why, what could not be seen, and last of all the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from parasuite.judge.explain import names_a_taken_port
from parasuite.judge.findings import Explanation, Finding
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.causes import Cause
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.sensors import SENSORS
from parasuite.model.words import CopyPhase, Severity, SuppressedBy, TestOutcome
from parasuite.reports import wording
from parasuite.reports.counts import counted_lines
from parasuite.reports.finding_text import finding_lines, suppressed_for
from parasuite.reports.problems import is_abnormal
from parasuite.reports.wording import explained_by, plural, printable

_TESTS_SHOWN = 20
_FINDINGS_SHOWN = 20
_OUTPUT_LINES_SHOWN = 20
_MESSAGE_MAX = 200
_INDENT = "    "
_COLOUR_OF = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}

_Runs = list[tuple[int, TestResult]]
"""Results of one test, each with the number of its copy."""


def terminal(report: Report, columns: int = 0) -> Iterator[Text]:
    """The report, a line at a time, printable; colour only repeats what the words say.

    *columns*: the width of the terminal; 0 for a log, in which each side of a finding is one line.
    """
    yield from _findings(report, columns)
    yield from _failures(report)
    yield from _uneven_skips(report)
    yield from _reruns(report)
    for end in report.copy_ends:
        yield from _bad_copy(end, _copy_folder(report, end.copy), report.stacks[end.copy] if report.stacks else ())
    for note in report.notes:
        yield _line(wording.NOTE.format(note=note))
    yield from _not_seen(report)
    if report.verdict.exit_code != report.verdict.code:
        yield _line(wording.exit_code_of_suite(report.verdict.exit_code, report.verdict.code))
    yield from map(_line, counted_lines(report))
    yield _verdict(report)


def _line(*parts: str | tuple[str, str], style: str = "") -> Text:
    """One line of text, or of text with a style each. Every line is made here, so that none contains a raw name."""
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((printable(text), of_part) for text, of_part in styled), style=style)


def _tests(report: Report, is_wanted: Callable[[TestResult], bool]) -> dict[str, _Runs]:
    """The wanted results of each test that has any."""
    tests: dict[str, _Runs] = {}
    for copy, results in enumerate(report.results):
        for result in results:
            if is_wanted(result):
                tests.setdefault(result.id, []).append((copy, result))
    return tests


def _where(report: Report, runs: _Runs) -> str:
    return wording.in_copies([copy for copy, _ in runs], len(report.results))


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0][:_MESSAGE_MAX]


def _failures(report: Report) -> Iterator[Text]:
    failed = _tests(report, lambda result: result.outcome.is_bad)
    # Tests that never began when their copy died say least, and a test that was running then may say why.
    by_weight = sorted(failed.items(), key=lambda item: all(_never_began(result) for _, result in item[1]))
    for test_id, runs in by_weight[:_TESTS_SHOWN]:
        outcome = Counter(result.outcome for _, result in runs).most_common(1)[0][0]
        yield _line((outcome, "red"), f" {test_id} in {_where(report, runs)}")
        copy, result = runs[0]
        if message := _first_line(result.message):
            yield _line(f"    {message}")
        if result.is_of_copy:
            yield from _end_of_output(report, copy, result.text)
        yield from _explanations(report, runs)
        yield from (_line("    " + wording.controlled(each)) for each in report.controls if each.test == test_id)
    yield from _more(len(failed) - _TESTS_SHOWN, "more test", "")


def _end_of_output(report: Report, copy: int, output: str) -> Iterator[Text]:
    """The end of what a copy printed: no test explains how it ended. Of stacks, the head is shown elsewhere."""
    if report.stacks and report.stacks[copy]:
        return
    if output.rstrip() == wording.OUTPUT_IS_ELSEWHERE:
        yield _line(f"    {wording.OUTPUT_IS_ELSEWHERE}")
        return
    for line in output.rstrip().splitlines()[-_OUTPUT_LINES_SHOWN:]:
        yield _line(f"    | {line[:_MESSAGE_MAX]}")
    if output and not is_abnormal(report.copy_ends[copy]):
        yield _line("    " + wording.ALL_OUTPUT.format(path=f"{_copy_folder(report, copy)}/output.log"))


def _never_began(result: TestResult) -> bool:
    return result.outcome is TestOutcome.LOST and not result.started_ns


def _copy_folder(report: Report, copy: int) -> str:
    return f"{report.folder}/copies/{copy:03d}"


def _explanations(report: Report, runs: _Runs) -> Iterator[Text]:
    """The findings that explain why a test failed, with the copies if they do not explain it in all."""
    copies_of: dict[Explanation, list[int]] = {}
    for copy, result in runs:
        if explanation := report.explanations.get((copy, result.id)):
            copies_of.setdefault(explanation, []).append(copy)
    by_id = {finding.id: finding for finding in report.findings}
    for explanation, copies in copies_of.items():
        if finding := by_id.get(explanation.finding):
            where = f" (in {wording.in_copies(copies, len(report.results))})" if len(copies) < len(runs) else ""
            yield _line("    " + explained_by(finding, is_certain=explanation.is_certain, is_brief=True) + where)


def _more(count: int, noun: str, ending: str) -> Iterator[Text]:
    if count > 0:
        yield _line(f"... and {plural(count, noun)}{ending}: see junit-merged.xml")


def _uneven_skips(report: Report) -> Iterator[Text]:
    """Tests that some copies skipped and others ran: a pass of them is a pass of few copies."""
    passed = _tests(report, lambda result: result.outcome == TestOutcome.PASSED)
    skipped = _tests(report, lambda result: result.outcome == TestOutcome.SKIPPED and result.id in passed)
    groups: dict[tuple[str, str], list[str]] = {}
    for test_id, runs in skipped.items():
        groups.setdefault((_where(report, runs), _first_line(runs[0][1].message)), []).append(test_id)
    for (where, reason), ids in list(groups.items())[:_TESTS_SHOWN]:
        others = f" and {plural(len(ids) - 1, 'more test')}" if len(ids) > 1 else ""
        yield _line(("skipped", "yellow"), f" in {where}, passed in others: {min(ids)}{others}")
        yield _line(f"    {reason}")
    yield from _more(len(groups) - _TESTS_SHOWN, "more group", " of skips")


def _reruns(report: Report) -> Iterator[Text]:
    """Tests that failed and were run again, whether or not they passed in the end."""
    rerun = _tests(report, lambda result: bool(result.attempts))
    for test_id, runs in list(rerun.items())[:_TESTS_SHOWN]:
        attempts = [attempt for _, result in runs for attempt in result.attempts]
        failed = plural(len(attempts), "failed attempt")
        yield _line(("run again", "yellow"), f" {test_id} in {_where(report, runs)}: {failed}")
        yield _line(f"    {_first_line(attempts[0].message)}")
    yield from _more(len(rerun) - _TESTS_SHOWN, "more test", " run again")


def _bad_copy(end: CopyEnd, folder: str, stack: Sequence[str]) -> Iterator[Text]:
    name = f"copy {end.copy}"
    if is_abnormal(end):
        yield _line((name, "red"), f" {end}; its output: {folder}/output.log")
    if end.how == CopyPhase.TIMED_OUT and end.why:
        yield _line(f"    its processes and listeners then: {folder}/processes.txt")
    if stack:
        yield _line(f"    {wording.STACK_THEN}")
        for frame in stack:
            yield _line(f"    | {frame[:_MESSAGE_MAX]}")
    if end.left_behind:
        yield _line(wording.left_behind(end.copy, end.left_behind, all_ended=not end.unkillable))
    if end.unkillable:
        yield _line(f"{name}: still running, could not be killed: {end.unkillable}")


def _findings(report: Report, columns: int) -> Iterator[Text]:
    grave = [finding for finding in report.findings if _is_shown(finding)]
    shown, hidden = _selected(grave)
    for finding in shown:
        first, *others = finding_lines(finding, report.start_ns, is_brief=True, columns=columns - len(_INDENT))
        yield _line((f"{finding.severity} [{finding.cause}] ", _COLOUR_OF[finding.severity]), first)
        for line in others:
            yield _line(_INDENT + line)
    if len(grave) > len(shown):
        yield _line(f"... and {plural(len(grave) - len(shown), 'more finding')}: see findings.json")
        for cause, names in hidden.items():
            yield _line(f"    {cause}: {', '.join(names)}")
    rest = [finding for finding in report.findings if not _is_shown(finding)]
    if notes := sum(finding.suppressed is None for finding in rest):
        yield _line(wording.NOTES_COUNTED.format(findings=plural(notes, "finding")))
    yield from _suppressed([finding for finding in rest if finding.suppressed is not None])


def _is_shown(finding: Finding) -> bool:
    """Whether it is shown in full: a note, or what is suppressed, only where it explains why a test failed."""
    is_counted_only = finding.severity is Severity.NOTE or finding.suppressed is not None
    return not is_counted_only or bool(finding.failed_tests)


def _suppressed(findings: Sequence[Finding]) -> Iterator[Text]:
    """The suppressed findings, a line each with the reason. Those in the baseline may be many, and have no reason."""
    reasons = [(finding, finding.suppressed) for finding in findings if finding.suppressed is not None]
    given = [(finding, why) for finding, why in reasons if why.by is not SuppressedBy.BASELINE]
    if given:
        yield _line(wording.SUPPRESSED_COUNTED.format(findings=plural(len(given), "finding")))
    for finding, why in given[:_FINDINGS_SHOWN]:
        said = suppressed_for(why)[:_MESSAGE_MAX]
        yield _line(f"    {wording.label(finding)} {finding.title}; {said}", style="dim")
    if len(given) > _FINDINGS_SHOWN:
        yield _line(f"    ... and {plural(len(given) - _FINDINGS_SHOWN, 'more finding')}: see findings.json")
    if others := len(reasons) - len(given):
        yield _line(wording.IN_BASELINE_COUNTED.format(findings=plural(others, "finding")))


def _selected(findings: Sequence[Finding]) -> tuple[list[Finding], dict[Cause, list[str]]]:
    """The findings to show in full; and, by cause, the ports of which none is shown.

    The first about each port comes before the second about any: no port may be hidden by another.
    """
    first_of: dict[tuple[Cause, str], int] = {}
    for number, finding in enumerate(findings):
        first_of.setdefault((finding.cause, finding.subject), number)
    firsts = set(first_of.values())
    by_rank = [*first_of.values(), *(number for number in range(len(findings)) if number not in firsts)]
    shown = sorted(by_rank[:_FINDINGS_SHOWN])
    hidden: dict[Cause, list[str]] = {}
    for (cause, name), number in first_of.items():
        if number not in shown:
            hidden.setdefault(cause, []).append(name or findings[number].title)
    return [findings[number] for number in shown], hidden


def _not_seen(report: Report) -> Iterator[Text]:
    """What the sensors cannot see: all of it where it may have hidden something from this run, else one line."""
    if not (report.health.sensors and report.cannot_see):
        return
    if not _limits_matter(report):
        yield _line(wording.LIMITS_COUNTED.format(limits=plural(len(report.cannot_see), "known limit")), style="dim")
        return
    yield _line(wording.not_seen_by(report.health.sensors), style="dim")
    for phrase in report.cannot_see:
        yield _line(_INDENT + phrase, style="dim")


def _limits_matter(report: Report) -> bool:
    """Whether a sensor that sees more might have found more: if no sensor of this run sees every listener, if the
    cause of a collision is not known, or if a test failed because of a port in use and no finding explains it.
    """
    if not any(info.is_supervised and name in report.health.sensors for name, info in SENSORS.items()):
        return True
    if any(finding.cause is Cause.UNKNOWN for finding in report.findings):
        return True
    return any(
        result.outcome.is_bad and (copy, result.id) not in report.explanations and names_a_taken_port(result)
        for copy, results in enumerate(report.results)
        for result in results
    )


def _verdict(report: Report) -> Text:
    colour = "green" if report.verdict.code == ExitCode.PASSED else "red"
    return _line((report.verdict.reason, f"bold {colour}"))
