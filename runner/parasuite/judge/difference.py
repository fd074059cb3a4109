"""What differs between two runs, or two series: new findings, those not seen any more, those still there. Pure.

Findings are compared by id, which contains no pid, port that the kernel drew, copy or time. That a finding is seen
proves that it is there. That it is not seen proves little if it was seen in one round of five before: so each finding
that is gone says how likely it is to be missed by chance, and what else makes its absence prove less is listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parasuite.judge.history import FindingHistory, History, TestHistory

OTHER_TARGET = "they ran different targets: {old}, and {new}"
OTHER_SELECTION = "they selected tests differently: {old}, and {new}"
FEWER_COPIES = "the new one had {new} copies, the old one {old}: fewer can collide"
NOT_CONCLUSIVE = "{count} of {of} runs of the {side} one prove nothing by what they did not find"
NO_EVIDENCE = "no run of the new one is conclusive: what is not seen any more may still be there"
TESTS_MISSING = "{count} tests of the old one did not run in the new one"


@dataclass(frozen=True, slots=True)
class Gone:
    """A finding that is not seen any more. *chance*: an upper bound of the probability that this is by chance: that
    all new rounds miss a finding whose rate is the least that the old rounds allow (with 95 % confidence).
    """

    finding: FindingHistory
    chance: float


@dataclass(frozen=True, slots=True)
class Still:
    """A finding that is seen in both."""

    old: FindingHistory
    new: FindingHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """*new*, *gone*, *still*: findings. *broken*: tests that fail, and did not fail or run before. *mended*: tests
    that failed and ran without a failure. *caveats*: why absence proves less, a sentence each.
    """

    new: tuple[FindingHistory, ...]
    gone: tuple[Gone, ...]
    still: tuple[Still, ...]
    broken: tuple[TestHistory, ...]
    mended: tuple[TestHistory, ...]
    caveats: tuple[str, ...]


def difference(old: History, new: History) -> Difference:
    """What *new* has and *old* has not, and the other way round."""
    before = {finding.worst.id: finding for finding in old.findings}
    after = {finding.worst.id: finding for finding in new.findings}
    tests_before = {test.id: test for test in old.tests}
    tests_after = {test.id: test for test in new.tests}
    return Difference(
        new=tuple(finding for name, finding in after.items() if name not in before),
        gone=tuple(_gone(finding, new) for name, finding in before.items() if name not in after),
        still=tuple(Still(before[name], finding) for name, finding in after.items() if name in before),
        broken=tuple(test for test in new.tests if _fails(test) and not _fails(tests_before.get(test.id))),
        mended=tuple(
            test for test in old.tests if _fails(test) and test.id in tests_after and _passes(tests_after[test.id])
        ),
        caveats=tuple(_caveats(old, new)),
    )


def _gone(finding: FindingHistory, new: History) -> Gone:
    least, _ = finding.seen.interval
    return Gone(finding, (1 - least) ** new.conclusive)


def _fails(test: TestHistory | None) -> bool:
    return test is not None and test.passed.count < test.passed.of


def _passes(test: TestHistory) -> bool:
    return test.passed.of > 0 and test.passed.count == test.passed.of


def _caveats(old: History, new: History) -> Iterator[str]:
    if _targets(old) != _targets(new):
        yield OTHER_TARGET.format(old=", ".join(_targets(old)), new=", ".join(_targets(new)))
    elif _selections(old) != _selections(new):
        yield OTHER_SELECTION.format(old=", ".join(_selections(old)), new=", ".join(_selections(new)))
    most_before = max((run.copies for run in old.runs), default=0)
    most_after = max((run.copies for run in new.runs), default=0)
    if most_after < most_before:
        yield FEWER_COPIES.format(old=most_before, new=most_after)
    for side, history in (("old", old), ("new", new)):
        blind = len(history.runs) - history.conclusive
        if blind:
            yield NOT_CONCLUSIVE.format(count=blind, of=len(history.runs), side=side)
    if not new.conclusive:
        yield NO_EVIDENCE
        return
    ran = {test.id for test in new.tests if test.passed.of}
    if missing := sum(test.passed.of > 0 and test.id not in ran for test in old.tests):
        yield TESTS_MISSING.format(count=missing)


def _targets(history: History) -> list[str]:
    return sorted({run.target for run in history.runs})


def _selections(history: History) -> list[str]:
    return sorted({" ".join(run.selection) or "all" for run in history.runs})
