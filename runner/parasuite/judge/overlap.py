"""For how long copies ran their tests at the same time: only then can they collide. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap
from parasuite.model.words import TestOutcome

RAN_AT_ONCE = "two or more copies ran tests at once for only {percent} % of the time; they can collide only then"
_LOW = 0.5
_SHORT_S = 1.0  # Below this, how tests overlap depends on how busy the machine happens to be.


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


def overlap_notes(measured: Overlap, copies: int) -> list[str]:
    """A note if *copies* copies ran their tests mostly one after the other."""
    if measured.share >= _LOW or measured.any_s < _SHORT_S or copies < 2:
        return []
    return [RAN_AT_ONCE.format(percent=f"{measured.share:.0%}".removesuffix("%"))]


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
