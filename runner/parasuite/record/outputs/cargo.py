"""`cargo test`: what libtest prints for each test binary.

A result's id is crate::test; the crate of an integration test is its file's name.
"""

from __future__ import annotations

import re
from dataclasses import replace

from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome
from parasuite.record.outputs.results import Budget, Lines, Parsed, Text

_BINARY = re.compile(r"\s+Running (?:unittests )?\S+ \((?:.*[/\\])?([^/\\]+)-[0-9a-f]{16}(?:\.exe)?\)\Z")
_DOCTESTS = re.compile(r"\s+Doc-tests (\S+)\Z")
_RESULT = re.compile(r"(ok|FAILED|ignored)(?:, (.*?))?(?: <\d+\.\d+s>)?\Z")
_DETAILS = re.compile(r"---- (.+?) (?:stdout|stderr) ----\Z")
_END = re.compile(r"(?:failures:|test result: .*|error: .*)\Z")
_OUTCOMES = {"ok": TestOutcome.PASSED, "FAILED": TestOutcome.FAILED, "ignored": TestOutcome.SKIPPED}
_PANICKED = re.compile(r"thread '.*' .*panicked at ")


def parse_cargo(lines: Lines) -> Parsed:
    """The results in the output of `cargo test`."""
    budget = Budget()
    results: dict[str, TestResult] = {}
    texts: dict[str, Text] = {}
    crate = current = ""
    for line in lines:
        if budget.is_spent:
            return Parsed(list(results.values()), lists_all=False)
        if (found := _BINARY.match(line) or _DOCTESTS.match(line)) is not None:
            crate, current = found[1], ""
        elif line.startswith("test ") and (ended := _RESULT.match(line.partition(" ... ")[2])) is not None:
            budget.spend()
            name = line.partition(" ... ")[0].removeprefix("test ").removesuffix(" - should panic")
            test_id = _distinct(f"{crate}::{name}", results)
            results[test_id] = TestResult(id=test_id, outcome=_OUTCOMES[ended[1]], message=ended[2] or "")
        elif (details := _DETAILS.match(line)) is not None:
            current = f"{crate}::{details[1]}"
            texts[current] = Text()
        elif _END.match(line):
            current = ""
        elif current:
            texts[current].add(line)
    return Parsed([_with_text(result, texts.get(result.id), budget) for result in results.values()])


def _distinct(test_id: str, results: dict[str, TestResult]) -> str:
    """*test_id*, with #2 behind it if a library and a program of one name have a test of that name each."""
    return f"{test_id} #2" if test_id in results else test_id


def _with_text(result: TestResult, text: Text | None, budget: Budget) -> TestResult:
    if text is None or result.outcome is not TestOutcome.FAILED:
        return result
    return replace(result, message=_message(str(text)) or text.first_line, text=budget.text(text))


def _message(text: str) -> str:
    """What a panic says: the line below "thread 'x' panicked at src/lib.rs:10:40:"."""
    lines = iter(text.splitlines())
    for line in lines:
        if _PANICKED.match(line):
            # Before Rust 1.73 the message was in the same line, in quotes.
            return next(lines, "") if line.endswith(":") else line
    return ""
