"""`parasuite history`."""

from __future__ import annotations

from pathlib import Path

import click

from parasuite.cli.compared import format_option, print_json, print_sections
from parasuite.cli.output import stop
from parasuite.gather import histories_of
from parasuite.model.words import TableFormat
from parasuite.plan.option_types import PathText
from parasuite.plan.options import current_folder, output_folder
from parasuite.record.history_file import read_history
from parasuite.record.untrusted import Unreadable
from parasuite.reports.history_report import history_json, history_sections
from parasuite.reports.sections import Section

NO_HISTORY = "no run is remembered in {base}: each run that comes to its end adds a line to history.jsonl"


@click.command("history", params=[format_option()], short_help="how often each finding was seen in all runs so far")
@click.argument("folder", metavar="[DIR]", required=False, type=PathText(Path, "dir"))
def history_command(folder: Path | None, output_format: TableFormat) -> None:
    """Print, for each target, in how many of its runs each finding was seen, and when first and last.

    DIR is an output folder; by default the one that is set, or .parasuite. Its history.jsonl has a line for each run
    that came to its end, and keeps it when the run folder is removed. See docs/history.md.
    """
    current_folder()
    base = folder or output_folder()
    try:
        remembered = read_history(base)
    except Unreadable as error:
        stop(str(error))
    histories = histories_of(remembered.runs)
    if output_format is TableFormat.JSON:
        print_json(history_json(histories, remembered.unreadable))
        return
    sections = list(history_sections(histories, remembered.unreadable))
    print_sections(sections or [Section(NO_HISTORY.format(base=base))], output_format)
