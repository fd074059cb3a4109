"""From the lines that a copy's pytest wrote, or the JUnit files that a command made, to results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

OUTCOMES = ("passed", "failed", "error", "skipped", "lost", "not-run")


class ResultsError(ValueError):
    """A result file that cannot be read; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How one test ended in one copy.

    *outcome*: "passed", "failed" (the test), "error" (its set-up, its tear-down, its collection), "skipped", "lost"
    (started or collected, and its copy died first) or "not-run" (pytest stopped early, in order). *id*: a pytest
    node id. *started_ns*: CLOCK_MONOTONIC, 0 if it never started.
    """

    __test__ = False  # Not a test class, whatever pytest thinks of its name.

    id: str
    outcome: str
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    started_ns: int = 0


class Tally:
    """Folds the lines of one results.jsonl: live counts while they come, results at the end."""

    def __init__(self) -> None:
        self._collected: dict[str, None] = {}
        self._started: dict[str, int] = {}
        self._results: dict[str, TestResult] = {}
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.ended: int | None = None
        self.internal_error = ""
        self.torn_lines = 0

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
        except (ValueError, TypeError, KeyError):
            self.torn_lines += 1

    def _feed(self, fact: dict[str, Any]) -> None:
        event = fact["event"]
        if event == "collected":
            self._collected[fact["id"]] = None
        elif event == "started":
            self._started[fact["id"]] = int(fact["t_ns"])
        elif event == "result":
            self._take(fact)
        elif event == "ended":
            self.ended = fact["status"]
        elif event == "internal-error":
            self.internal_error = fact["text"]

    def _take(self, fact: dict[str, Any]) -> None:
        if fact["outcome"] not in OUTCOMES:
            raise ValueError(f"no such outcome: {fact['outcome']}")
        result = TestResult(
            id=str(fact["id"]),
            outcome=str(fact["outcome"]),
            duration_s=float(fact["duration_s"]),
            message=str(fact["message"]),
            text=str(fact["text"]),
            started_ns=self._started.pop(str(fact["id"]), 0),
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


class LineReader:
    """Gives the complete lines that were appended to a file since the last call; memory is bounded by one chunk."""

    _CHUNK_BYTES = 1 << 20

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> Iterator[bytes]:
        """The lines appended since the last call, without their ends; an unfinished last line waits."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            stream.seek(self._offset)
            rest = b""
            while chunk := stream.read(self._CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._offset += len(line) + 1
                    yield line


def tally_of(path: Path) -> Tally:
    """The tally of a whole file; a last line without an end, its writer died in it, is left out."""
    tally = Tally()
    for line in LineReader(path).new_lines():
        tally.feed(line)
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


def junit_results(path: Path) -> list[TestResult]:
    """The cases of a JUnit file that some test command wrote, read piece by piece.

    Raises ResultsError, naming the file, if it is not XML or holds no testsuite.
    """
    results: list[TestResult] = []
    is_junit = False
    try:
        for _event, element in ElementTree.iterparse(path):
            tag = element.tag.rpartition("}")[2]
            is_junit = is_junit or tag in ("testsuite", "testsuites")
            if tag == "testcase":
                results.append(_junit_case(element))
                element.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        # ValueError and LookupError: an encoding that the parser cannot use, or that Python does not know.
        raise ResultsError(f"{path} is not a JUnit file: {error}") from error
    if not is_junit:
        raise ResultsError(f"{path} is not a JUnit file: it has no testsuite")
    return results


def _junit_case(case: ElementTree.Element) -> TestResult:
    outcome, message, text = "passed", "", ""
    for child in case:
        kind = child.tag.rpartition("}")[2]
        if kind in ("failure", "error", "skipped"):
            outcome = "failed" if kind == "failure" else kind
            message, text = child.get("message", ""), child.text or ""
            break
    classname = case.get("classname", "")
    try:
        duration_s = float(case.get("time", "0").replace(",", ""))
    except ValueError:
        duration_s = 0.0
    return TestResult(
        id=f"{classname}::{case.get('name', '')}" if classname else case.get("name", ""),
        outcome=outcome,
        duration_s=duration_s,
        message=message,
        text=text[-16_000:],
    )
