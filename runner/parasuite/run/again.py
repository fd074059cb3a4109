"""Runs tests of a run once more, in a folder inside that of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from parasuite.judge.report import Report
from parasuite.model.suspect import Suspect
from parasuite.model.words import ExitCodeFrom, FailFast, FailOn, NetworkMode
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.targets import ResultSource
from parasuite.record.run_folder import RunFolder
from parasuite.run import session
from parasuite.run.progress import Progress
from parasuite.run.signals import Signals

_SELECTED = "selected.json"
_PATIENCE_LEAST_S = 60.0
_PATIENCE_FACTOR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How the run in *outer* was made, which another one repeats. *cwd*, *work_dir*: as in `session.run`."""

    outer: RunFolder
    spec: RunSpec
    python: str
    cwd: Path
    work_dir: Path
    environ: Mapping[str, str]
    progress: Progress


def patience(timeout_s: float | None, tests_s: float) -> float:
    """How long a copy that repeats tests may take before it counts as hung, if the user does not say.

    *timeout_s*: of a copy of the run, None for no limit. *tests_s*: for how long its tests ran.
    """
    return timeout_s if timeout_s is not None else _PATIENCE_LEAST_S + _PATIENCE_FACTOR * tests_s


def run_again(
    scene: Scene,
    name: str,
    tests: Sequence[str],
    timeout_s: float,
    *,
    sensors: tuple[str, ...] = ("auto",),
    copies: int = 1,
    network: NetworkMode | None = None,
    suspect: Suspect | None = None,
    signals: Signals | None = None,
) -> tuple[Report, RunFolder]:
    """Run *tests* in *copies* copies, and in the folder *name* below that of the run; its report and its folder.

    The whole target is run if it is a command, or if *tests* is (). *network*: None for that of the run. *suspect*,
    *signals*: as in `session.run`. Raises RunFolderError.
    """
    folder = RunFolder.create_inside(scene.outer, name, copies=copies)
    arguments = scene.spec.pytest_args
    if tests and scene.spec.target.results is ResultSource.PYTEST:
        folder.write(_SELECTED, json.dumps(list(tests)))
        selected = str(folder.path.resolve() / _SELECTED)
        arguments = (*arguments, "-p", "_parasuite_select", "--parasuite-selected", selected)
    spec = replace(
        scene.spec,
        copies=copies,
        network=network or scene.spec.network,
        pytest_args=arguments,
        timeout_s=timeout_s,
        sensors=sensors,
        fail_on=FailOn.NEVER,
        fail_fast=FailFast.NEVER,
        exit_code_from=ExitCodeFrom.PARASUITE,
    )
    report, problems = session.run(
        spec,
        python=scene.python,
        cwd=scene.cwd,
        work_dir=scene.work_dir,
        environ=scene.environ,
        progress=scene.progress,
        inside=folder,
        suspect=suspect,
        signals=signals,
    )
    for problem in problems:
        scene.progress.say(problem)
    return report, folder
