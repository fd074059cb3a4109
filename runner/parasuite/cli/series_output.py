"""What is printed about a series."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from rich.text import Text

from parasuite.cli.output import add_to_step_summary, console_of, print_safely
from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import OutputFormat
from parasuite.reports.github import inert
from parasuite.reports.series_markdown import series_markdown
from parasuite.reports.series_registry import SERIES_FORMATS
from parasuite.reports.series_terminal import series_terminal
from parasuite.run.progress import print_line


def print_series_and_exit(
    report: SeriesReport, problems: Sequence[str], output_format: OutputFormat, *, err: bool = False
) -> NoReturn:
    """*problems*: what could not be written, a line each, for stderr. *err*: the report goes there, too.

    A series that passed, and whose reports are not all there, proves nothing.
    """
    console = console_of(stderr=err)
    is_github = output_format is OutputFormat.GITHUB
    if render := SERIES_FORMATS.get(output_format):
        console.file.write(render(report))
    if is_github or output_format is OutputFormat.FULL:
        for line in series_terminal(report):
            print_line(console, Text(inert(line.plain)) if is_github else line)
    if is_github:
        problems = [*problems, *add_to_step_summary(lambda _: series_markdown(report))]
    for problem in dict.fromkeys(problems):
        print_safely(f"parasuite: {problem}", err=True)
    sys.exit(ExitCode.BLIND if problems and report.code is ExitCode.PASSED else report.exit_code)
