"""What the page says of each finding and of each failed test, arranged for the template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from parasuite.judge.findings import Effect, Finding, Side
from parasuite.judge.report import Report
from parasuite.model.causes import Cause
from parasuite.model.results import TestResult
from parasuite.reports.finding_text import effects_by_kind, effects_counted, suppressed_before, suppressed_for
from parasuite.reports.page.cures import cure
from parasuite.reports.timeline import moment
from parasuite.reports.wording import explained_by, in_copies

FINDINGS_MAX = 200
FAILURES_MAX = 200
_SIDES_MAX = 4
_MORE_EFFECTS_MAX = 20
# From this card on, fewer: the page of a run with many findings would be mostly pairs of sides.
_SHORT_FROM, _MORE_EFFECTS_OF_SHORT_MAX = 50, 3
_TESTS_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectGroup:
    """Effects of one kind. *counted*: how often, and where. *first*: shown with both sides; *more*: a line each.

    *left_out*: how many further pairs of sides there are.
    """

    counted: str
    first: Effect
    more: Sequence[Effect]
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A finding. *number*: its place in the report. *remarks*: that it is suppressed, or is no longer. *sides*: shown
    if nothing happened yet. *failed_tests*, *sides*: only the first ones, *failed_left_out* and *sides_left_out*
    more. *has_moment*: whether the timeline can show it.
    """

    number: int
    finding: Finding
    remarks: Sequence[str]
    groups: Sequence[EffectGroup]
    sides: Sequence[Side]
    sides_left_out: int
    failed_tests: Sequence[str]
    failed_left_out: int
    has_moment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A test that failed. *where*: in which copies. *result*: of the first of them. *explanations*: ids of findings,
    with what is said of each.
    """

    id: str
    where: str
    result: TestResult
    explanations: Sequence[tuple[str, str]]


def cards(report: Report) -> list[Card]:
    """The findings, the gravest first and those that are suppressed last, FINDINGS_MAX at most."""
    numbered = sorted(enumerate(report.findings), key=lambda item: item[1].suppressed is not None)
    return [
        _card(number, finding, _MORE_EFFECTS_MAX if place < _SHORT_FROM else _MORE_EFFECTS_OF_SHORT_MAX)
        for place, (number, finding) in enumerate(numbered[:FINDINGS_MAX])
    ]


def cures_of(shown: Sequence[Card]) -> list[tuple[Cause, Markup]]:
    """The cure of each cause of the findings *shown*."""
    return [(cause, cure(cause)) for cause in dict.fromkeys(card.finding.cause for card in shown)]


def _card(number: int, finding: Finding, more_max: int) -> Card:
    sides = () if finding.effects else finding.sides
    return Card(
        number=number,
        finding=finding,
        remarks=list(_remarks(finding)),
        groups=list(_groups(finding.effects, more_max)),
        sides=sides[:_SIDES_MAX],
        sides_left_out=max(0, len(sides) - _SIDES_MAX),
        failed_tests=finding.failed_tests[:_TESTS_MAX],
        failed_left_out=max(0, len(finding.failed_tests) - _TESTS_MAX),
        has_moment=moment(finding) is not None,
    )


def _remarks(finding: Finding) -> Iterator[str]:
    if finding.suppressed is not None:
        yield suppressed_for(finding.suppressed)
    if finding.expired is not None:
        yield suppressed_before(finding.expired)


def _groups(effects: Sequence[Effect], more_max: int) -> Iterator[EffectGroup]:
    for group in effects_by_kind(effects):
        first, *others = group
        yield EffectGroup(
            counted=effects_counted(group),
            first=first,
            more=others[:more_max],
            left_out=max(0, len(others) - more_max),
        )


def failures(report: Report) -> list[Failure]:
    """The tests that failed in some copy, in the order of the first copy that has each; all of them."""
    runs: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(report.results):
        for result in results:
            if result.outcome.is_bad:
                runs.setdefault(result.id, []).append((copy, result))
    by_id = {finding.id: finding for finding in report.findings}
    return [_failure(report, test_id, run, by_id) for test_id, run in runs.items()]


def _failure(
    report: Report, test_id: str, runs: Sequence[tuple[int, TestResult]], by_id: dict[str, Finding]
) -> Failure:
    known = dict.fromkeys(report.explanations.get((copy, test_id)) for copy, _ in runs)
    return Failure(
        id=test_id,
        where=in_copies([copy for copy, _ in runs], len(report.results)),
        result=runs[0][1],
        explanations=[
            (each.finding, explained_by(by_id[each.finding], is_certain=each.is_certain, is_brief=True))
            for each in known
            if each is not None and each.finding in by_id
        ],
    )
