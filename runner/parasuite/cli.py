"""The command line: commands, their help, exit codes. The only module that prints, besides `run.progress`.

The options of a run are rows of `plan.settings`. What goes wrong before a run starts is a ConfigError or a
RunFolderError, and `main` turns it into one line and exit code 2.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.text import Text

from parasuite import __version__
from parasuite.assemble import assemble_report, write_reports
from parasuite.explain import overview, page_lines, words_starting_with
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.sensors import SensorName
from parasuite.plan.capacity import why_too_many
from parasuite.plan.errors import ConfigError
from parasuite.plan.interpreter import find_interpreter
from parasuite.plan.misplaced import RunCommand
from parasuite.plan.option_types import PathText
from parasuite.plan.options import SettingOption, current_folder, origins, setting_options, without_command_line
from parasuite.plan.project import Project, read_project
from parasuite.plan.settings import IGNORE_LIMITS, RunSpec
from parasuite.plan.targets import Target, choose_target
from parasuite.probe.probe import doctor_lines, probe_sensors
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import printable
from parasuite.run import session
from parasuite.run.environment import inherited_environment
from parasuite.run.progress import (
    DeferredProgress,
    LiveProgress,
    LogProgress,
    Progress,
    is_on_terminal,
    print_line,
)
from parasuite.run.supervisor.process_tree import why_no_proc

_DOCTOR_SENSORS = f"Sensors to test: auto, or some of {','.join(SensorName)}."
_EXIT_CODES = """\b
Exit codes:
  0    all tests passed in all copies, no finding at or above --fail-on
  1    a test failed, timed out, was lost or was not collected in some copy,
       or a copy died
  2    wrong usage or configuration; nothing was started
  3    parasuite failed or could not see, so the run proves nothing
  4    no test ran in any copy
  66   all tests passed, but there is a finding at or above --fail-on
  130  interrupted (Ctrl-C)
  143  terminated (TERM, HUP)
With --exit-code suite, the exit code of the suite instead of 0, 1, 3, 4, 66.
"""
STDOUT_UNWRITABLE = "the output could not be written: {why}"
_EXAMPLES = """\b
Examples:
  parasuite run tests/              your pytest tree, a copy per processor
  parasuite run -- make check       any command, in any language
  parasuite report                  show the latest run again
  parasuite doctor                  what can be observed on this machine
"""


def _stop(message: str) -> NoReturn:
    """Print what is wrong to stderr, and exit with USAGE."""
    _print(f"parasuite: {message}", err=True)
    sys.exit(ExitCode.USAGE)


def _print(line: str, *, err: bool = False) -> None:
    """Print one line, with control characters made visible: it may contain names that a test suite chose."""
    print_line(_console(stderr=err), Text(printable(line)))


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"{_EXAMPLES}\n{_EXIT_CODES}")
@click.version_option(__version__, prog_name="parasuite")
def _main() -> None:
    """Run full copies of a test suite at once and report every collision of network ports."""


@_main.command(
    "run",
    cls=RunCommand,
    params=setting_options(),
    short_help="run copies of a test suite at once and watch their sockets",
    epilog=_EXIT_CODES,
)
@click.argument("target", required=False, metavar="[TARGET] [-- ARGUMENTS]", type=PathText(str, "file"))
@click.pass_context
def _run(context: click.Context, /, target: str | None, **settings: Any) -> None:
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

    Progress goes to stderr, the report to stdout. Everything is stored in .parasuite/latest: findings.json, junit.xml
    (all copies), junit-merged.xml (one case per test) and the output of each copy. A copy finds its number in
    $PARASUITE_COPY and a folder of its own in $PARASUITE_COPY_DIR.

    \b
    A project names its suite and its options in pyproject.toml:
      [tool.parasuite]
      target = "tests"               or: command = "make check"
      copies = 4
      timeout = 600

    The same options can be set in the environment (PARASUITE_JOBS or PARASUITE_COPIES, PARASUITE_TIMEOUT, ...). The
    command line overrides the environment, which overrides pyproject.toml. -k and -m are options only. Set
    PARASUITE_IGNORE_LIMITS=1 in the environment to run more copies than this machine seems to have room for.
    """
    after_dashes = tuple(context.obj)
    _check_proc()
    cwd = current_folder()
    _check_copies(settings["copies"])
    project = read_project(cwd)
    # After the settings: a mistake in an option must not be hidden by a corpus that is not installed.
    chosen, work_dir = _chosen_target(target, after_dashes, cwd, project)
    spec = RunSpec(
        target=chosen,
        pytest_args=after_dashes if target else (),
        origins=origins(context),
        ambient=project.ambient,
        **settings,
    )
    spec.check()
    python = find_interpreter(spec.target, spec.python, os.environ, project.folder)
    if os.path.dirname(python):
        python = os.path.abspath(python)  # The copies may run in another folder.
    try:
        with contextlib.closing(_progress(spec)) as progress:
            report, problems = session.run(
                spec, python=python, cwd=cwd, work_dir=work_dir, environ=inherited_environment(), progress=progress
            )
    except OSError as error:
        # The disk is full, or a limit was reached: the run proves nothing, but what it recorded can be reported.
        report_command = f"parasuite report {shlex.quote(str(spec.output_dir))}"
        _print(f"parasuite failed: {error}; run `{report_command}` to see what was recorded", err=True)
        sys.exit(ExitCode.BLIND)
    _print_report_and_exit(report, problems, err=spec.is_observed_only)


def _chosen_target(path: str | None, words: Sequence[str], cwd: Path, project: Project) -> tuple[Target, Path]:
    """What to run, and the folder to run it in: if the user names nothing, what the project names, in its folder."""
    if path is None and not words and (target := project.chosen_target()) is not None:
        return target, project.folder
    return choose_target(path, words), cwd


def _check_proc() -> None:
    if sys.platform == "linux" and (why := why_no_proc()):
        # Without it, neither sockets nor the processes of a copy can be found.
        _stop(f"{why}: mount one with `mount -t proc proc /proc`, or `unshare --mount-proc`")


def _check_copies(copies: int) -> None:
    problem = why_too_many(copies)
    if not problem:
        return
    if os.environ.get(IGNORE_LIMITS) != "1":
        raise ConfigError(f"{problem}, or set {IGNORE_LIMITS}=1 to run them anyway")
    _print(f"parasuite: warning: {problem}", err=True)


def _progress(spec: RunSpec) -> Progress:
    console = _console(stderr=True)
    if spec.is_observed_only:
        return DeferredProgress(console)
    is_live = is_on_terminal(console) and not console.is_dumb_terminal
    return LiveProgress(console) if is_live else LogProgress(console)


@_main.command("report", short_help="show an earlier run again")
@click.argument("folder", metavar="[DIR]", required=False, type=PathText(str, "dir"))
def _report(folder: str | None) -> None:
    """Analyse the record of a run again, write its reports, and exit with its exit code.

    DIR is a run folder, or a folder that contains runs, of which the latest is taken. By default it is the output
    folder that is set in the environment or in pyproject.toml, or .parasuite. An unfinished run, whose parasuite was
    killed, is reported as far as it got (exit code 3).
    """
    current_folder()
    path = Path(folder) if folder is not None else without_command_line("output_dir")
    try:
        run_folder = RunFolder.open(path)
        report = assemble_report(run_folder)
    except OSError as error:
        _stop(f"{error.filename or path} cannot be read: {error.strerror}")
    _print_report_and_exit(report, write_reports(run_folder, report))


@_main.command("explain", short_help="explain a cause or an effect that a finding names")
@click.argument("word", metavar="[CAUSE|EFFECT]", required=False, shell_complete=words_starting_with)
def _explain(word: str | None) -> None:
    """Print the page about a cause or an effect: what happened, how to read it, how to cure it, when it is innocent.

    Without a word, list the causes and the effects.
    """
    for line in overview() if word is None else page_lines(word):
        _print(line)


@_main.command(
    "doctor",
    params=[SettingOption("sensors", is_stored=False, help=_DOCTOR_SENSORS)],
    short_help="test what parasuite can observe on this machine",
)
def _doctor(sensors: tuple[str, ...]) -> None:
    """Test the sensors with a staged collision, and report what this machine lets parasuite observe and what it does
    not, and how to fix that.

    Exits with 0 if every available sensor passed; with 3 if one did not, or if a sensor in LIST is not available.
    """
    _check_proc()
    visibility = probe_sensors(sensors)
    for line in doctor_lines(visibility):
        _print(line)
    named_and_missing = visibility.missing and sensors != ("auto",)
    sys.exit(ExitCode.BLIND if visibility.problem or named_and_missing else ExitCode.PASSED)


def _console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr, without any style if NO_COLOR is set. (rich would keep bold and dim.)"""
    console = Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if not console.width:
        # With COLUMNS=0, the width of the terminal is not known, and rich would print nothing at all.
        console.width = 80
    return console


def _print_report_and_exit(report: Report, problems: Sequence[str], *, err: bool = False) -> NoReturn:
    """*problems*: what could not be written, a line each, for stderr. *err*: the report goes there, too."""
    console = _console(stderr=err)
    for line in terminal(report):
        print_line(console, line)
    for problem in dict.fromkeys(problems):
        _print(f"parasuite: {problem}", err=True)
    sys.exit(report.verdict.exit_code)


class _Output(io.TextIOWrapper):
    """A standard stream that discards its output once its reader has gone or its disk is full: the run continues.

    Characters that its encoding lacks are printed as backslash escapes. *failure*: why output was lost; "" if none
    was, or if its reader has gone, as behind `| head`.
    """

    failure = ""

    @classmethod
    def instead_of(cls, stream: io.TextIOWrapper) -> _Output:
        encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
        return cls(stream.detach(), encoding, "backslashreplace", None, line_buffering, write_through)

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        if not isinstance(error, ConnectionError):
            self.failure = error.strerror or str(error)
        # The buffers still contain what could not be written, and Python writes it again at exit: that must succeed.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def _occupy_standard_descriptors() -> None:
    """If parasuite was started without one of the standard streams, open /dev/null in its place.

    Otherwise one of parasuite's sockets would get its number, and with --exit-code suite a copy would write into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def main() -> None:
    """Entry point of `parasuite` and of `python -m parasuite`."""
    _occupy_standard_descriptors()
    for name in ("stdout", "stderr"):
        # A stream whose descriptor was closed before we started is None here; click and rich then print nothing.
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            setattr(sys, name, _Output.instead_of(stream))
    # Until a run starts there is nothing to clean up. (click would exit with 1, which means that a test failed.)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(ExitCode.INTERRUPTED))
    if sys.platform != "win32":
        # Where it is ignored, which exec keeps, children leave no exit status: wait(2).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments = sys.argv[1:]
    try:
        _call(arguments)
    except SystemExit as ending:
        if why := _lost_output():
            _print(f"parasuite: {STDOUT_UNWRITABLE.format(why=why)}", err=True)
            # A run has its reports in files, and its code is the one in run.json.
            if ending.code == ExitCode.PASSED and arguments[:1] != ["run"]:
                sys.exit(ExitCode.BLIND)
        raise


def _lost_output() -> str:
    """Why something that was printed to stdout is lost; "" if nothing is."""
    if not isinstance(sys.stdout, _Output):
        return ""
    sys.stdout.flush()
    return sys.stdout.failure


def _call(arguments: list[str]) -> NoReturn:
    """Carry *arguments* out, and exit."""
    # Everything after the first -- belongs to the target of a run; click does not keep the position of --.
    has_target = arguments[:1] == ["run"] and "--" in arguments
    split = arguments.index("--") if has_target else len(arguments)
    try:
        done = _main.main(arguments[:split], prog_name="parasuite", standalone_mode=False, obj=arguments[split + 1 :])
    except click.ClickException as error:
        if arguments:
            click.UsageError(printable(error.format_message()), getattr(error, "ctx", None)).show()
        else:
            error.show()  # The help, which has many lines.
        sys.exit(error.exit_code)
    except (ConfigError, RunFolderError) as error:
        _stop(str(error))
    sys.exit(done if isinstance(done, int) else ExitCode.PASSED)
