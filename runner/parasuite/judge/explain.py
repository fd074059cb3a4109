"""Which finding explains a failed test. Pure.

Theory of operation. A failure and a collision belong together if the collision happened to that test: one side of an
effect is the test (in that copy), and nothing in the program recovered from it. To the holder of a port that another
party was refused, nothing happened. That makes the finding a possible explanation. It is a certain one only if what
the failure says names what the collision left there: EADDRINUSE, for a refusal; the port (or path); or the line of
the user that was refused or connected. What it says is its message, its traceback without the source lines, and what
the test printed: source that mentions a port says nothing of why the test failed.

The error of a fixture of a wider scope is raised again in every test that uses it. So a refusal also explains the
failures of other tests of its copy whose text names the error together with the port or the line.

A test that provokes a refusal on purpose and then fails for another reason must not be explained away. Its text names
neither, so nothing is said: a refusal raises at once in the thread that made the call, and a test that failed later
had handled it. Where another thread or process was refused (a server that the test had started), the test only
notices that nothing answers, and the finding is a possible explanation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from parasuite.judge.findings import Effect, Explanation, Finding, Side
from parasuite.model.causes import EffectKind
from parasuite.model.results import TestResult
from parasuite.model.words import AttributedBy, Role, Severity, TestOutcome

_IN_USE = re.compile(
    r"EADDRINUSE|WSAEADDRINUSE|address already in use|address in use|port \S+ is (already )?(in use|allocated|taken)"
    r"|errno 98\b|errno 48\b|WinError 100(48|13)|only one usage of each socket address",
    re.IGNORECASE,
)
_FAILED = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST)
_REFUSALS = (EffectKind.REFUSED, EffectKind.FOREIGN)
_CALLERS = (Role.WANTED, Role.CLIENT)
_CAPTURED = re.compile(r"^-+ ?Captured .*-+$", re.MULTILINE)
_PYTEST_LOCATION = re.compile(r"\S.*:\d+:( |$)")
_PYTHON_LOCATION = re.compile(r'\s*File ".*", line \d+')


class _Naming(IntEnum):
    """What a failure says of an effect, the least first."""

    NOTHING = 0
    ERROR = 1
    PORT = 2
    LINE = 3


@dataclass(frozen=True, slots=True)
class _Happened:
    """An effect that happened to one test of one copy; *side*: what the test did in it."""

    finding: Finding
    effect: Effect
    side: Side


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An explanation, and how well it fits."""

    happened: _Happened
    naming: _Naming

    @property
    def rank(self) -> tuple[int, int, bool, int]:
        """Of two that fit equally well, the graver one; then the later one, which is the one that raised."""
        side = self.happened.side
        return self.naming, self.happened.effect.severity.rank, side.role is Role.WANTED, side.at_ns or 0


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


def names_a_taken_port(result: TestResult) -> bool:
    """Whether the failure of *result* says that an address was in use."""
    return _IN_USE.search(_said(result)) is not None


def _happened(finding: Finding) -> Iterator[_Happened]:
    for effect in finding.effects:
        if not effect.recovered:
            for side in effect.sides:
                if effect.kind not in _REFUSALS or side.role is Role.WANTED:
                    yield _Happened(finding, effect, side)


def _explanation(result: TestResult, in_its_copy: Sequence[_Happened]) -> Explanation | None:
    text = _said(result)
    candidates = [_Candidate(happened, _naming(happened, text)) for happened in in_its_copy]
    own = [each for each in candidates if result.is_of_copy or each.happened.side.test == result.id]
    certain = [each for each in own if each.naming]
    certain = certain or [each for each in candidates if _is_raised_again(each, text)]
    if certain:
        return Explanation(max(certain, key=lambda each: each.rank).happened.finding.id, is_certain=True)
    possible = [each for each in own if _is_possible(each.happened, result, text)]
    if possible:
        return Explanation(max(possible, key=lambda each: each.rank).happened.finding.id, is_certain=False)
    return None


def _said(result: TestResult) -> str:
    """The message of *result*, its traceback without source lines, and what it printed."""
    traceback, printed = result.text, ""
    if result.is_of_copy:
        traceback, printed = "", result.text
    elif captured := _CAPTURED.search(traceback):
        traceback, printed = traceback[: captured.start()], traceback[captured.start() :]
    lines = traceback.splitlines()
    if any(line.startswith("E  ") for line in lines):
        # As pytest writes it. Arguments and local variables are source, too.
        lines = [line for line in lines if line.startswith("E  ") or _PYTEST_LOCATION.match(line)]
    else:
        lines = [
            line
            for before, line in zip(["", *lines], lines, strict=False)
            if not _PYTHON_LOCATION.match(before) or _PYTHON_LOCATION.match(line)
        ]
    return "\n".join([result.message, *lines, printed])


def _naming(happened: _Happened, text: str) -> _Naming:
    """The most telling of what *text* names: the line, the port or path, the error that the effect gave the test."""
    if _names_line(happened, text):
        return _Naming.LINE
    if _names_port(happened, text):
        return _Naming.PORT
    is_refusal = happened.effect.kind in _REFUSALS
    return _Naming.ERROR if is_refusal and _IN_USE.search(text) else _Naming.NOTHING


def _names_line(happened: _Happened, text: str) -> bool:
    location = happened.side.location
    if location is None or not location.line or happened.side.role not in _CALLERS:
        return False
    return re.search(rf"{re.escape(location.file)}(:|\", line ){location.line}\b", text) is not None


def _names_port(happened: _Happened, text: str) -> bool:
    endpoint = happened.effect.endpoint
    name = str(endpoint.port) if endpoint.port else endpoint.address
    return re.search(rf"(?<![0-9]){re.escape(name)}(?![0-9])", text) is not None


def _is_raised_again(candidate: _Candidate, text: str) -> bool:
    """Whether *text*, of any test of the copy, is the error of the refusal of *candidate*."""
    is_refusal = candidate.happened.effect.kind in _REFUSALS
    return is_refusal and candidate.naming > _Naming.ERROR and _IN_USE.search(text) is not None


def _is_possible(happened: _Happened, result: TestResult, text: str) -> bool:
    """Whether the effect may explain a failure that does not name it."""
    if happened.effect.severity is Severity.NOTE:
        return False
    if happened.effect.kind not in _REFUSALS or result.is_of_copy or result.outcome is TestOutcome.LOST:
        return True
    # A refusal in the test's own thread raised there, and the test went on.
    was_raised = happened.side.attribution in (AttributedBy.THREAD, AttributedBy.NONE)
    return not was_raised or not text.strip()


def _with_failed_tests(finding: Finding, explanations: Mapping[tuple[int, str], Explanation]) -> Finding:
    tests = [test for (_, test), explanation in explanations.items() if explanation.finding == finding.id]
    return replace(finding, failed_tests=tuple(dict.fromkeys(tests))) if tests else finding
