"""Where the recorders' processes left their events, and what those that failed said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from parasuite.model.events import Event, SensorState
from parasuite.model.sensors import SensorName
from parasuite.model.words import SensorStatus
from parasuite.record.event_files import EventFile, Losses, merged
from parasuite.record.untrusted import Unreadable, names, read_bytes

FOLDERS = ("pages", "recorder")
"""What a copy's folder must hold for its recorders."""
_FAILED = (SensorStatus.BLIND, SensorStatus.PARTIAL)
_REASONS_MAX_BYTES = 64 << 10  # Of one process, which writes a line for each failure.
_REASON_MAX = 500


def recorded(copy_dir: Path) -> Iterator[Event]:
    """All that the processes of one copy recorded, sorted by time, what failed in them first.

    Raises Unreadable where their folder cannot be read.
    """
    yield from failures(copy_dir, "recorder")
    yield from merged(copy_dir, event_files(copy_dir, "recorder"), Losses())


def event_files(root: Path, folder: str) -> list[EventFile]:
    """The files of events in *folder*, a copy's `recorder` below *root*. Raises Unreadable."""
    return [EventFile(name, is_map=True) for name in names(root, folder, ".jsonl")]


def failures(root: Path, folder: str) -> Iterator[SensorState]:
    """What those processes said that could not record, or not all: each reason once, with the process it came from.

    Raises Unreadable where their folder cannot be read.
    """
    for state in _FAILED:
        said_by: dict[str, list[str]] = {}
        for file in names(root, folder, f".{state}"):
            said_by.setdefault(_first_line(root, file), []).append(PurePosixPath(file).stem)
        for said, pids in said_by.items():
            others = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
            # Of all of the run, so at no time of it.
            why = f"process {pids[0]}{others}: {said}"
            yield SensorState(t_ns=0, source=SensorName.RECORDER, sensor=SensorName.RECORDER, state=state, why=why)


def _first_line(root: Path, file: str) -> str:
    try:
        line = read_bytes(root, file, _REASONS_MAX_BYTES).partition(b"\n")[0]
    except Unreadable as error:
        return f"it failed, and its reason is lost: {error}"
    said = line.decode("ascii", "backslashreplace")[:_REASON_MAX]
    return said or "it failed, and the reason found no room on the disk"
