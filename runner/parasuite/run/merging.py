"""Makes one series of runs from anywhere. Each of them is reported, and none is counted twice or lost."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from parasuite import __version__
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import RunEnd
from parasuite.record.archives import is_archive, unpack_file
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.run_search import NO_RUN, archives_in, runs_in
from parasuite.record.series import SeriesFolder
from parasuite.record.untrusted import Unreadable
from parasuite.reports.wording import plural

SAME_RUN = "{path} is the same run as {first}, and is counted once"
SAME_ID = "{path} and {first} are different runs with one id: both are counted"


class _Identity(NamedTuple):
    """What no two runs have in common, whatever their folders are called."""

    host: str
    pid: int
    started_s: float


@dataclass(slots=True)
class Merged:
    """The runs so far. *targets*: what they ran."""

    runs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: dict[str, None] = field(default_factory=dict)
    _places: dict[Path, Path] = field(default_factory=dict)
    _identities: dict[tuple[str, _Identity], Path] = field(default_factory=dict)
    _ids: dict[str, Path] = field(default_factory=dict)

    def add(self, run: Path) -> None:
        first = self._places.setdefault(run.resolve(), run)
        if first is not run:
            self.notes.append(SAME_RUN.format(path=run, first=first))
            return
        try:
            record = RunFolder(run).read_record()
        except RunFolderError:
            self.runs.append(run)  # The report says why it cannot be read.
            return
        identity = _Identity(record.host, record.pid, record.started_s)
        first = self._identities.setdefault((record.run_id, identity), run)
        if first is not run:
            self.notes.append(SAME_RUN.format(path=run, first=first))
            return
        first = self._ids.setdefault(record.run_id, run)
        if first is not run:
            self.notes.append(SAME_ID.format(path=run, first=first))
        self.targets[record.described] = None
        self.runs.append(run)


def merge(sources: Sequence[Path], series: SeriesFolder) -> None:
    """Write the record of *series*, whose runs are those in *sources*: folders, and archives, which are unpacked into
    the folder of the series. Raises RunFolderError, and OSError.
    """
    merged = Merged()
    errors: list[str] = []
    for source in sources:
        archives = [source] if is_archive(source) else archives_in(source)
        runs = [] if is_archive(source) else runs_in(source)
        if not runs and not archives:
            raise RunFolderError(NO_RUN.format(path=source))
        for archive in archives:
            unpacked, problems = _unpacked(archive, series)
            runs += unpacked
            errors += problems
        for run in runs:
            merged.add(run)
    if not merged.runs:
        raise RunFolderError(errors[0])
    targets = list(merged.targets)
    series.write_record(
        SeriesRecord(
            series_id=series.series_id,
            parasuite=__version__,
            started_s=time.time(),
            host=platform.node(),
            described=targets[0] if len(targets) == 1 else plural(len(targets), "target"),
            runs=tuple(series.relative(run) for run in merged.runs),
            ended=RunEnd.COMPLETE,
            errors=tuple(errors),
            notes=tuple(merged.notes),
        )
    )


def _unpacked(archive: Path, series: SeriesFolder) -> tuple[list[Path], list[str]]:
    """The runs in *archive*, unpacked, and a line for each problem: one killed job must not hide the others."""
    try:
        target = series.new_folder("unpacked", archive.name.partition(".")[0])
        problems = unpack_file(archive, target)
    except Unreadable as error:
        return [], [str(error)]
    runs = runs_in(target)
    return runs, problems if runs or problems else [NO_RUN.format(path=archive)]
