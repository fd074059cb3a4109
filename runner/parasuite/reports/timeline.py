"""What is drawn over time, on the page and in a trace: marks of what findings did, and the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parasuite.judge.findings import Effect, Finding, Side
from parasuite.judge.report import Report
from parasuite.model.causes import Cause
from parasuite.model.events import Endpoint
from parasuite.model.party import Party
from parasuite.model.results import TestResult
from parasuite.model.words import Role

OUTSIDE = "outside the run"
"""Instead of a party, for what processes outside the run did."""

LOST_WINDOW = "lost window"
"""The kind of a mark for the time in which a port was free between its draw and its bind."""
_CALLERS = (Role.WANTED, Role.CLIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at *at_ns* to *party*; *other*: whose doing it was.

    *kind*: an effect, or LOST_WINDOW. None for a party outside the run. *window_ms*: how long the port had been free
    before, None where it was not or that is not known. *count*: how often it happened between the same two sides;
    *at_ns* is of the first time.
    """

    kind: str
    finding: str
    at_ns: int
    party: Party | None
    other: Party | None
    endpoint: Endpoint
    test: str
    recovered: bool = False
    window_ms: float | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class TestSpan:
    """A test of a copy that has times: *result* ran from *start_ns* to *end_ns*."""

    copy: int
    start_ns: int
    end_ns: int
    result: TestResult


def moment(finding: Finding) -> tuple[int, int] | None:
    """From when to when *finding* is best looked at: its first effect with times, else its own sides; None if no time
    is known.
    """
    for sides in (*(effect.sides for effect in finding.effects), finding.sides):
        times = [side.at_ns for side in sides if side.at_ns is not None]
        if times:
            return min(times), max(times)
    return None


def marks(findings: Sequence[Finding]) -> Iterator[Mark]:
    """The marks of *findings*, in their order: those of the gravest first."""
    for finding in findings:
        for effect in finding.effects:
            yield from _of_effect(finding, effect)
        if finding.cause is Cause.LOST_PORT and not finding.effects:
            yield from _of_lost_port(finding)


def test_spans(report: Report) -> Iterator[TestSpan]:
    """The tests of *report* that have times; one that was lost ran until its copy ended."""
    for end, results in zip(report.copy_ends, report.results, strict=True):
        for result in results:
            if result.started_ns and not result.is_of_copy:
                lasted_ns = int(result.duration_s * 1e9)
                end_ns = result.started_ns + lasted_ns if lasted_ns else max(end.ended_ns, result.started_ns)
                yield TestSpan(end.copy, result.started_ns, end_ns, result)


def start_of(report: Report, spans: Sequence[TestSpan]) -> int:
    """The start of the run; where no event tells it, the first time of its holds and of *spans*."""
    times = [hold.start_ns for hold in report.timeline.holds] + [span.start_ns for span in spans]
    return report.start_ns or min(times, default=0)


def _of_effect(finding: Finding, effect: Effect) -> Iterator[Mark]:
    affected = _affected(effect.sides)
    if affected is None or affected.at_ns is None:
        return
    others = [side for side in effect.sides if side is not affected]
    yield Mark(
        kind=effect.kind,
        finding=finding.id,
        at_ns=affected.at_ns,
        party=affected.party,
        other=others[0].party if others else affected.party,
        endpoint=effect.endpoint,
        test=affected.test,
        recovered=effect.recovered,
        window_ms=effect.window_ms,
        count=effect.count,
    )


def _of_lost_port(finding: Finding) -> Iterator[Mark]:
    for side in finding.sides:
        if side.role is Role.HOLDER and side.at_ns is not None and finding.window_ms is not None:
            yield Mark(
                kind=LOST_WINDOW,
                finding=finding.id,
                at_ns=side.at_ns,
                party=side.party,
                other=side.party,
                endpoint=finding.endpoint,
                test=side.test,
                window_ms=finding.window_ms,
                count=finding.count,
            )


def _affected(sides: Sequence[Side]) -> Side | None:
    """The side that wanted something; of equal ones the later."""
    timed = [side for side in sides if side.at_ns is not None]
    callers = [side for side in timed if side.role in _CALLERS]
    return max(callers or timed, key=lambda side: side.at_ns or 0, default=None)
