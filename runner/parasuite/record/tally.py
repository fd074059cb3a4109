"""Adds up results.jsonl, into which the test runners of a copy write what they collect, start and finish.

The tests themselves can write into that file, so what is kept of it is bounded.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from parasuite.model.results import TEXT_MAX, Attempt, TestResult, container_of, shortened
from parasuite.model.words import TestOutcome
from parasuite.record.result_lines import (
    Collected,
    Dropped,
    Ended,
    Finished,
    InternalError,
    ResultLine,
    ResultLineError,
    SeedsDrawn,
    Started,
    Waiting,
    read_result_line,
)
from parasuite.record.tests_at_once import AtOnceReader
from parasuite.record.untrusted import Missing, Reader, Unreadable, lines

WAS_RUNNING = "lost: it was running when its copy ended"
NEVER_BEGAN = "lost: its copy ended before it began"
NOT_RUN = "not run: the tests were stopped before it"
_FILE_BYTES_MAX = 4 << 30
_ID_CHARS_MAX = 64_000
_IDS_CHARS_MAX = 128 << 20  # Of all ids of a copy, plus _TEST_CHARS a test: enough for 800,000 tests.
_TEST_CHARS = 100
_FAILURES_MAX = 50
_TEXTS_CHARS_MAX = 32 << 20  # Of all messages and texts of a copy; later ones are left out.
# If a test has several results, the first of these counts: a pass must not hide a failure.
_WORST_FIRST = (
    TestOutcome.FAILED,
    TestOutcome.ERROR,
    TestOutcome.LOST,
    TestOutcome.PASSED,
    TestOutcome.SKIPPED,
    TestOutcome.NOT_RUN,
    TestOutcome.NOT_COLLECTED,
)


class _Runner:
    """One process that runs tests. *known*: all ids that it named. *waiting*: collected and not started yet.
    *started*: without a result yet, and when they began. *has_ended*: it ended in order after all of that.
    """

    __slots__ = ("has_ended", "known", "started", "waiting")

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.waiting: dict[str, None] = {}
        self.started: dict[str, int] = {}
        self.has_ended = False


class Tally:
    """Adds up the lines of one results.jsonl: counts while the tests run, results at the end.

    *internal_error*: the traceback of a runner that failed itself. *seeds*: by the name of the plug-in that drew
    them. *failures*: the first tests that failed, in order. *torn_lines*: how many lines could not be read.
    *unreadable*: why the file could not be read to its end, "" if it could. *is_missing*: that is because there is
    none. *has_collected*: a runner waits for the other copies, or has begun its tests. *at_once*: which tests ran at
    the same time.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(TestOutcome, 0)
        self.internal_error = ""
        self.seeds: Mapping[str, int | str] = {}
        self.failures: list[str] = []
        self.torn_lines = 0
        self.unreadable = ""
        self.is_missing = False
        self.has_collected = False
        self.at_once = AtOnceReader()
        self._runners: dict[str, _Runner] = {}
        self._collected = 0
        self._results: dict[str, TestResult] = {}
        self._ids_left, self._texts_left = _IDS_CHARS_MAX, _TEXTS_CHARS_MAX

    @property
    def collected(self) -> int:
        return self._collected

    @property
    def has_ended(self) -> bool:
        """Whether tests ran, and each process that ran any came to its end in order."""
        return bool(self._runners) and all(runner.has_ended for runner in self._runners.values())

    @property
    def running(self) -> list[str]:
        """The tests that started and have no result yet, oldest first; several under xdist."""
        return [test_id for runner in self._runners.values() for test_id in runner.started]

    def feed(self, line: bytes) -> None:
        """Take one complete line. One that is not of the expected form is counted in `torn_lines` and dropped."""
        try:
            self._add(read_result_line(line))
        except ResultLineError:
            self.torn_lines += 1

    def results(self) -> list[TestResult]:
        """All results. A test without one is LOST if it was running or its runner died, else NOT_RUN.

        Of tests that did not run because their class or module was skipped, or failed to set up, there is none: the
        result of the class or module says it.
        """
        results = dict(self._results)
        containers = {result.id: result for result in results.values() if result.is_of_collection}
        for runner in self._runners.values():
            for test_id, started_ns in runner.started.items():
                lost = TestResult(id=test_id, outcome=TestOutcome.LOST, message=WAS_RUNNING, started_ns=started_ns)
                results[test_id] = _worse(results.get(test_id), lost)
            outcome, message = (TestOutcome.NOT_RUN, NOT_RUN) if runner.has_ended else (TestOutcome.LOST, NEVER_BEGAN)
            for test_id in runner.waiting:
                if container_of(test_id, containers) is None:
                    missing = TestResult(id=test_id, outcome=outcome, message=message)
                    results[test_id] = _worse(results.get(test_id), missing)
        return list(results.values())

    def _add(self, line: ResultLine) -> None:
        match line:
            case Collected():
                runner, is_new = self._runner_of(line.runner, line.id)
                # Each worker of xdist collects all tests, one that replaces a crashed worker while others run.
                if is_new:
                    self._collected += 1
                    runner.waiting[line.id] = None
            case Waiting():
                self.has_collected = True
            case Started():
                runner, _ = self._runner_of(line.runner, line.id)
                self.has_collected = True
                runner.waiting.pop(line.id, None)
                runner.started[line.id] = line.t_ns
                if not line.is_elsewhere:
                    self.at_once.started(line.runner, line.id)
            case Finished():
                runner, _ = self._runner_of(line.runner, line.id)
                runner.waiting.pop(line.id, None)
                self.at_once.ended(line.runner, line.id)
                self._add_result(line, runner.started.pop(line.id, 0))
            case Dropped():
                runner, _ = self._runner_of(line.runner, line.id)
                runner.waiting.pop(line.id, None)
                runner.started.pop(line.id, None)
                self.at_once.ended(line.runner, line.id)
            case Ended():
                self._runners.setdefault(self._bounded(line.runner), _Runner()).has_ended = True
            case SeedsDrawn():
                self.seeds = line.seeds
            case InternalError():
                self.internal_error = self._kept(line.text)

    def _runner_of(self, name: str, test_id: str) -> tuple[_Runner, bool]:
        """The runner *name*, and whether it has not named *test_id* before.

        Raises ResultLineError if that is more than a report can hold.
        """
        runner = self._runners.get(name)
        if runner is None:
            runner = self._runners[self._bounded(name)] = _Runner()
        runner.has_ended = False
        is_new = test_id not in runner.known
        if is_new:
            runner.known.add(self._bounded(test_id))
        return runner, is_new

    def _bounded(self, name: str) -> str:
        """*name*, which is going to be kept. Raises ResultLineError if it is more than a report can hold."""
        if len(name) > _ID_CHARS_MAX or self._ids_left < len(name) + _TEST_CHARS:
            raise ResultLineError("more ids than a report can hold")
        self._ids_left -= len(name) + _TEST_CHARS
        return name

    def _add_result(self, line: Finished, started_ns: int) -> None:
        result = TestResult(
            id=line.id,
            outcome=line.outcome,
            duration_s=line.duration_s,
            message=self._kept(line.message),
            text=self._kept(line.text),
            started_ns=started_ns,
            attempts=tuple(Attempt(self._kept(each.message), self._kept(each.text)) for each in line.attempts),
            is_of_collection=line.is_of_collection,
        )
        # The same id twice: a file named twice on the command line, or several runners with tests of one name.
        earlier = self._results.get(line.id)
        if earlier is not None:
            self.counts[earlier.outcome] -= 1
            result = _worse(earlier, result)
        self._results[line.id] = result
        self.counts[result.outcome] += 1
        has_failed = result.outcome in (TestOutcome.FAILED, TestOutcome.ERROR)
        if has_failed and len(self.failures) < _FAILURES_MAX and (earlier is None or not earlier.outcome.is_bad):
            self.failures.append(result.id)

    def _kept(self, text: str) -> str:
        """*text*, or a note in its place once a copy has written more than a report can hold."""
        # The runners cut each part of a text to TEXT_MAX, and join at most two.
        text = text if len(text) <= 3 * TEXT_MAX else shortened(text)
        if len(text) > self._texts_left:
            return "[left out: this copy's messages are too long]"
        self._texts_left -= len(text)
        return text


def _worse(earlier: TestResult | None, later: TestResult) -> TestResult:
    """The result that counts, of two of one test; the later one if both are as bad."""
    if earlier is None:
        return later
    return min(later, earlier, key=lambda result: _WORST_FIRST.index(result.outcome))


class LineReader:
    """Gives the complete lines that were appended to the file *name* below *root* since the last call.

    A call that finds the file as long as it was costs one lstat(2): a run asks several times a second for each copy.
    """

    _BYTES_PER_CALL_MAX = 16 << 20  # A copy that writes fast must not keep the caller from its other duties.

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._path = root / name
        self._offset = 0
        self._read_to = 0
        self._file: tuple[int, int] | None = None
        self._has_only_grown = True

    def new_lines(self) -> Iterator[bytes]:
        """The lines appended since the last call, without line ends. A last line without an end waits for the next.

        Nothing where the file cannot be read: the end of the run finds out whether results are missing.
        """
        if self._size() == self._read_to:
            return
        reader = Reader(self._root, self._name, _FILE_BYTES_MAX)
        reader.at = self._offset
        stop_at = self._offset + self._BYTES_PER_CALL_MAX

        def chunk() -> bytes:
            return reader.chunk() if reader.at < stop_at else b""

        unfinished = b""
        with contextlib.suppress(Unreadable):
            for line in lines(chunk):
                if line.endswith(b"\n"):
                    yield line[:-1]
                else:
                    unfinished = line
                    # Of a line that is too long, the next call would read the rest as a line of its own.
                    self._has_only_grown &= bool(line)
        self._read_to = reader.at
        self._offset = reader.at - len(unfinished)

    @property
    def has_read_all(self) -> bool:
        """Whether the lines given so far are all complete lines of the file as it is now: it was neither replaced
        nor cut since the first call, and was read to its end.
        """
        return self._size() == self._read_to and self._file is not None and self._has_only_grown

    def _size(self) -> int:
        """The size of the file; what was read of it if there is none that can be read."""
        try:
            status = os.lstat(self._path)
        except OSError:
            self._has_only_grown &= self._file is None
            return self._read_to
        if not stat.S_ISREG(status.st_mode):
            self._has_only_grown = False
            return self._read_to
        before, self._file = self._file, (status.st_dev, status.st_ino)
        if status.st_size < self._read_to or before not in (None, self._file):
            self._has_only_grown = False
        return status.st_size


class GrowingTally:
    """The tally of a file that is read while it grows."""

    def __init__(self, root: Path, name: str) -> None:
        self._reader = LineReader(root, name)
        self.tally = Tally()

    def read(self) -> None:
        """Add the lines that have come since the last call."""
        for line in self._reader.new_lines():
            self.tally.feed(line)

    def whole(self) -> Tally | None:
        """What `tally_of` would give, without reading the file once more, after its writers have ended. None if the
        file is not what was read while it grew.
        """
        self.read()
        return self.tally if self._reader.has_read_all else None


def tally_of(root: Path, name: str) -> Tally:
    """The tally of a whole file, without a last line that has no end, since its writer died while writing it."""
    tally = Tally()
    try:
        for line in lines(Reader(root, name, _FILE_BYTES_MAX).chunk):
            if line.endswith(b"\n"):
                tally.feed(line)
    except Unreadable as error:
        tally.unreadable, tally.is_missing = str(error), isinstance(error, Missing)
    return tally
