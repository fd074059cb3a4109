"""From results, findings and the health of the sensors to one verdict and one exit code. Pure.

This module alone decides what `parasuite run` and `parasuite report` exit with. `decide` judges what lies in the run
folder, `with_problems` adds what could not be written there, and `as_recorded` lets `report` exit as the run did.

With `--exit-code suite`, a run has a verdict like any other, but exits with the code of the suite, because parasuite
is only an observer. A run that was stopped, or whose supervisor died, has the code of its verdict in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from parasuite.judge.findings import Finding
from parasuite.judge.health import Health
from parasuite.model.copy_life import CopyEnd
from parasuite.model.proof import ProofOutcome
from parasuite.model.results import TestResult
from parasuite.model.words import CopyPhase, ExitCodeFrom, FailOn, RunEnd, Severity, TestOutcome


class ExitCode(IntEnum):
    """What `parasuite run` and `parasuite report` exit with; `decide` says which comes first."""

    PASSED = 0
    TEST_FAILED = 1
    USAGE = 2
    BLIND = 3
    NO_TESTS = 4
    FINDINGS = 66
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def is_conclusive(self) -> bool:
        """Whether a run with this code says something about the suite: it ran to its end, and parasuite could see."""
        return self in (ExitCode.PASSED, ExitCode.TEST_FAILED, ExitCode.FINDINGS)


# The reasons of a verdict.
PASSED = "passed"
FAILED = "failed"
PORT_FINDINGS = "all tests passed, but there are port findings"
NO_TEST_RAN = "no test ran in any copy"
BLIND = "blind: {why}"
PARASUITE_FAILED = "parasuite failed: {why}"
INTERRUPTED = "interrupted"
TERMINATED = "terminated"
SUPERVISOR_DIED = "blind: the supervisor died, so nothing after that was watched"
NO_END = "unfinished: parasuite itself was killed"
# A note about a verdict that `report` would not have come to.
RECORD_HAS_CHANGED = "the record has changed since the run ended; judged again, it says: {reason}"

_VERDICT_ON_END = {
    RunEnd.INTERRUPTED: (ExitCode.INTERRUPTED, INTERRUPTED),
    RunEnd.TERMINATED: (ExitCode.TERMINATED, TERMINATED),
    RunEnd.SUPERVISOR_LOST: (ExitCode.BLIND, SUPERVISOR_DIED),
    RunEnd.NONE: (ExitCode.BLIND, NO_END),
}
NO_TESTS_COLLECTED = 5
"""pytest's own exit status if it collected no test."""
_SIGNALLED = 128
"""POSIX.1-2017, Shell Command Language, 2.8.2: the status of a command that a signal ended is above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end of a run. *reason*: one line for people. *failing*: findings at or above `--fail-on`.

    *suite_code*: the suite's own exit code, if the run is to have that instead of *code*.
    """

    code: ExitCode
    reason: str
    failing: tuple[Finding, ...] = ()
    suite_code: int | None = None

    @property
    def exit_code(self) -> int:
        """What parasuite exits with."""
        return int(self.code) if self.suite_code is None else self.suite_code


def code_of_stop(ended: RunEnd) -> ExitCode | None:
    """What to exit with if *ended* says that a signal came; None if it says anything else."""
    return _VERDICT_ON_END[ended][0] if ended in (RunEnd.INTERRUPTED, RunEnd.TERMINATED) else None


def code_of_proof(outcome: ProofOutcome, run: Verdict | None) -> ExitCode:
    """What `parasuite repro` exits with. *run*: the verdict of the provoked run; None if there was none."""
    if run is not None and run.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        return run.code
    if outcome.is_reproduced:
        return ExitCode.FINDINGS
    is_silent = outcome in (ProofOutcome.NOT_PROVOKED, ProofOutcome.INCONCLUSIVE)
    return ExitCode.BLIND if is_silent else ExitCode.PASSED


def has_run(result: TestResult) -> bool:
    """Whether pytest got as far as the test of *result*, even if only to skip it; true of a copy's own result."""
    return not result.is_of_collection and result.outcome not in (TestOutcome.NOT_RUN, TestOutcome.NOT_COLLECTED)


def is_failing(finding: Finding, fail_on: FailOn) -> bool:
    """Whether *finding* counts, and is at or above *fail_on*."""
    if finding.suppressed is not None or fail_on is FailOn.NEVER:
        return False
    return finding.severity.rank >= Severity(fail_on).rank


def decide(
    *,
    copy_ends: Sequence[CopyEnd],
    results: Sequence[Sequence[TestResult]],
    findings: Sequence[Finding],
    health: Health,
    fail_on: FailOn,
    ended: RunEnd,
    errors: Sequence[str],
    is_pytest: bool,
    exit_code_from: ExitCodeFrom = ExitCodeFrom.PARASUITE,
) -> Verdict:
    """The verdict, the first that applies: stopped early, blind, tests failed, nothing ran, findings, passed.

    *errors*: what parasuite itself failed at. *is_pytest*: whether every test that ran has a result, so that nothing
    ran where there is none.
    """
    failing = tuple(finding for finding in findings if is_failing(finding, fail_on))
    code, reason = (
        _VERDICT_ON_END.get(ended) or _inconclusive(health, errors) or _on_tests(copy_ends, results, is_pytest)
    ) or ((ExitCode.FINDINGS, PORT_FINDINGS) if failing else (ExitCode.PASSED, PASSED))
    is_suites = exit_code_from is ExitCodeFrom.SUITE and ended is RunEnd.COMPLETE
    return Verdict(
        code=code, reason=reason, failing=failing, suite_code=_suite_code(copy_ends) if is_suites else None
    )


def _suite_code(copy_ends: Sequence[CopyEnd]) -> int:
    """The first exit code of a copy that is not 0, as a shell gives it: 128 + n for a program that signal n killed.

    One that could not be executed has a shell's code for that, too: 127 or 126. A copy that was not started for
    another reason has no code to pass on, and neither has one that parasuite stopped (--timeout), since its program
    may answer that signal with a 0. Both count as failed.
    """
    # A copy that --fail-fast stopped has no code of its own: another copy's says why.
    codes = (_code_of_copy(end) for end in sorted(copy_ends, key=lambda end: end.how is CopyPhase.STOPPED_EARLY))
    return next((code for code in codes if code != 0), 0)


def _code_of_copy(end: CopyEnd) -> int:
    if end.how not in (CopyPhase.EXITED, CopyPhase.FAILED) or end.status is None:
        return ExitCode.TEST_FAILED
    return end.status if end.status >= 0 else _SIGNALLED - end.status


def _inconclusive(health: Health, errors: Sequence[str]) -> tuple[ExitCode, str] | None:
    if errors:
        return ExitCode.BLIND, PARASUITE_FAILED.format(why=errors[0])
    if health.blind:
        return ExitCode.BLIND, BLIND.format(why=health.blind)
    return None


def _on_tests(
    copy_ends: Sequence[CopyEnd], results: Sequence[Sequence[TestResult]], is_pytest: bool
) -> tuple[ExitCode, str] | None:
    if any(result.outcome.is_bad for copy in results for result in copy):
        return ExitCode.TEST_FAILED, FAILED
    # pytest ends with 0 too where nothing ran: --collect-only, --version, a conftest that calls pytest.exit.
    ran = any(has_run(result) for copy in results for result in copy)
    if is_pytest and not ran and all(end.status in (0, NO_TESTS_COLLECTED) for end in copy_ends):
        return ExitCode.NO_TESTS, NO_TEST_RAN
    if not all(end.is_good for end in copy_ends):
        return ExitCode.TEST_FAILED, FAILED
    return None


def with_problems(decided: Verdict, problems: Sequence[str]) -> Verdict:
    """*decided*, but BLIND if the run ended well so far and *problems* says what could not be written."""
    if not problems or decided.code not in (ExitCode.PASSED, ExitCode.NO_TESTS, ExitCode.FINDINGS):
        return decided
    return replace(decided, code=ExitCode.BLIND, reason=PARASUITE_FAILED.format(why=problems[0]))


def as_recorded(decided: Verdict, code: int | None, reason: str, exit_code: int | None = None) -> tuple[Verdict, str]:
    """*decided*, but with the *code* and *reason* in run.json, if there are any: `report` exits as the run did.

    *exit_code*: what the run exited with, which is not *code* if it is the suite's own.

    The run may know what its folder does not show, such as a report that could not be written. Also a note, if
    judging the record again comes to another verdict; else "".
    """
    if code is None or code not in set(ExitCode):
        return decided, ""
    suite_code = exit_code if exit_code != code else None
    recorded = replace(decided, code=ExitCode(code), reason=reason, suite_code=suite_code)
    is_other = decided.code != recorded.code != ExitCode.BLIND
    return recorded, RECORD_HAS_CHANGED.format(reason=decided.reason) if is_other else ""
