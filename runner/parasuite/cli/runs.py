"""`parasuite runs`."""

from __future__ import annotations

from pathlib import Path

import click

from parasuite.cli.output import print_safely, stop
from parasuite.gather import ListedRun, listed_runs
from parasuite.plan.option_types import PathText
from parasuite.plan.options import current_folder, output_folder
from parasuite.record.untrusted import Unreadable
from parasuite.reports.moments import day
from parasuite.reports.wording import plural

NONE_KEPT = "no run is kept in {base}"
_MIB = 1 << 20


@click.command("runs", short_help="list the runs and series that are kept")
@click.argument("folder", metavar="[DIR]", required=False, type=PathText(Path, "dir"))
def runs_command(folder: Path | None) -> None:
    """List the runs that are kept, the newest first: id, day, verdict, findings, size and target.

    Rounds are listed below their series. DIR is an output folder: by default the configured one, or .parasuite.
    """
    current_folder()
    base = folder or output_folder()
    try:
        listed = list(listed_runs(base))
    except Unreadable as error:
        stop(str(error))
    if not listed:
        print_safely(NONE_KEPT.format(base=base))
    for run in listed:
        print_safely(_line(run))


def _line(run: ListedRun) -> str:
    indent = "  " if run.is_round else ""
    size = f"{run.bytes / _MIB:.1f} MiB"
    what = plural(run.rounds, "round") if run.rounds is not None else plural(run.findings, "finding")
    when = day(run.started_s) if run.started_s else "day unknown"
    return f"{indent}{run.name}  {when}  {run.verdict}  ({what}, {size})  {run.target}".rstrip()
