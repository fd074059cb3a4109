"""junit.xml of a series: a case for each test and each finding, with the names that they have in the file of a run.

A test fails if it failed in any round that is conclusive; the message says how often it passed. A finding fails as it
does in a run. The suite `parasuite.audit` has an error if the series proves nothing or lacks a run.
"""

from __future__ import annotations

from parasuite.judge.history import FindingHistory, TestHistory
from parasuite.judge.series import SeriesReport
from parasuite.model.words import Severity
from parasuite.reports.junit_bounds import Suite
from parasuite.reports.junit_case import Case
from parasuite.reports.junit_document import AUDIT, PORTS, document
from parasuite.reports.junit_xml import split_id
from parasuite.reports.moments import moment
from parasuite.reports.rates import finding_rates, rate_of_test
from parasuite.reports.series_terminal import rounds_counted
from parasuite.reports.wording import PROVES_NOTHING


def series_junit(report: SeriesReport) -> str:
    """The whole file."""
    suites = [
        Suite("tests", list(map(_test_case, report.history.tests))),
        Suite(PORTS, list(map(_finding_case, report.history.findings)), is_report=True),
        Suite(AUDIT, [_coverage_case(report)], is_report=True),
    ]
    return "".join(
        document(
            suites,
            duration_s=sum(run.duration_s for run in report.history.runs),
            wall=moment(report.record.started_s).removesuffix("Z"),
            host=report.record.host,
        )
    )


def _case(classname: str, name: str, element: str, text: str) -> Case:
    """*element*: "" for passed; *text* then is what there is to say, else why, first of all in its first line."""
    if not element:
        return Case(classname, name, note=text)
    return Case(classname, name, element=element, message=text.partition("\n")[0], text=text)


def _test_case(test: TestHistory) -> Case:
    classname, name = split_id(test.id)
    if not test.passed.of:
        return _case(classname, name, "skipped", "it ran in no round")
    is_steady = test.passed.count == test.passed.of
    return _case(classname, name, "" if is_steady else "failure", rate_of_test(test))


def _finding_case(finding: FindingHistory) -> Case:
    worst = finding.worst
    name = " ".join(part for part in (worst.cause, worst.subject, worst.id) if part)
    text = "\n".join([f"{worst.severity}: {worst.title}", *finding_rates(finding)])
    if worst.severity is Severity.NOTE:
        return _case(PORTS, name, "", text)
    if worst.suppressed:
        return _case(PORTS, name, "skipped", f"suppressed: {worst.suppressed}\n{text}")
    return _case(PORTS, name, "failure" if worst.is_failing else "skipped", text)


def _coverage_case(report: SeriesReport) -> Case:
    """An error if the series proves nothing, or lacks a run: this file may be all that a reader looks at."""
    counted = rounds_counted(report)
    errors = [*report.record.errors, *report.missing]
    if not report.code.is_conclusive:
        errors = [PROVES_NOTHING.format(reason=report.reason), counted, *errors]
    elif errors:
        errors = [errors[0], counted, *errors[1:]]
    if errors:
        return _case(AUDIT, "coverage", "error", "\n".join(errors))
    return _case(AUDIT, "coverage", "", "\n".join([counted, *report.remarks]))
