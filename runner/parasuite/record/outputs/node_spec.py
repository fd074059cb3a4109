"""`node --test` with its spec reporter, the default from Node 23 on.

A result's id is the names of its parents and its own, joined by " > ". It does not tell suites from tests: what has
tests inside has a result only if it failed although none of those did.
"""

from __future__ import annotations

import re
from dataclasses import replace

from parasuite.model.results import TestResult, is_duration
from parasuite.model.words import TestOutcome
from parasuite.record.outputs.results import Budget, Lines, Parsed, Text

_POINT = re.compile(r"( *)([✔✖﹣⚠]) (.*)\Z")
_PARENT = re.compile(r"( *)▶ (.*)\Z")
_TIME = re.compile(r"(.*) \((\d+(?:\.\d+)?)ms\)(?: # ?(.*))?\Z")
_SUMMARY = "✖ failing tests:"
_INDENT = 2
_DEPTH_MAX = 50
_OUTCOMES = {"✔": TestOutcome.PASSED, "✖": TestOutcome.FAILED}


def parse_node_spec(lines: Lines) -> Parsed:
    """The results in the output of the spec reporter."""
    budget = Budget()
    results: list[TestResult] = []
    texts: list[Text] = []
    # The announced parents; for each, whether one of its tests has failed.
    parents: list[str] = []
    have_failed: list[bool] = []
    text: Text | None = None
    for line in lines:
        if line == _SUMMARY or budget.is_spent:
            break
        if (parent := _PARENT.match(line)) is not None:
            depth = min(len(parent[1]) // _INDENT, len(parents), _DEPTH_MAX)
            parents[depth:], have_failed[depth:] = [parent[2]], [False]
            text = None
        elif (point := _POINT.match(line)) is not None:
            depth = min(len(point[1]) // _INDENT, len(parents))
            result = _result(parents[:depth], point[2], point[3])
            is_end = depth < len(parents) and parents[depth] == result.id.rpartition(" > ")[2]
            is_silent = is_end and (result.outcome is not TestOutcome.FAILED or have_failed[depth])
            if result.outcome is TestOutcome.FAILED:
                have_failed[:depth] = [True] * depth
            del parents[depth:], have_failed[depth:]
            text = Text()
            if not is_silent:
                budget.spend()
                results.append(replace(result, is_of_collection=is_end))
                texts.append(text)
        elif text is not None and line.startswith(" "):
            text.add(line.strip())
    results = [_with_text(result, text, budget) for result, text in zip(results, texts, strict=True)]
    return Parsed(results, lists_all=not budget.is_spent)


def _result(parents: list[str], mark: str, rest: str) -> TestResult:
    timed = _TIME.match(rest)
    name, duration_s, directive = (timed[1], float(timed[2]) / 1000, timed[3]) if timed else (rest, 0.0, None)
    outcome = _OUTCOMES.get(mark, TestOutcome.SKIPPED)
    if directive is not None:
        outcome = TestOutcome.SKIPPED  # A test that is still to be done may fail.
    return TestResult(
        id=" > ".join([*parents, name]),
        outcome=outcome,
        duration_s=duration_s if is_duration(duration_s) else 0.0,
        message=(directive or "").lower() if directive == "TODO" else directive or "",
    )


def _with_text(result: TestResult, text: Text, budget: Budget) -> TestResult:
    if result.outcome is not TestOutcome.FAILED:
        return result
    return replace(result, message=text.first_line, text=budget.text(text))
