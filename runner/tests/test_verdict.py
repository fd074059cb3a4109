"""One verdict and one exit code, the first that applies."""

from __future__ import annotations

from typing import Any

import pytest
from parasuite.judge.copy_ends import Outcome, outcomes, status_text
from parasuite.judge.findings import Finding
from parasuite.judge.verdict import Health, HealthReader, health, verdict
from parasuite.model.events import CopyState, Endpoint, Seen, SensorState
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.party import Party
from parasuite.model.results import TestResult
from parasuite.model.words import CopyPhase, Evidence, Protocol, SensorStatus, Severity, TestOutcome

from runner.tests.building import by

GOOD = Outcome(copy=0, how="exited", status=0)
PASSED = TestResult(id="t", outcome=TestOutcome.PASSED)
SEEING = Health(sensors={"sampler": "down"}, samples=2)


def finding(severity: Severity) -> Finding:
    return Finding(
        id="x",
        kind=FindingKind.SHARED,
        severity=severity,
        evidence=Evidence.SAMPLED,
        endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 1),
        parties=(Party(0), Party(1)),
        count=1,
        message="m",
        hint="h",
        sides=(),
    )


def code(**changes: Any) -> int:
    facts: dict[str, Any] = {
        "outcomes": [GOOD],
        "results": [[PASSED]],
        "findings": [],
        "health": SEEING,
        "fail_on": "error",
        "ended": "complete",
        "errors": [],
        "is_pytest": True,
    }
    return int(verdict(**{**facts, **changes}).code)


def test_a_run_in_which_all_is_well_passes() -> None:
    assert code() == 0


@pytest.mark.parametrize(
    ("ended", "expected"), [("interrupted", 130), ("terminated", 143), ("supervisor-lost", 3), ("", 3)]
)
def test_how_the_run_ended_comes_before_everything(ended: str, expected: int) -> None:
    failed = TestResult(id="t", outcome=TestOutcome.FAILED)
    assert code(ended=ended, results=[[failed]], findings=[finding(Severity.ERROR)]) == expected


def test_blindness_comes_before_failing_tests() -> None:
    blind = Health(sensors={}, blind="the sampler was lost")
    assert code(health=blind, results=[[TestResult(id="t", outcome=TestOutcome.FAILED)]]) == 3
    assert code(errors=["the disk is full"]) == 3


@pytest.mark.parametrize("outcome", [each for each in TestOutcome if each.is_bad])
def test_a_bad_test_comes_before_findings(outcome: TestOutcome) -> None:
    assert code(results=[[PASSED], [TestResult(id="t", outcome=outcome)]], findings=[finding(Severity.ERROR)]) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(copy=0, how="exited", status=1),
        Outcome(copy=0, how="exited", status=-9),
        Outcome(copy=0, how="timed-out", status=-9),
        Outcome(copy=0, how="failed", why="no such file"),
        Outcome(copy=0, how="lost"),
    ],
    ids=str,
)
def test_a_copy_that_did_not_end_well_fails_the_run(outcome: Outcome) -> None:
    assert code(outcomes=[GOOD, outcome], findings=[finding(Severity.ERROR)]) == 1


def test_no_test_in_any_copy_is_code_4_and_no_test_in_one_copy_a_failure() -> None:
    nothing = Outcome(copy=0, how="exited", status=5)
    assert code(outcomes=[nothing, nothing], results=[[], []]) == 4
    assert code(outcomes=[nothing, GOOD], results=[[], [PASSED]]) == 1
    assert code(outcomes=[nothing], results=[[]], is_pytest=False) == 1


def test_copies_that_ended_well_without_a_test_that_ran_prove_nothing() -> None:
    not_run = TestResult(id="t", outcome=TestOutcome.NOT_RUN)
    assert code(results=[[]]) == 4
    assert code(outcomes=[GOOD, Outcome(copy=1, how="exited", status=5)], results=[[not_run], []]) == 4
    assert code(results=[[not_run, TestResult(id="u", outcome=TestOutcome.SKIPPED)]]) == 0
    assert code(results=[[]], is_pytest=False) == 0


@pytest.mark.parametrize(
    ("fail_on", "severity", "expected"),
    [
        ("error", "error", 66),
        ("error", "warning", 0),
        ("warning", "warning", 66),
        ("warning", "error", 66),
        ("never", "error", 0),
    ],
)
def test_findings_fail_a_run_at_their_threshold(fail_on: str, severity: str, expected: int) -> None:
    assert code(fail_on=fail_on, findings=[finding(Severity(severity))]) == expected


def sensor(state: str, name: str = "sampler", samples: int = 0) -> SensorState:
    return SensorState(t_ns=1, sensor=name, state=SensorStatus(state), samples=samples, why="why not")


def test_a_sensor_in_order_sees_and_its_listeners_are_counted() -> None:
    seen = Seen(t_ns=1, caller=by(0), endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 1), socket="inode:1")
    found = health([sensor("up"), seen, seen, sensor("down", samples=3)], asked_for=())
    assert found == Health(sensors={"sampler": "down"}, samples=3, listeners=2)


@pytest.mark.parametrize(
    ("events", "asked_for", "complaint"),
    [
        pytest.param([sensor("blind", samples=2)], (), "sampler was lost: why not", id="lost later"),
        pytest.param([sensor("down")], (), "no complete sample", id="no sample"),
        pytest.param([], ("sampler",), "sampler is missing here", id="asked for and absent"),
        pytest.param([sensor("missing", "seccomp")], ("seccomp",), "seccomp is missing", id="asked for and missing"),
    ],
)
def test_blind_is_what_was_lost_or_asked_for_and_missing(
    events: list[SensorState], asked_for: tuple[str, ...], complaint: str
) -> None:
    assert complaint in health(events, asked_for).blind


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing was written"),
        pytest.param([sensor("up", "seccomp")], id="cut after the start"),
        pytest.param([sensor("up", "seccomp"), sensor("partial", "seccomp")], id="cut before the end"),
    ],
)
def test_a_sensor_that_never_said_that_it_ended_was_blind(events: list[SensorState]) -> None:
    assert health(events, in_use=("seccomp",)).blind == "seccomp never said that it ended: its last events are lost"


def test_a_sensor_that_ended_in_order_was_not_blind() -> None:
    assert health([sensor("up", "seccomp"), sensor("down", "seccomp")], in_use=("seccomp",)).blind == ""


def test_an_unreadable_line_is_blindness() -> None:
    assert HealthReader().health((), (), unreadable_lines=2).blind == "lines of events that could not be read: 2"


def test_a_sensor_that_is_missing_and_was_not_asked_for_is_no_blindness() -> None:
    assert health([sensor("missing", "seccomp"), sensor("down", samples=1)], asked_for=()).blind == ""


def state(t_ns: int, name: str, copy: int = 0, **facts: Any) -> CopyState:
    return CopyState(t_ns=t_ns, copy=copy, state=CopyPhase(name), **facts)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], Outcome(copy=0)),
        ([state(1, "started")], Outcome(copy=0, how="lost", started_ns=1, ended_ns=1)),
        (
            [state(1, "started"), state(5, "exited", status=3), state(6, "gone")],
            Outcome(copy=0, how="exited", status=3, started_ns=1, ended_ns=5),
        ),
        (
            [state(1, "started"), state(4, "timed-out"), state(5, "exited", status=-6), state(6, "gone")],
            Outcome(copy=0, how="timed-out", status=-6, started_ns=1, ended_ns=5),
        ),
        (
            [
                state(1, "started"),
                state(5, "exited", status=0),
                state(7, "left-behind", processes=2),
                state(8, "gone"),
            ],
            Outcome(copy=0, how="exited", status=0, started_ns=1, ended_ns=5, left_behind=2),
        ),
        ([state(2, "failed", why="no")], Outcome(copy=0, how="failed", why="no", started_ns=2, ended_ns=2)),
        ([state(1, "started"), state(3, "lost")], Outcome(copy=0, how="lost", started_ns=1, ended_ns=3)),
    ],
    ids=["nothing", "started alone", "exited", "timed out", "left behind", "not started", "lost"],
)
def test_an_outcome_is_what_the_events_say(events: list[CopyState], expected: Outcome) -> None:
    assert outcomes(events, 1) == [expected]


def test_every_copy_has_an_outcome_even_one_that_no_event_names() -> None:
    assert [outcome.how for outcome in outcomes([state(1, "exited", copy=1, status=0)], 3)] == [
        "lost",
        "exited",
        "lost",
    ]


def test_an_exit_status_is_told_in_words() -> None:
    assert [status_text(status) for status in (0, 2, -9, -250, None)] == [
        "exit status 0",
        "exit status 2",
        "killed by SIGKILL",
        "killed by signal 250",
        "no exit status",
    ]
