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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple

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

    @property
    def is_refusal(self) -> bool:
        return self.effect.kind in _REFUSALS

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Of two that fit equally well, the graver one; then the later one, which is the one that raised."""
        return self.effect.severity.rank, self.side.role is Role.WANTED, self.side.at_ns or 0

    @property
    def names(self) -> _Names:
        endpoint, location = self.effect.endpoint, self.side.location
        is_known = location is not None and location.line and self.side.role in _CALLERS
        return _Names(
            line=(location.file, location.line) if location is not None and is_known else None,
            port=str(endpoint.port) if endpoint.port else endpoint.address,
            is_refusal=self.is_refusal,
        )


class _Names(NamedTuple):
    """All of an effect that a failure can name. *line*: of the user that called, None if it is not known."""

    line: tuple[str, int] | None
    port: str
    is_refusal: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An explanation, and how well it fits."""

    happened: _Happened
    naming: _Naming

    @property
    def rank(self) -> tuple[int, tuple[int, bool, int]]:
        return self.naming, self.happened.rank


@dataclass(slots=True)
class _InCopy:
    """What happened in one copy. *by_names*: of all that a failure cannot tell apart, the one that fits best.

    A large run has thousands of effects, but few ports and lines: each failure is compared with these only.
    """

    everything: list[_Happened] = field(default_factory=list)
    by_test: defaultdict[str, list[_Happened]] = field(default_factory=lambda: defaultdict(list))
    by_names: dict[_Names, _Happened] = field(default_factory=dict)

    def add(self, happened: _Happened) -> None:
        self.everything.append(happened)
        self.by_test[happened.side.test].append(happened)
        names = happened.names
        if happened.rank > self.by_names.setdefault(names, happened).rank:
            self.by_names[names] = happened


class _Failure:
    """What the failure of a test says, asked for each name once."""

    def __init__(self, result: TestResult) -> None:
        self.text = _said(result)
        self.is_in_use = _IN_USE.search(self.text) is not None
        self._namings: dict[_Names, _Naming] = {}

    def candidate(self, happened: _Happened) -> _Candidate:
        names = happened.names
        if names not in self._namings:
            self._namings[names] = self._naming(names)
        return _Candidate(happened, self._namings[names])

    def _naming(self, names: _Names) -> _Naming:
        """The most telling of what it names: the line, the port or path, the error that the effect gave the test."""
        if names.line is not None and self._names_line(*names.line):
            return _Naming.LINE
        if names.port in self.text and re.search(rf"(?<![0-9]){re.escape(names.port)}(?![0-9])", self.text):
            return _Naming.PORT
        return _Naming.ERROR if names.is_refusal and self.is_in_use else _Naming.NOTHING

    def _names_line(self, file: str, line: int) -> bool:
        # The quick question first: few failures name a given file.
        return file in self.text and bool(re.search(rf"{re.escape(file)}(:|\", line ){line}\b", self.text))


def explain(
    findings: Sequence[Finding], results: Sequence[Sequence[TestResult]]
) -> tuple[list[Finding], dict[tuple[int, str], Explanation]]:
    """*findings*, each with the failed tests that it explains or may explain; and the explanation of each failed test
    that has one, by copy and id. *results*: of each copy.
    """
    by_copy: defaultdict[int, _InCopy] = defaultdict(_InCopy)
    for finding in findings:
        for happened in _happened(finding):
            if happened.side.party is not None:
                by_copy[happened.side.party.copy].add(happened)
    explanations = {
        (copy, result.id): explanation
        for copy, of_copy in enumerate(results)
        for result in of_copy
        if result.outcome in _FAILED and (explanation := _explanation(result, by_copy[copy]))
    }
    tests: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for (_, test), explanation in explanations.items():
        tests[explanation.finding][test] = None
    return [_with_failed_tests(finding, tests.get(finding.id, ())) for finding in findings], explanations


def names_a_taken_port(result: TestResult) -> bool:
    """Whether the failure of *result* says that an address was in use."""
    return _IN_USE.search(_said(result)) is not None


def _happened(finding: Finding) -> Iterator[_Happened]:
    for effect in finding.effects:
        if not effect.recovered:
            for side in effect.sides:
                if effect.kind not in _REFUSALS or side.role is Role.WANTED:
                    yield _Happened(finding, effect, side)


def _explanation(result: TestResult, in_its_copy: _InCopy) -> Explanation | None:
    failure = _Failure(result)
    happened = in_its_copy.everything if result.is_of_copy else in_its_copy.by_test.get(result.id, [])
    own = [failure.candidate(each) for each in happened]
    certain = [each for each in own if each.naming]
    if not certain and failure.is_in_use:
        # The error of a refusal of any test of the copy, raised again.
        others = (failure.candidate(each) for names, each in in_its_copy.by_names.items() if names.is_refusal)
        certain = [each for each in others if each.naming > _Naming.ERROR]
    if certain:
        return Explanation(max(certain, key=lambda each: each.rank).happened.finding.id, is_certain=True)
    possible = [each for each in own if _is_possible(each.happened, result, failure.text)]
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


def _is_possible(happened: _Happened, result: TestResult, text: str) -> bool:
    """Whether the effect may explain a failure that does not name it."""
    if happened.effect.severity is Severity.NOTE:
        return False
    if not happened.is_refusal or result.is_of_copy or result.outcome is TestOutcome.LOST:
        return True
    # A refusal in the test's own thread raised there, and the test went on.
    was_raised = happened.side.attribution in (AttributedBy.THREAD, AttributedBy.NONE)
    return not was_raised or not text.strip()


def _with_failed_tests(finding: Finding, tests: Iterable[str]) -> Finding:
    failed = tuple(tests)
    return replace(finding, failed_tests=failed) if failed else finding
