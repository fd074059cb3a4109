"""`go test`: its plain output, with -v or without, and its -json stream (cmd/test2json).

Without -v it names only the tests that failed, and packages. A result's id is package::test. A package
that failed although no test of it did (it could not be built, or its process ended) has a result of its own.
"""

from __future__ import annotations

import json
import re

from parasuite.model.json_fields import is_object
from parasuite.model.results import TestResult, is_duration
from parasuite.model.words import TestOutcome
from parasuite.record.outputs.results import Budget, Lines, Parsed, Text

DIED = "lost: it was running when its process ended"
_MARK = re.compile(r"=== (RUN|PAUSE|CONT|NAME)\s+(\S+)\Z")
_RESULT = re.compile(r"\s*--- (PASS|FAIL|SKIP): (\S+) \((\d+(?:\.\d+)?)s\)\Z")
_PACKAGE = re.compile(r"(ok  |FAIL|---|\?   )\t(\S+)(?:\t(\d+(?:\.\d+)?)s|\t\(cached\)|\s+\[(.*)\])?")
_LOGGED = re.compile(r"\s+\S+\.go:\d+: .")
_OUTCOMES = {"PASS": TestOutcome.PASSED, "FAIL": TestOutcome.FAILED, "SKIP": TestOutcome.SKIPPED}
_ACTIONS = {"pass": "PASS", "fail": "FAIL", "skip": "SKIP"}


def _message(text: Text) -> str:
    """Of what a test logged the last line, where it says why it failed; else the first, as of a panic."""
    logged = [line for line in str(text).splitlines() if _LOGGED.match(line)]
    return logged[-1].strip() if logged else text.first_line


class _Package:
    """The tests of a package, as its lines come. *budget*: of the whole output."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        budget.spend()
        self.outcomes: dict[str, tuple[TestOutcome, float] | None] = {}  # None: it runs.
        self.texts: dict[str, Text] = {}
        self.other = Text()

    def started(self, test: str) -> None:
        if test not in self.outcomes:
            self._budget.spend()
            self.outcomes[test] = None

    def ended(self, test: str, word: str, duration_s: float) -> None:
        self.started(test)
        self.outcomes[test] = (_OUTCOMES[word], float(duration_s) if is_duration(duration_s) else 0.0)

    def line(self, test: str, line: str) -> None:
        if test in self.outcomes:
            self.texts.setdefault(test, Text()).add(line)
        else:
            self.other.add(line)

    def results(self, name: str) -> list[TestResult]:
        """The results of the tests of the package, which is called *name*."""
        return [self._result(name, test, ended) for test, ended in self.outcomes.items()]

    def _result(self, name: str, test: str, ended: tuple[TestOutcome, float] | None) -> TestResult:
        outcome, duration_s = ended or (TestOutcome.LOST, 0.0)
        text = self.texts.get(test, Text())
        message = "" if outcome is TestOutcome.PASSED else DIED if ended is None else _message(text)
        return TestResult(
            id=f"{name}::{test}",
            outcome=outcome,
            duration_s=duration_s,
            message=message,
            text="" if outcome is TestOutcome.PASSED else self._budget.text(text),
        )

    @property
    def has_failed(self) -> bool:
        """Whether a result of a test says so, so that none of the package need to."""
        return any(ended is None or ended[0] is TestOutcome.FAILED for ended in self.outcomes.values())

    def failure(self, name: str, why: str) -> TestResult:
        """The result of the package itself, which failed; *why*: "" where go does not say."""
        return TestResult(
            id=name,
            outcome=TestOutcome.ERROR,
            message=why or self.other.first_line or "failed, and no test of it",
            text=self._budget.text(self.other),
            is_of_collection=True,
        )


def parse_go(lines: Lines) -> Parsed:
    """The results in the plain output of `go test`."""
    budget = Budget()
    results: list[TestResult] = []
    package, current, is_verbose = _Package(budget), "", False
    for line in lines:
        if budget.is_spent:
            return Parsed(results, lists_all=False)
        if mark := _MARK.match(line):
            is_verbose, current = True, mark[2]
            package.started(current)
        elif found := _RESULT.match(line):
            current = found[2]
            package.ended(current, found[1], float(found[3]))
        elif ended := _PACKAGE.match(line):
            results += package.results(ended[2])
            if ended[1] == "FAIL" and not package.has_failed:
                results.append(package.failure(ended[2], ended[4] or ""))
            package, current = _Package(budget), ""
        else:
            package.line(current, line)
    # What has no package line was cut off when the copy ended.
    results += package.results("?")
    return Parsed(results, lists_all=is_verbose)


def parse_go_json(lines: Lines) -> Parsed:
    """The results in the stream of `go test -json`; lines that are not of it are ignored."""
    budget = Budget()
    results: list[TestResult] = []
    packages: dict[str, _Package] = {}
    for line in lines:
        event = go_event(line)
        if budget.is_spent:
            break
        if event is None:
            # Of a package that it cannot build, go writes no event.
            if (failed := _PACKAGE.match(line)) is not None and failed[1] == "FAIL" and failed[4]:
                results.append(_Package(budget).failure(failed[2], failed[4]))
            continue
        name, test, action = str(event.get("Package", "")), str(event.get("Test", "")), str(event["Action"])
        package = packages.get(name)
        if package is None:
            package = packages[name] = _Package(budget)
        if action == "run":
            package.started(test)
        elif action == "output":
            _add_output(package, test, str(event.get("Output", "")).rstrip("\n"))
        elif action in _ACTIONS and test:
            elapsed = event.get("Elapsed")
            if isinstance(elapsed, bool) or not isinstance(elapsed, int | float):
                elapsed = 0.0
            package.ended(test, _ACTIONS[action], elapsed)
        elif action in _ACTIONS:
            results += package.results(name)
            if action == "fail" and not package.has_failed:
                results.append(package.failure(name, ""))
            del packages[name]
    for name, package in packages.items():
        results += package.results(name)
    return Parsed(results, lists_all=not budget.is_spent)


def _add_output(package: _Package, test: str, line: str) -> None:
    if not _MARK.match(line) and not _RESULT.match(line) and not _PACKAGE.match(line):
        package.line(test, line)


def go_event(line: str) -> dict[str, object] | None:
    """The event of `go test -json` in *line*; None if it is something else."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) and "Action" in value and "Package" in value else None
