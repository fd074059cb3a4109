"""Real-time priority for this process; Linux only, standard library only."""

from __future__ import annotations

import contextlib
import os


def run_at_once() -> None:
    """Have this process run as soon as it is woken, before all ordinary ones; its children are ordinary again.

    Nothing changes where this is refused (no CAP_SYS_NICE, no RLIMIT_RTPRIO, no real-time share for this cgroup), or
    where this process was started with another scheduling policy. Source: sched(7).
    """
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
