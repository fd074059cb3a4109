"""What many runs say together: rates with their intervals, from the summaries of the runs alone."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.history import History, Rate, TestHistory
from parasuite.judge.series import NO_ROUND, decide_series
from parasuite.judge.verdict import ExitCode
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.run_record import Overlap
from parasuite.model.run_summary import SummaryError, TestCount, read_summary_lines, summary_lines
from parasuite.model.series_record import SeriesRecord, SeriesRecordError
from parasuite.model.words import ExitCodeFrom, RunEnd, Severity
from parasuite.reports.rates import rate

from runner.tests.summaries import RECORD, a_failure, a_finding, a_run, history_of, torn


@pytest.mark.parametrize(
    ("count", "of", "interval"),
    [
        (4, 20, (0.0807, 0.4160)),
        (0, 10, (0.0, 0.2775)),
        (20, 20, (0.8389, 1.0)),
        (1, 1, (0.2065, 1.0)),
        (0, 0, (0, 1)),
    ],
)
def test_the_interval_of_a_few_rates(count: int, of: int, interval: tuple[float, float]) -> None:
    assert Rate(count, of).interval == pytest.approx(interval, abs=5e-5)


@given(of=st.integers(1, 10_000), part=st.floats(0, 1))
def test_the_interval_ends_where_the_share_seen_is_just_not_too_unlikely(of: int, part: float) -> None:
    rate = Rate(round(part * of), of)
    low, high = rate.interval
    assert 0 <= low <= rate.share + 1e-12
    assert rate.share - 1e-12 <= high <= 1
    # Wilson's definition: at either end, the share seen is 1.96 standard deviations away.
    for end in (low, high):
        assert abs(rate.share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / of), abs=1e-6)


def test_a_cause_that_is_seen_in_every_round_has_a_rate_for_each_effect() -> None:
    seen = [a_failure() if number == 2 else a_finding() for number in range(5)]
    (finding,) = history_of(*[a_run(number, findings=(each,)) for number, each in enumerate(seen)]).findings
    assert (finding.seen, finding.effects) == (Rate(5, 5), {EffectKind.REFUSED: Rate(1, 5)})
    assert (finding.worst, finding.first.started_s, finding.last.started_s) == (a_failure(), 0.0, 4.0)


def test_what_was_found_in_a_round_that_proves_nothing_is_counted_apart() -> None:
    (finding,) = history_of(a_run(0), a_run(1, findings=(a_finding(),)), torn(2, findings=(a_finding(),))).findings
    assert (finding.seen, finding.seen_elsewhere) == (Rate(1, 2), 1)


def test_a_test_passes_in_a_round_if_it_passes_in_every_copy_that_ran_it() -> None:
    counts = [TestCount(2, 0), TestCount(1, 0), TestCount(1, 1), TestCount(0, 0)]
    (test,) = history_of(*[a_run(n, tests={"t": count}) for n, count in enumerate(counts)]).tests
    assert test == TestHistory("t", Rate(2, 3), TestCount(4, 1), "PPF-")


def test_tests_of_a_round_that_was_killed_have_not_failed() -> None:
    assert history_of(torn(tests={"t": TestCount(0, 2)})).tests == ()


def test_tests_that_failed_most_often_come_first() -> None:
    tests = {"steady": TestCount(2, 0), "broken": TestCount(0, 2)}
    history = history_of(a_run(0, tests=tests), a_run(1, tests={**tests, "flaky": TestCount(1, 1)}))
    assert [test.id for test in history.tests] == ["broken", "flaky", "steady"]


@given(order=st.permutations(range(5)))
def test_the_order_of_the_runs_changes_no_rate(order: list[int]) -> None:
    found = {n: (a_finding(id=f"{n % 2}"),) if n != 3 else () for n in order}
    history = history_of(*[a_run(n, findings=found[n], tests={"t": TestCount(n, 4 - n)}) for n in order])
    seen = {each.worst.id: (each.seen, each.first.started_s, each.last.started_s) for each in history.findings}
    assert seen == {"0": (Rate(3, 5), 0.0, 4.0), "1": (Rate(1, 5), 1.0, 1.0)}
    letters = "".join("P" if n == 4 else "F" for n in order)
    assert history.tests == (TestHistory("t", Rate(1, 5), TestCount(10, 10), letters),)


def test_the_overlap_of_a_series_is_that_of_all_its_rounds() -> None:
    history = history_of(*[a_run(n, overlap=Overlap(any_s=4, two_s=n, all_s=0)) for n in range(3)])
    assert history.overlap == Overlap(any_s=12, two_s=3, all_s=0)


FAILED, FINDINGS, BLIND, NONE = (
    {"code": code, "exit_code": code, "is_conclusive": code in (1, 66)} for code in (1, 66, 3, 4)
)


@pytest.mark.parametrize(
    ("rounds", "code"),
    [
        ([{}, {}], ExitCode.PASSED),
        ([{}, FINDINGS, BLIND], ExitCode.FINDINGS),
        ([FINDINGS, FAILED, BLIND], ExitCode.TEST_FAILED),
        ([{}, BLIND], ExitCode.BLIND),
        ([{}, NONE], ExitCode.NO_TESTS),
    ],
)
def test_a_series_has_the_code_of_its_worst_round(rounds: list[dict[str, object]], code: ExitCode) -> None:
    whole = replace(RECORD, ended=RunEnd.COMPLETE)
    for order in itertools.permutations(rounds):
        history = history_of(*[a_run(n, **changes) for n, changes in enumerate(order)])
        assert decide_series(whole, history, [])[::2] == (code, int(code))


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (RunEnd.NONE, ExitCode.BLIND),
        (RunEnd.INTERRUPTED, ExitCode.INTERRUPTED),
        (RunEnd.TERMINATED, ExitCode.TERMINATED),
    ],
)
def test_a_series_that_did_not_come_to_its_end_has_the_code_of_that(ended: RunEnd, code: ExitCode) -> None:
    record = replace(RECORD, ended=ended)
    assert decide_series(record, history_of(a_run(0, **FAILED)), [])[0] is code


def test_a_series_whose_runs_are_not_all_there_has_not_passed_but_may_have_failed() -> None:
    record = replace(RECORD, ended=RunEnd.COMPLETE)
    assert decide_series(record, history_of(a_run()), ["gone"])[0] is ExitCode.BLIND
    assert decide_series(record, history_of(a_run(**FAILED)), ["gone"])[0] is ExitCode.TEST_FAILED


def test_a_series_without_a_round_says_so() -> None:
    record = replace(RECORD, ended=RunEnd.COMPLETE)
    assert decide_series(record, History(), [])[:2] == (ExitCode.NO_TESTS, NO_ROUND)


def test_with_the_suite_s_exit_code_a_series_has_the_first_that_is_not_0() -> None:
    record = replace(RECORD, ended=RunEnd.COMPLETE, exit_code_from=ExitCodeFrom.SUITE)
    history = history_of(a_run(0), a_run(1, code=1, exit_code=7), a_run(2, code=1, exit_code=9))
    assert decide_series(record, history, [])[::2] == (ExitCode.TEST_FAILED, 7)


_TEXT = st.text(max_size=10)


@given(
    title=_TEXT,
    cause=st.sampled_from(Cause),
    severity=st.sampled_from(Severity),
    tests=st.dictionaries(_TEXT, st.builds(TestCount, st.integers(0, 9), st.integers(0, 9))),
)
def test_a_summary_that_was_written_is_read_back(
    title: str, cause: Cause, severity: Severity, tests: dict[str, TestCount]
) -> None:
    finding = a_failure(title=title, place="x.py:1 f", subject="tcp 1")
    other = a_finding(id="1", cause=cause, severity=severity) if severity is not Severity.ERROR else finding
    summary = a_run(
        3,
        selection=("-k", "x"),
        overlap=Overlap(any_s=1.5),
        findings=(finding, other),
        remarks=(title,),
        tests=tests,
    )
    assert read_summary_lines(line.encode() for line in summary_lines(summary)) == summary


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b'{"test": "t", "passed": -1, "failed": 0}',
        b'{"test": "t", "passed": true, "failed": 0}',
        b'{"finding": {"id": "x"}}',
    ],
)
def test_a_summary_with_a_line_that_parasuite_did_not_write_is_refused(line: bytes) -> None:
    good = [text.encode() for text in summary_lines(a_run())]
    with pytest.raises(SummaryError):
        read_summary_lines([*good, line])
    with pytest.raises(SummaryError):
        read_summary_lines([line, *good])


def test_the_record_of_a_series_is_read_back() -> None:
    assert SeriesRecord.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "was written by a newer parasuite"),
        ({"format": None}, "its format is not a number"),
        ({"runs": ["a\0b"]}, "another type: runs"),
        ({"runs": "abc"}, "another type: runs"),
        ({"ended": "later"}, "another type: ended"),
        ({"started_s": float("inf")}, "another type: started_s"),
    ],
)
def test_a_record_of_a_series_with_anything_else_is_refused(changes: dict[str, object], said: str) -> None:
    value = {**json.loads(json.dumps(RECORD.to_json())), **changes}
    with pytest.raises(SeriesRecordError, match=said):
        SeriesRecord.from_json(value)


def test_large_counts_are_written_alike() -> None:
    assert rate(Rate(1000, 1000)) == "in 1,000 of 1,000 rounds (100 %, 95 % interval 100 to 100 %)"
