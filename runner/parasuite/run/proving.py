"""Runs the tests of a finding once more, with parasuite as the other side of it."""

from __future__ import annotations

import time
from dataclasses import replace

from parasuite.assemble import recording_errors, write_reports
from parasuite.judge.proof import proof_of, with_proofs
from parasuite.judge.report import Report
from parasuite.model.proof import Proof, ProofOutcome, Proofs
from parasuite.model.suspect import StoredFinding, Suspect
from parasuite.model.words import CopyPhase
from parasuite.record.findings_file import stored_findings
from parasuite.record.proof_file import PROOF_FILE, PROOF_FOLDER, proofs_text
from parasuite.record.untrusted import Unreadable
from parasuite.reports.wording import plural
from parasuite.run.again import Scene, run_again
from parasuite.run.signals import Signals

NOT_TRIED = "{findings} not provoked: {why}"


def provoke(
    scene: Scene, finding: StoredFinding, timeout_s: float, signals: Signals | None = None
) -> tuple[Proof, Report | None]:
    """Provoke *finding*: the result, and the report of the run (None if there was none).

    A copy that has not ended after *timeout_s* has hung. *signals*: as in `session.run`. Raises RunFolderError.
    """
    if finding.why_not_provoked:
        message = finding.why_not_provoked
        return Proof(finding=finding.id, outcome=ProofOutcome.NOT_PROVOKED, message=message), None
    name, suspect = f"{PROOF_FOLDER}/{finding.id}", Suspect.of(finding)
    report, folder = run_again(scene, name, finding.tests, timeout_s, suspect=suspect, signals=signals)
    return proof_of(finding, report, folder.path.relative_to(scene.outer.path).as_posix()), report


def prove(
    scene: Scene, report: Report, *, patience_s: float, budget_s: float, signals: Signals
) -> tuple[Report, list[str]]:
    """Provoke each finding of *report*, whose folder is `scene.outer`, as far as *budget_s* lasts: the report with
    the result, and a line for each of its files that could not be written.

    *patience_s*: as `timeout_s` of `provoke`. *signals*: as in `session.run`; once one has come, no finding is
    provoked. The gravest come first; what is suppressed is left out.
    """
    if not report.verdict.code.is_conclusive:
        return report, []
    wanted = {finding.id for finding in report.findings if finding.suppressed is None}
    try:
        findings = [finding for finding in stored_findings(scene.outer.path) if finding.id in wanted]
    except Unreadable as error:
        return report, [f"nothing was proven: {error}"]
    proofs: list[Proof] = []
    notes: list[str] = []
    give_up_s = time.monotonic() + budget_s
    for number, finding in enumerate(findings, 1):
        left_s = give_up_s - time.monotonic()
        if left_s <= 0 or signals.received:
            break
        if not finding.why_not_provoked:
            what = f"{finding.id} [{finding.cause}] {finding.title}"
            scene.progress.say(f"proving {number} of {len(findings)}: {what}")
        proof, run = provoke(scene, finding, min(patience_s, left_s), signals)
        is_over = run is not None and run.copy_ends[0].how is CopyPhase.TIMED_OUT and left_s < patience_s
        if signals.received or is_over:
            break  # It was stopped before it could show anything.
        proofs.append(proof)
    if untried := len(findings) - len(proofs):
        why = "parasuite was stopped" if signals.received else f"--prove {budget_s:g} s were over"
        notes.append(NOT_TRIED.format(findings=plural(untried, "finding"), why=why))
    problems: list[str] = []
    with recording_errors(problems, PROOF_FILE):
        scene.outer.write(PROOF_FILE, proofs_text(Proofs(tuple(proofs), tuple(notes))))
    report = replace(report, findings=with_proofs(report.findings, proofs), notes=[*report.notes, *notes])
    return report, [*problems, *write_reports(scene.outer, report, scene.spec.optional_reports)]
