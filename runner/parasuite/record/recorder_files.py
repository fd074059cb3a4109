"""Finds what the recorders in the processes of a copy have left: their events, and why some of them failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from parasuite.model.events import Event, SensorState
from parasuite.model.sensors import SensorName
from parasuite.model.words import SensorStatus
from parasuite.record.event_files import EventFile, Losses, merged
from parasuite.record.untrusted import Unreadable, names, read_bytes

FOLDERS = ("pages", "recorder")
"""What a copy's folder must contain for its recorders."""
REASON_LOST = "it failed, and the disk was too full to record the reason"
_FAILURES = (SensorStatus.BLIND, SensorStatus.PARTIAL)
_REASONS_BYTES_MAX = 64 << 10  # Of one process, which writes a line for each failure.
_REASON_CHARS_MAX = 500


def recorded(copy_dir: Path) -> Iterator[Event]:
    """All events that the processes of one copy recorded: their failures first, then the others, sorted by time.

    Raises Unreadable if their folder cannot be read.
    """
    yield from failures(copy_dir, "recorder")
    yield from merged(copy_dir, event_files(copy_dir, "recorder"), Losses())


def event_files(root: Path, folder: str) -> list[EventFile]:
    """The files of events in *folder*, a copy's `recorder` below *root*. Raises Unreadable."""
    return [EventFile(name, is_map=True) for name in names(root, folder, ".jsonl")]


def failures(root: Path, folder: str) -> Iterator[SensorState]:
    """An event for each reason why processes recorded nothing, or not everything; it names one of them.

    Raises Unreadable if their folder cannot be read.
    """
    for status in _FAILURES:
        pids_of: dict[str, list[str]] = {}
        for file in names(root, folder, f".{status}"):
            pids_of.setdefault(_first_reason(root, file), []).append(PurePosixPath(file).stem)
        for reason, pids in pids_of.items():
            others = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
            why = f"process {pids[0]}{others}: {reason}"
            # It applies to the whole run, hence the time 0.
            yield SensorState(t_ns=0, source=SensorName.RECORDER, sensor=SensorName.RECORDER, state=status, why=why)


def _first_reason(root: Path, file: str) -> str:
    try:
        line = read_bytes(root, file, _REASONS_BYTES_MAX).partition(b"\n")[0]
    except Unreadable as error:
        return f"it failed, and its reason is lost: {error}"
    reason = line.decode("ascii", "backslashreplace")[:_REASON_CHARS_MAX]
    return reason or REASON_LOST
