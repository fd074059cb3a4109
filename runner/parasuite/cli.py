"""The command line: words, options, exit codes. The only module that prints."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from parasuite import __version__
from parasuite.assemble import assemble_report, write_reports
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.sensors import SensorName
from parasuite.model.words import FailOn
from parasuite.plan.capacity import limits
from parasuite.plan.errors import ConfigError
from parasuite.plan.interpreter import find_interpreter
from parasuite.plan.settings import project_settings, resolve, settle, settle_all
from parasuite.plan.targets import choose_target
from parasuite.probe.probe import doctor_lines, look
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import printable
from parasuite.run import session
from parasuite.run.progress import LiveProgress, LogProgress, Progress
from parasuite.run.supervisor.process_tree import why_no_proc

_IGNORE_LIMITS = "PARASUITE_IGNORE_LIMITS"
_EXIT_CODES = """\b
Exit codes:
  0    every test passed in every copy, no finding at or above --fail-on
  1    a test failed, timed out, was lost or not collected in some copy, or a copy died
  2    wrong usage or configuration; nothing was started
  3    parasuite failed or was blind: the run proves nothing
  4    no test ran in any copy
  66   every test passed, and a port finding stands
  130  interrupted (Ctrl-C)      143  terminated (TERM, HUP)
"""


def _stop(message: str) -> NoReturn:
    """Say what is wrong on stderr and exit with USAGE."""
    _say(f"parasuite: {message}", err=True)
    sys.exit(ExitCode.USAGE)


def _say(line: str, *, err: bool = False) -> None:
    """Print one line. Names in it, of files and the like, do not reach the terminal raw."""
    click.echo(printable(line), err=err)


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXIT_CODES)
@click.version_option(__version__, prog_name="parasuite")
def _main() -> None:
    """Run full copies of a test suite at once and report every collision of network ports."""


@_main.command(
    "run",
    short_help="run copies of a suite at once, watch their sockets",
    epilog=_EXIT_CODES,
)
@click.argument("target", required=False, metavar="[TARGET] [-- ARGUMENTS]")
@click.option("-j", "--copies", metavar="N", help="Copies to run at once.  [default: usable processors, at least 2]")
@click.option("--timeout", metavar="SECONDS", help="Stop a copy that takes longer; its stacks are in its output.")
@click.option("--fail-on", metavar="|".join(FailOn), help="Findings that make the run fail (66).  [default: error]")
@click.option("--output-dir", metavar="DIR", help="Where run folders go.  [default: .parasuite]")
@click.option("--python", metavar="PATH", help="Interpreter of the pytest tree, which must have pytest 7 or newer.")
@click.option("-k", "keyword", default="", metavar="EXPRESSION", help="Only tests that match, as in pytest.")
@click.option("-m", "marker", default="", metavar="EXPRESSION", help="Only tests with these marks, as in pytest.")
@click.option("--collect-junit", metavar="GLOB", help="JUnit files that the command writes; {copy} is the number.")
@click.option("--sensors", metavar="LIST", help=f"auto, none, or some of: {', '.join(SensorName)}.  [default: auto]")
@click.pass_context
def _run(
    context: click.Context,
    target: str | None,
    copies: str | None,
    timeout: str | None,
    fail_on: str | None,
    output_dir: str | None,
    python: str | None,
    keyword: str,
    marker: str,
    collect_junit: str | None,
    sensors: str | None,
) -> None:
    """Run N full copies of TARGET at once, watch every socket that they open, and report.

    \b
    parasuite run -j 8                    the bundled corpus of network tests
    parasuite run -j 4 tests/             a pytest tree, in this folder, with its own configuration
    parasuite run -j 4 tests/ -- -x       ... with arguments for pytest
    parasuite run -j 4 -- ./check.sh      any command, in any language (a copy finds its number
                                          in $PARASUITE_COPY and its folder in $PARASUITE_COPY_DIR)

    Progress goes to stderr, the report to stdout; all that was learned is in .parasuite/latest: findings.json,
    junit.xml (every copy), junit-merged.xml (one case per test) and each copy's output. Settings may also stand in
    pyproject.toml below [tool.parasuite], or in the environment as PARASUITE_JOBS, PARASUITE_TIMEOUT and so on.
    PARASUITE_IGNORE_LIMITS=1 in the environment runs more copies than this machine seems to hold.
    """
    rest = tuple(context.obj)
    command_line = {
        "copies": copies,
        "timeout": timeout,
        "fail-on": fail_on,
        "output-dir": output_dir,
        "python": python,
        "collect-junit": collect_junit,
        "sensors": sensors,
    }
    _check_proc()
    try:
        cwd = _cwd()
        settled = settle_all(command_line, os.environ, project_settings(cwd))
        _check_copies(settled["copies"][0])
        spec = resolve(
            # After the settings: a mistake in an option is not to be hidden by a corpus that is not installed.
            target=choose_target(target, rest),
            pytest_args=rest if target else (),
            keyword=keyword,
            marker=marker,
            settled=settled,
        )
        found = find_interpreter(spec.target, spec.python, os.environ)
    except ConfigError as error:
        _stop(str(error))
    try:
        with contextlib.closing(_progress(Console(stderr=True))) as progress:
            report, problems = session.run(spec, python=found, cwd=cwd, environ=os.environ, progress=progress)
    except RunFolderError as error:
        _stop(str(error))
    except OSError as error:
        # A disk that filled up, a limit that was reached: the run proves nothing, and what it wrote can be reported.
        told = f"parasuite report {shlex.quote(str(spec.output_dir))}"
        _say(f"parasuite failed: {error}; `{told}` tells what was learned", err=True)
        sys.exit(ExitCode.BLIND)
    _tell(report, problems)


def _check_proc() -> None:
    if sys.platform == "linux" and (why := why_no_proc()):
        # Neither sockets nor the processes of a copy could be found.
        _stop(f"{why}: mount one with `mount -t proc proc /proc`, or `unshare --mount-proc`")


def _cwd() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used: {error.strerror}; change to another one") from error


def _check_copies(copies: int) -> None:
    bounds = limits()
    if copies <= bounds[0].copies_max:
        return
    figures = "; ".join(f"{bound.resource}: {bound.copies_max:,} ({bound.detail})" for bound in bounds)
    problem = f"{copies:,} copies are more than this machine holds: {figures}"
    if os.environ.get(_IGNORE_LIMITS) == "1":
        _say(f"parasuite: warning: {problem}", err=True)
        return
    least = f"use -j {bounds[0].copies_max}, or" if bounds[0].copies_max else "there is no room for one;"
    raise ConfigError(f"{problem}; {least} set {_IGNORE_LIMITS}=1 to try it all the same")


def _progress(console: Console) -> Progress:
    return LiveProgress(console) if console.is_terminal else LogProgress(console)


@_main.command("report", short_help="report an earlier run again")
@click.argument("folder", metavar="[DIR]", required=False)
def _report(folder: str | None) -> None:
    """Judge the run in DIR anew, write its reports and exit with the run's own code.

    DIR is a run folder or what holds it; where none is given, the latest run in the output folder that is set in
    pyproject.toml or the environment, else in .parasuite. A run without an end, because parasuite was killed, is
    reported as far as it went (exit code 3).
    """
    try:
        cwd = _cwd()
        if folder is None:
            folder, _ = settle("output-dir", None, os.environ, project_settings(cwd))
        run_folder = RunFolder.open(Path(folder))
        report = assemble_report(run_folder)
    except (ConfigError, RunFolderError) as error:
        _stop(str(error))
    except OSError as error:
        _stop(f"{error.filename or folder} cannot be read: {error.strerror}")
    _tell(report, write_reports(run_folder, report))


@_main.command("doctor", short_help="say what this machine lets parasuite see")
@click.option("--sensors", "asked", metavar="LIST", default="auto", help="What to try; as for run.  [default: auto]")
def _doctor(asked: str) -> None:
    """Try the sensors out with a planted collision; say what is visible here, what is not, what to do about it.

    Exits with 0 if what can be seen here is proven to be seen, with 3 if not, or if a sensor in LIST is missing.
    """
    _check_proc()
    try:
        sensors, _ = settle("sensors", asked, {}, {})
    except ConfigError as error:
        _stop(str(error))
    sight = look(sensors)
    for line in doctor_lines(sight):
        _say(line)
    named_and_missing = sight.missing and sensors != ("auto",)
    sys.exit(ExitCode.BLIND if sight.problem or named_and_missing else ExitCode.PASSED)


def _tell(report: Report, problems: Sequence[str]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for line in terminal(report):
        console.print(line)
    for problem in dict.fromkeys(problems):
        _say(f"parasuite: {problem}", err=True)
    sys.exit(report.verdict.code)


class _Output(io.TextIOWrapper):
    """A standard stream that falls silent when its reader has gone or its disk is full, so that the run goes on.

    Characters that its encoding lacks are shown with backslashes.
    """

    @classmethod
    def instead_of(cls, stream: io.TextIOWrapper) -> _Output:
        encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
        return cls(stream.detach(), encoding, "backslashreplace", None, line_buffering, write_through)

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        # The buffers below keep what could not be written, and Python tries it again at exit: it has to succeed then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def main() -> None:
    """Entry point of `parasuite` and of `python -m parasuite`."""
    for name in ("stdout", "stderr"):
        # A descriptor that was closed before the start is None here, and click and rich write to it nowhere.
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            setattr(sys, name, _Output.instead_of(stream))
    # Where no run is under way there is nothing to tidy up. click would exit with 1, which says that a test failed.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(ExitCode.INTERRUPTED))
    arguments = sys.argv[1:]
    # Everything behind the first -- belongs to the target of a run; click would lose where it stood.
    has_target = arguments[:1] == ["run"] and "--" in arguments
    split = arguments.index("--") if has_target else len(arguments)
    try:
        done = _main.main(arguments[:split], prog_name="parasuite", standalone_mode=False, obj=arguments[split + 1 :])
    except click.ClickException as error:
        if arguments:
            click.UsageError(printable(error.format_message()), getattr(error, "ctx", None)).show()
        else:
            error.show()  # The help, in many lines.
        sys.exit(error.exit_code)
    sys.exit(done if isinstance(done, int) else ExitCode.PASSED)
