"""From what failed tests did alone to the answer why they failed beside others. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from parasuite.judge.report import Report
from parasuite.model.control import Control, ControlAnswer
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome

_PASSED, _FAILED = (TestOutcome.PASSED,), (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST)


def failed_tests(report: Report) -> list[str]:
    """The ids of the tests that failed in some copy, and of copies that failed as a whole; in their order."""
    failed = [result.id for results in report.results for result in results if result.outcome in _FAILED]
    return list(dict.fromkeys(failed))


def needs_all(report: Report) -> bool:
    """Whether a copy failed as a whole, so that it is not known which of its tests to run again."""
    return any(result.is_of_copy and result.outcome in _FAILED for results in report.results for result in results)


def passed_in(report: Report, test: str, copy: int = 0) -> bool | None:
    """Whether *test* passed in *copy* of a control run; None if it has no result there.

    A copy that ended well speaks for tests, and modules that could not be collected, of which it says nothing more.
    """
    results = [result for result in report.results[copy] if result.id == test]
    if not results:
        return True if report.copy_ends[copy].is_good and not _has_failed(report.results[copy]) else None
    if any(result.outcome in _FAILED for result in results):
        return False
    return True if any(result.outcome in _PASSED for result in results) else None


def controls_of(
    report: Report, alone: Sequence[Report], observed: Sequence[Report], apart: Report | None
) -> list[Control]:
    """The answer for each failed test of *report*. *alone*: of one copy without sensors; *observed*: with them.

    *apart*: of as many copies as *report* is about, without sensors, with a network each; None if there is none.
    """
    return [_control(report, test, alone, observed, apart) for test in failed_tests(report)]


def always_passes(test: str, runs: Sequence[Report]) -> bool:
    """Whether *test* passed in each of *runs*, of which there are some."""
    return bool(runs) and all(passed_in(run, test) for run in runs)


def are_worth_observing(report: Report, alone: Sequence[Report], observed: Sequence[Report]) -> bool:
    """Whether another observed run may tell something: of a test that always passes alone and never yet observed."""
    return any(
        always_passes(test, alone) and not any(passed_in(run, test) for run in observed)
        for test in failed_tests(report)
    )


def _has_failed(results: Sequence[TestResult]) -> bool:
    return any(result.outcome in _FAILED for result in results)


def _control(
    report: Report, test: str, alone: Sequence[Report], observed: Sequence[Report], apart: Report | None
) -> Control:
    known = [passed for run in alone if (passed := passed_in(run, test)) is not None]
    in_copies = [] if apart is None else [passed_in(apart, test, copy) for copy in range(len(apart.results))]
    known_apart = [passed for passed in in_copies if passed is not None]
    return Control(
        test=test,
        answer=_answer(report, test, alone, known, observed),
        passed=sum(known),
        runs=len(known),
        apart_passed=sum(known_apart),
        apart_runs=len(known_apart),
    )


def _answer(
    report: Report, test: str, alone: Sequence[Report], known: Sequence[bool], observed: Sequence[Report]
) -> ControlAnswer:
    if not known:
        return ControlAnswer.UNKNOWN
    if not any(known):
        return ControlAnswer.FAILS_ALONE
    if len(known) < len(alone) or not all(known):
        return ControlAnswer.PASSES_ALONE
    if observed and all(passed_in(run, test) is False for run in observed):
        return ControlAnswer.ONLY_OBSERVED
    is_explained = any(why.is_certain for (_, failed), why in report.explanations.items() if failed == test)
    return ControlAnswer.COLLISION if is_explained else ControlAnswer.PASSES_ALONE
