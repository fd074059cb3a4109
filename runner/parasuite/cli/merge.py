"""`parasuite merge`."""

from __future__ import annotations

from pathlib import Path

import click

from parasuite.cli.output import stop
from parasuite.cli.series_output import print_series_and_exit
from parasuite.gather import assemble_series, write_series_reports
from parasuite.model.words import OutputFormat
from parasuite.plan.option_types import PathText
from parasuite.plan.options import SettingOption, current_folder, output_folder
from parasuite.plan.settings import optional_reports
from parasuite.record.run_folder import RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.run.merging import merge


@click.command(
    "merge",
    params=[SettingOption("output_format"), SettingOption("page")],
    short_help="make one series of runs from several machines",
)
@click.option(
    "-o",
    "--output",
    metavar="SERIES",
    type=PathText(Path, "dir"),
    help="The folder to make.  [default: a new series in the output folder]",
)
@click.argument("folders", metavar="DIR...", required=True, nargs=-1, type=PathText(Path, "dir"))
def merge_command(folders: tuple[Path, ...], output: Path | None, output_format: OutputFormat, *, page: bool) -> None:
    """Make one series of runs that were made elsewhere, report it, and exit with its exit code.

    DIR is the folder of a run or of a series, an output folder, an archive of one (.tar.gz), or a folder that
    contains some, such as the artifacts of several CI jobs. Archives are unpacked into the folder of the series, and
    other runs stay where they are. A run that is given twice is counted once, and
    one that cannot be read is an error of the series. See docs/rounds.md.
    """
    current_folder()
    series = SeriesFolder.create_at(output) if output else SeriesFolder.create(output_folder())
    try:
        merge(folders, series)
    except RunFolderError:
        series.discard()
        raise
    except OSError as error:
        series.discard()
        stop(f"{series.path} cannot be written: {error.strerror}")
    report = assemble_series(series)
    wanted = optional_reports(page=page, trace=False)
    print_series_and_exit(report, write_series_reports(series, report, wanted), output_format)
