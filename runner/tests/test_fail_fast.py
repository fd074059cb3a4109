"""--fail-fast: what it stops, what the report says of that, and which failures are shown while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.copy_results import STOPPED_EARLY, of_pytest_copy
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import CopyState
from parasuite.model.results import TestResult
from parasuite.model.words import CopyPhase, FailFast, TestOutcome
from parasuite.record.tally import Tally
from parasuite.run.failures import FAILED_IN, MORE_FAILED, SHOWN_MAX, STOPPED_FOR, Failures

from runner.tests.conftest import Parasuite
from runner.tests.reported import counted

Write = Callable[[str], Path]
LONGER_THAN_ANY_TEST = 240
FAILS_IN_COPY_0 = f"""
import os, threading
def test_first(): assert os.environ["PARASUITE_COPY"] != "0"
def test_second():
    if os.environ["PARASUITE_COPY"] in WAITING: threading.Event().wait({LONGER_THAN_ANY_TEST})
"""
IN_ORDER = ("tests/", "--", "-p", "no:randomly")


def exited(copy: int, status: int) -> CopyState:
    return CopyState(t_ns=1, copy=copy, state=CopyPhase.EXITED, status=status)


@pytest.mark.parametrize(
    ("mode", "stopped"),
    [
        (FailFast.NEVER, []),
        (FailFast.COPY, [(1, "t failed in copy 1")]),
        (FailFast.ALL, [(0, "t failed in copy 1"), (1, "t failed in copy 1"), (2, "t failed in copy 1")]),
    ],
)
def test_a_failed_test_stops_what_the_mode_says(mode: FailFast, stopped: list[tuple[int, str]]) -> None:
    failures = Failures(mode, good=(0,))
    assert list(failures.read(1, ["t"])) == [FAILED_IN.format(test="t", copy=1)]
    said = [(copy, why) for copy in range(3) if (why := failures.why_stop(copy))]
    assert said == [(copy, STOPPED_FOR.format(why=why)) for copy, why in stopped]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        pytest.param(exited(1, 0), "", id="ended well"),
        pytest.param(exited(1, 5), "", id="a status that is no death"),
        pytest.param(exited(1, 7), "--fail-fast: copy 1 ended: exit status 7", id="failed"),
        pytest.param(exited(1, -9), "--fail-fast: copy 1 ended: killed by SIGKILL", id="killed"),
        pytest.param(
            CopyState(t_ns=1, copy=1, state=CopyPhase.TIMED_OUT), "--fail-fast: copy 1: timed-out", id="timed out"
        ),
    ],
)
def test_a_copy_that_died_stops_the_others(event: CopyState, why: str) -> None:
    failures = Failures(FailFast.ALL, good=(0, 5))
    failures.read_state(event)
    assert failures.why_stop(0) == why


def test_each_test_that_fails_is_shown_once_and_at_most_twenty_are() -> None:
    failures = Failures(FailFast.NEVER, good=(0,))
    tests = [f"t{number}" for number in range(SHOWN_MAX + 5)]
    shown = [
        *failures.read(0, tests[:1]),
        *failures.read(1, tests[:2]),
        *failures.read(0, tests),
        *failures.read(1, tests),
    ]
    assert len(shown) == SHOWN_MAX + 1
    assert shown[:2] == [FAILED_IN.format(test="t0", copy=0), FAILED_IN.format(test="t1", copy=1)]
    assert shown[-1] == MORE_FAILED


def test_a_test_that_a_stopped_copy_did_not_finish_is_not_lost() -> None:
    tally = Tally()
    tally.feed(b'{"event": "collected", "id": "t"}')
    (test,) = tally.results()
    assert test.outcome is TestOutcome.LOST
    stopped = of_pytest_copy(CopyEnd(copy=0, how=CopyPhase.STOPPED_EARLY, why="why"), tally, "")
    assert stopped.tests == [TestResult(id="t", outcome=TestOutcome.NOT_RUN, message=STOPPED_EARLY)]
    assert stopped.own is not None
    assert (stopped.own.outcome, stopped.own.message) == (TestOutcome.NOT_RUN, "stopped-early (why)")


def test_of_one_copy_the_others_go_on(parasuite: Parasuite, suite: Write) -> None:
    suite(f"WAITING = '0'\n{FAILS_IN_COPY_0}")
    finished = parasuite.run_pytest("-j", "2", "--sensors", "none", "--fail-fast=copy", *IN_ORDER)
    assert (finished.code, counted(passed=2, failed=1, not_run=1) in finished.verdict) == (1, True), finished.stdout
    said = STOPPED_FOR.format(why="tests/test_it.py::test_first failed in copy 0")
    assert f"note: {said}; stopped: copy 0" in finished.stdout.splitlines()
    assert FAILED_IN.format(test="tests/test_it.py::test_first", copy=0) in finished.stderr.splitlines()


def test_without_a_word_all_copies_are_stopped(parasuite: Parasuite, suite: Write) -> None:
    suite(f"WAITING = '01'\n{FAILS_IN_COPY_0}")
    finished = parasuite.run_pytest("-j", "2", "--sensors", "none", "--fail-fast", *IN_ORDER)
    assert (finished.code, " 1 failed, " in finished.verdict, "lost" in finished.verdict) == (1, True, False)
    assert "; stopped: copy 0, 1" in finished.stdout


def test_a_command_that_fails_stops_the_other_copies_and_its_code_is_the_suite_s(parasuite: Parasuite) -> None:
    script = f"test $PARASUITE_COPY = 1 && exit 7; exec sleep {LONGER_THAN_ANY_TEST}"
    arguments = ("--sensors", "none", "--exit-code", "suite", "--", "sh", "-c", script)
    finished = parasuite("run", "-j", "2", "--fail-fast", *arguments)
    assert (finished.code, counted(failed=1, not_run=1) in finished.verdict) == (7, True), finished.stdout
