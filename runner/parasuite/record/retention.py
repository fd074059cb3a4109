"""Removes old runs from the output folder, and nothing that a run has not put there."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

import psutil

from parasuite.model.run_record import FILE_BYTES_MAX, FILE_NAME, PID_MAX
from parasuite.model.series_record import FILE_BYTES_MAX as SERIES_BYTES_MAX
from parasuite.model.series_record import FILE_NAME as SERIES_FILE
from parasuite.record.folder_lock import is_locked
from parasuite.record.removal import remove_from, remove_tree
from parasuite.record.untrusted import Missing, Unreadable, folder_below, names, read_json

RUNS_KEPT = 10
"""A series counts as one, however many runs it has."""
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_RUN_OF_SERIES = re.compile(r"\.\./\.\./(runs/\d{8}T\d{6}Z-[0-9a-f]{4})")
_BYTECODE = re.compile(r"parasuite-\d{6}")


class _Kept(NamedTuple):
    """What is kept or removed together: a run, or a series with its runs. *folders*: in the order of removal."""

    newest: str
    folders: list[str]


def prune(base: Path, keep: str) -> list[str]:
    """Remove all but the newest RUNS_KEPT ended runs and series below *base*, and compiled files of other months.

    *keep*: the id of the current run, which counts as one of them. Returns a line for each that cannot be removed.
    """
    try:
        series = [_series(base, name) for name in series_below(base)]
        together = {run for each in series for run in each.folders}
        alone = [f"runs/{name}" for name in runs_below(base) if name != keep]
        runs = [_Kept(run, [run]) for run in alone if run not in together and _has_ended(base / run)]
        ended = [each for each in series if f"runs/{keep}" not in each.folders and _is_free(base, each)]
        old = sorted([*runs, *ended])[: -(RUNS_KEPT - 1)]
        removed = [folder for each in old for folder in each.folders]
        bytecode = [name for name in _entries(base, "bytecode") if _BYTECODE.fullmatch(name)]
        removed += [f"bytecode/{name}" for name in bytecode if keep[:6] not in name]
        return [problem for problem in (_remove(base, name) for name in removed) if problem]
    except Unreadable as error:
        return [f"old runs are not removed: {error}"]


def series_below(base: Path) -> list[str]:
    """The ids of the series below *base*, the oldest first. Raises Unreadable."""
    return [name for name in _entries(base, "series") if _ID.fullmatch(name)]


def runs_below(base: Path) -> list[str]:
    """The ids of the runs below *base*, the oldest first. Raises Unreadable."""
    return [name for name in _entries(base, "runs") if _ID.fullmatch(name)]


def _series(base: Path, name: str) -> _Kept:
    """A series below *base*. One whose file cannot be read keeps no run from being removed."""
    listed: object = None
    with contextlib.suppress(Unreadable):
        record = read_json(base / "series" / name, SERIES_FILE, SERIES_BYTES_MAX)
        listed = record.get("runs") if isinstance(record, dict) else None
    found = [_RUN_OF_SERIES.fullmatch(str(run)) for run in (listed if isinstance(listed, list) else [])]
    runs = [run[1] for run in found if run is not None]
    return _Kept(max(runs, default=f"runs/{name}"), [*runs, f"series/{name}"])


def _is_free(base: Path, series: _Kept) -> bool:
    """Whether no parasuite works in any folder of *series* any more."""
    *runs, own = series.folders
    with contextlib.suppress(Unreadable):
        return not is_locked(base / own) and all(_has_ended(base / run) or not (base / run).exists() for run in runs)
    return False


def _entries(base: Path, folder: str) -> list[str]:
    try:
        return [name.rpartition("/")[2] for name in names(base, folder, "")]
    except Missing:
        return []


def _remove(base: Path, name: str) -> str:
    if not (base / name).exists():
        return ""  # A run of a series that somebody has removed.
    parent, _, last = name.rpartition("/")
    with folder_below(base, parent) as folder:
        return remove_from(folder, last, base / name) if isinstance(folder, int) else remove_tree(base / name)


def _has_ended(run: Path) -> bool:
    """Whether no parasuite works in the run folder *run* any more."""
    try:
        is_alive = is_locked(run)
        # Of any format: the runs of older and newer versions are removed, too.
        record = read_json(run, FILE_NAME, FILE_BYTES_MAX)
    except Unreadable:
        return False
    if is_alive or not isinstance(record, dict):
        return False
    return bool(record.get("ended")) or is_alive is False or not _is_running(record.get("pid"))


def _is_running(pid: object) -> bool:
    """Whether the process *pid* exists: all that there is to go by without a lock, as on Windows."""
    return type(pid) is int and 0 < pid <= PID_MAX and psutil.pid_exists(pid)
