"""Finds the run folders that somebody has gathered from other machines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from parasuite.model.run_record import FILE_NAME
from parasuite.model.series_record import FILE_NAME as SERIES_FILE
from parasuite.record.archives import is_archive
from parasuite.record.output_folder import exists
from parasuite.record.retention import runs_below, series_below
from parasuite.record.run_folder import RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.record.untrusted import Unreadable

NO_RUN = (
    "{path} contains no run: give folders of runs or of series, output folders, their archives (.tar.gz), or a "
    "folder that contains some"
)


def runs_in(path: Path) -> list[Path]:
    """The runs that *path* means: itself, those of a series, those of an output folder, or of the project around it;
    else those of all folders in *path*, as CI lays out the artifacts of several jobs. Raises RunFolderError.
    """
    with _reading(path):
        return _runs_at(path) or [run for child in _folders_in(path) for run in _runs_at(child)]


def archives_in(path: Path) -> list[Path]:
    """The archives in the folder *path*. Raises RunFolderError."""
    with _reading(path):
        return [child for child in sorted(path.iterdir()) if is_archive(child) and not child.is_symlink()]


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _runs_at(path: Path) -> list[Path]:
    if exists(path / FILE_NAME):
        return [path]
    if exists(path / SERIES_FILE):
        series = SeriesFolder(path)
        return [series.run_path(name) for name in series.read_record().runs]
    with contextlib.suppress(Unreadable):
        return [run for base in (path, path / ".parasuite") for run in _runs_below(base)]
    return []


def _runs_below(base: Path) -> Iterator[Path]:
    """The runs of an output folder, and those of other hosts that its series contain. Raises Unreadable."""
    yield from (base / "runs" / run for run in runs_below(base))
    for name in series_below(base):
        series = SeriesFolder(base / "series" / name)
        with contextlib.suppress(RunFolderError):
            runs = map(series.run_path, series.read_record().runs)
            yield from (run for run in runs if run.is_relative_to(series.path))


def _folders_in(path: Path) -> Iterator[Path]:
    return (child for child in sorted(path.iterdir()) if child.is_dir() and not child.is_symlink())
