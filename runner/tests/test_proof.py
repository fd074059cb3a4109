"""What a provoked run proves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parasuite.judge.proof import proof_of
from parasuite.judge.provocation import Provocation
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, Verdict, code_of_proof
from parasuite.model.causes import Cause
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Endpoint, PortTaken
from parasuite.model.proof import ProofOutcome
from parasuite.model.results import TestResult
from parasuite.model.suspect import StoredFinding
from parasuite.model.words import CopyPhase, Protocol, TestOutcome

from runner.tests.building import a_report, by

FINDING = StoredFinding(
    id="0123456789",
    cause=Cause.HARD_CODED,
    title="",
    protocol=Protocol.TCP,
    address="127.0.0.1",
    port=8025,
    tests=(),
    places=(),
    programs=(),
)
TAKEN = PortTaken(t_ns=5_000_000_000, endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 8025))
NOT_TAKEN = PortTaken(t_ns=5_000_000_000, endpoint=TAKEN.endpoint, errno="EADDRINUSE")


def run_of(*results: TestResult, status: int = 0, **provoked: object) -> Report:
    """A report of one copy with *results*, and what was provoked in it."""
    end = CopyEnd(copy=0, how=CopyPhase.EXITED, status=status)
    provocation = Provocation(**provoked)  # type: ignore[arg-type]
    return a_report(copy_ends=[end], results=[list(results)], provocation=provocation)


def a_test(outcome: TestOutcome, started_s: float = 6.0, **more: object) -> TestResult:
    values = {"id": "t.py::test", "outcome": outcome, "duration_s": 1.0, "started_ns": int(started_s * 1e9)}
    return TestResult(**values | more)  # type: ignore[arg-type]


PASSED, FAILED = a_test(TestOutcome.PASSED), a_test(TestOutcome.FAILED, message="OSError: in use\nmore")


@pytest.mark.parametrize(
    ("report", "outcome", "code"),
    [
        (run_of(FAILED, taken=[TAKEN]), ProofOutcome.FAILED, ExitCode.FINDINGS),
        (run_of(PASSED, taken=[TAKEN], visits=1), ProofOutcome.CROSSTALK, ExitCode.FINDINGS),
        (run_of(PASSED, taken=[TAKEN], has_recovered=True), ProofOutcome.RETRIED, ExitCode.PASSED),
        (run_of(PASSED, taken=[TAKEN]), ProofOutcome.UNNOTICED, ExitCode.PASSED),
        (run_of(PASSED), ProofOutcome.NOT_ASKED, ExitCode.PASSED),
        (run_of(FAILED), ProofOutcome.INCONCLUSIVE, ExitCode.BLIND),
        (run_of(PASSED, not_taken=[NOT_TAKEN]), ProofOutcome.INCONCLUSIVE, ExitCode.BLIND),
        (run_of(PASSED, why_unable="no seccomp"), ProofOutcome.INCONCLUSIVE, ExitCode.BLIND),
    ],
)
def test_each_end_of_a_provoked_run_has_its_outcome_and_exit_code(
    report: Report, outcome: ProofOutcome, code: ExitCode
) -> None:
    assert proof_of(FINDING, report, "proof/x").outcome == outcome
    assert code_of_proof(outcome, report.verdict) == code


def test_a_copy_that_hung_is_a_proof_although_the_files_that_it_left_cannot_be_read() -> None:
    hung = CopyEnd(copy=0, how=CopyPhase.TIMED_OUT, status=None)
    blind = Verdict(code=ExitCode.BLIND, reason="out.xml is not a JUnit file")
    report = replace(run_of(taken=[TAKEN]), copy_ends=[hung], verdict=blind)
    assert proof_of(FINDING, report, "").outcome == ProofOutcome.HUNG
    assert proof_of(FINDING, replace(report, provocation=Provocation()), "").outcome == ProofOutcome.INCONCLUSIVE


def test_a_test_that_failed_before_the_port_was_taken_proves_nothing() -> None:
    early = a_test(TestOutcome.FAILED, started_s=1.0)
    assert proof_of(FINDING, run_of(early, PASSED, taken=[TAKEN]), "").outcome == ProofOutcome.UNNOTICED


def test_a_test_that_asked_for_the_port_counts_although_its_duration_ends_before() -> None:
    # On a busy machine, much time passes between the phases of a test, and its duration contains none of it.
    asking = a_test(TestOutcome.FAILED, started_s=4.9, duration_s=0.02)
    taken = replace(TAKEN, caller=by(0, 100, test=asking.id))
    assert proof_of(FINDING, run_of(asking, taken=[taken]), "").outcome == ProofOutcome.FAILED
    assert proof_of(FINDING, run_of(asking, taken=[TAKEN]), "").outcome == ProofOutcome.UNNOTICED


def test_the_first_line_of_the_failure_is_the_message() -> None:
    proof = proof_of(FINDING, run_of(FAILED, taken=[TAKEN]), "proof/x")
    assert (proof.message, proof.tests, proof.endpoints) == ("OSError: in use", ("t.py::test",), ("127.0.0.1:8025",))


def test_of_what_a_program_printed_the_last_line_that_names_an_error_is_the_message() -> None:
    printed = "starting\nError: listen EADDRINUSE: address already in use\n    at node:net\n\nNode.js v20.20.2\n"
    whole = TestResult(id="node", outcome=TestOutcome.FAILED, message="exit status 1", text=printed, is_of_copy=True)
    proof = proof_of(FINDING, run_of(whole, status=1, taken=[TAKEN]), "")
    assert proof.message == "Error: listen EADDRINUSE: address already in use"
