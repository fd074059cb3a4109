"""How tests ended, whichever runner reported it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from parasuite.model.words import TestOutcome

TEXT_MAX = 16_000
"""Characters of a message or of an output that a report shows."""
_DURATION_S_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Attempt:
    """A failed attempt of a test that was run again."""

    message: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """How one test ended in one copy.

    *id*: a pytest node id, unittest's id, or classname::name of a JUnit file. *started_ns*: CLOCK_MONOTONIC, 0 if it
    never started or that is not known. *attempts*: those that failed before the one that counts. *is_of_collection*:
    not a test but a module, class or folder that was skipped, or failed while it was collected or set up.
    *is_of_copy*: not a test but the copy as a whole; its text is the end of what the copy printed.
    """

    __test__ = False  # pytest would collect it as a test class because of its name.

    id: str
    outcome: TestOutcome
    duration_s: float = 0.0
    message: str = ""
    text: str = ""
    started_ns: int = 0
    attempts: tuple[Attempt, ...] = ()
    is_of_collection: bool = False
    is_of_copy: bool = False


@dataclass(frozen=True, slots=True)
class TestsAtOnce:
    """Which tests of a copy were running at the same time.

    *tests*: ids of those that ran beside another test of their own process. *runners*: pids of the processes that ran
    a test while another process of the copy ran one, too.
    """

    __test__ = False  # pytest would collect it as a test class because of its name.

    tests: frozenset[str] = frozenset()
    runners: frozenset[int] = frozenset()


def function_of(test_id: str) -> str:
    """A test id without its parameters."""
    return test_id.partition("[")[0]


def container_of(test_id: str, containers: Mapping[str, TestResult]) -> TestResult | None:
    """The module, class or folder of *containers* that holds the test."""
    if not containers:
        return None
    for end, char in enumerate(function_of(test_id)):
        # "::" and "/" separate the parts of a pytest id, "." those of unittest's and of a classname in a JUnit file.
        if char in ":/." and (found := containers.get(test_id[:end])) is not None:
            return found
    return None


def is_duration(seconds: float) -> bool:
    """Whether a test can have taken so long: from 0 to 1e9 s, which is 30 years."""
    return 0 <= seconds <= _DURATION_S_MAX


def with_distinct_ids(results: Iterable[TestResult]) -> list[TestResult]:
    """*results*, with ` #2`, ` #3` appended to a repeated id: readers of JUnit files merge cases of equal names."""
    found: dict[str, TestResult] = {}
    repeats: Counter[str] = Counter()
    for result in results:
        name = result.id
        while name in found:
            repeats[result.id] += 1
            name = f"{result.id} #{repeats[result.id] + 1}"
        found[name] = replace(result, id=name)
    return list(found.values())


def shortened(text: str, size_max: int = TEXT_MAX) -> str:
    """*text*, or its beginning and its end if it is longer than *size_max* characters.

    A message says first what happened, a traceback says it last.
    """
    if len(text) <= size_max:
        return text
    half = size_max // 2
    return f"{text[:half]}\n[...]\n{text[-half:]}"
