"""JUnit XML in which no consumer can overlook a failure; valid under Jenkins' junit-10 schema.

Two layouts. `junit`: every test of every copy, the copy in `classname`, since GitLab keeps only the first of two
cases with equal (classname, name). `junit_merged`: one case per test, failing if it failed in any copy. Both end with
the suites `parasuite.ports` (a case per finding) and `parasuite.audit` (whether the run proves anything, and what its
sensors cannot see).

The case of a finding is named by its cause, its fixed port and its id, which are equal in every run of the same
defect, so a consumer's history by name works. It is a failure if it fails the run, else skipped; for one that is
suppressed, the message is the reason. A note is a passed case with a text, since some consumers have a limit for
skipped tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from parasuite.judge.findings import Finding
from parasuite.judge.report import Report
from parasuite.judge.verdict import has_run, is_failing
from parasuite.model.results import Attempt, TestResult
from parasuite.model.words import CopyPhase, Severity, TestOutcome
from parasuite.reports.finding_text import finding_lines, suppressed_for
from parasuite.reports.junit_bounds import ELEMENTS_MAX, Suite
from parasuite.reports.junit_case import Case
from parasuite.reports.junit_document import AUDIT, PORTS, document
from parasuite.reports.problems import is_abnormal
from parasuite.reports.wording import CANNOT_SEE, PROVES_NOTHING, controlled, explained_by

_ELEMENT_OF = {  # The worst first; a passed test has no element.
    TestOutcome.FAILED: "failure",
    TestOutcome.ERROR: "error",
    TestOutcome.LOST: "error",
    TestOutcome.NOT_COLLECTED: "error",
    TestOutcome.SKIPPED: "skipped",
    TestOutcome.NOT_RUN: "skipped",
}
_WORST_FIRST = [*_ELEMENT_OF, TestOutcome.PASSED]
_COPIES_QUOTED = 3


def junit(report: Report, elements_max: int = ELEMENTS_MAX) -> str:
    """All copies in one file, a suite `tests@copy-N` each."""
    suites = [
        Suite(f"tests@copy-{copy}", [_case_of(result, f"copy-{copy}.") for result in results])
        for copy, results in enumerate(_explained(report))
    ]
    return "".join(_document(report, [*suites, *_audit_suites(report)], elements_max))


def junit_merged(report: Report) -> str:
    """One case per test over all copies."""
    by_id: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(_explained(report)):
        for result in results:
            by_id.setdefault(result.id, []).append((copy, result))
    merged = [_merged_case(runs, len(report.results)) for runs in by_id.values()]
    return "".join(_document(report, [Suite("tests", merged), *_audit_suites(report)]))


def _explained(report: Report) -> Iterator[list[TestResult]]:
    """The results of each copy; the text of a failed test ends with the finding that explains it, and with what the
    test does alone.
    """
    controls = {control.test: control for control in report.controls}
    by_id = {finding.id: finding for finding in report.findings}
    for copy, results in enumerate(report.results):
        explained = []
        for result in results:
            explanation = report.explanations.get((copy, result.id))
            finding = by_id.get(explanation.finding) if explanation and result.outcome.is_bad else None
            if explanation and finding:
                reason = explained_by(finding, is_certain=explanation.is_certain)
                result = replace(result, text=f"{result.text}\n\n{reason}".lstrip("\n"))
            if result.outcome.is_bad and result.id in controls:
                result = replace(result, text=f"{result.text}\n\n{controlled(controls[result.id])}".lstrip("\n"))
            explained.append(result)
        yield explained


def split_id(test_id: str) -> tuple[str, str]:
    """(classname, name) of a pytest node id.

    `tests/test_x.py::Class::test_y[a::b]` is `tests.test_x.Class` and `test_y[a::b]`.
    """
    head, bracket, parameters = test_id.partition("[")
    *owners, name = head.split("::")
    classname = ".".join(owner.removesuffix(".py").replace("/", ".") for owner in owners)
    return classname, name + bracket + parameters


def _case_of(result: TestResult, prefix: str) -> Case:
    classname, name = split_id(result.id)
    return Case(
        classname=(prefix + classname).removesuffix("."),
        name=name,
        duration_s=result.duration_s,
        element=_ELEMENT_OF.get(result.outcome, ""),
        message=result.message,
        text=result.text,
        attempts=result.attempts,
    )


def _merged_case(runs: Sequence[tuple[int, TestResult]], copies: int) -> Case:
    """One case with the worst outcome of *runs*; the message says in how many of *copies* the test passed."""
    worst = min((result for _, result in runs), key=lambda result: _WORST_FIRST.index(result.outcome))
    case = _case_of(worst, "")
    duration_s = max(result.duration_s for _, result in runs)
    attempts = tuple(
        Attempt(f"copy {copy}: {attempt.message}", attempt.text)
        for copy, result in runs
        for attempt in result.attempts
    )
    ran = sum(has_run(result) for _, result in runs)
    note = f"ran in {ran} of {copies} copies" if ran < copies else ""
    if not case.element:
        return Case(case.classname, case.name, duration_s, attempts=attempts, note=note)
    passed = sum(result.outcome == TestOutcome.PASSED for _, result in runs)
    bad = [(copy, result) for copy, result in runs if result.outcome == worst.outcome]
    where = ", ".join(str(copy) for copy, _ in bad)
    text = "\n\n".join(f"=== copy {copy}: {result.outcome}\n{result.text}" for copy, result in bad[:_COPIES_QUOTED])
    if worst.outcome == TestOutcome.NOT_COLLECTED:
        message = f"{note}; not collected in copy {where}"
    elif case.element == "skipped" and not passed:
        message = worst.message
    else:
        message = f"{passed} of {copies} passed; {worst.outcome} in copy {where}: {worst.message}"
    return Case(case.classname, case.name, duration_s, case.element, message, text, attempts)


def _audit_suites(report: Report) -> list[Suite]:
    ports = [_finding_case(finding, report) for finding in report.findings]
    audit = [_coverage_case(report), *_dead_copies(report)]
    if report.cannot_see:
        sensors = ", ".join(sorted(report.health.sensors))
        text = "\n".join([*report.cannot_see, *report.notes])
        audit.append(Case(AUDIT, CANNOT_SEE.format(sensors=sensors), 0.0, "skipped", "not an error", text))
    return [Suite(PORTS, ports, is_report=True), Suite(AUDIT, audit, is_report=True)]


def _coverage_case(report: Report) -> Case:
    """An error if the run proves nothing: this file may be all that a reader looks at, and must not be green then."""
    if report.verdict.code.is_conclusive:
        # Where a case says what the sensors cannot see, the notes are there.
        return Case(AUDIT, "coverage", note="" if report.cannot_see else "\n".join(report.notes))
    message = PROVES_NOTHING.format(reason=report.verdict.reason)
    return Case(AUDIT, "coverage", 0.0, "error", message, "\n".join(report.notes))


def _dead_copies(report: Report) -> Iterator[Case]:
    """A case for each copy that was killed, timed out or never started, unless it has a result of its own."""
    for end, results in zip(report.copy_ends, report.results, strict=True):
        is_dead = is_abnormal(end) and end.how is not CopyPhase.INTERRUPTED
        if is_dead and not any(result.is_of_copy for result in results):
            yield Case(AUDIT, f"copy {end.copy}", end.duration_s, "error", str(end))


def _finding_case(finding: Finding, report: Report) -> Case:
    name = " ".join(part for part in (finding.cause, finding.subject, finding.id) if part)
    text = "\n".join(finding_lines(finding, report.start_ns, is_brief=False))
    if finding.severity is Severity.NOTE:
        return Case(PORTS, name, note=f"{finding.severity}: {text}")
    if finding.suppressed is not None:
        return Case(PORTS, name, 0.0, "skipped", suppressed_for(finding.suppressed), text)
    element = "failure" if is_failing(finding, report.fail_on) else "skipped"
    return Case(PORTS, name, 0.0, element, f"{finding.severity}: {finding.title}", text)


def _document(report: Report, suites: Sequence[Suite], elements_max: int = ELEMENTS_MAX) -> Iterator[str]:
    return document(
        suites, duration_s=report.duration_s, wall=report.wall, host=report.host, elements_max=elements_max
    )
