"""What a reader of many runs needs of one: its findings, and in how many copies each test passed.

Series, history and comparisons are made from summaries and never look at the record of a run again. In a file, a
summary is a line of JSON for the run, then one for each finding and remark, then one for each test. So it can be read
a line at a time, and 40,000 tests take some 3 MB. (findings.json holds every side of every effect, and
junit-merged.xml every message: both grow with what went wrong.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias, TypeGuard

from parasuite.model.causes import Cause, EffectKind
from parasuite.model.json_fields import Fields, is_bool, is_object, is_text, is_texts, is_whole
from parasuite.model.run_record import Overlap
from parasuite.model.words import RunEnd, Severity

FORMAT = 1
"""Raised by one when an older parasuite would misread a summary."""
FILE_NAME = "summary.jsonl"
_COUNT_MAX = 100_000  # Copies of a run.
_SECONDS_MAX = 253_402_300_799.0  # The last second of the year 9999.


class SummaryError(ValueError):
    """Not the summary of a run, or not one that this parasuite can read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSummary:
    """A finding of one run. *place*: `file:line function`, where the first of its sides is; "" if that is not known.
    *subject*: the port or path that the suite insists on, `tcp 8025`; or "". *effects*: kinds that happened in this
    run. *is_failing*: whether it makes the run fail. *suppressed*: why it does not count; "" if it does.
    """

    id: str
    cause: Cause
    severity: Severity
    title: str
    place: str = ""
    subject: str = ""
    effects: tuple[EffectKind, ...] = ()
    is_failing: bool = False
    suppressed: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "cause": self.cause,
            "severity": self.severity,
            "title": self.title,
            "place": self.place,
            "subject": self.subject,
            "effects": list(self.effects),
            "is_failing": self.is_failing,
            "suppressed": self.suppressed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> FindingSummary:
        """What `to_json` gave. Raises SummaryError."""
        fields = Fields(value)
        read = cls(
            id=fields.take("id", is_text, ""),
            cause=fields.member("cause", Cause.UNKNOWN),
            severity=fields.member("severity", Severity.ERROR),
            title=fields.take("title", is_text, ""),
            place=fields.take("place", is_text, ""),
            subject=fields.take("subject", is_text, ""),
            effects=_effects(fields),
            is_failing=fields.take("is_failing", is_bool, False),
            suppressed=fields.take("suppressed", is_text, ""),
        )
        _check(fields)
        return read


@dataclass(frozen=True, slots=True)
class TestCount:
    """In how many copies a test passed, and in how many it failed, was lost or was not collected."""

    __test__ = False  # pytest would collect it as a test class because of its name.

    passed: int = 0
    failed: int = 0

    @property
    def ran(self) -> int:
        return self.passed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run.

    *started_s*: seconds since 1970. *selection*: the arguments with which pytest ran the target. *code*: of its
    verdict; *exit_code*: what it exited with, which is another if the suite's own was asked for. *is_conclusive*:
    whether the run says something about the suite; if it was stopped or blind, nothing follows from what it did not
    find. *findings_left_out*: how many more the run had. *remarks*: on suppressions that do not count. *tests*: by
    id, without the results of whole copies of a pytest tree.
    """

    run_id: str
    started_s: float
    host: str
    target: str
    selection: tuple[str, ...] = ()
    copies: int
    duration_s: float = 0.0
    ended: RunEnd
    code: int
    exit_code: int
    verdict: str
    is_conclusive: bool
    overlap: Overlap = field(default_factory=Overlap)
    findings: tuple[FindingSummary, ...] = ()
    findings_left_out: int = 0
    remarks: tuple[str, ...] = ()
    tests: Mapping[str, TestCount] = field(default_factory=dict)

    def head(self) -> dict[str, object]:
        """The summary without findings, remarks and tests, for json.dumps."""
        return {
            "format": FORMAT,
            "run_id": self.run_id,
            "started_s": self.started_s,
            "host": self.host,
            "target": self.target,
            "selection": list(self.selection),
            "copies": self.copies,
            "duration_s": round(self.duration_s, 3),
            "ended": self.ended,
            "code": self.code,
            "exit_code": self.exit_code,
            "verdict": self.verdict,
            "is_conclusive": self.is_conclusive,
            "overlap": [round(each, 3) for each in (self.overlap.any_s, self.overlap.two_s, self.overlap.all_s)],
        }


def summary_lines(summary: RunSummary) -> Iterator[str]:
    """*summary* as lines of JSON, each with its line end."""
    yield json.dumps(summary.head()) + "\n"
    for finding in summary.findings:
        yield json.dumps({"finding": finding.to_json()}) + "\n"
    for remark in summary.remarks:
        yield json.dumps({"remark": remark}) + "\n"
    for test_id, count in summary.tests.items():
        yield json.dumps({"test": test_id, "passed": count.passed, "failed": count.failed}) + "\n"


def read_summary_lines(lines: Iterable[bytes]) -> RunSummary:
    """The summary that `summary_lines` gave. Raises SummaryError."""
    values = iter(lines)
    head = next(values, None)
    if head is None:
        raise SummaryError("it is empty")
    findings: list[FindingSummary] = []
    remarks: list[str] = []
    tests: dict[str, TestCount] = {}
    for line in values:
        row = _read_row(line) if len(line) <= _CACHED_BYTES_MAX else _row(line)
        if isinstance(row, FindingSummary):
            findings.append(row)
        elif isinstance(row, str):
            remarks.append(row)
        else:
            tests[row[0]] = row[1]
    return replace(read_head(_object(head), tuple(findings), tests), remarks=tuple(remarks))


_CACHED_BYTES_MAX = 2_000
_Row: TypeAlias = FindingSummary | str | tuple[str, TestCount]


def _row(line: bytes) -> _Row:
    """A finding, a remark, or a test with its counts. Raises SummaryError."""
    value = _object(line)
    if is_object(finding := value.get("finding")):
        return FindingSummary.from_json(finding)
    if is_text(remark := value.get("remark")):
        return remark
    fields = Fields(value)
    row = (
        fields.take("test", is_text, ""),
        TestCount(fields.take("passed", _is_count, 0), fields.take("failed", _is_count, 0)),
    )
    _check(fields)
    return row


# The runs of a series have most of these lines in common, and reading them is most of the time that a merge takes.
_read_row = lru_cache(maxsize=8_192)(_row)


def read_head(
    value: Mapping[str, object], findings: tuple[FindingSummary, ...], tests: Mapping[str, TestCount]
) -> RunSummary:
    """The summary whose `head` is *value*. Raises SummaryError."""
    if value.get("format") != FORMAT:
        raise SummaryError(f"it has format {value.get('format')!r:.20}, and this parasuite reads {FORMAT}")
    fields = Fields(value)
    any_s, two_s, all_s = fields.take("overlap", _is_overlap, [0.0, 0.0, 0.0])
    read = RunSummary(
        run_id=fields.take("run_id", is_text, ""),
        started_s=fields.take("started_s", _is_seconds, 0.0),
        host=fields.take("host", is_text, ""),
        target=fields.take("target", is_text, ""),
        selection=tuple(fields.take("selection", is_texts, [])),
        copies=fields.take("copies", _is_count, 1),
        duration_s=fields.take("duration_s", _is_seconds, 0.0),
        ended=fields.member("ended", RunEnd.NONE),
        code=fields.take("code", _is_code, 0),
        exit_code=fields.take("exit_code", _is_code, 0),
        verdict=fields.take("verdict", is_text, ""),
        is_conclusive=fields.take("is_conclusive", is_bool, False),
        overlap=Overlap(any_s=any_s, two_s=two_s, all_s=all_s),
        findings=findings,
        tests=tests,
    )
    _check(fields)
    return read


def _object(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SummaryError(f"a line is damaged: {error}") from error
    if not is_object(value):
        raise SummaryError("a line is not a JSON object")
    return value


def _check(fields: Fields) -> None:
    if fields.wrong:
        raise SummaryError(f"missing or of another type: {', '.join(fields.wrong)}")


def _effects(fields: Fields) -> tuple[EffectKind, ...]:
    words = fields.take("effects", is_texts, [])
    try:
        return tuple(map(EffectKind, words))
    except ValueError:
        fields.wrong.append("effects")
        return ()


def _is_count(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, _COUNT_MAX)


def _is_code(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, 255)


def _is_seconds(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= _SECONDS_MAX


def _is_overlap(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_seconds, value))
