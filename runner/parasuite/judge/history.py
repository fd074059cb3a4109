"""What many runs say together: how often each finding was seen, and how often each test passed. Pure.

Theory of operation. The trial is a *round*, and not a copy of it: copies of one round collide with each other, so
they fail together, and an interval that took them for independent would be far too narrow. A finding counts as seen
in a round, or not; a test passed in a round if it passed in every copy that ran it.

Only rounds that are conclusive count as trials. In a round that was stopped, or in which parasuite could not see,
nothing follows from what was not found, and its tests may have failed because they were killed. What was found in
such a round was found nevertheless: it is counted apart.

A cause is often seen in every round, and only its effect is rare: a port that is released and bound again is
reported each time, and lost in one round of five. So each kind of effect has a rate of its own.

The interval is Wilson's (E. B. Wilson, 1927), which holds for few trials and for rates near 0 and 1, too: a test
that passed 20 times of 20 passes in at least 84 % of rounds, with 95 % confidence, and no more is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from parasuite.model.causes import EffectKind
from parasuite.model.run_record import Overlap
from parasuite.model.run_summary import FindingSummary, RunSummary, TestCount

PASSED_IN_ALL, FAILED_IN_SOME, DID_NOT_COUNT = "P", "F", "-"
"""What a round says of a test. It does not count if it is not conclusive, or did not run the test in any copy."""
_Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution: of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Rate:
    """*count* of *of* rounds."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """0.0 if there was no round."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share, by Wilson; (0, 1) if there was no round."""
        if not self.of:
            return 0.0, 1.0
        weight = _Z**2 / self.of
        middle = (self.share + weight / 2) / (1 + weight)
        half = _Z * math.sqrt(self.share * (1 - self.share) / self.of + weight / (4 * self.of)) / (1 + weight)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingHistory:
    """One finding over many runs. *worst*: as it was in the run where it was gravest, the latest of those.

    *seen*: in how many conclusive rounds. *seen_elsewhere*: in how many others. *effects*: in how many conclusive
    rounds each kind happened. *first*, *last*: the runs. *hosts*: where it was seen.
    """

    worst: FindingSummary
    seen: Rate
    seen_elsewhere: int
    effects: Mapping[EffectKind, Rate]
    first: RunSummary
    last: RunSummary
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestHistory:
    """One test over the conclusive rounds that ran it. *passed*: rounds in which it passed in every copy.

    *executions*: over the copies of all those rounds. *outcomes*: a letter for each run of the history, up to the
    last that counts: PASSED_IN_ALL, FAILED_IN_SOME, or DID_NOT_COUNT.
    """

    __test__ = False  # pytest would collect it as a test class because of its name.

    id: str
    passed: Rate
    executions: TestCount
    outcomes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """*runs*: in the order they were given, without findings and tests. *findings*: the gravest first, then the most
    often seen. *tests*: those that failed in the most rounds first. *overlap*: the sum over all runs.
    """

    runs: tuple[RunSummary, ...] = ()
    findings: tuple[FindingHistory, ...] = ()
    tests: tuple[TestHistory, ...] = ()
    overlap: Overlap = field(default_factory=Overlap)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the runs, without repeats."""
        return tuple(dict.fromkeys(run.host for run in self.runs))

    @property
    def conclusive(self) -> int:
        return sum(run.is_conclusive for run in self.runs)


class _Seen:
    """What is known of one finding so far."""

    __slots__ = ("effects", "elsewhere", "first", "hosts", "last", "rounds", "worst")

    def __init__(self, finding: FindingSummary, run: RunSummary) -> None:
        self.worst, self.first, self.last = finding, run, run
        self.rounds = self.elsewhere = 0
        self.effects: Counter[EffectKind] = Counter()
        self.hosts: dict[str, None] = {}

    def add(self, finding: FindingSummary, run: RunSummary) -> None:
        self.hosts[run.host] = None
        if run.started_s < self.first.started_s:
            self.first = run
        if run.started_s >= self.last.started_s:
            self.last = run
        if finding.severity.rank >= self.worst.severity.rank:
            self.worst = replace(finding, is_failing=finding.is_failing or self.worst.is_failing)
        if not run.is_conclusive:
            self.elsewhere += 1
            return
        self.rounds += 1
        self.effects.update(finding.effects)


class HistoryBuilder:
    """Takes the summaries of runs one by one. Of each run it keeps a line about it, and a byte for each test."""

    def __init__(self) -> None:
        self._runs: list[RunSummary] = []
        self._seen: dict[str, _Seen] = {}
        # Of each test: the letters of its rounds, as ASCII; copies that it passed and failed in.
        self._tests: dict[str, tuple[bytearray, TestCount]] = {}

    def add(self, summary: RunSummary) -> None:
        run = replace(summary, findings=(), tests={})
        self._runs.append(run)
        for finding in summary.findings:
            self._seen.setdefault(finding.id, _Seen(finding, run)).add(finding, run)
        if summary.is_conclusive:
            for test_id, count in summary.tests.items():
                self._add_test(test_id, count)

    def _add_test(self, test_id: str, count: TestCount) -> None:
        letters, so_far = self._tests.get(test_id) or (bytearray(), TestCount())
        letters += DID_NOT_COUNT.encode() * (len(self._runs) - 1 - len(letters))
        letters += (FAILED_IN_SOME if count.failed else PASSED_IN_ALL if count.passed else DID_NOT_COUNT).encode()
        self._tests[test_id] = letters, TestCount(so_far.passed + count.passed, so_far.failed + count.failed)

    def history(self) -> History:
        conclusive = sum(run.is_conclusive for run in self._runs)
        findings = [_finding_history(seen, conclusive) for seen in self._seen.values()]
        tests = [
            _test_history(test_id, letters.decode(), executions)
            for test_id, (letters, executions) in self._tests.items()
        ]
        return History(
            runs=tuple(self._runs),
            findings=tuple(sorted(findings, key=_by_weight)),
            tests=tuple(sorted(tests, key=lambda test: test.passed.count - test.passed.of)),
            overlap=_sum([run.overlap for run in self._runs]),
        )


def _finding_history(seen: _Seen, conclusive: int) -> FindingHistory:
    return FindingHistory(
        worst=seen.worst,
        seen=Rate(seen.rounds, conclusive),
        seen_elsewhere=seen.elsewhere,
        effects={kind: Rate(seen.effects[kind], conclusive) for kind in EffectKind if seen.effects[kind]},
        first=seen.first,
        last=seen.last,
        hosts=tuple(seen.hosts),
    )


def _test_history(test_id: str, outcomes: str, executions: TestCount) -> TestHistory:
    passed = outcomes.count(PASSED_IN_ALL)
    return TestHistory(test_id, Rate(passed, passed + outcomes.count(FAILED_IN_SOME)), executions, outcomes)


def _by_weight(finding: FindingHistory) -> tuple[int, int]:
    return -finding.worst.severity.rank, -finding.seen.count


def _sum(overlaps: Sequence[Overlap]) -> Overlap:
    return Overlap(
        any_s=sum(each.any_s for each in overlaps),
        two_s=sum(each.two_s for each in overlaps),
        all_s=sum(each.all_s for each in overlaps),
    )
