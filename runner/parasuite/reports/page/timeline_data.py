"""What the timeline draws: lanes of parties, holds, marks and tests, in microseconds from the start of the run.

Large runs are cut by weight: marks of the gravest findings first; tests that failed or that a finding names, then the
longest. What was left out is counted. (The judge has cut the holds already.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from parasuite.judge.findings import Finding
from parasuite.judge.ledger import Hold
from parasuite.judge.report import Report
from parasuite.model.events import Endpoint
from parasuite.model.party import Party
from parasuite.reports.page.columns import Strings, columns
from parasuite.reports.page.test_data import LETTERS
from parasuite.reports.timeline import OUTSIDE, Mark, TestSpan, marks, moment, start_of, test_spans

MARKS_MAX = 2_000
TESTS_MAX = 40_000
_NO_LANE = -1


@dataclass(slots=True)
class _Lanes:
    """The parties that have something to draw: copies in order, each followed by its workers, strangers last."""

    numbers: dict[Party | None, int] = field(default_factory=dict)

    @classmethod
    def of(cls, parties: set[Party | None], copies: int) -> _Lanes:
        known = {*parties, *(Party(copy) for copy in range(copies))}
        inside = sorted(party for party in known if party is not None)
        everyone: list[Party | None] = [*inside, None] if None in known else [*inside]
        return cls({party: number for number, party in enumerate(everyone)})

    def names(self) -> list[str]:
        return [OUTSIDE if party is None else str(party) for party in self.numbers]


def timeline_data(report: Report) -> dict[str, object]:
    """The data of the timeline, for JSON; `timeline.js` describes how each part is drawn."""
    all_marks = list(marks(report.findings))
    shown_marks = all_marks[:MARKS_MAX]
    all_spans = list(test_spans(report))
    shown_spans = _heaviest(all_spans, report.findings)
    holds = report.timeline.holds
    parties: set[Party | None] = {hold.caller.process.party for hold in holds}
    parties |= {party for mark in shown_marks for party in (mark.party, mark.other)}
    lanes = _Lanes.of(parties, len(report.copy_ends))
    strings = Strings()
    base_ns = start_of(report, shown_spans)
    finding_numbers = {finding.id: number for number, finding in enumerate(report.findings)}
    return {
        "end": _us(_end_ns(report, shown_spans, base_ns), base_ns),
        "lanes": lanes.names(),
        "findings": [_finding(finding, base_ns, strings) for finding in report.findings],
        "holds": columns(
            "lane start end endpoint port test place pid asked",
            (_hold(hold, lanes, strings, base_ns) for hold in holds),
        ),
        "marks": columns(
            "kind finding lane other at window endpoint port test recovered count",
            (_mark(mark, finding_numbers, lanes, strings, base_ns) for mark in shown_marks),
        ),
        "tests": _spans(shown_spans, lanes, strings, base_ns),
        "left_out": {
            "holds": report.timeline.left_out,
            "marks": len(all_marks) - len(shown_marks),
            "tests": len(all_spans) - len(shown_spans),
        },
        "strings": strings.values,
    }


def endpoint_key(endpoint: Endpoint) -> str:
    """What holds and findings about one port have in common: `tcp 8025`, `unix /tmp/it.sock`."""
    return f"{endpoint.protocol} {endpoint.port or endpoint.address}"


def _heaviest(spans: Sequence[TestSpan], findings: Sequence[Finding]) -> Sequence[TestSpan]:
    if len(spans) <= TESTS_MAX:
        return spans
    named = {test for finding in findings for test in finding.tests}

    def weight(span: TestSpan) -> tuple[bool, int]:
        return (span.result.outcome.is_bad or span.result.id in named, span.end_ns - span.start_ns)

    return sorted(spans, key=weight, reverse=True)[:TESTS_MAX]


def _end_ns(report: Report, spans: Sequence[TestSpan], base_ns: int) -> int:
    ends = [span.end_ns for span in spans] + [end.ended_ns for end in report.copy_ends]
    return max([report.timeline.end_ns, base_ns + int(report.duration_s * 1e9), *ends])


def _us(t_ns: int, base_ns: int) -> int:
    return (t_ns - base_ns) // 1000


def _finding(finding: Finding, base_ns: int, strings: Strings) -> dict[str, object]:
    shown = moment(finding)
    endpoints = [finding.endpoint, *(effect.endpoint for effect in finding.effects)]
    return {
        "id": finding.id,
        "cause": finding.cause,
        "severity": finding.severity,
        "title": strings.number(finding.title),
        "endpoints": [strings.number(key) for key in dict.fromkeys(map(endpoint_key, endpoints))],
        "moment": None if shown is None else [_us(t_ns, base_ns) for t_ns in shown],
    }


def _hold(hold: Hold, lanes: _Lanes, strings: Strings, base_ns: int) -> tuple[int, ...]:
    caller = hold.caller
    return (
        lanes.numbers[caller.process.party],
        _us(hold.start_ns, base_ns),
        _us(hold.end_ns, base_ns),
        strings.number(str(hold.endpoint)),
        strings.number(endpoint_key(hold.endpoint)),
        strings.number(caller.test),
        strings.number("" if caller.location is None else str(caller.location)),
        caller.process.pid,
        -1 if hold.asked_port is None else hold.asked_port,
    )


def _mark(mark: Mark, numbers: dict[str, int], lanes: _Lanes, strings: Strings, base_ns: int) -> tuple[int, ...]:
    other = lanes.numbers[mark.other]
    lane = lanes.numbers[mark.party]
    return (
        strings.number(mark.kind),
        numbers[mark.finding],
        lane,
        _NO_LANE if other == lane else other,
        _us(mark.at_ns, base_ns),
        0 if mark.window_ms is None else round(mark.window_ms * 1000),
        strings.number(str(mark.endpoint)),
        strings.number(endpoint_key(mark.endpoint)),
        strings.number(mark.test),
        int(mark.recovered),
        mark.count,
    )


def _spans(spans: Sequence[TestSpan], lanes: _Lanes, strings: Strings, base_ns: int) -> dict[str, object]:
    """Tests by lane and start. They are most of a large page, so their columns are short: *after* is how much later
    each starts than the one before it, *took* how long it ran, and *outcome* a letter of `test_data` for each.
    """
    ordered = sorted(spans, key=lambda span: (lanes.numbers[Party(span.copy)], span.start_ns))
    starts = [_us(span.start_ns, base_ns) for span in ordered]
    return {
        "lane": [lanes.numbers[Party(span.copy)] for span in ordered],
        "after": [start - before for before, start in pairwise([0, *starts])],
        "took": [_us(span.end_ns, base_ns) - start for span, start in zip(ordered, starts, strict=True)],
        "name": [strings.number(span.result.id) for span in ordered],
        "outcome": "".join(LETTERS[span.result.outcome] for span in ordered),
    }
