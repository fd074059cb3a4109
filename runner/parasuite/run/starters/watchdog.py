"""Tells a supervisor that will never answer again from one that is slow because the machine is busy."""

from __future__ import annotations

from dataclasses import dataclass

PING_S = 1.0
"""From one answer to the next question."""

_IDLE_S = 15.0
_IDLE_URGENT_S = 5.0
_SILENT_S = 60.0
_SILENT_URGENT_S = 20.0
_STEP_MAX_S = 0.5
_DISK_WAIT = "D"
_RUNNABLE = "R"


@dataclass(slots=True)
class Silence:
    """How long a process has not answered, and how long of it without any excuse.

    A process that is waiting for a CPU, uses one, or waits for a disk may still answer: it has up to a minute. One
    that is stopped, or sleeps in a system call, has 15 s. While an order is waiting to be carried out, both are a
    third of that, and waiting for a disk is no excuse.

    The time is that of the process that asks: each of its steps counts for half a second at most, so that neither a
    machine that was suspended nor an asker that was stopped (Ctrl-Z) is held against the other.
    """

    silent_s: float = 0.0
    idle_s: float = 0.0
    _ticks: int = -1

    def step(self, elapsed_s: float, state: str, ticks: int, *, is_urgent: bool) -> None:
        """Count *elapsed_s* more without an answer.

        *state*, *ticks*: the state letter and the CPU time of its main thread now, as proc_pid_stat(5) has them.
        """
        counted_s = min(elapsed_s, _STEP_MAX_S)
        self.silent_s += counted_s
        has_excuse = state == _RUNNABLE or (state == _DISK_WAIT and not is_urgent)
        if ticks == self._ticks and not has_excuse:
            self.idle_s += counted_s
        self._ticks = ticks

    def is_too_long(self, *, is_urgent: bool) -> bool:
        idle_s, silent_s = (_IDLE_URGENT_S, _SILENT_URGENT_S) if is_urgent else (_IDLE_S, _SILENT_S)
        return self.idle_s >= idle_s or self.silent_s >= silent_s
