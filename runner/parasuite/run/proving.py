"""Runs the tests of a finding once more, with parasuite as the other side of it.

The run is one of a single copy, in a folder inside that of the run that has the finding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from parasuite.judge.proof import proof_of
from parasuite.judge.report import Report
from parasuite.model.proof import Proof, ProofOutcome
from parasuite.model.run_record import RunRecord
from parasuite.model.suspect import StoredFinding, Suspect
from parasuite.model.words import ExitCodeFrom, FailOn
from parasuite.plan.settings import RunSpec
from parasuite.plan.targets import ResultSource
from parasuite.record.proof_file import PROOF_FOLDER
from parasuite.record.run_folder import RunFolder
from parasuite.run import session
from parasuite.run.progress import Progress

_SELECTED = "selected.json"
_PATIENCE_LEAST_S = 60.0
_PATIENCE_FACTOR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How the run in *outer* was made, which a provoked run repeats. *cwd*, *work_dir*: as in `session.run`."""

    outer: RunFolder
    spec: RunSpec
    python: str
    cwd: Path
    work_dir: Path
    environ: Mapping[str, str]
    progress: Progress


def patience_s(record: RunRecord) -> float:
    """How long the copy of a provoked run may take before it counts as hung, if the user does not say."""
    if record.timeout_s is not None:
        return record.timeout_s
    tests_s = record.overlap.any_s if record.overlap is not None else 0.0
    return _PATIENCE_LEAST_S + _PATIENCE_FACTOR * tests_s


def provoke(scene: Scene, finding: StoredFinding, timeout_s: float) -> tuple[Proof, Report | None]:
    """Provoke *finding*: what came of it, and the report of the run, None if there was none.

    A copy that has not ended after *timeout_s* has hung. Raises RunFolderError.
    """
    if finding.why_not_provoked:
        message = finding.why_not_provoked
        return Proof(finding=finding.id, outcome=ProofOutcome.NOT_PROVOKED, message=message), None
    folder = RunFolder.create_inside(scene.outer, f"{PROOF_FOLDER}/{finding.id}", copies=1)
    report, problems = session.run(
        _spec(scene.spec, finding, folder, timeout_s),
        python=scene.python,
        cwd=scene.cwd,
        work_dir=scene.work_dir,
        environ=scene.environ,
        progress=scene.progress,
        inside=folder,
        suspect=Suspect.of(finding),
    )
    for problem in problems:
        scene.progress.say(problem)
    return proof_of(finding, report, folder.path.relative_to(scene.outer.path).as_posix()), report


def _spec(spec: RunSpec, finding: StoredFinding, folder: RunFolder, timeout_s: float) -> RunSpec:
    """One copy of the tests of *finding*, or of the whole target where none is known or it cannot select any."""
    arguments = spec.pytest_args
    if finding.tests and spec.target.results is ResultSource.PYTEST:
        folder.write(_SELECTED, json.dumps(finding.tests))
        selected = str(folder.path.resolve() / _SELECTED)
        arguments = (*arguments, "-p", "_parasuite_select", "--parasuite-selected", selected)
    return replace(
        spec,
        copies=1,
        pytest_args=arguments,
        timeout_s=timeout_s,
        sensors=("auto",),
        fail_on=FailOn.NEVER,
        exit_code_from=ExitCodeFrom.PARASUITE,
    )
