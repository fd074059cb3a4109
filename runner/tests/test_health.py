"""What the sensors of a run could see."""

from __future__ import annotations

import pytest
from parasuite.judge.health import (
    NEVER_ENDED,
    NO_SAMPLE,
    NOT_HERE,
    UNREADABLE_LINES,
    WAS_LOST,
    Health,
    HealthReader,
    health,
)
from parasuite.model.events import Endpoint, Seen, SensorState
from parasuite.model.sensors import SELF_TEST
from parasuite.model.words import Protocol, SensorStatus

from runner.tests.building import by

UP, DOWN, MISSING, PARTIAL, BLIND = (
    SensorStatus.UP,
    SensorStatus.DOWN,
    SensorStatus.MISSING,
    SensorStatus.PARTIAL,
    SensorStatus.BLIND,
)


def sensor(state: SensorStatus, name: str = "sampler", samples: int = 0) -> SensorState:
    return SensorState(t_ns=1, sensor=name, state=state, samples=samples, why="why not")


def test_a_sensor_that_ended_in_order_is_not_blind_and_its_listeners_are_counted() -> None:
    seen = Seen(t_ns=1, caller=by(0), endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 1), socket="inode:1")
    events = [sensor(UP), seen, seen, sensor(DOWN, samples=3)]
    assert health(events, in_use=("sampler",)) == Health(sensors={"sampler": DOWN}, samples=3, listeners=2)


@pytest.mark.parametrize(
    ("events", "asked_for", "blind"),
    [
        pytest.param(
            [sensor(BLIND, samples=2)], (), WAS_LOST.format(sensor="sampler", why="why not"), id="lost later"
        ),
        pytest.param([sensor(DOWN)], (), NO_SAMPLE.format(sensor="sampler"), id="no sample"),
        pytest.param([], ("sampler",), NOT_HERE.format(sensor="sampler"), id="asked for and absent"),
        pytest.param(
            [sensor(MISSING, "seccomp")], ("seccomp",), NOT_HERE.format(sensor="seccomp"), id="asked for and missing"
        ),
    ],
)
def test_a_sensor_that_was_lost_or_was_asked_for_and_is_missing_makes_the_run_blind(
    events: list[SensorState], asked_for: tuple[str, ...], blind: str
) -> None:
    assert health(events, asked_for).blind == blind


def test_a_sensor_that_was_blind_once_stays_blind() -> None:
    assert health([sensor(BLIND, samples=1), sensor(DOWN, samples=2)]).sensors == {"sampler": BLIND}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing was written"),
        pytest.param([sensor(UP, "seccomp")], id="cut after the start"),
        pytest.param([sensor(UP, "seccomp"), sensor(PARTIAL, "seccomp")], id="cut before the end"),
    ],
)
def test_a_sensor_whose_end_is_not_recorded_makes_the_run_blind(events: list[SensorState]) -> None:
    assert health(events, in_use=("seccomp",)).blind == NEVER_ENDED.format(sensor="seccomp")


def test_a_sensor_whose_end_is_recorded_does_not_make_the_run_blind() -> None:
    assert health([sensor(UP, "seccomp"), sensor(DOWN, "seccomp")], in_use=("seccomp",)).blind == ""


def test_a_missing_sensor_that_was_not_asked_for_is_a_note() -> None:
    seen = health([sensor(MISSING, "seccomp"), sensor(DOWN, samples=1)])
    assert (seen.blind, seen.notes) == ("", ("seccomp is missing: why not",))


def test_a_note_is_kept_once() -> None:
    assert health([sensor(PARTIAL, "recorder")] * 3).notes == ("recorder saw less than it could: why not",)


def test_a_line_that_cannot_be_read_makes_the_run_blind() -> None:
    assert HealthReader().health(unreadable_lines=2).blind == UNREADABLE_LINES.format(count=2)


def test_of_many_unreadable_files_three_are_named() -> None:
    files = [f"{name}.jsonl is a pipe" for name in "abcde"]
    assert HealthReader().health(unreadable_files=files).blind == (
        "a.jsonl is a pipe; b.jsonl is a pipe; c.jsonl is a pipe; and 2 more files could not be read"
    )


def test_what_the_self_test_saw_is_proven_and_the_self_test_is_not_a_sensor() -> None:
    seen = health([SensorState(t_ns=1, sensor=SELF_TEST, state=DOWN, why="Python and native code")])
    assert (seen.proven, seen.sensors) == ("Python and native code", {})
