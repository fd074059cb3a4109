"""A process that runs as soon as it is woken, whatever else is running; Linux only, standard library only."""

from __future__ import annotations

import contextlib
import os


def run_at_once() -> None:
    """Have this process run before all ordinary ones; what it starts from now on is an ordinary one again.

    Nothing changes where this is refused (no CAP_SYS_NICE, no RLIMIT_RTPRIO, no share of real time for this cgroup),
    or where whoever started this process has chosen a policy for it. Source: sched(7).
    """
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
