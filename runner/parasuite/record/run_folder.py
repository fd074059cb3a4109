"""The folder of one run. Everything that a run learns is stored here, and every report is made from it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from parasuite.model.events import Event
from parasuite.model.run_record import FILE_BYTES_MAX, FILE_NAME, RunRecord, RunRecordError
from parasuite.record.event_files import EventFile, Losses, merged
from parasuite.record.folder_lock import LOCK, lock
from parasuite.record.output_folder import (
    IDS_TRIED,
    NEW_FILE,
    at_or_latest,
    link_latest,
    make_base,
    new_locked_folder,
    replace_file,
)
from parasuite.record.recorder_files import FOLDERS, event_files, failures
from parasuite.record.removal import remove_tree
from parasuite.record.retention import prune
from parasuite.record.untrusted import Unreadable, names, read_json

_ENDS_WRITTEN = 2  # Before judging, and with the verdict.
_RESERVED_BYTES = 4096  # For what run.json contains only at the end: errors, notes, the verdict.
_COPY = re.compile(r"copies/\d{3,}")


class RunFolderError(Exception):
    """A folder that cannot be made, written or read; the message says what to do."""


class RunFolder:
    """`run.json`, `events/`, `copies/NNN/`, the reports; see docs/architecture.md for what is in each.

    *notes*: what went wrong while the folder was made, a line each. *losses*: what could not be read of the events.
    *output_folder*: where `create` has made it; None for every other one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output_folder: Path | None = None
        self.notes: list[str] = []
        self.losses = Losses()
        self._lock: int | None = None
        self._reserved: list[tuple[int, Path]] = []

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, base: Path, copies: int, *, is_latest: bool = True) -> RunFolder:
        """A new folder below *base*/runs, named by UTC time and four random digits.

        *is_latest*: let *base*/latest point at it. It is locked while this process lives, or until `close`, so that
        no other parasuite removes it. Old runs are removed. Raises RunFolderError if *base* cannot be written.
        """
        folder = None
        try:
            make_base(base, "runs")
            path, descriptor = new_locked_folder(base / "runs")
            folder = cls(path)
            folder.output_folder = base
            folder._lock = descriptor
            folder._make_folders(copies)
            # On a full disk a folder can often still be made, but no file written.
            probe = folder.path / "events" / "probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
            if is_latest:
                link_latest(base, folder.path)
        except OSError as error:
            path = base / "runs" if folder is None else folder.path
            if folder is not None:
                folder.discard()
            raise RunFolderError(
                f"cannot write the run folder {path}: {error.strerror}; name another with --output-dir"
            ) from error
        folder.notes += prune(base, keep=folder.run_id)
        return folder

    @classmethod
    def create_inside(cls, outer: RunFolder, name: str, copies: int) -> RunFolder:
        """A new folder for a run that belongs to the run in *outer*, named *name*, or *name*-2 and so on.

        Neither `latest` nor the removal of old runs knows it: it is removed with *outer*. Raises RunFolderError.
        """
        parent = outer.path / name
        try:
            parent.parent.mkdir(exist_ok=True)
            if parent.parent.is_symlink():
                raise RunFolderError(f"{parent.parent} is a link: remove it")
            for number in range(1, IDS_TRIED):
                folder = cls(parent.with_name(f"{parent.name}-{number}" if number > 1 else parent.name))
                with contextlib.suppress(FileExistsError):
                    folder.path.mkdir()
                    break
            else:
                raise RunFolderError(f"{parent.parent} has too many runs of {parent.name}: remove some")
            folder._lock = lock(folder.path / LOCK)
            folder._make_folders(copies)
        except OSError as error:
            raise RunFolderError(f"cannot write into the run folder {outer.path}: {error.strerror}") from error
        return folder

    def _make_folders(self, copies: int) -> None:
        for name in ("events", *(f"copies/{copy:03d}/{name}" for copy in range(copies) for name in FOLDERS)):
            (self.path / name).mkdir(parents=True)

    def make_importer(self) -> None:
        """Make the folder of the importer, from which copies are forked. It contains what a copy's does."""
        for name in FOLDERS:
            (self.path / "importer" / name).mkdir(parents=True)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run: *path* itself, or the latest one below it. Raises RunFolderError."""
        if (found := at_or_latest(path, FILE_NAME)) is not None:
            return cls(found)
        raise RunFolderError(f"{path} is not a run folder: it has no run.json; give .parasuite/runs/ID or .parasuite")

    def discard(self) -> None:
        """Remove the folder, which this process has just made."""
        self.close()
        remove_tree(self.path)

    def close(self) -> None:
        """Give back the reserved space, and let other runs remove the folder."""
        for descriptor, path in self._reserved:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
        self._reserved.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def copy_dir(self, copy: int) -> Path:
        return self.path / "copies" / f"{copy:03d}"

    def write(self, name: str, text: str | bytes) -> None:
        """Replace the file *name* in one step, so that no reader ever finds half of it. Raises OSError."""
        replace_file(self.path, name, text)

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json. Raises OSError."""
        self.write(FILE_NAME, _as_text(record))

    def reserve_space(self) -> None:
        """Reserve disk space for `write_end`. Raises OSError."""
        size = _RESERVED_BYTES + os.stat(self.path / FILE_NAME).st_size
        for number in range(_ENDS_WRITTEN):
            path = self.path / f".run.json-spare-{number}"
            descriptor = os.open(path, NEW_FILE, 0o666)
            self._reserved.append((descriptor, path))
            left = size
            while left:
                left -= os.write(descriptor, b" " * left)

    def write_end(self, record: RunRecord) -> None:
        """Replace run.json once the copies have ended, using the reserved space. Raises OSError.

        If the suite has filled the disk, run.json could not be written otherwise, and `report` would say that
        parasuite was killed.
        """
        if not self._reserved:
            self.write_record(record)
            return
        descriptor, path = self._reserved.pop()
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            text = _as_text(record).encode("utf-8")
            size = len(text)
            while text:
                text = text[os.write(descriptor, text) :]
            os.ftruncate(descriptor, size)
            os.replace(path, self.path / FILE_NAME)
        except OSError:
            # The suite has removed the file, or the record has outgrown it.
            self.write_record(record)
        finally:
            os.close(descriptor)

    def read_record(self) -> RunRecord:
        """What `write_record` wrote. Raises RunFolderError for everything else."""
        try:
            return RunRecord.from_json(read_json(self.path, FILE_NAME, FILE_BYTES_MAX))
        except Unreadable as error:
            raise RunFolderError(f"the run folder {self.path} cannot be read: {error}") from error
        except RunRecordError as error:
            raise RunFolderError(f"{self.path / FILE_NAME} {error}") from error

    def events(self, is_stopped: Callable[[], bool]) -> Iterator[Event]:
        """The events of all writers, sorted by time, read on demand. `losses` counts what cannot be read.

        Raises ReadingStopped if *is_stopped* returns true before the first event is known.
        """
        files: list[EventFile] = []
        failed: list[Event] = []
        with self._recording_losses():
            files += [EventFile(name) for name in names(self.path, "events", ".jsonl")]
        for copy in self._copy_folders():
            with self._recording_losses():
                files += event_files(self.path, f"{copy}/recorder")
                failed += failures(self.path, f"{copy}/recorder")
        return itertools.chain(failed, merged(self.path, files, self.losses, is_stopped))

    def orchestrator_events(self) -> Iterator[Event]:
        """What the orchestrator itself wrote: the start of the run, the states of the copies, the samples."""
        return merged(self.path, [EventFile("events/orchestrator.jsonl")], self.losses)

    def _copy_folders(self) -> list[str]:
        """The folders of the copies, without anything else that a suite has put beside them."""
        with self._recording_losses():
            return [name for name in names(self.path, "copies", "") if _COPY.fullmatch(name)]
        return []

    @contextlib.contextmanager
    def _recording_losses(self) -> Iterator[None]:
        try:
            yield
        except Unreadable as error:
            self.losses.files.append(str(error))


def _as_text(record: RunRecord) -> str:
    return json.dumps(record.to_json(), indent=1) + "\n"
