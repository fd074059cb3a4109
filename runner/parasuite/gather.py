"""From the folder of a series to a SeriesReport, and to its report files.

`parasuite run --repeat` and `parasuite report` both end here. The rounds are read one after the other, and of each
only the summary is kept.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from parasuite.assemble import assemble_report, display_path, in_git_repository, recording_errors
from parasuite.judge.history import HistoryBuilder
from parasuite.judge.series import MISSING, SeriesReport, decide_series
from parasuite.judge.summary import summarize
from parasuite.model.run_summary import RunSummary
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.record.summary_file import read_summary
from parasuite.record.untrusted import Unreadable
from parasuite.reports.series_registry import SERIES_FILES


def summary_of(folder: RunFolder) -> RunSummary:
    """The summary of a run, from the file that it wrote at its end, else from its record. Raises RunFolderError.

    A file that is there although the run has no verdict was written by the suite.
    """
    record = folder.read_record()
    if record.verdict_code is not None:
        with contextlib.suppress(Unreadable):
            return read_summary(folder.path)
    return summarize(assemble_report(folder, record))


def assemble_series(folder: SeriesFolder) -> SeriesReport:
    """The report of a series. Raises RunFolderError if series.json cannot be read."""
    record = folder.read_record()
    cwd = Path.cwd()
    builder = HistoryBuilder()
    paths, missing = [], []
    root = ""
    for name in record.runs:
        run = RunFolder(folder.run_path(name))
        try:
            builder.add(summary_of(run))
            root = root or run.read_record().root
        except (RunFolderError, OSError) as error:
            missing.append(MISSING.format(name=display_path(run.path, cwd), why=error))
        else:
            paths.append(display_path(run.path, cwd))
    history = builder.history()
    code, reason, exit_code = decide_series(record, history, missing)
    return SeriesReport(
        record=record,
        folder=display_path(folder.path, cwd),
        history=history,
        paths=paths,
        missing=missing,
        code=code,
        reason=reason,
        exit_code=exit_code,
        root=root,
        root_in_repository=in_git_repository(root),
    )


def write_series_reports(folder: SeriesFolder, report: SeriesReport) -> list[str]:
    """Write every report file of a series; a line for each that could not be written."""
    problems: list[str] = []
    for file in SERIES_FILES:
        with recording_errors(problems, file.name):
            folder.write(file.name, file.render(report))
    return problems
