"""Appends events to a file of a run folder."""

from __future__ import annotations

import os
from pathlib import Path

from parasuite.model.events import Event
from parasuite.model.lines import encode


class EventLog:
    """Appends events to `events/WRITER.jsonl`, each by one write(2).

    *failure*: why events are missing from the file, such as a full disk; "" while none is. Nothing is raised, since a
    run that loses events goes on, and is reported as blind.
    """

    def __init__(self, run_folder: Path, writer: str) -> None:
        path = run_folder / "events" / f"{writer}.jsonl"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        self.failure = ""

    def append(self, event: Event) -> None:
        line = encode(event).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            self.failure = self.failure or f"events could not be written: {error.strerror}"
            return
        if written != len(line):
            self.failure = self.failure or "events could not be written: the disk is full"

    def close(self) -> None:
        os.close(self._descriptor)
