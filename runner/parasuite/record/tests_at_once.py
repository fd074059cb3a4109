"""Finds out which tests of a copy were running at the same time, from the lines of results.jsonl.

Two tests ran at once if each of them began before the other had ended, and both did end: one that never ended may
have died with its process long before the other began.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parasuite.model.results import TestsAtOnce

_RUNNING_MAX = 256  # The tests themselves can write into the file; each line costs time in proportion to this.


@dataclass(slots=True)
class _Running:
    """A test that runs. *beside*: the tests of its own process that have ended meanwhile. *processes*: the pids of
    the others of which a test has.
    """

    beside: set[str] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)


class AtOnceReader:
    """Takes the starts and ends of the tests, in the order in which they were written.

    A runner is named "PID-..." by what it writes; there may be several in one process. Of more than 256 tests that
    run at once, the later ones are left out.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], _Running] = {}
        self._tests: set[str] = set()
        self._processes: set[str] = set()

    def started(self, runner: str, test_id: str) -> None:
        """*runner* has begun the test."""
        if len(self._running) < _RUNNING_MAX:
            self._running[runner, test_id] = _Running()

    def ended(self, runner: str, test_id: str) -> None:
        """The test is over."""
        test = self._running.pop((runner, test_id), None)
        if test is None:
            return
        if test.beside:
            self._tests |= {test_id, *test.beside}
        pid = _pid_of(runner)
        if test.processes:
            self._processes |= {pid, *test.processes}
        for (other, _), running in self._running.items():
            if _pid_of(other) == pid:
                running.beside.add(test_id)
            else:
                running.processes.add(pid)

    @property
    def found(self) -> TestsAtOnce:
        """What has been found so far."""
        return TestsAtOnce(frozenset(self._tests), frozenset(map(int, filter(_is_pid, self._processes))))


def _pid_of(runner: str) -> str:
    return runner.partition("-")[0]


def _is_pid(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
