"""Which finding explains a failed test. Pure.

Theory of operation. A failure and a collision belong together if the collision happened to that test: one side of an
effect is the test (in that copy), nothing in the program recovered from it, and it happened before the test failed.
That makes the finding a possible explanation. It is a certain one only if the failure's own text names what the
collision left there: EADDRINUSE, for a refusal; the port (or path); or the file of the user's line.

A test that provokes a refusal on purpose and then fails for another reason must not be explained away. Its text names
neither, so the finding is only said to be possible, and not even that where the test went on past the effect: a
refusal raises at once, and a test that failed much later had handled it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from parasuite.judge.findings import Effect, Explanation, Finding, Side
from parasuite.model.causes import EffectKind
from parasuite.model.results import TestResult
from parasuite.model.words import Role, Severity, TestOutcome

_IN_USE = re.compile(
    r"EADDRINUSE|WSAEADDRINUSE|address already in use|address in use|port \S+ is (already )?(in use|allocated|taken)"
    r"|errno 98\b|errno 48\b|WinError 100(48|13)|only one usage of each socket address",
    re.IGNORECASE,
)
_FAILED = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST)
_REFUSALS = (EffectKind.REFUSED, EffectKind.FOREIGN)


@dataclass(frozen=True, slots=True)
class _Happened:
    """An effect that happened to one test of one copy; *side*: what the test did in it."""

    finding: Finding
    effect: Effect
    side: Side


def explain(
    findings: Sequence[Finding], results: Sequence[Sequence[TestResult]]
) -> tuple[list[Finding], dict[tuple[int, str], Explanation]]:
    """*findings*, each with the failed tests that it explains or may explain; and the explanation of each failed test
    that has one, by copy and id. *results*: of each copy.
    """
    by_copy: dict[int, list[_Happened]] = defaultdict(list)
    for finding in findings:
        for happened in _happened(finding):
            if happened.side.party is not None:
                by_copy[happened.side.party.copy].append(happened)
    explanations = {
        (copy, result.id): explanation
        for copy, of_copy in enumerate(results)
        for result in of_copy
        if result.outcome in _FAILED and (explanation := _explanation(result, by_copy.get(copy, [])))
    }
    return [_with_failed_tests(finding, explanations) for finding in findings], explanations


def _happened(finding: Finding) -> Iterator[_Happened]:
    for effect in finding.effects:
        if not effect.recovered:
            for side in effect.sides:
                yield _Happened(finding, effect, side)


def _explanation(result: TestResult, in_its_copy: Sequence[_Happened]) -> Explanation | None:
    text = f"{result.message}\n{result.text}"
    happened = [each for each in in_its_copy if each.side.test == result.id]
    certain = [each for each in happened if _is_named(each, text)]
    # The error of a fixture of a wider scope is raised again in every test that uses it.
    certain = certain or [each for each in in_its_copy if _is_of_fixture(each, text)]
    if certain:
        return Explanation(max(certain, key=_gravity).finding.id, is_certain=True)
    has_died = result.outcome is TestOutcome.LOST
    possible = [
        each
        for each in happened
        if each.effect.severity is not Severity.NOTE and (has_died or not _is_handled(each, text))
    ]
    return Explanation(max(possible, key=_gravity).finding.id, is_certain=False) if possible else None


def _gravity(happened: _Happened) -> tuple[int, bool]:
    return happened.effect.severity.rank, happened.side.role is Role.WANTED


def _is_named(happened: _Happened, text: str) -> bool:
    """Whether *text* names the error that the effect gave the test, or the port or path that it was about."""
    endpoint = happened.effect.endpoint
    name = str(endpoint.port) if endpoint.port else endpoint.address
    if re.search(rf"(?<![0-9]){re.escape(name)}(?![0-9])", text):
        return True
    return _is_refused(happened) and _IN_USE.search(text) is not None


def _is_refused(happened: _Happened) -> bool:
    return happened.effect.kind in _REFUSALS and happened.side.role is Role.WANTED


def _is_of_fixture(happened: _Happened, text: str) -> bool:
    """Whether *text* is the error of a refused bind at the very line of *happened*, whichever test came upon it."""
    location = happened.side.location
    if location is None or not _is_refused(happened) or not _IN_USE.search(text):
        return False
    return re.search(rf"{re.escape(location.file)}(:|\", line ){location.line}\b", text) is not None


def _is_handled(happened: _Happened, text: str) -> bool:
    """Whether the test was refused and its failure says nothing of it: it meant to be, or went on past it."""
    return _is_refused(happened) and bool(text.strip()) and _IN_USE.search(text) is None


def _with_failed_tests(finding: Finding, explanations: Mapping[tuple[int, str], Explanation]) -> Finding:
    tests = [test for (_, test), explanation in explanations.items() if explanation.finding == finding.id]
    return replace(finding, failed_tests=tuple(dict.fromkeys(tests))) if tests else finding
