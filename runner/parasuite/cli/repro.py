"""`parasuite repro`."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import replace
from pathlib import Path

import click

from parasuite.assemble import display_path
from parasuite.cli.doctor import check_proc
from parasuite.cli.output import print_safely
from parasuite.cli.run import progress_of
from parasuite.judge.verdict import code_of_proof
from parasuite.model.run_record import RunRecord
from parasuite.model.suspect import StoredFinding
from parasuite.model.words import NetworkMode
from parasuite.plan.errors import ConfigError
from parasuite.plan.option_types import PathText
from parasuite.plan.options import SettingOption, current_folder, output_folder, settings_not_given
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.setting import Origin, Source
from parasuite.plan.settings import SETTINGS
from parasuite.plan.targets import read_target
from parasuite.record.finding_search import in_run, newest_with
from parasuite.record.run_folder import RunFolder
from parasuite.reports.proof_lines import proof_lines
from parasuite.run.again import Scene, patience
from parasuite.run.environment import inherited_environment
from parasuite.run.networks.prepare import with_network
from parasuite.run.proving import provoke

_EPILOG = """\b
Exit codes:
  0    not reproduced: the port is not asked for any more, or every test
       passed although parasuite had the port, and nothing talked to it
  2    wrong usage: there is no such finding
  3    nothing was proven: the finding is of a kind that cannot be provoked,
       parasuite could not see, or a test failed before the port was asked for
  66   reproduced: a test failed or hung, or the suite talked to parasuite
  130  interrupted (Ctrl-C)
  143  terminated (TERM, HUP)
"""


@click.command(
    "repro",
    params=[
        click.Argument(["finding_id"], metavar="ID"),
        click.Argument(["folder"], metavar="[RUN]", required=False, type=PathText(Path, "dir")),
        SettingOption(
            "timeout_s",
            is_stored=False,
            help="Take a copy that has not ended after SECONDS for hung. Default: by how long the run took.",
        ),
    ],
    short_help="prove a finding: play the other side of it",
    epilog=_EPILOG,
)
@click.pass_context
def repro_command(context: click.Context, /, finding_id: str, folder: Path | None, timeout_s: float | None) -> None:
    """Run the tests of a finding once more, with parasuite in their way.

    ID is that of a finding, or its beginning. The newest run that has it counts, unless RUN names a run folder. One
    copy of the finding's tests is run; of a command, the whole command. No luck is needed, one run is enough:

    \b
    hard-coded    parasuite takes the port just before it is bound
    lost-port     it takes the port after its release, before it is bound again
    closed-port   it listens where nothing should answer
    reuse         it is the second owner that the options let in

    parasuite listens, never answers, and counts who comes. Findings of other kinds cannot be provoked. Only ports of
    the loopback interface that the suite itself asks for are taken, and all of them are given back at the end.

    What RUN recorded is executed, so name only run folders that you trust.
    """
    check_proc()
    cwd = current_folder()
    outer, finding = _looked_up(finding_id, folder)
    record = outer.read_record()
    spec = with_network(_spec(record))
    print_safely(f"{finding.id} [{finding.cause}] {finding.title}")
    with contextlib.closing(progress_of(spec)) as progress:
        scene = Scene(
            outer=outer,
            spec=spec,
            python=record.interpreter,
            cwd=cwd,
            work_dir=Path(record.root),
            environ=inherited_environment(),
            progress=progress,
        )
        tests_s = record.overlap.any_s if record.overlap is not None else 0.0
        proof, report = provoke(scene, finding, timeout_s or patience(record.timeout_s, tests_s))
    for line in proof_lines(proof):
        print_safely(line)
    if proof.folder:
        print_safely(f"its run: {display_path(outer.path / proof.folder, cwd)}")
        print_safely(f"once more: {_command(finding, folder)}")
    context.exit(code_of_proof(proof.outcome, None if report is None else report.verdict))


def _looked_up(prefix: str, folder: Path | None) -> tuple[RunFolder, StoredFinding]:
    """The newest run, or that in *folder*, and its finding whose id begins with *prefix*. Raises RunFolderError."""
    if folder is not None:
        return in_run(folder, prefix)
    return newest_with(output_folder(), prefix)


def _spec(record: RunRecord) -> RunSpec:
    """What the run of *record* ran; what it does not say is as in the environment and in pyproject.toml.

    In a private network if the copies had one: what is in the way on the host was not in theirs.
    """
    if not Path(record.root).is_dir():
        raise ConfigError(f"the folder that the suite ran in is not there any more: {record.root}")
    settings = replace(
        settings_not_given(),
        copies=1,
        collect_junit=record.collect_junit,
        network=NetworkMode.HOST if record.network is NetworkMode.HOST else NetworkMode.PRIVATE,
        port_range=None,
    )
    return RunSpec.of(
        settings,
        target=read_target(record.target),
        pytest_args=record.pytest_args,
        origins=dict.fromkeys((setting.name for setting in SETTINGS.values()), Source(Origin.DEFAULT)),
        ambient=record.ambient,
    )


def _command(finding: StoredFinding, folder: Path | None) -> str:
    return shlex.join(["parasuite", "repro", finding.id, *([str(folder)] if folder is not None else [])])
