"""When to give up a supervisor that does not answer: it may be stopped for good, or the machine may just be busy."""

from __future__ import annotations

from dataclasses import dataclass

PING_S = 1.0
"""From an answer to the next Ping."""

_IDLE_S = 15.0
_IDLE_URGENT_S = 5.0
_SILENT_S = 60.0
_SILENT_URGENT_S = 20.0
_STEP_MAX_S = 0.5
_DISK_WAIT = "D"
_RUNNABLE = "R"


@dataclass(slots=True)
class Silence:
    """For how long a process has not answered (*silent_s*), and for how much of that time it was idle (*idle_s*).

    A process that waits for a CPU, uses one, or waits for a disk may still answer: it is given up after a minute. One
    that is stopped, or sleeps in a system call, is idle, and is given up after 15 s. While an order waits to be
    carried out, both limits are a third of that, and waiting for a disk counts as idle.

    Each step counts for half a second at most. Otherwise the time in which the machine was suspended, or the
    orchestrator was stopped (Ctrl-Z), would count as silence of the supervisor.
    """

    silent_s: float = 0.0
    idle_s: float = 0.0
    _ticks: int = -1

    def step(self, elapsed_s: float, state: str, ticks: int, *, is_urgent: bool) -> None:
        """Count another *elapsed_s* without an answer.

        *state*, *ticks*: the state letter and the CPU time of the process's main thread, as in proc_pid_stat(5).
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
