"""From the folders of several runs to what is said of all of them: a SeriesReport, a History, a list.

`parasuite run --repeat` and `parasuite report` of a series both end here. The runs are read one after the other, and
of each only the summary is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from parasuite.assemble import assemble_report, display_path, in_git_repository, recording_errors
from parasuite.judge.history import History, HistoryBuilder
from parasuite.judge.series import MISSING, SeriesReport, decide_series
from parasuite.judge.summary import summarize
from parasuite.model.run_summary import RunSummary
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import OptionalReport
from parasuite.record.retention import runs_below, series_below
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.record.sizes import bytes_below
from parasuite.record.summary_file import read_summary
from parasuite.record.untrusted import Unreadable
from parasuite.reports.registry import PAGE
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


def histories_of(runs: Iterable[RunSummary]) -> dict[str, History]:
    """*runs* by what they ran: nothing follows for one selection of tests from runs of another."""
    builders: dict[str, HistoryBuilder] = {}
    for run in runs:
        builders.setdefault(" ".join((run.target, *run.selection)), HistoryBuilder()).add(run)
    return {target: builder.history() for target, builder in builders.items()}


def history_of_folder(path: Path) -> History:
    """The history of the run or of the series at *path*. Raises RunFolderError."""
    series = SeriesFolder.find(path)
    if series is not None:
        return assemble_series(series).history
    builder = HistoryBuilder()
    builder.add(summary_of(RunFolder.open(path)))
    return builder.history()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """A run or a series that is kept. *rounds*: of a series; None for a run. *is_round*: of the series listed before.

    *verdict*: or why it cannot be read. *bytes*: of a series, with its rounds.
    """

    name: str
    started_s: float = 0.0
    verdict: str = ""
    target: str = ""
    findings: int = 0
    bytes: int = 0
    rounds: int | None = None
    is_round: bool = False


def listed_runs(base: Path) -> Iterator[ListedRun]:
    """The series and runs below *base*, the newest first, each series before its rounds. Raises Unreadable."""
    series = {name: _series_record(base / "series" / name) for name in series_below(base)}
    rounds = {Path(run).name: name for name, record in series.items() if record for run in record.runs}
    runs = runs_below(base)
    own = [("runs", run) for run in runs if run not in rounds]
    for kind, name in sorted([*own, *(("series", name) for name in series)], key=itemgetter(1), reverse=True):
        if kind == "runs":
            yield _listed_run(base, name)
            continue
        record = series[name]
        of_series = [
            replace(_listed_run(base, run), is_round=True) for run in reversed(runs) if rounds.get(run) == name
        ]
        own_folder = SeriesFolder(base / "series" / name)
        yield ListedRun(
            name=name,
            started_s=record.started_s if record else 0.0,
            verdict=(record.ended or "unfinished") if record else "cannot be read",
            target=record.described if record else "",
            bytes=bytes_below(own_folder.path) + sum(run.bytes for run in of_series),
            # Merged runs may lie in the folder of the series, or outside of *base*.
            rounds=sum(own_folder.run_path(run).is_dir() for run in record.runs) if record else 0,
        )
        yield from of_series


def _series_record(path: Path) -> SeriesRecord | None:
    with contextlib.suppress(RunFolderError):
        return SeriesFolder(path).read_record()
    return None


def _listed_run(base: Path, name: str) -> ListedRun:
    folder = RunFolder(base / "runs" / name)
    size = bytes_below(folder.path)
    try:
        record = folder.read_record()
        if record.verdict_code is None:
            return ListedRun(
                name=name, started_s=record.started_s, verdict="unfinished", target=record.described, bytes=size
            )
    except RunFolderError as error:
        return ListedRun(name=name, verdict=f"cannot be read: {error}", bytes=size)
    findings = 0
    with contextlib.suppress(Unreadable):  # On a full disk there may be no summary.
        findings = len(read_summary(folder.path).findings)
    return ListedRun(
        name=name,
        started_s=record.started_s,
        verdict=record.verdict,
        target=record.described,
        findings=findings,
        bytes=size,
    )


def assemble_series(folder: SeriesFolder) -> SeriesReport:
    """The report of a series. Raises RunFolderError if series.json cannot be read."""
    record = folder.read_record()
    cwd = Path.cwd()
    builder = HistoryBuilder()
    paths, pages, missing = [], [], []
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
            pages.append(f"{name}/{PAGE}" if (run.path / PAGE).is_file() else "")
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
        pages=pages,
    )


def write_series_reports(
    folder: SeriesFolder, report: SeriesReport, optional: Collection[OptionalReport]
) -> list[str]:
    """Write the report files of a series, as `assemble.write_reports` does those of a run."""
    problems: list[str] = []
    for file in SERIES_FILES:
        if file.option is None or file.option in optional:
            with recording_errors(problems, file.name):
                folder.write(file.name, file.render(report))
    return problems
