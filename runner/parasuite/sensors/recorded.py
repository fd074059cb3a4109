"""Reads what the recorders wrote: files of events, which end at a NUL because they are memory maps, and what those
that failed said of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from parasuite.events import Event, EventError, SensorState, decode

FOLDERS = ("pages", "recorder")
"""What a copy's folder must hold for its recorders."""
_FAILED = ("blind", "partial")


def recorded(copy_dir: Path) -> Iterator[list[Event]]:
    """The events of each process of the copy, sorted by time. A torn last line is left out: its process was killed
    in it.
    """
    folder = copy_dir / "recorder"
    for file in sorted(folder.glob("*.jsonl")):
        lines = file.read_bytes().partition(b"\0")[0].split(b"\n")
        yield sorted(_decoded(lines), key=attrgetter("t_ns"))
    for state in _FAILED:
        # Of all of the run, so at no time of it.
        yield [
            SensorState(t_ns=0, source="recorder", sensor="recorder", state=state, why=why)
            for why in _reasons(sorted(folder.glob(f"*.{state}")))
        ]


def _reasons(files: list[Path]) -> Iterator[str]:
    """What the processes that left *files* said first, each reason once, with who said it."""
    said_by: dict[str, list[str]] = {}
    for file in files:
        said = file.read_text(encoding="ascii").partition("\n")[0]
        said_by.setdefault(said or "it failed, and the reason found no room on the disk", []).append(file.stem)
    for said, pids in said_by.items():
        others = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
        yield f"process {pids[0]}{others}: {said}"


def _decoded(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            if line:
                yield decode(line)
        except EventError:
            continue
