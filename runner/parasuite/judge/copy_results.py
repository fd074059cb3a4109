"""From what a copy left behind to the results of its tests, and to a result of the copy itself where those say too
little. Pure.

A copy that ended badly although none of its tests failed, or that left results which cannot be read, gets a result of
its own, named "copy" (of a command: named like the program). Otherwise it would look as if it had passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from parasuite.judge.comparison import Comparison, compare
from parasuite.judge.report import COPY_ITSELF
from parasuite.judge.verdict import NO_TESTS_COLLECTED, has_run
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.words import CopyPhase, TestOutcome
from parasuite.record.command_results import TORN_LINES, CommandResults
from parasuite.record.tally import Tally

# Messages of a copy's own result.
NO_TEST_IN_COPY = "no test ran in this copy, though others ran some"
NO_TEST_EXPLAINS = "{end}, and no test result explains it"
IGNORED_FAILURES = (
    "copy {copy}: its command ended with exit status 0, so the tests that failed in it ({count}) are not counted"
)
STOPPED_EARLY = "not run: --fail-fast stopped its copy"
FOLDER_WAS_EMPTIED = "its folder was emptied: {reason}"


@dataclass(frozen=True, slots=True)
class CopyResults:
    """*tests*: of one copy. *is_complete*: whether they are all. *own*: the result of the copy itself, if needed.

    *note*: for people, "" if there is nothing to say.
    """

    tests: list[TestResult]
    is_complete: bool
    own: TestResult | None = None
    note: str = ""


def of_emptied_copy(reason: str) -> CopyResults:
    """Of a copy whose folder has lost files that parasuite itself put there: its results may be lost, too."""
    return CopyResults([], False, _of_copy(FOLDER_WAS_EMPTIED.format(reason=reason)))


def of_pytest_copy(end: CopyEnd, tally: Tally, output: str) -> CopyResults:
    """Of a copy that ran pytest. *output*: the end of what it printed."""
    tests = tally.results()
    if tally.unreadable and end.how is not CopyPhase.FAILED:
        return CopyResults(tests, False, _of_copy(tally.unreadable))
    if end.how is CopyPhase.STOPPED_EARLY:
        own = None if _has_failure(tests) else replace(_of_copy(str(end)), outcome=TestOutcome.NOT_RUN)
        return CopyResults(_not_run(tests), False, own)
    # A line that cannot be read may be the result of a test.
    is_complete = tally.has_ended and not tally.torn_lines
    if tally.torn_lines:
        return CopyResults(tests, is_complete, _of_copy(TORN_LINES.format(count=tally.torn_lines)))
    if end.is_good or _has_failure(tests) or _selected_nothing(end, tests):
        return CopyResults(tests, is_complete)
    message = NO_TEST_EXPLAINS.format(end=end) if end.how is CopyPhase.EXITED else str(end)
    return CopyResults(tests, is_complete, _of_copy(message, tally.internal_error or output))


def of_command_copy(end: CopyEnd, program: str, found: CommandResults, output: str) -> CopyResults:
    """Of a copy that ran *program*. *output*: the end of what it printed.

    Results that no option asked for do not overrule the exit status of the command. If it is 0, tests that failed
    were meant to, or the command ignores them; if it is not, the command may have stopped before other tests.
    """
    bad = TestOutcome.NOT_RUN if end.how is CopyPhase.STOPPED_EARLY else TestOutcome.FAILED
    whole = TestResult(
        id=Path(program).name,
        outcome=TestOutcome.PASSED if end.is_good else bad,
        duration_s=end.duration_s,
        message="" if end.is_good else str(end),
        text="" if end.is_good else output,
        is_of_copy=True,
    )
    tests = [*found.tests, *map(_of_copy, found.problems)]
    if end.how is CopyPhase.STOPPED_EARLY:
        tests = _not_run(tests)
    if not found.is_asked_for and end.is_good:
        failed = sum(result.outcome.is_bad for result in found.tests)
        if failed:
            return CopyResults([], False, whole, IGNORED_FAILURES.format(copy=end.copy, count=failed))
    is_complete = (
        (end.how is CopyPhase.EXITED if found.is_asked_for else end.is_good)
        and not found.problems
        and found.lists_all
    )
    if tests and (end.is_good or _has_failure(tests)):
        return CopyResults(tests, is_complete)
    return CopyResults(tests, is_complete, whole)


def compared(copies: Sequence[CopyResults]) -> tuple[Comparison, list[list[TestResult]]]:
    """The tests of the copies, compared; and for each copy all results, including its own.

    A copy in which no test ran, though tests ran in others, gets a result that says so, because nothing else would
    show it. If no test ran in any copy, the verdict says so.
    """
    has_tests = [any(map(has_run, [*copy.tests, *([copy.own] if copy.own else [])])) for copy in copies]
    is_complete = [copy.is_complete and ran for copy, ran in zip(copies, has_tests, strict=True)]
    comparison = compare([copy.tests for copy in copies], is_complete)
    empty = _of_copy(NO_TEST_IN_COPY)
    results = []
    for tests, copy, ran in zip(comparison.results, copies, has_tests, strict=True):
        own = copy.own or (empty if any(has_tests) and not ran else None)
        results.append([*tests, own] if own else tests)
    notes = [*comparison.notes, *(copy.note for copy in copies if copy.note)]
    return Comparison(comparison.results, notes), results


def _not_run(tests: Sequence[TestResult]) -> list[TestResult]:
    """*tests* of a copy that --fail-fast stopped: those that have no result for that reason are not lost."""
    return [
        replace(test, outcome=TestOutcome.NOT_RUN, message=STOPPED_EARLY)
        if test.outcome is TestOutcome.LOST
        else test
        for test in tests
    ]


def _of_copy(message: str, text: str = "") -> TestResult:
    return TestResult(id=COPY_ITSELF, outcome=TestOutcome.ERROR, message=message, text=text, is_of_copy=True)


def _selected_nothing(end: CopyEnd, tests: Sequence[TestResult]) -> bool:
    """Whether pytest ran to its end and found no test to run."""
    is_empty = end.how is CopyPhase.EXITED and end.status == NO_TESTS_COLLECTED
    return is_empty and all(result.is_of_collection for result in tests)


def _has_failure(tests: Sequence[TestResult]) -> bool:
    return any(result.outcome in (TestOutcome.FAILED, TestOutcome.ERROR) for result in tests)
