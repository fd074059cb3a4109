"""Which steps the life of a copy consists of, and what they make of its end."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.copy_life import CopyEnd, CopyLife, CopyStage, stage_after
from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase

INFORMATION = {CopyPhase.DESCRIBED, CopyPhase.LEFT_BEHIND}
steps = st.lists(st.sampled_from(CopyPhase), max_size=12)


def life_of(*phases: CopyPhase) -> CopyLife:
    """After *phases*, one nanosecond apart from 1 on; the main process exits with 7."""
    life = CopyLife(CopyEnd(copy=0))
    for t_ns, phase in enumerate(phases, 1):
        status = 7 if phase is CopyPhase.EXITED else None
        life = life.after(CopyState(t_ns=t_ns, copy=0, state=phase, status=status, why=phase))
    return life


def test_a_copy_that_runs_to_its_end_passes_through_every_stage_but_stopping() -> None:
    stages = [CopyStage.WAITING]
    for phase in (CopyPhase.STARTED, CopyPhase.EXITED, CopyPhase.GONE):
        stage = stage_after(stages[-1], phase)
        assert stage is not None
        stages.append(stage)
    assert stages == [CopyStage.WAITING, CopyStage.RUNNING, CopyStage.LINGERING, CopyStage.DONE]


@given(steps)
def test_a_copy_that_is_done_stays_done(phases: list[CopyPhase]) -> None:
    stage = CopyStage.DONE
    for phase in phases:
        stage = stage_after(stage, phase) or stage
    assert stage is CopyStage.DONE


@given(steps)
def test_the_main_process_exits_at_most_once(phases: list[CopyPhase]) -> None:
    stage, exits = CopyStage.WAITING, 0
    for phase in phases:
        following = stage_after(stage, phase)
        exits += phase is CopyPhase.EXITED and following is not None
        stage = following or stage
    assert exits <= 1


@pytest.mark.parametrize("stopping", [CopyPhase.TIMED_OUT, CopyPhase.INTERRUPTED])
def test_a_copy_that_is_stopped_ends_so_in_whatever_order_its_exit_is_recorded(stopping: CopyPhase) -> None:
    for later in permutations((stopping, CopyPhase.EXITED)):
        end = life_of(CopyPhase.STARTED, *later, CopyPhase.GONE).end
        assert (end.how, end.status) == (stopping, 7)


def test_an_end_that_is_recorded_before_the_time_out_does_not_hide_it() -> None:
    end = life_of(CopyPhase.STARTED, CopyPhase.EXITED, CopyPhase.GONE, CopyPhase.TIMED_OUT).end
    assert (end.how, end.status) == (CopyPhase.TIMED_OUT, 7)


def test_a_lost_copy_whose_main_process_had_ended_keeps_its_status() -> None:
    end = life_of(CopyPhase.STARTED, CopyPhase.EXITED, CopyPhase.LOST).end
    assert (end.how, end.status) == (CopyPhase.EXITED, 7)


def test_a_record_without_the_start_still_shows_the_end() -> None:
    end = life_of(CopyPhase.EXITED, CopyPhase.GONE).end
    assert (end.how, end.status) == (CopyPhase.EXITED, 7)


@given(steps, st.sampled_from(sorted(INFORMATION)))
def test_what_is_only_known_of_a_copy_does_not_move_it(phases: list[CopyPhase], phase: CopyPhase) -> None:
    life = life_of(*phases)
    assert life.after(CopyState(t_ns=99, copy=0, state=phase)).stage is life.stage
