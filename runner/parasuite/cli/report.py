"""`parasuite report`."""

from __future__ import annotations

from pathlib import Path

import click

from parasuite.assemble import assemble_report, write_reports
from parasuite.cli.output import print_report_and_exit, stop
from parasuite.cli.series_output import print_series_and_exit
from parasuite.gather import assemble_series, write_series_reports
from parasuite.model.words import OutputFormat
from parasuite.plan.option_types import PathText
from parasuite.plan.options import ProfileOption, SettingOption, current_folder, output_folder
from parasuite.plan.settings import optional_reports
from parasuite.record.run_folder import RunFolder
from parasuite.record.series import SeriesFolder


@click.command(
    "report",
    params=[SettingOption("output_format"), SettingOption("page"), SettingOption("trace"), ProfileOption()],
    short_help="show an earlier run or series again",
)
@click.argument("folder", metavar="[DIR]", required=False, type=PathText(str, "dir"))
def report_command(folder: str | None, output_format: OutputFormat, *, page: bool, trace: bool) -> None:
    """Analyse the record of a run or of a series again, write its reports, and exit with its exit code.

    DIR is the folder of a run or of a series, or a folder that contains some, of which the latest is taken. By
    default it is the output folder that is set in the environment or in pyproject.toml, or .parasuite. What did not
    come to its end, because its parasuite was killed, is reported as far as it got (exit code 3).
    """
    current_folder()
    path = Path(folder) if folder is not None else output_folder()
    wanted = optional_reports(page=page, trace=trace)
    try:
        if (series := SeriesFolder.find(path)) is not None:
            of_series = assemble_series(series)
            print_series_and_exit(of_series, write_series_reports(series, of_series, wanted), output_format)
        run_folder = RunFolder.open(path)
        report = assemble_report(run_folder)
    except OSError as error:
        stop(f"{error.filename or path} cannot be read: {error.strerror}")
    print_report_and_exit(report, write_reports(run_folder, report, wanted), output_format)
