"""Reads what the recorders wrote: one file of events per process, which end at a NUL because they are memory maps."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from parasuite.events import Event, EventError, decode

FOLDERS = ("pages", "recorder")
"""What a copy's folder must hold for its recorders."""


def recorded(copy_dir: Path) -> Iterator[list[Event]]:
    """The events of each process of the copy, sorted by time. A torn last line is left out: its process was killed
    in it.
    """
    for file in sorted((copy_dir / "recorder").glob("*.jsonl")):
        lines = file.read_bytes().partition(b"\0")[0].split(b"\n")
        yield sorted(_decoded(lines), key=attrgetter("t_ns"))


def _decoded(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        try:
            if line:
                yield decode(line)
        except EventError:
            continue
