"""`parasuite diff`."""

from __future__ import annotations

import sys

import click

from parasuite.cli.compared import folder_of, format_option, print_json, print_sections
from parasuite.cli.output import print_safely, stop
from parasuite.gather import history_of_folder
from parasuite.judge.difference import difference
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import TableFormat
from parasuite.plan.option_types import PathText
from parasuite.plan.options import current_folder, output_folder
from parasuite.reports.difference_report import difference_json, difference_sections, summary_line

_EXIT_CODES = """\b
Exit codes:
  0    nothing fails that did not fail before
  1    a test fails that did not fail before
  3    no run of NEW is conclusive, so it proves nothing
  66   there is a new finding at or above --fail-on of its run
"""


@click.command(
    "diff", params=[format_option()], short_help="what differs between two runs or series", epilog=_EXIT_CODES
)
@click.argument("old", type=PathText(str, "dir"))
@click.argument("new", type=PathText(str, "dir"))
def diff_command(old: str, new: str, output_format: TableFormat) -> None:
    """Print which findings of NEW are not in OLD, which are not seen any more, and which are still there.

    OLD and NEW are folders of runs or of series, or their ids. Findings are compared by id, which is the same
    whatever pids, copies, times and drawn ports were. See docs/history.md.
    """
    current_folder()
    base = output_folder()
    try:
        before, after = (history_of_folder(folder_of(name, base)) for name in (old, new))
    except OSError as error:
        stop(f"{error.filename} cannot be read: {error.strerror}")
    found = difference(before, after)
    if output_format is TableFormat.JSON:
        print_json(difference_json(found))
    else:
        print_sections(list(difference_sections(found)), output_format)
    if output_format is TableFormat.FULL:
        print_safely(summary_line(found))
    if not after.conclusive:
        sys.exit(ExitCode.BLIND)
    if found.broken:
        sys.exit(ExitCode.TEST_FAILED)
    sys.exit(ExitCode.FINDINGS if any(each.worst.is_failing for each in found.new) else ExitCode.PASSED)
