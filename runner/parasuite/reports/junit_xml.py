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

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape, quoteattr

from parasuite.judge.findings import Finding
from parasuite.judge.report import Report
from parasuite.judge.verdict import has_run, is_failing
from parasuite.model.results import Attempt, TestResult
from parasuite.model.words import Severity, TestOutcome
from parasuite.reports.wording import CANNOT_SEE, PROVES_NOTHING, explained_by, finding_lines, subject, suppressed_for

# Everything but the characters of XML 1.0, section 2.2: control characters, surrogates, U+FFFE and U+FFFF.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MESSAGE_MAX = 1000
_ELEMENT_OF = {  # The worst first; a passed test has no element.
    TestOutcome.FAILED: "failure",
    TestOutcome.ERROR: "error",
    TestOutcome.LOST: "error",
    TestOutcome.NOT_COLLECTED: "error",
    TestOutcome.SKIPPED: "skipped",
    TestOutcome.NOT_RUN: "skipped",
}
_WORST_FIRST = [*_ELEMENT_OF, TestOutcome.PASSED]
_PORTS, _AUDIT = "parasuite.ports", "parasuite.audit"
_COPIES_QUOTED = 3


def clean(text: str) -> str:
    """*text* with every character that XML cannot carry shown as `#xNN`: shown, not dropped."""
    return _NOT_XML.sub(lambda found: f"#x{ord(found.group()):02X}", text)


@dataclass(frozen=True, slots=True)
class _Case:
    """One testcase. *element*: "" for passed, else "failure", "error" or "skipped". *note*: system-out.

    *attempts*: those that failed before the test was run again; `flakyFailure` if it passed in the end, else
    `rerunFailure`.
    """

    classname: str
    name: str
    duration_s: float = 0.0
    element: str = ""
    message: str = ""
    text: str = ""
    attempts: tuple[Attempt, ...] = ()
    note: str = ""


def junit(report: Report) -> str:
    """All copies in one file, a suite `tests@copy-N` each."""
    suites = [
        (f"tests@copy-{copy}", [_case_of(result, f"copy-{copy}.") for result in results])
        for copy, results in enumerate(_explained(report))
    ]
    return "".join(_document(report, [*suites, *_audit_suites(report)]))


def junit_merged(report: Report) -> str:
    """One case per test over all copies."""
    by_id: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(_explained(report)):
        for result in results:
            by_id.setdefault(result.id, []).append((copy, result))
    merged = [_merged_case(runs, len(report.results)) for runs in by_id.values()]
    return "".join(_document(report, [("tests", merged), *_audit_suites(report)]))


def _explained(report: Report) -> Iterator[list[TestResult]]:
    """The results of each copy; the text of a failed test ends with the finding that explains it."""
    by_id = {finding.id: finding for finding in report.findings}
    for copy, results in enumerate(report.results):
        explained = []
        for result in results:
            explanation = report.explanations.get((copy, result.id))
            finding = by_id.get(explanation.finding) if explanation and result.outcome.is_bad else None
            if explanation and finding:
                reason = explained_by(finding, is_certain=explanation.is_certain)
                result = replace(result, text=f"{result.text}\n\n{reason}".lstrip("\n"))
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


def _case_of(result: TestResult, prefix: str) -> _Case:
    classname, name = split_id(result.id)
    return _Case(
        classname=(prefix + classname).removesuffix("."),
        name=name,
        duration_s=result.duration_s,
        element=_ELEMENT_OF.get(result.outcome, ""),
        message=result.message,
        text=result.text,
        attempts=result.attempts,
    )


def _merged_case(runs: Sequence[tuple[int, TestResult]], copies: int) -> _Case:
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
        return _Case(case.classname, case.name, duration_s, attempts=attempts, note=note)
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
    return _Case(case.classname, case.name, duration_s, case.element, message, text, attempts)


def _audit_suites(report: Report) -> list[tuple[str, list[_Case]]]:
    ports = [_finding_case(finding, report) for finding in report.findings]
    audit = [_coverage_case(report)]
    if report.cannot_see:
        sensors = ", ".join(sorted(report.health.sensors))
        text = "\n".join([*report.cannot_see, *report.notes])
        audit.append(_Case(_AUDIT, CANNOT_SEE.format(sensors=sensors), 0.0, "skipped", "not an error", text))
    return [(_PORTS, ports), (_AUDIT, audit)]


def _coverage_case(report: Report) -> _Case:
    """An error if the run proves nothing: this file may be all that a reader looks at, and must not be green then."""
    if report.verdict.code.is_conclusive:
        # Where a case says what the sensors cannot see, the notes are there.
        return _Case(_AUDIT, "coverage", note="" if report.cannot_see else "\n".join(report.notes))
    message = PROVES_NOTHING.format(reason=report.verdict.reason)
    return _Case(_AUDIT, "coverage", 0.0, "error", message, "\n".join(report.notes))


def _finding_case(finding: Finding, report: Report) -> _Case:
    name = " ".join(part for part in (finding.cause, subject(finding), finding.id) if part)
    text = "\n".join(finding_lines(finding, report.start_ns, is_brief=False))
    if finding.severity is Severity.NOTE:
        return _Case(_PORTS, name, note=f"{finding.severity}: {text}")
    if finding.suppressed is not None:
        return _Case(_PORTS, name, 0.0, "skipped", suppressed_for(finding.suppressed), text)
    element = "failure" if is_failing(finding, report.fail_on) else "skipped"
    return _Case(_PORTS, name, 0.0, element, f"{finding.severity}: {finding.title}", text)


def _document(report: Report, suites: Iterable[tuple[str, Sequence[_Case]]]) -> Iterator[str]:
    suites = list(suites)
    everything = [case for _, cases in suites for case in cases]
    yield "<?xml version='1.0' encoding='utf-8'?>\n"
    yield f'<testsuites name="parasuite" {_counts(everything, skipped=False)} time="{report.duration_s:.3f}">\n'
    for name, cases in suites:
        duration_s = sum(case.duration_s for case in cases)
        yield f" <testsuite name={_attribute(name)} {_counts(cases)} time={_seconds(duration_s)}"
        yield f" timestamp={_attribute(report.wall)} hostname={_attribute(report.host)}>\n"
        for case in cases:
            yield from _element(case)
        yield " </testsuite>\n"
    yield "</testsuites>\n"


def _counts(cases: Sequence[_Case], *, skipped: bool = True) -> str:
    def count(element: str) -> int:
        return sum(case.element == element for case in cases)

    text = f'tests="{len(cases)}" failures="{count("failure")}" errors="{count("error")}"'
    # junit-10 has no `skipped` on the outermost element.
    return text + (f' skipped="{count("skipped")}"' if skipped else "")


def _element(case: _Case) -> Iterator[str]:
    head = f"  <testcase classname={_attribute(case.classname)} name={_attribute(case.name)}"
    head += f" time={_seconds(case.duration_s)}"
    if not case.element and not case.attempts and not case.note:
        yield head + "/>\n"
        return
    yield head + ">"
    if case.element:
        message = _attribute(case.message[:_MESSAGE_MAX])
        yield f"<{case.element} message={message}>{escape(clean(case.text))}</{case.element}>"
    attempt_element = "rerunFailure" if case.element in ("failure", "error") else "flakyFailure"
    for attempt in case.attempts:
        message = _attribute(attempt.message[:_MESSAGE_MAX])
        yield f'<{attempt_element} type="failed attempt" message={message}>{escape(clean(attempt.text))}'
        yield f"</{attempt_element}>"
    if case.note:
        yield f"<system-out>{escape(clean(case.note))}</system-out>"
    yield "</testcase>\n"


def _attribute(text: str) -> str:
    # A parser reads a bare line end in an attribute as a space; a character reference survives.
    return quoteattr(clean(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _seconds(duration_s: float) -> str:
    # The JUnit file of a command may contain any number, and the schema does not allow infinity.
    return f'"{max(0.0, duration_s):.3f}"' if math.isfinite(duration_s) else '"0.000"'
