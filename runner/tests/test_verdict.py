"""One verdict and one exit code, the first that applies."""

from __future__ import annotations

from typing import Any

import pytest
from parasuite.judge.findings import Finding
from parasuite.judge.health import Health
from parasuite.judge.verdict import RECORD_HAS_CHANGED, ExitCode, Verdict, as_recorded, decide, with_problems
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.words import (
    CopyPhase,
    ExitCodeFrom,
    FailOn,
    RunEnd,
    SensorStatus,
    Severity,
    TestOutcome,
)

from runner.tests.building import a_finding

GOOD = CopyEnd(copy=0, how=CopyPhase.EXITED, status=0)
COLLECTED_NOTHING = CopyEnd(copy=1, how=CopyPhase.EXITED, status=5)
PASSED = TestResult(id="t", outcome=TestOutcome.PASSED)
FAILED = TestResult(id="t", outcome=TestOutcome.FAILED)
NOT_RUN = TestResult(id="t", outcome=TestOutcome.NOT_RUN)
SKIPPED = TestResult(id="u", outcome=TestOutcome.SKIPPED)


def finding(severity: Severity) -> Finding:
    return a_finding(severity=severity)


def verdict(**changes: Any) -> Verdict:
    """The verdict on a run in which everything is well, but for *changes*."""
    run: dict[str, Any] = {
        "copy_ends": [GOOD],
        "results": [[PASSED]],
        "findings": [],
        "health": Health(sensors={"sampler": SensorStatus.DOWN}, samples=2),
        "fail_on": FailOn.ERROR,
        "ended": RunEnd.COMPLETE,
        "errors": [],
        "is_pytest": True,
    }
    return decide(**{**run, **changes})


def code(**changes: Any) -> ExitCode:
    """The exit code of a run in which everything is well, but for *changes*."""
    return verdict(**changes).code


def test_a_run_in_which_everything_is_well_passes() -> None:
    assert code() == ExitCode.PASSED


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (RunEnd.INTERRUPTED, ExitCode.INTERRUPTED),
        (RunEnd.TERMINATED, ExitCode.TERMINATED),
        (RunEnd.SUPERVISOR_LOST, ExitCode.BLIND),
        (RunEnd.NONE, ExitCode.BLIND),
    ],
)
def test_an_early_end_of_the_run_comes_before_everything_else(ended: RunEnd, expected: ExitCode) -> None:
    assert code(ended=ended, results=[[FAILED]], findings=[finding(Severity.ERROR)]) == expected


@pytest.mark.parametrize("change", [{"health": Health(sensors={}, blind="lost")}, {"errors": ["the disk is full"]}])
def test_blindness_comes_before_failed_tests(change: dict[str, Any]) -> None:
    assert code(results=[[FAILED]], **change) == ExitCode.BLIND


@pytest.mark.parametrize("outcome", [outcome for outcome in TestOutcome if outcome.is_bad])
def test_a_failed_test_comes_before_findings(outcome: TestOutcome) -> None:
    bad = TestResult(id="t", outcome=outcome)
    assert code(results=[[PASSED], [bad]], findings=[finding(Severity.ERROR)]) == ExitCode.TEST_FAILED


@pytest.mark.parametrize(
    "end",
    [
        CopyEnd(copy=0, how=CopyPhase.EXITED, status=1),
        CopyEnd(copy=0, how=CopyPhase.EXITED, status=-9),
        CopyEnd(copy=0, how=CopyPhase.TIMED_OUT, status=-9),
        CopyEnd(copy=0, how=CopyPhase.FAILED, why="no such file"),
        CopyEnd(copy=0, how=CopyPhase.LOST),
    ],
    ids=str,
)
def test_a_copy_that_did_not_end_well_fails_the_run(end: CopyEnd) -> None:
    assert code(copy_ends=[GOOD, end], findings=[finding(Severity.ERROR)]) == ExitCode.TEST_FAILED


@pytest.mark.parametrize(
    ("ends", "results"),
    [
        pytest.param([COLLECTED_NOTHING] * 2, [[], []], id="nothing was collected"),
        pytest.param([GOOD], [[]], id="only collected"),
        pytest.param([GOOD, COLLECTED_NOTHING], [[NOT_RUN], []], id="stopped before the first test"),
    ],
)
def test_a_run_of_pytest_in_which_no_test_ran_has_an_exit_code_of_its_own(
    ends: list[CopyEnd], results: list[list[TestResult]]
) -> None:
    assert code(copy_ends=ends, results=results) == ExitCode.NO_TESTS


def test_a_copy_that_collected_nothing_while_another_ran_tests_fails_the_run() -> None:
    assert code(copy_ends=[COLLECTED_NOTHING, GOOD], results=[[], [PASSED]]) == ExitCode.TEST_FAILED


def test_a_skipped_test_counts_as_a_test_that_ran() -> None:
    assert code(results=[[NOT_RUN, SKIPPED]]) == ExitCode.PASSED


@pytest.mark.parametrize(("end", "expected"), [(GOOD, ExitCode.PASSED), (COLLECTED_NOTHING, ExitCode.TEST_FAILED)])
def test_a_command_without_test_results_is_judged_by_its_exit_status(end: CopyEnd, expected: ExitCode) -> None:
    assert code(copy_ends=[end], results=[[]], is_pytest=False) == expected


@pytest.mark.parametrize(
    ("fail_on", "severity", "expected"),
    [
        (FailOn.ERROR, Severity.ERROR, ExitCode.FINDINGS),
        (FailOn.ERROR, Severity.WARNING, ExitCode.PASSED),
        (FailOn.WARNING, Severity.WARNING, ExitCode.FINDINGS),
        (FailOn.WARNING, Severity.ERROR, ExitCode.FINDINGS),
        (FailOn.NEVER, Severity.ERROR, ExitCode.PASSED),
    ],
)
def test_findings_fail_a_run_from_the_severity_that_was_asked_for(
    fail_on: FailOn, severity: Severity, expected: ExitCode
) -> None:
    assert code(fail_on=fail_on, findings=[finding(severity)]) == expected


@pytest.mark.parametrize("decided", ExitCode)
def test_a_report_that_could_not_be_written_spoils_a_run_that_ended_well_and_hides_no_failure(
    decided: ExitCode,
) -> None:
    ended_well = decided in (ExitCode.PASSED, ExitCode.NO_TESTS, ExitCode.FINDINGS)
    after = with_problems(Verdict(code=decided, reason=""), ["junit.xml could not be written"])
    assert after.code == (ExitCode.BLIND if ended_well else decided)


@pytest.mark.parametrize("code", [None, 7])
def test_a_recorded_exit_code_that_parasuite_does_not_have_is_ignored(code: int | None) -> None:
    decided = Verdict(code=ExitCode.PASSED, reason="passed")
    assert as_recorded(decided, code, "reason") == (decided, "")


@pytest.mark.parametrize(
    ("recorded", "note"),
    [
        pytest.param(ExitCode.PASSED, RECORD_HAS_CHANGED.format(reason="a test failed"), id="another code"),
        pytest.param(ExitCode.TEST_FAILED, "", id="the same code"),
        pytest.param(ExitCode.BLIND, "", id="a report could not be written then"),
    ],
)
def test_a_recorded_verdict_prevails_and_a_note_says_if_the_record_has_changed(recorded: ExitCode, note: str) -> None:
    failing = (finding(Severity.ERROR),)
    decided = Verdict(code=ExitCode.TEST_FAILED, reason="a test failed", failing=failing)
    assert as_recorded(decided, int(recorded), "then") == (
        Verdict(code=recorded, reason="then", failing=failing),
        note,
    )


def exited(status: int) -> CopyEnd:
    return CopyEnd(copy=0, how=CopyPhase.EXITED, status=status)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        pytest.param([exited(0)], 0, id="passed"),
        pytest.param([exited(7)], 7, id="its own code"),
        pytest.param([exited(66)], 66, id="a code that parasuite has, too"),
        pytest.param([exited(-9)], 137, id="killed by a signal, as a shell says"),
        pytest.param([exited(0), exited(3), exited(2)], 3, id="the first that is not 0"),
        pytest.param(
            [CopyEnd(copy=0, how=CopyPhase.TIMED_OUT, status=0)], 1, id="timed out, whatever it made of that"
        ),
        pytest.param([CopyEnd(copy=0, how=CopyPhase.FAILED, why="fork")], 1, id="could not be started"),
        pytest.param([CopyEnd(copy=0, how=CopyPhase.FAILED, status=126)], 126, id="could not be executed"),
    ],
)
def test_a_run_may_exit_with_the_code_of_the_suite(ends: list[CopyEnd], expected: int) -> None:
    assert verdict(copy_ends=ends, exit_code_from=ExitCodeFrom.SUITE, is_pytest=False).exit_code == expected


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        pytest.param({"findings": [finding(Severity.ERROR)]}, ExitCode.FINDINGS, id="findings"),
        pytest.param({"errors": ["the disk is full"]}, ExitCode.BLIND, id="parasuite failed"),
        pytest.param({"results": [[FAILED]]}, ExitCode.TEST_FAILED, id="a test in a JUnit file failed"),
    ],
)
def test_the_code_of_the_suite_stays_whatever_parasuite_itself_came_to(
    changes: dict[str, Any], own: ExitCode
) -> None:
    decided = verdict(**changes, exit_code_from=ExitCodeFrom.SUITE)
    assert (decided.exit_code, decided.code) == (0, own)


def test_a_report_that_could_not_be_written_leaves_the_code_of_the_suite() -> None:
    decided = with_problems(verdict(exit_code_from=ExitCodeFrom.SUITE), ["junit.xml could not be written"])
    assert (decided.exit_code, decided.code) == (0, ExitCode.BLIND)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (RunEnd.INTERRUPTED, ExitCode.INTERRUPTED),
        (RunEnd.TERMINATED, ExitCode.TERMINATED),
        (RunEnd.SUPERVISOR_LOST, ExitCode.BLIND),
        (RunEnd.NONE, ExitCode.BLIND),
    ],
)
def test_a_run_that_did_not_end_by_itself_has_parasuite_s_code_in_any_case(ended: RunEnd, expected: ExitCode) -> None:
    assert verdict(ended=ended, exit_code_from=ExitCodeFrom.SUITE).exit_code == expected


def test_report_exits_with_the_recorded_code_of_the_suite() -> None:
    decided = Verdict(code=ExitCode.PASSED, reason="passed", suite_code=0)
    recorded, note = as_recorded(decided, int(ExitCode.BLIND), "blind: then", 7)
    assert (recorded.exit_code, recorded.code, note) == (7, ExitCode.BLIND, "")
