"""What a reader of a series has to look at: each finding, and each test that failed in some round, with its rate.

The ids are those that the problems of a single run have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from parasuite.judge.history import FindingHistory
from parasuite.judge.series import SeriesReport
from parasuite.model.location import Location
from parasuite.model.suppression import Suppressed
from parasuite.model.words import Severity, SuppressedBy
from parasuite.reports.finding_text import suppressed_for
from parasuite.reports.problems import OtherRule, Problem, file_of_test, in_repository, other_problem
from parasuite.reports.rates import finding_rates, rate_of_test
from parasuite.reports.series_terminal import unsteady_tests
from parasuite.reports.wording import PROVES_NOTHING

_PLACE = re.compile(r"(.+):([0-9]{1,9})(?: .*)?", re.DOTALL)


def series_problems(report: SeriesReport) -> Iterator[Problem]:
    """Whether the series proves anything; then the findings, and the tests that failed."""
    if not report.code.is_conclusive:
        title = PROVES_NOTHING.format(reason=report.reason)
        details = [*report.record.errors, *report.missing]
        yield other_problem(OtherRule.PROVES_NOTHING, report.reason, title, details)
    for finding in report.history.findings:
        yield _of_finding(finding, report)
    for test in unsteady_tests(report):
        place = file_of_test(test.id, report)
        yield other_problem(OtherRule.FAILED_TEST, test.id, f"failed {test.id}", [rate_of_test(test)], place)


def _of_finding(finding: FindingHistory, report: SeriesReport) -> Problem:
    worst = finding.worst
    suppressed = Suppressed(SuppressedBy.PROJECT, worst.suppressed) if worst.suppressed else None
    place = _PLACE.fullmatch(worst.place)
    file = in_repository(place[1], report) if place else ""
    return Problem(
        rule=worst.cause,
        id=worst.id,
        severity=worst.severity if suppressed is None else Severity.NOTE,
        title=worst.title + (f"; {suppressed_for(suppressed)}" if suppressed is not None else ""),
        details=(*finding_rates(finding), f"hint: {worst.cause.info.hint}"),
        place=Location(file, int(place[2]), "") if place and file else None,
        suppressed=suppressed,
    )
