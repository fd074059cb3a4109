"""TAP 13 and 14 (testanything.org), as `node --test` and others print it: subtests, SKIP, TODO, YAML blocks.

A result's id is the names of its parents and its own, joined by " > ". A suite (node's describe) is not a test; it
has a result only if it failed although none of its tests did. If fewer tests were reported than the plan ("1..8")
announces, one result says that the others are lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from parasuite.model.results import TestResult, is_duration
from parasuite.model.words import TestOutcome
from parasuite.record.outputs.results import Budget, Lines, Parsed, Text

VERSION = re.compile(r"TAP version 1[34]\Z")
_POINT = re.compile(r"(not )?ok\b(?: +\d+)?(?: +-)? ?(.*)\Z")
_PLAN = re.compile(r"1\.\.(\d{1,9})(?: *#.*)?\Z")
_DIRECTIVE = re.compile(r"(?<!\\) # *(SKIP\S*|TODO)\b *(.*)\Z", re.IGNORECASE)
_FIELD = re.compile(r"(\w+): (.*)\Z")
LOST = "the plan announces {planned:,} tests, and {reported:,} were reported"
_INDENT = 4
_DEPTH_MAX = 50


@dataclass(slots=True)
class _Point:
    """A line "ok" or "not ok", and the YAML block below it."""

    names: tuple[str, ...]
    is_ok: bool
    directive: str
    reason: str
    children: list[_Point]
    fields: dict[str, str] = field(default_factory=dict)
    yaml: Text = field(default_factory=Text)


def parse_tap(lines: Lines) -> Parsed:
    """The results in a TAP stream."""
    budget = Budget()
    results: list[TestResult] = []
    # For each depth, the parents that have been announced ("# Subtest: name") and the points not yet claimed by one.
    parents: list[str] = []
    waiting: list[list[_Point]] = [[]]
    point: _Point | None = None
    planned = reported = 0
    key = ""
    in_yaml = False
    for line in lines:
        if budget.is_spent:
            return Parsed(results, lists_all=False)
        text = line.lstrip(" ")
        depth, odd = divmod(len(line) - len(text), _INDENT)
        if in_yaml and point is not None:
            inner = line.removeprefix(" " * (_INDENT * (len(point.names) - 1) + 2))
            if inner == "...":
                in_yaml = False
            elif (found := _FIELD.match(inner)) is not None:
                key = found[1]
                point.fields[key] = found[2].strip("'\"")
            elif point.fields.get(key) == "|-":
                point.fields[key] = inner.strip()  # Of a text of several lines, the first.
            if not in_yaml:
                continue
            point.yaml.add(inner)
        elif point is not None and text == "---" and odd == 2:
            in_yaml, key = True, ""
        elif odd or depth > _DEPTH_MAX:
            continue
        elif text.startswith("# Subtest: "):
            parents[depth:] = [_unescaped(text.removeprefix("# Subtest: "))]
            waiting += [[] for _ in range(depth + 2 - len(waiting))]
        elif depth == 0 and (found := _PLAN.match(text)) is not None:
            planned += int(found[1])  # Several programs may print a stream each.
        elif (found := _POINT.match(text)) is not None and depth < len(waiting):
            if depth == 0:
                reported += 1
                results += _results(waiting[0], budget)
                waiting[0] = []
            children = waiting[depth + 1] if depth + 1 < len(waiting) else []
            del waiting[depth + 1 :]
            budget.spend()
            point = _point(tuple(parents[:depth]), not found[1], found[2], children)
            waiting[depth].append(point)
            waiting.append([])
    results += [result for points in waiting for result in _results(points, budget)]
    if planned > reported:
        results.append(_lost(planned, reported))
    return Parsed(results, lists_all=planned <= reported)


def _lost(planned: int, reported: int) -> TestResult:
    return TestResult(
        id="the rest of the plan", outcome=TestOutcome.LOST, message=LOST.format(planned=planned, reported=reported)
    )


def _point(parents: tuple[str, ...], is_ok: bool, rest: str, children: list[_Point]) -> _Point:
    directive = _DIRECTIVE.search(rest)
    name = _unescaped(rest[: directive.start()] if directive else rest).strip()
    word, reason = (directive[1].upper()[:4], directive[2]) if directive else ("", "")
    return _Point((*parents, name), is_ok, word, reason, children)


def _unescaped(name: str) -> str:
    return name.replace("\\#", "#").replace("\\\\", "\\")


def _results(points: list[_Point], budget: Budget) -> list[TestResult]:
    return [result for point in points for result in _of_point(point, budget)]


def _of_point(point: _Point, budget: Budget) -> list[TestResult]:
    inner = _results(point.children, budget)
    is_suite = point.fields.get("type") == "suite"
    if is_suite and (point.is_ok or any(result.outcome.is_bad for result in inner)):
        return inner
    outcome, message = TestOutcome.PASSED, ""
    if point.directive:
        # A test that is still to be done may fail.
        outcome, message = TestOutcome.SKIPPED, point.reason or point.directive.lower()
    elif not point.is_ok:
        outcome, message = TestOutcome.FAILED, point.fields.get("error") or point.fields.get("message", "")
    result = TestResult(
        id=" > ".join(point.names),
        outcome=outcome,
        duration_s=_seconds(point.fields.get("duration_ms", "")),
        message=message,
        text=budget.text(point.yaml if outcome is TestOutcome.FAILED else ""),
        is_of_collection=is_suite,
    )
    return [*inner, result]


def _seconds(text: str) -> float:
    """A duration in milliseconds as seconds; 0 if *text* is none."""
    try:
        seconds = float(text) / 1000
    except ValueError:
        return 0.0
    return seconds if is_duration(seconds) else 0.0
