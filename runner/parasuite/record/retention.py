"""Removes old runs from the output folder, and nothing that a run has not put there."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from parasuite.model.run_record import FILE_BYTES_MAX, FILE_NAME, PID_MAX
from parasuite.record.folder_lock import is_locked
from parasuite.record.removal import remove_from, remove_tree
from parasuite.record.untrusted import Missing, Unreadable, folder_below, names, read_json

RUNS_KEPT = 10
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_BYTECODE = re.compile(r"parasuite-\d{6}")


def prune(base: Path, keep: str) -> list[str]:
    """Remove all but the newest RUNS_KEPT ended runs below *base*, and the compiled files of other months.

    *keep*: the id of the current run, which counts as one of them. Returns a line for each that cannot be removed.
    """
    try:
        runs = [name for name in runs_below(base) if name != keep]
        old = [f"runs/{run}" for run in runs if _has_ended(base / "runs" / run)][: -(RUNS_KEPT - 1)]
        bytecode = [name for name in _entries(base, "bytecode") if _BYTECODE.fullmatch(name)]
        old += [f"bytecode/{name}" for name in bytecode if keep[:6] not in name]
        return [problem for problem in (_remove(base, name) for name in old) if problem]
    except Unreadable as error:
        return [f"old runs are not removed: {error}"]


def runs_below(base: Path) -> list[str]:
    """The ids of the runs below *base*, the oldest first. Raises Unreadable."""
    return [name for name in _entries(base, "runs") if _RUN_ID.fullmatch(name)]


def _entries(base: Path, folder: str) -> list[str]:
    try:
        return [name.rpartition("/")[2] for name in names(base, folder, "")]
    except Missing:
        return []


def _remove(base: Path, name: str) -> str:
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
