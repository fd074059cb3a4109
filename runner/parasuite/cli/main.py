"""The entry point: from arguments to a command, and from what went wrong to an exit code.

What goes wrong before a run starts is a ConfigError or a RunFolderError, which become one line and exit code 2.
"""

from __future__ import annotations

import io
import signal
import sys
from importlib import import_module
from typing import NoReturn

import click

from parasuite import __version__
from parasuite.cli.exit_codes import EXIT_CODES
from parasuite.cli.output import Output, lost_output, occupy_standard_descriptors, print_safely, stop
from parasuite.judge.verdict import ExitCode
from parasuite.plan.errors import ConfigError
from parasuite.record.run_folder import RunFolderError
from parasuite.reports.wording import printable

STDOUT_UNWRITABLE = "the output could not be written: {why}"
_EXAMPLES = """\b
Examples:
  parasuite demo                    what it finds, on a small suite
  parasuite run tests/              your pytest tree, a copy per processor
  parasuite run -- make check       any command, in any language
  parasuite report                  show the latest run again
  parasuite repro ID                prove one of its findings
  parasuite doctor                  what can be observed on this machine
"""


class _Commands(click.Group):
    """The commands, each in a module of its name, which is imported when the command is wanted.

    `parasuite run` need not import what only the others use; --help imports them all.
    """

    _NAMES = (
        "run",
        "report",
        "runs",
        "history",
        "diff",
        "merge",
        "repro",
        "baseline",
        "explain",
        "settings",
        "demo",
        "doctor",
    )

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self._NAMES)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self._NAMES:
            return None
        command = vars(import_module(f"parasuite.cli.{name}"))[f"{name}_command"]
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
)
@click.version_option(__version__, prog_name="parasuite")
def _main() -> None:
    """Run full copies of a test suite at once and report every collision of network ports."""


def main() -> None:
    """Entry point of `parasuite` and of `python -m parasuite`."""
    occupy_standard_descriptors()
    for name in ("stdout", "stderr"):
        # A stream whose descriptor was closed before we started is None here; click and rich then print nothing.
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            setattr(sys, name, Output.instead_of(stream))
    # Until a run starts there is nothing to clean up. (click would exit with 1, which means that a test failed.)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(ExitCode.INTERRUPTED))
    if sys.platform != "win32":
        # Where it is ignored, which exec keeps, children leave no exit status: wait(2).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    arguments = sys.argv[1:]
    try:
        _call(arguments)
    except SystemExit as ending:
        if why := lost_output():
            print_safely(f"parasuite: {STDOUT_UNWRITABLE.format(why=why)}", err=True)
            # A run has its reports in files, and its code is the one in run.json.
            if ending.code == ExitCode.PASSED and arguments[:1] != ["run"]:
                sys.exit(ExitCode.BLIND)
        raise


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
        stop(str(error))
    sys.exit(done if isinstance(done, int) else ExitCode.PASSED)
