"""For how long copies ran their tests at the same time: only then can they collide. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap
from parasuite.model.words import TestOutcome

LOW = 0.5
"""If the share of time is below this, a note tells the reader."""


def overlap(copy_ends: Sequence[CopyEnd], results: Sequence[Iterable[TestResult]]) -> Overlap:
    """How the copies of a run overlapped.

    A copy runs its tests from the start of the first to the end of the last. If its tests have no times (those of a
    command), it counts as running them for as long as its main process lives.
    """
    changes: list[tuple[int, int]] = []
    for end, tests in zip(copy_ends, results, strict=True):
        start_ns, end_ns = _window(end, tests)
        if start_ns < end_ns:
            changes += [(start_ns, 1), (end_ns, -1)]
    seconds = [0.0] * (len(copy_ends) + 1)
    running = before_ns = 0
    for at_ns, change in sorted(changes):
        seconds[running] += (at_ns - before_ns) / 1e9
        running, before_ns = running + change, at_ns
    return Overlap(any_s=sum(seconds[1:]), two_s=sum(seconds[2:]), all_s=seconds[-1])


def _window(end: CopyEnd, tests: Iterable[TestResult]) -> tuple[int, int]:
    timed = [test for test in tests if test.started_ns]
    if not timed:
        return end.started_ns, end.ended_ns
    last_ns = max(
        # A lost test has no recorded end: it ran until its copy ended.
        end.ended_ns if test.outcome == TestOutcome.LOST else test.started_ns + int(test.duration_s * 1e9)
        for test in timed
    )
    # A test may have changed the clock that it measured with, but cannot have run outside the life of its copy.
    return max(end.started_ns, min(test.started_ns for test in timed)), min(end.ended_ns, last_ns)
