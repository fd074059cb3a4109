"""How each copy ended, as the events of a run say."""

from __future__ import annotations

from typing import Any

import pytest
from parasuite.judge.copy_ends import copy_ends
from parasuite.model.copy_life import CopyEnd, status_text
from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase


def state(t_ns: int, phase: CopyPhase, copy: int = 0, **details: Any) -> CopyState:
    return CopyState(t_ns=t_ns, copy=copy, state=phase, **details)


STARTED = state(1, CopyPhase.STARTED)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], CopyEnd(copy=0), id="nothing"),
        pytest.param([STARTED], CopyEnd(copy=0, how=CopyPhase.LOST, started_ns=1, ended_ns=1), id="started alone"),
        pytest.param(
            [STARTED, state(5, CopyPhase.EXITED, status=3), state(6, CopyPhase.GONE)],
            CopyEnd(copy=0, how=CopyPhase.EXITED, status=3, started_ns=1, ended_ns=5),
            id="exited",
        ),
        pytest.param(
            [STARTED, state(4, CopyPhase.TIMED_OUT), state(5, CopyPhase.EXITED, status=-6), state(6, CopyPhase.GONE)],
            CopyEnd(copy=0, how=CopyPhase.TIMED_OUT, status=-6, started_ns=1, ended_ns=5),
            id="timed out",
        ),
        pytest.param(
            [
                STARTED,
                state(5, CopyPhase.EXITED, status=0),
                state(7, CopyPhase.LEFT_BEHIND, processes=2),
                state(8, CopyPhase.GONE),
            ],
            CopyEnd(copy=0, how=CopyPhase.EXITED, status=0, started_ns=1, ended_ns=5, left_behind=2),
            id="left behind",
        ),
        pytest.param(
            [state(2, CopyPhase.FAILED, why="no")],
            CopyEnd(copy=0, how=CopyPhase.FAILED, why="no", started_ns=2, ended_ns=2),
            id="not started",
        ),
        pytest.param(
            [STARTED, state(3, CopyPhase.LOST)],
            CopyEnd(copy=0, how=CopyPhase.LOST, started_ns=1, ended_ns=3),
            id="lost",
        ),
    ],
)
def test_the_end_of_a_copy_is_what_the_events_say(events: list[CopyState], expected: CopyEnd) -> None:
    assert copy_ends(events, 1) == [expected]


def test_a_copy_whose_end_no_event_reports_is_lost() -> None:
    ends = copy_ends([state(1, CopyPhase.EXITED, copy=1, status=0)], 3)
    assert [end.how for end in ends] == [CopyPhase.LOST, CopyPhase.EXITED, CopyPhase.LOST]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "exit status 0"),
        (2, "exit status 2"),
        (-9, "killed by SIGKILL"),
        (-250, "killed by signal 250"),
        (None, "no exit status"),
    ],
)
def test_an_exit_status_is_written_in_words(status: int | None, text: str) -> None:
    assert status_text(status) == text
