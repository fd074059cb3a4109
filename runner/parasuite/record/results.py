"""From the lines that a copy's pytest wrote, or the JUnit files that a command made, to results."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from parasuite.record.untrusted import Reader, Unreadable, lines, open_file

TEXT_MAX = 16_000
"""Characters of a message or of an output that a report shows."""
_ID_MAX = 64_000
_IDS_MAX_CHARS = 128 << 20  # Of all ids of a copy, with what else a test takes: enough for 800,000 tests.
_TEST_CHARS = 100
_TEXTS_MAX_CHARS = 32 << 20  # Of all messages and texts of a copy; what comes later is left out.
_DURATION_MAX_S = 1e9  # Longer than a run of 30 years: a number that was written to harm.
_RESULTS_MAX_BYTES = 4 << 30
_JUNIT_MAX_BYTES = 512 << 20
OUTCOMES = ("passed", "failed", "error", "skipped", "lost", "not-run", "not-collected")
_ATTEMPTS = ("flakyFailure", "flakyError", "rerunFailure", "rerunError")  # as Maven Surefire and Jenkins name them
_ATTEMPTS_MAX = 100
_SEEDS_MAX, _SEED_MAX = 20, 200


class ResultsError(ValueError):
    """A result file that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt of a test that was run again."""

    message: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How one test ended in one copy.

    *outcome*: "passed", "failed" (the test), "error" (its set-up, its tear-down, its collection), "skipped", "lost"
    (started or collected, and its copy died first), "not-run" (pytest stopped early, in order) or "not-collected"
    (other copies collected it). *id*: a pytest node id. *started_ns*: CLOCK_MONOTONIC, 0 if it never started.
    *attempts*: those that failed before the one that counts. *is_of_collection*: not a test but a module, class or
    folder that was skipped or failed when it was collected.
    """

    __test__ = False  # Not a test class, whatever pytest thinks of its name.

    id: str
    outcome: str
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    started_ns: int = 0
    attempts: tuple[Attempt, ...] = ()
    is_of_collection: bool = False


class Tally:
    """Folds the lines of one results.jsonl: live counts while they come, results at the end.

    The tests themselves can write into that file, so every value is checked, and what is kept is bounded.
    """

    def __init__(self) -> None:
        self._collected: dict[str, None] = {}
        self._started: dict[str, int] = {}
        self._results: dict[str, TestResult] = {}
        self._ids_left, self._texts_left = _IDS_MAX_CHARS, _TEXTS_MAX_CHARS
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.ended: int | None = None
        self.internal_error = ""
        self.seeds: dict[str, int | str] = {}
        self.torn_lines = 0
        self.unreadable = ""
        """Why the file could not be read to its end; "" if it could."""

    @property
    def collected(self) -> int:
        return len(self._collected)

    @property
    def running(self) -> list[str]:
        """The tests that started and have no result, oldest first; more than one under xdist."""
        return list(self._started)

    def feed(self, line: bytes) -> None:
        """Take one complete line. A line that is no fact is counted in `torn_lines` and dropped."""
        try:
            self._feed(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.torn_lines += 1

    def _feed(self, fact: dict[str, Any]) -> None:
        event = fact["event"]
        if event == "collected":
            self._collected[self._id(fact)] = None
        elif event == "started":
            self._started[self._id(fact)] = _whole(fact["t_ns"])
        elif event == "result":
            self._take(fact)
        elif event == "ended":
            self.ended = _whole(fact["status"])
        elif event == "seeds":
            seeds = fact["seeds"].items()
            self.seeds = {
                _text(name)[:_SEED_MAX]: seed if type(seed) is int else _text(seed)[:_SEED_MAX]
                for name, seed in itertools.islice(seeds, _SEEDS_MAX)
            }
        elif event == "internal-error":
            self.internal_error = self._kept(_text(fact["text"]))
        else:
            raise ValueError(f"no such event: {event!r:.80}")

    def _id(self, fact: dict[str, Any]) -> str:
        test_id = _text(fact["id"])
        if test_id not in self._collected:
            self._ids_left -= len(test_id) + _TEST_CHARS
        if len(test_id) > _ID_MAX or self._ids_left < 0:
            raise ValueError("more ids than a report can hold")
        return test_id

    def _kept(self, text: str) -> str:
        """*text*, or what stands for it where a copy has said more than a report can hold."""
        # The plug-in cuts them; twice its maximum leaves room for its two parts.
        text = text if len(text) <= 3 * TEXT_MAX else ends_of(text)
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

    def _take(self, fact: dict[str, Any]) -> None:
        if fact["outcome"] not in OUTCOMES:
            raise ValueError(f"no such outcome: {fact['outcome']}")
        duration_s = fact["duration_s"]
        if type(duration_s) not in (int, float) or not 0 <= duration_s <= _DURATION_MAX_S:
            raise ValueError(f"no duration: {duration_s!r:.80}")
        message, text = _text(fact["message"]), _text(fact["text"])
        test_id = self._id(fact)
        result = TestResult(
            id=test_id,
            outcome=str(fact["outcome"]),
            duration_s=float(duration_s),
            message=self._kept(message),
            text=self._kept(text),
            started_ns=self._started.pop(test_id, 0),
            attempts=self._attempts(fact.get("attempts", [])),
            is_of_collection=fact.get("phase") == "collection",
        )
        before = self._results.get(result.id)
        if before is not None:
            self.counts[before.outcome] -= 1
            if before.outcome in ("failed", "error"):
                # The same id twice (a file named twice on the command line): a failure is never hidden by a pass.
                result = before if result.outcome not in ("failed", "error") else result
        self._results[result.id] = result
        self.counts[result.outcome] += 1

    def results(self) -> list[TestResult]:
        """All results; what has none is "lost" if its copy did not end in order, else "not-run"."""
        missing = {**self._collected, **dict.fromkeys(self._started)}
        outcome = "lost" if self.ended is None else "not-run"
        message = {
            "lost": "lost: the copy died before this test had a result",
            "not-run": "not run: pytest stopped before it",
        }
        return [
            *self._results.values(),
            *(
                TestResult(
                    id=test_id,
                    # Started and never finished is lost even where pytest ended in order.
                    outcome="lost" if test_id in self._started else outcome,
                    message=message["lost" if test_id in self._started else outcome],
                    started_ns=self._started.get(test_id, 0),
                )
                for test_id in missing
                if test_id not in self._results
            ),
        ]


def ends_of(text: str, size_max: int = TEXT_MAX) -> str:
    """*text*, of a long one its first and its last part: a message begins with what happened, a traceback ends so."""
    if len(text) <= size_max:
        return text
    half = size_max // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"


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

    _AT_ONCE_BYTES = 16 << 20  # However fast a copy writes, whoever watches it has to do other things as well.

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self._offset = 0

    def new_lines(self) -> Iterator[bytes]:
        """The lines appended since the last call, without their ends; an unfinished last line waits.

        None where the file cannot be read: whether that is a loss, the end of the run tells.
        """
        reader = Reader(self._root, self._name, _RESULTS_MAX_BYTES)
        reader.at = self._offset
        stop_at = self._offset + self._AT_ONCE_BYTES

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
    """The tally of a whole file; a last line without an end, its writer died in it, is left out."""
    tally = Tally()
    try:
        for line in lines(Reader(root, name, _RESULTS_MAX_BYTES).chunk):
            if line.endswith(b"\n"):
                tally.feed(line)
    except Unreadable as error:
        tally.unreadable = str(error)
    return tally


def distinct(results: Iterable[TestResult]) -> list[TestResult]:
    """*results*, those whose id came before with ` #2`, ` #3` after it: readers of JUnit take equal ids for one."""
    found: dict[str, TestResult] = {}
    turns: Counter[str] = Counter()
    for result in results:
        name = result.id
        while name in found:
            turns[result.id] += 1
            name = f"{result.id} #{turns[result.id] + 1}"
        found[name] = replace(result, id=name)
    return list(found.values())


def junit_results(root: Path, name: str) -> list[TestResult]:
    """The cases of the JUnit file *name* below *root*, which some test command wrote, read piece by piece.

    Raises ResultsError, naming the file, if it cannot be read, is not XML or holds no testsuite.
    """
    try:
        with open_file(root, name) as stream:
            return junit_cases(stream, name)
    except (Unreadable, OSError) as error:
        raise ResultsError(str(error)) from error


def junit_cases(stream: BinaryIO, name: str) -> list[TestResult]:
    """As `junit_results`, of an open file; *name* is for the message of the error."""
    results: list[TestResult] = []
    is_junit = False
    if os.fstat(stream.fileno()).st_size > _JUNIT_MAX_BYTES:
        raise ResultsError(f"{name} is larger than {_JUNIT_MAX_BYTES >> 20} MiB")
    try:
        for _event, element in ElementTree.iterparse(stream):
            tag = element.tag.rpartition("}")[2]
            is_junit = is_junit or tag in ("testsuite", "testsuites")
            if tag == "testcase":
                results.append(_junit_case(element))
                element.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        # ValueError and LookupError: an encoding that the parser cannot use, or that Python does not know.
        raise ResultsError(f"{name} is not a JUnit file: {error}") from error
    if not is_junit:
        raise ResultsError(f"{name} is not a JUnit file: it has no testsuite")
    return results


def _junit_case(case: ElementTree.Element) -> TestResult:
    outcome, message, text = "passed", "", ""
    attempts = []
    for child in case:
        kind = child.tag.rpartition("}")[2]
        if kind in _ATTEMPTS:
            attempts.append(Attempt(ends_of(child.get("message", "")), (child.text or "")[-TEXT_MAX:]))
        elif kind in ("failure", "error", "skipped") and outcome == "passed":
            outcome = "failed" if kind == "failure" else kind
            message, text = child.get("message", ""), child.text or ""
    classname = case.get("classname", "")
    # As pytest writes a module that was skipped or failed when it was collected, with the reason as text.
    is_of_collection = not classname and message in ("collection skipped", "collection failure")
    return TestResult(
        id=(f"{classname}::{case.get('name', '')}" if classname else case.get("name", ""))[:_ID_MAX],
        outcome=outcome,
        duration_s=_junit_seconds(case.get("time", "0")),
        message=ends_of(text.strip() or message if is_of_collection else message),
        text=text[-TEXT_MAX:],
        attempts=tuple(attempts[:_ATTEMPTS_MAX]),
        is_of_collection=is_of_collection,
    )


def _junit_seconds(text: str) -> float:
    try:
        found = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return found if 0 <= found <= _DURATION_MAX_S else 0.0
