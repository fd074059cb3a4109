"""After which silence a process is given up."""

from __future__ import annotations

import pytest
from parasuite.run.starters.watchdog import Silence

STEP_S = 0.1


def given_up_after_s(state: str, *, uses_cpu: bool = False, is_urgent: bool = False, step_s: float = STEP_S) -> int:
    """Seconds of silence after which a process in *state* is given up."""
    silence = Silence()
    steps = 0
    while not silence.is_too_long(is_urgent=is_urgent):
        steps += 1
        assert steps < 10_000
        silence.step(step_s, state, steps if uses_cpu else 0, is_urgent=is_urgent)
    return round(steps * step_s)


@pytest.mark.parametrize(
    ("state", "uses_cpu", "calm_s", "urgent_s"),
    [
        ("T", False, 15, 5),
        ("S", False, 15, 5),
        ("S", True, 60, 20),
        ("R", False, 60, 20),
        ("D", False, 60, 5),
    ],
)
def test_a_process_that_waits_for_a_processor_or_a_disk_is_given_up_later(
    state: str, uses_cpu: bool, calm_s: int, urgent_s: int
) -> None:
    assert given_up_after_s(state, uses_cpu=uses_cpu) == calm_s
    assert given_up_after_s(state, uses_cpu=uses_cpu, is_urgent=True) == urgent_s


def test_time_in_which_the_asker_itself_was_stopped_does_not_count_as_silence() -> None:
    silence = Silence()
    silence.step(8 * 3600, "S", 0, is_urgent=True)
    assert not silence.is_too_long(is_urgent=True)
