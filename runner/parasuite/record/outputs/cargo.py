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
    """The results in the output of `cargo test`; several may have the same id, of binaries of the same name."""
    budget = Budget()
    results: list[TestResult] = []
    texts: list[Text] = []
    # Of the binary that runs: where its tests are in the lists, by name.
    numbers: dict[str, int] = {}
    crate = ""
    text: Text | None = None
    for line in lines:
        if budget.is_spent:
            return Parsed(results, lists_all=False)
        if (found := _BINARY.match(line) or _DOCTESTS.match(line)) is not None:
            crate, numbers, text = found[1], {}, None
        elif line.startswith("test ") and (ended := _RESULT.match(line.partition(" ... ")[2])) is not None:
            budget.spend()
            name = line.partition(" ... ")[0].removeprefix("test ").removesuffix(" - should panic")
            numbers[name] = len(results)
            results.append(TestResult(id=f"{crate}::{name}", outcome=_OUTCOMES[ended[1]], message=ended[2] or ""))
            texts.append(Text())
        elif (details := _DETAILS.match(line)) is not None:
            text = texts[numbers[details[1]]] if details[1] in numbers else None
        elif _END.match(line):
            text = None
        elif text is not None:
            text.add(line)
    return Parsed([_with_text(result, text, budget) for result, text in zip(results, texts, strict=True)])


def _with_text(result: TestResult, text: Text, budget: Budget) -> TestResult:
    if result.outcome is not TestOutcome.FAILED:
        return result
    return replace(result, message=_message(str(text)) or text.first_line or result.message, text=budget.text(text))


def _message(text: str) -> str:
    """What a panic says: the line below "thread 'x' panicked at src/lib.rs:10:40:"."""
    lines = iter(text.splitlines())
    for line in lines:
        if _PANICKED.match(line):
            # Before Rust 1.73 the message was in the same line, in quotes.
            return next(lines, "") if line.endswith(":") else line
    return ""
