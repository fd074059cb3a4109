"""The folder of one run: all that it learned, and every report. What a run knows is here or nowhere."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import psutil

from parasuite.events import Event, EventError, decode, encode
from parasuite.sensors.recorded import FOLDERS, recorded

RUNS_KEPT = 10
_NEEDED: dict[str, type | tuple[type, ...]] = {  # Of run.json, to make a report.
    "copies": int,
    "target": dict,
    "described": str,
    "fail_on": str,
    "host": str,
    "started_s": (int, float),
    "sensors_by_name": list,
}


class RunFolderError(Exception):
    """A folder that cannot be made, written or read; the message says what to do."""


class RunFolder:
    """`run.json`, `events/`, `copies/NNN/`, the reports; see docs/architecture.md for what is in each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable_lines = 0

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, base: Path, copies: int) -> RunFolder:
        """A new folder below *base*/runs, named by UTC time and four random digits; `latest` points at it.

        Raises RunFolderError if *base* cannot be written.
        """
        run_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(2)
        folder = cls(base / "runs" / run_id)
        try:
            (folder.path / "events").mkdir(parents=True)
            for copy in range(copies):
                for name in FOLDERS:
                    (folder.path / "copies" / f"{copy:03d}" / name).mkdir(parents=True)
            ignore = base / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            # A folder can be made on a disk that has no room for a single byte in it.
            probe = folder.path / "events" / "probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
            _point(base / "latest", folder.path)
        except OSError as error:
            shutil.rmtree(folder.path, ignore_errors=True)
            raise RunFolderError(
                f"cannot write the run folder {folder.path}: {error.strerror}; name another with --output-dir"
            ) from error
        _prune(base / "runs", keep=folder.path)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run: *path* itself, or the latest below it. Raises RunFolderError."""
        for candidate in (path, path / "latest"):
            if (candidate / "run.json").is_file():
                return cls(candidate.resolve())
        raise RunFolderError(f"{path} is not a run folder: it has no run.json; give .parasuite/runs/ID or .parasuite")

    def copy_dir(self, copy: int) -> Path:
        return self.path / "copies" / f"{copy:03d}"

    def write(self, name: str, text: str) -> None:
        """Replace the file *name* whole, so that a reader never finds half of one. Raises OSError."""
        target = self.path / name
        temporary = target.with_name(target.name + ".new")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def write_run(self, facts: Mapping[str, Any]) -> None:
        self.write("run.json", json.dumps(facts, indent=1) + "\n")

    def read_run(self) -> dict[str, Any]:
        """What write_run wrote. Raises RunFolderError for a file that is not JSON, or without what a report needs."""
        file = self.path / "run.json"
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{file} cannot be read: {error}") from error
        told = facts if isinstance(facts, dict) else {}
        missing = [name for name, kind in _NEEDED.items() if not isinstance(told.get(name), kind)]
        if missing:
            raise RunFolderError(
                f"{file} is not of this version of parasuite: without {', '.join(missing)}; run the suite again"
            )
        return told

    def events(self) -> Iterator[Event]:
        """Every event of every writer, merged by time, read as it goes. Torn lines are counted and dropped."""
        files = sorted((self.path / "events").glob("*.jsonl"))
        by_process = (events for copy in sorted((self.path / "copies").glob("*")) for events in recorded(copy))
        return heapq.merge(*(self._lines(file) for file in files), *by_process, key=attrgetter("t_ns"))

    def _lines(self, file: Path) -> Iterator[Event]:
        with file.open("rb") as stream:
            for line in stream:
                try:
                    yield decode(line)
                except EventError:
                    self.unreadable_lines += 1


class EventLog:
    """Appends events to a file of `events/`, each by one write(2). A full disk is kept in `failure`, not raised."""

    def __init__(self, folder: RunFolder, writer: str) -> None:
        path = folder.path / "events" / f"{writer}.jsonl"
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


def _point(link: Path, target: Path) -> None:
    """Make *link* a relative link to *target*, replacing an older one at once; none where links cannot be."""
    temporary = link.with_name(f".{link.name}-{target.name}")
    with contextlib.suppress(OSError, NotImplementedError):
        temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        os.replace(temporary, link)


def _prune(runs: Path, keep: Path) -> None:
    """Remove the oldest runs beyond RUNS_KEPT, but none that has no end: another parasuite may be at it."""
    finished = [run for run in runs.iterdir() if run != keep and _has_ended(run)]
    for run in sorted(finished)[: -(RUNS_KEPT - 1)]:
        shutil.rmtree(run, ignore_errors=True)


def _has_ended(run: Path) -> bool:
    try:
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(facts.get("ended")) or not psutil.pid_exists(int(facts.get("pid", 0)))
