"""Reads results.jsonl, into which a copy's pytest writes what it collects, starts and finishes.

The tests themselves can write into that file, so every value is checked, and what is kept of it is bounded.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parasuite.model.results import TEXT_MAX, Attempt, TestResult, shortened
from parasuite.model.words import TestOutcome
from parasuite.record.untrusted import Reader, Unreadable, lines

_FILE_BYTES_MAX = 4 << 30
_ID_CHARS_MAX = 64_000
_IDS_CHARS_MAX = 128 << 20  # Of all ids of a copy, plus _TEST_CHARS a test: enough for 800,000 tests.
_TEST_CHARS = 100
_TEXTS_CHARS_MAX = 32 << 20  # Of all messages and texts of a copy; later ones are left out.
_DURATION_S_MAX = 1e9  # No test runs for 30 years.
_ATTEMPTS_MAX = 100
_SEEDS_MAX, _SEED_CHARS_MAX = 20, 200
_FAILED = (TestOutcome.FAILED, TestOutcome.ERROR)
_WHY_NO_RESULT = {
    TestOutcome.LOST: "lost: the copy died before this test had a result",
    TestOutcome.NOT_RUN: "not run: pytest stopped before it",
}


class Tally:
    """Adds up the lines of one results.jsonl: counts while the tests run, results at the end.

    *ended*: pytest's exit status; None if it did not end in order. *seeds*: by the name of the plug-in that drew
    them. *torn_lines*: how many lines could not be read. *unreadable*: why the file could not be read to its end,
    "" if it could.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(TestOutcome, 0)
        self.ended: int | None = None
        self.internal_error = ""
        self.seeds: dict[str, int | str] = {}
        self.torn_lines = 0
        self.unreadable = ""
        self._collected: dict[str, None] = {}
        self._started: dict[str, int] = {}
        self._results: dict[str, TestResult] = {}
        self._ids_left, self._texts_left = _IDS_CHARS_MAX, _TEXTS_CHARS_MAX

    @property
    def collected(self) -> int:
        return len(self._collected)

    @property
    def running(self) -> list[str]:
        """The tests that started and have no result yet, oldest first; several under xdist."""
        return list(self._started)

    def feed(self, line: bytes) -> None:
        """Take one complete line. One that is not of the expected form is counted in `torn_lines` and dropped."""
        try:
            self._feed(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.torn_lines += 1

    def results(self) -> list[TestResult]:
        """All results. A test without one is LOST if it had started or its copy died, else NOT_RUN."""
        known = {**self._collected, **dict.fromkeys(self._started)}
        return [
            *self._results.values(),
            *(self._without_result(test_id) for test_id in known if test_id not in self._results),
        ]

    def _without_result(self, test_id: str) -> TestResult:
        is_lost = self.ended is None or test_id in self._started
        outcome = TestOutcome.LOST if is_lost else TestOutcome.NOT_RUN
        started_ns = self._started.get(test_id, 0)
        return TestResult(id=test_id, outcome=outcome, message=_WHY_NO_RESULT[outcome], started_ns=started_ns)

    def _feed(self, line: dict[str, Any]) -> None:
        match line["event"]:
            case "collected":
                self._collected[self._id(line)] = None
            case "started":
                self._started[self._id(line)] = _whole(line["t_ns"])
            case "result":
                self._add_result(line)
            case "ended":
                self.ended = _whole(line["status"])
            case "seeds":
                self.seeds = {
                    _text(name)[:_SEED_CHARS_MAX]: seed if type(seed) is int else _text(seed)[:_SEED_CHARS_MAX]
                    for name, seed in itertools.islice(line["seeds"].items(), _SEEDS_MAX)
                }
            case "internal-error":
                self.internal_error = self._kept(_text(line["text"]))
            case event:
                raise ValueError(f"no such event: {event!r:.80}")

    def _add_result(self, line: dict[str, Any]) -> None:
        outcome = TestOutcome(line["outcome"])
        duration_s = line["duration_s"]
        if type(duration_s) not in (int, float) or not 0 <= duration_s <= _DURATION_S_MAX:
            raise ValueError(f"not a duration: {duration_s!r:.80}")
        message, text = _text(line["message"]), _text(line["text"])
        test_id = self._id(line)
        result = TestResult(
            id=test_id,
            outcome=outcome,
            duration_s=float(duration_s),
            message=self._kept(message),
            text=self._kept(text),
            started_ns=self._started.pop(test_id, 0),
            attempts=self._attempts(line.get("attempts", [])),
            is_of_collection=line.get("phase") == "collection",
        )
        earlier = self._results.get(test_id)
        if earlier is not None:
            self.counts[earlier.outcome] -= 1
            # The same id twice (a file named twice on the command line): a pass must not hide a failure.
            if earlier.outcome in _FAILED and outcome not in _FAILED:
                result = earlier
        self._results[test_id] = result
        self.counts[result.outcome] += 1

    def _id(self, line: dict[str, Any]) -> str:
        test_id = _text(line["id"])
        if test_id not in self._collected:
            self._ids_left -= len(test_id) + _TEST_CHARS
        if len(test_id) > _ID_CHARS_MAX or self._ids_left < 0:
            raise ValueError("more ids than a report can hold")
        return test_id

    def _kept(self, text: str) -> str:
        """*text*, or a note in its place once a copy has written more than a report can hold."""
        # The plug-in cuts each part of a text to TEXT_MAX, and joins at most two.
        text = text if len(text) <= 3 * TEXT_MAX else shortened(text)
        if len(text) > self._texts_left:
            return "[left out: this copy's messages are too long]"
        self._texts_left -= len(text)
        return text

    def _attempts(self, found: Any) -> tuple[Attempt, ...]:
        if type(found) is not list:
            raise TypeError(f"not a list: {found!r:.80}")
        return tuple(
            Attempt(self._kept(_text(attempt["message"])), self._kept(_text(attempt["text"])))
            for attempt in found[:_ATTEMPTS_MAX]
        )


def _whole(value: Any) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise TypeError(f"not a whole number: {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"not text: {value!r:.80}")
    return value


class LineReader:
    """Gives the complete lines that were appended to the file *name* below *root* since the last call."""

    _BYTES_PER_CALL_MAX = 16 << 20  # A copy that writes fast must not keep the caller from its other duties.

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._offset = 0

    def new_lines(self) -> Iterator[bytes]:
        """The lines appended since the last call, without line ends. A last line without an end waits for the next.

        Nothing where the file cannot be read: the end of the run finds out whether results are missing.
        """
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
        self._offset = reader.at - len(unfinished)


def tally_of(root: Path, name: str) -> Tally:
    """The tally of a whole file, without a last line that has no end, since its writer died while writing it."""
    tally = Tally()
    try:
        for line in lines(Reader(root, name, _FILE_BYTES_MAX).chunk):
            if line.endswith(b"\n"):
                tally.feed(line)
    except Unreadable as error:
        tally.unreadable = str(error)
    return tally
