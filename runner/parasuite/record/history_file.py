"""history.jsonl in the output folder: a line for each run that came to its end, kept when run folders are removed.

Several runs may append at once, and a run may be killed while it does: a line is one write(2) in append mode, and
begins with a line end if the file does not end with one. A line that cannot be read is counted and skipped, so a torn
one costs no other run, and so do those of other versions.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from parasuite.model.history_line import history_line, read_history_line
from parasuite.model.run_summary import RunSummary, SummaryError
from parasuite.record.untrusted import Missing, Reader, kind, lines

HISTORY = "history.jsonl"
BYTES_MAX = 64 << 20
"""A file that has grown larger is set aside (history.old.jsonl), and a new one begun: some 60,000 runs."""
_OLD = "history.old.jsonl"
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Remembered:
    """*runs*: the oldest first, each once. *unreadable*: how many lines are not such a run."""

    runs: list[RunSummary]
    unreadable: int


def append_to_history(base: Path, summary: RunSummary) -> str:
    """Append *summary* to the history in *base*; why that failed, or ""."""
    try:
        descriptor = os.open(base / HISTORY, _FLAGS, 0o666)
        try:
            return _append(descriptor, base, history_line(summary).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"{HISTORY} could not be written: {error.strerror}"


def _append(descriptor: int, base: Path, line: bytes) -> str:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return f"{HISTORY} could not be written: it is {kind(status.st_mode)}"
    if status.st_size:
        os.lseek(descriptor, -1, os.SEEK_END)
        if os.read(descriptor, 1) != b"\n":
            line = b"\n" + line
    if os.write(descriptor, line) != len(line):
        return f"{HISTORY} could not be written: the disk is full"
    if status.st_size > BYTES_MAX:
        os.replace(base / HISTORY, base / _OLD)
    return ""


def read_history(base: Path) -> Remembered:
    """The runs in the history in *base*; none if there is no history. Raises Unreadable."""
    runs: dict[str, RunSummary] = {}
    unreadable = 0
    with contextlib.suppress(Missing):
        for line in lines(Reader(base, HISTORY, 2 * BYTES_MAX).chunk):
            if not line.strip():
                continue
            try:
                run = read_history_line(line)
            except SummaryError:
                unreadable += 1
            else:
                runs.setdefault(run.run_id, run)
    return Remembered(sorted(runs.values(), key=lambda run: run.started_s), unreadable)
