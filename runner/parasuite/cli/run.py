"""`parasuite run`. Its options are rows of `plan.settings`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from parasuite.cli.doctor import check_proc
from parasuite.cli.exit_codes import EXIT_CODES
from parasuite.cli.on_hosts import run_on_hosts_and_exit
from parasuite.cli.output import console_of, print_report_and_exit, print_safely
from parasuite.cli.series_output import print_series_and_exit
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, code_of_stop
from parasuite.plan.baseline import Baseline, read_baseline
from parasuite.plan.capacity import why_too_many
from parasuite.plan.errors import ConfigError
from parasuite.plan.interpreter import find_interpreter
from parasuite.plan.misplaced import RunCommand
from parasuite.plan.option_types import PathText
from parasuite.plan.options import baseline_path, current_folder, origins, project_of, setting_options
from parasuite.plan.project import Project
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.setting import Origin
from parasuite.plan.settings import IGNORE_LIMITS
from parasuite.plan.targets import Target, choose_target
from parasuite.record.run_folder import RunFolder
from parasuite.run import session
from parasuite.run.again import Scene, patience
from parasuite.run.control import control
from parasuite.run.environment import inherited_environment
from parasuite.run.networks.prepare import with_network
from parasuite.run.progress import DeferredProgress, LiveProgress, LogProgress, Progress, is_on_terminal
from parasuite.run.proving import prove
from parasuite.run.rounds import run_series
from parasuite.run.signals import Signals


@click.command(
    "run",
    cls=RunCommand,
    params=setting_options(),
    short_help="run copies of a test suite at once and watch their sockets",
    epilog=EXIT_CODES,
)
@click.argument("target", required=False, metavar="[TARGET] [-- ARGUMENTS]", type=PathText(str, "file"))
@click.pass_context
def run_command(context: click.Context, /, target: str | None, **settings: Any) -> None:
    """Run N copies of a test suite at once, watch every socket that they open, and report where they collide.

    \b
    parasuite run tests/             a pytest tree, here, with its own
                                     configuration; one copy per processor
    parasuite run -j 4 tests/ -- -x  four copies; what follows -- is pytest's
    parasuite run -- make check      any command, in any language
    parasuite run -j 1 --exit-code suite -- make check
                                     one copy that keeps its exit code and its
                                     output, for the CI job that you have
    parasuite run                    what pyproject.toml names (see below), or
                                     the bundled corpus of network tests

    Progress goes to stderr, the report to stdout. Everything is stored in .parasuite/latest: report.html (the
    run on one page), findings.json, junit.xml (all copies), junit-merged.xml (one case per test) and the output
    of each copy. A copy finds its number in $PARASUITE_COPY and a folder of its own in $PARASUITE_COPY_DIR.

    \b
    A project names its suite and its options in pyproject.toml:
      [tool.parasuite]
      target = "tests"               or: command = "make check"
      copies = 4
      timeout = 600

    The same options can be set in the environment (PARASUITE_JOBS or PARASUITE_COPIES, PARASUITE_TIMEOUT, ...) and in
    a profile of pyproject.toml (--profile or PARASUITE_PROFILE). The command line overrides the environment, which
    overrides the profile, which overrides the rest of pyproject.toml. -k and -m are options only. Set
    PARASUITE_IGNORE_LIMITS=1 in the environment to run more copies than this machine seems to have room for.
    """
    after_dashes = tuple(context.obj)
    check_proc()
    cwd = current_folder()
    if settings["dask"] is None:  # Otherwise each host checks its own limits.
        _check_copies(settings["copies"])
    project = project_of(context)
    # After the settings: a mistake in an option must not be hidden by a corpus that is not installed.
    chosen, work_dir = _chosen_target(target, after_dashes, cwd, project)
    spec = RunSpec(
        target=chosen,
        pytest_args=after_dashes if target else (),
        origins=origins(context),
        ambient=project.ambient,
        suppressions=project.suppressions,
        accepted=_accepted(context),
        **settings,
    )
    spec.check()
    if spec.dask is not None:
        with contextlib.closing(progress_of(spec)) as progress:
            run_on_hosts_and_exit(context, spec, target=target, after_dashes=after_dashes, cwd=cwd, progress=progress)
    python = find_interpreter(spec.target, spec.python, os.environ, project.folder)
    if os.path.dirname(python):
        python = os.path.abspath(python)  # The copies may run in another folder.
    spec = with_network(spec)
    try:
        with contextlib.closing(progress_of(spec)) as progress:
            environ = inherited_environment()
            if spec.is_series:
                series, problems = run_series(
                    spec, python=python, cwd=cwd, work_dir=work_dir, environ=environ, progress=progress
                )
            else:
                report, problems = session.run(
                    spec, python=python, cwd=cwd, work_dir=work_dir, environ=environ, progress=progress
                )
                scene = Scene(
                    outer=RunFolder(cwd / spec.output_dir / "runs" / report.run_id),
                    spec=spec,
                    python=python,
                    cwd=cwd,
                    work_dir=work_dir,
                    environ=environ,
                    progress=progress,
                )
                with Signals() as signals:
                    report, more = _followed_up(scene, report, signals)
                problems += more
                stopped = code_of_stop(signals.run_end)
    except OSError as error:
        # The disk is full, or a limit was reached: the run proves nothing, but what it recorded can be reported.
        report_command = f"parasuite report {shlex.quote(str(spec.output_dir))}"
        print_safely(f"parasuite failed: {error}; run `{report_command}` to see what was recorded", err=True)
        sys.exit(ExitCode.BLIND)
    if spec.is_series:
        print_series_and_exit(series, problems, spec.output_format, err=spec.is_observed_only)
    print_report_and_exit(report, problems, spec.output_format, err=spec.is_observed_only, stopped=stopped)


def _followed_up(scene: Scene, report: Report, signals: Signals) -> tuple[Report, list[str]]:
    """*report*, with what the control and the proofs have added that were asked for; a line for each problem.

    Once *signals* has received one, nothing more is run.
    """
    problems: list[str] = []
    patience_s = patience(scene.spec.timeout_s, report.overlap.any_s)
    if scene.spec.control is not None:
        report, more = control(scene, report, patience_s=patience_s, runs=scene.spec.control, signals=signals)
        problems += more
    if scene.spec.prove_s is not None:
        report, more = prove(scene, report, patience_s=patience_s, budget_s=scene.spec.prove_s, signals=signals)
        problems += more
    return report, problems


def _accepted(context: click.Context) -> Baseline:
    """The baseline, which may be missing. Raises ConfigError if the command line names a file that is not there."""
    path = baseline_path(context)
    baseline = read_baseline(path)
    if baseline is None and origins(context)["baseline"].origin is Origin.COMMAND_LINE:
        command = shlex.join(["parasuite", "baseline", "--baseline", str(context.params["baseline"])])
        raise ConfigError(f"no such file: {path}; after a run, `{command}` writes it")
    return baseline or Baseline()


def _chosen_target(path: str | None, words: Sequence[str], cwd: Path, project: Project) -> tuple[Target, Path]:
    """What to run, and the folder to run it in: if the user names nothing, what the project names, in its folder."""
    if path is None and not words and (target := project.chosen_target()) is not None:
        return target, project.folder
    return choose_target(path, words), cwd


def _check_copies(copies: int) -> None:
    problem = why_too_many(copies)
    if not problem:
        return
    if os.environ.get(IGNORE_LIMITS) != "1":
        raise ConfigError(f"{problem}, or set {IGNORE_LIMITS}=1 to run them anyway")
    print_safely(f"parasuite: warning: {problem}", err=True)


def progress_of(spec: RunSpec) -> Progress:
    """What shows how the run of *spec* goes, on stderr."""
    console = console_of(stderr=True)
    if spec.is_observed_only:
        return DeferredProgress(console)
    is_live = is_on_terminal(console) and not console.is_dumb_terminal
    # Some CI systems give a job a terminal, whose log keeps every line that is drawn on it.
    is_live = is_live and os.environ.get("CI", "") in ("", "false", "0")
    return LiveProgress(console) if is_live else LogProgress(console)
