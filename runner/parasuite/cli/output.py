"""What parasuite prints: safely, whatever a suite has named its tests, and wherever the output goes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import OutputFormat
from parasuite.reports.github import inert
from parasuite.reports.markdown import SUMMARY_BYTES_MAX, markdown
from parasuite.reports.registry import OUTPUT_FORMATS
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import printable
from parasuite.run.progress import is_on_terminal, print_line


def stop(message: str) -> NoReturn:
    """Print what is wrong to stderr, and exit with USAGE."""
    print_safely(f"parasuite: {message}", err=True)
    sys.exit(ExitCode.USAGE)


def print_safely(line: str, *, err: bool = False) -> None:
    """Print one line, with control characters made visible: it may contain names that a test suite chose."""
    print_line(console_of(stderr=err), Text(printable(line)))


def console_of(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr, without any style if NO_COLOR is set. (rich would keep bold and dim.)"""
    console = Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")
    if not console.width:
        # With COLUMNS=0, the width of the terminal is not known, and rich would print nothing at all.
        console.width = 80
    return console


def print_report_and_exit(
    report: Report,
    problems: Sequence[str],
    output_format: OutputFormat = OutputFormat.FULL,
    *,
    err: bool = False,
    stopped: ExitCode | None = None,
) -> NoReturn:
    """*problems*: what could not be written, a line each, for stderr. *err*: the report goes there, too.

    *stopped*: what to exit with if a signal has stopped what followed the run; then the report is that of the run.
    """
    console = console_of(stderr=err)
    if render := OUTPUT_FORMATS.get(output_format):
        console.file.write(render(report))
    if output_format is OutputFormat.FULL:
        for line in terminal(report, console.width if is_on_terminal(console) else 0):
            print_line(console, line)
    elif output_format is OutputFormat.GITHUB:
        for line in terminal(report):
            print_line(console, Text(inert(line.plain)))
        problems = [*problems, *add_to_step_summary(lambda bytes_max: markdown(report, bytes_max))]
    for problem in dict.fromkeys(problems):
        print_safely(f"parasuite: {problem}", err=True)
    sys.exit(report.verdict.exit_code if stopped is None else stopped)


def add_to_step_summary(render: Callable[[int], str]) -> list[str]:
    """Append a report to the summary of a step of GitHub Actions, if there is one; why that failed, else [].

    *render*: its text, in at most that many bytes. A summary of more than 1 MiB is refused as a whole, so a report
    takes what earlier commands of the step left.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return []
    try:
        with open(path, "ab") as summary:
            summary.write(render(SUMMARY_BYTES_MAX - summary.tell()).encode())
    except OSError as error:
        return [f"the summary of the step could not be written: {error.strerror}"]
    return []


class Output(io.TextIOWrapper):
    """A standard stream that discards its output once its reader has gone or its disk is full: the run continues.

    Characters that its encoding lacks are printed as backslash escapes. *failure*: why output was lost; "" if none
    was, or if its reader has gone, as behind `| head`.
    """

    failure = ""

    @classmethod
    def instead_of(cls, stream: io.TextIOWrapper) -> Output:
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


def occupy_standard_descriptors() -> None:
    """If parasuite was started without one of the standard streams, open /dev/null in its place.

    Otherwise one of parasuite's sockets would get its number, and with --exit-code suite a copy would write into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def lost_output() -> str:
    """Why something that was printed to stdout is lost; "" if nothing is."""
    if not isinstance(sys.stdout, Output):
        return ""
    sys.stdout.flush()
    return sys.stdout.failure
