"""From a run in which parasuite played the other side of a finding to a Proof. Pure.

A failed test counts only if it ended after the port was taken: before that, parasuite was not in its way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from parasuite.judge.findings import Finding
from parasuite.judge.provocation import Provocation
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.events import FAILED, PortTaken
from parasuite.model.proof import Proof, ProofOutcome
from parasuite.model.results import TestResult
from parasuite.model.suspect import StoredFinding
from parasuite.model.words import CopyPhase, Evidence, TestOutcome

# Why a run says nothing, or what else there is to say.
NOTHING_COLLECTED = "none of its tests was found in the suite: they have been renamed or removed"
COULD_NOT_TAKE = "{endpoint} could not be taken ({why})"
NO_MEANS = "the kernel performs this bind itself, so there is no moment before it"
NOT_LOOPBACK = "only addresses of the loopback interface are taken"
FAILED_OTHERWISE = "nothing asked for the port, but {test} failed: {message}"
_MESSAGE_MAX = 300
_ERROR = re.compile(r"error|in use|EADDRINUSE", re.IGNORECASE)


def proof_of(finding: StoredFinding, report: Report, folder: str) -> Proof:
    """What *report*, of the run that provoked *finding*, shows. *folder*: that run's, for the Proof."""
    provocation = report.provocation
    outcome, message, tests = _outcome(report, provocation)
    return Proof(
        finding=finding.id,
        outcome=outcome,
        message=message,
        tests=tuple(tests),
        endpoints=tuple(dict.fromkeys(str(taken.endpoint) for taken in provocation.taken)),
        visits=provocation.visits,
        visitors=tuple(provocation.visitors),
        folder=folder,
    )


def _outcome(report: Report, provocation: Provocation) -> tuple[ProofOutcome, str, Sequence[str]]:
    """The outcome, a message, and the tests that it is about."""
    has_hung = bool(provocation.taken) and report.copy_ends[0].how is CopyPhase.TIMED_OUT
    # A copy that was stopped leaves half of its JUnit file, say, and so a run that proves nothing else.
    if not has_hung and not report.verdict.code.is_conclusive and report.verdict.code is not ExitCode.NO_TESTS:
        return ProofOutcome.INCONCLUSIVE, report.verdict.reason, ()
    failed = [result for result in report.results[0] if result.outcome.is_bad]
    if not provocation.taken:
        if provocation.why_unable:
            return ProofOutcome.INCONCLUSIVE, provocation.why_unable, ()
        if provocation.not_taken:
            return ProofOutcome.INCONCLUSIVE, _why_not_taken(provocation.not_taken[0]), ()
        if report.verdict.code is ExitCode.NO_TESTS:
            return ProofOutcome.INCONCLUSIVE, NOTHING_COLLECTED, ()
        if failed:
            # It may have failed before it came to ask for the port.
            message = FAILED_OTHERWISE.format(test=failed[0].id, message=_first_line(failed[0]))
            return ProofOutcome.INCONCLUSIVE, message, [result.id for result in failed]
        return ProofOutcome.NOT_ASKED, "", ()
    failed = [result for result in failed if _may_be_due_to(result, provocation)]
    # What failed of itself says more than what was lost with its copy.
    failed.sort(key=lambda result: (result.is_of_copy, _is_elsewhere(result, provocation)))
    if has_hung:
        return ProofOutcome.HUNG, _innermost(report), [result.id for result in failed if result.started_ns]
    if failed:
        return ProofOutcome.FAILED, _first_line(failed[0]), [result.id for result in failed]
    if provocation.has_recovered:
        return ProofOutcome.RETRIED, "", ()
    return (ProofOutcome.CROSSTALK if provocation.visits else ProofOutcome.UNNOTICED), "", ()


def _why_not_taken(not_taken: PortTaken) -> str:
    reasons = {FAILED: NO_MEANS, "EADDRNOTAVAIL": NOT_LOOPBACK}
    why = reasons.get(not_taken.errno, not_taken.errno)
    return COULD_NOT_TAKE.format(endpoint=not_taken.endpoint, why=why)


def _may_be_due_to(result: TestResult, provocation: Provocation) -> bool:
    if not result.started_ns or result.outcome is TestOutcome.LOST or not _is_elsewhere(result, provocation):
        # The test that asked for the port counts in any case: on a busy machine it ends long after its start and its
        # duration say, since pytest leaves out the time between setup, call and teardown.
        return True
    return result.started_ns + result.duration_s * 1e9 >= provocation.since_ns


def _is_elsewhere(result: TestResult, provocation: Provocation) -> bool:
    """Whether the test is none of those that asked for a port that was taken."""
    return result.id not in {taken.caller.test for taken in provocation.taken}


def _first_line(result: TestResult) -> str:
    lines = _lines_of(result)
    return next(lines, "")[:_MESSAGE_MAX]


def _lines_of(result: TestResult) -> Iterator[str]:
    """The lines of its message. Of a copy as a whole, the last line that it printed says more, and the last one that
    names an error says most: what follows it may be the version of the program.
    """
    if result.is_of_copy:
        printed = [line.strip() for line in reversed(result.text.splitlines()) if line.strip()]
        yield from sorted(printed, key=lambda line: _ERROR.search(line) is None)
    yield from [line.strip() for line in result.message.splitlines() if line.strip()]


def _innermost(report: Report) -> str:
    """Where the copy was when its time was over, if a Python process wrote its stacks."""
    stack = report.stacks[0] if report.stacks else ()
    frames = [line.strip() for line in stack if line.strip().startswith("File ")]
    return frames[0] if frames else ""


def with_proofs(findings: Sequence[Finding], proofs: Iterable[Proof]) -> list[Finding]:
    """*findings*, each with the result of provoking it; the evidence of one that was reproduced is PROVEN."""
    by_id = {proof.finding: proof for proof in proofs}
    return [_with_proof(finding, by_id[finding.id]) if finding.id in by_id else finding for finding in findings]


def _with_proof(finding: Finding, proof: Proof) -> Finding:
    evidence = Evidence.PROVEN if proof.outcome.is_reproduced else finding.evidence
    return replace(finding, proof=proof, evidence=evidence)
