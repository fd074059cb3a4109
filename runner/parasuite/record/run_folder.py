"""The folder of one run: all that it learned, and every report. What a run knows is here or nowhere."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from parasuite.model.events import Event
from parasuite.model.lines import encode
from parasuite.model.words import FailOn
from parasuite.record.event_files import EventFile, Losses, merged
from parasuite.record.recorder_files import FOLDERS, event_files, failures
from parasuite.record.removal import remove_from, remove_tree
from parasuite.record.untrusted import Missing, Unreadable, folder_below, names, open_file, read_json

try:
    import fcntl
except ImportError:  # Windows has no flock.
    fcntl = None  # type: ignore[assignment]

RUNS_KEPT = 10
LOCK = "lock"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_IDS_TRIED = 100
_COPIES_MAX = 100_000
_PID_MAX = 1 << 22  # proc(5), /proc/sys/kernel/pid_max
_RUN_JSON_MAX_BYTES = 16 << 20
_ENDS_WRITTEN = 2  # Before judging, and with the verdict.
_SPARE_BYTES = 4096  # For what run.json says at the end and not at the start: reasons, the verdict.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_COPY = re.compile(r"copies/\d{3,}")
_BYTECODE = re.compile(r"parasuite-\d{6}")
_YEAR_9999_S = 253_402_300_799


def _exists(path: Path) -> bool:
    """Whether there is anything at *path*. Raises OSError where that cannot be known."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_target(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("kind") not in ("corpus", "pytest", "command"):
        return False
    argv = value.get("argv")
    return value["kind"] != "command" or (_is_list_of_text(argv) and bool(argv))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_NEEDED: dict[str, Callable[[Any], bool]] = {  # Of run.json, to make a report.
    "copies": lambda value: type(value) is int and 0 < value <= _COPIES_MAX,
    "target": _is_target,
    "described": _is_text,
    "fail_on": lambda value: value in list(FailOn),
    "host": _is_text,
    "started_s": lambda value: type(value) in (int, float) and 0 <= value <= _YEAR_9999_S,
    "sensors_by_name": _is_list_of_text,
    "sensors_in_use": _is_list_of_text,
    "ended": _is_text,
    "errors": _is_list_of_text,
    "notes": _is_list_of_text,
    "collected": lambda value: isinstance(value, list) and all(map(_is_list_of_text, value)),
}
_OPTIONAL: dict[str, Any] = {"sensors_in_use": [], "ended": "", "errors": [], "notes": [], "collected": []}


class RunFolderError(Exception):
    """A folder that cannot be made, written or read; the message says what to do."""


class RunFolder:
    """`run.json`, `events/`, `copies/NNN/`, the reports; see docs/architecture.md for what is in each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        """What could not be done as it should, a line each."""
        self._lock: int | None = None
        self._spares: list[tuple[int, Path]] = []
        self.losses = Losses()

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, base: Path, copies: int) -> RunFolder:
        """A new folder below *base*/runs, named by UTC time and four random digits; `latest` points at it.

        It is locked for as long as this process lives, or until `close`, so that no other parasuite removes it.
        Raises RunFolderError if *base* cannot be written.
        """
        folder = None
        try:
            _make_base(base)
            folder = cls._new(base / "runs")
            for name in ("events", *(f"copies/{copy:03d}/{name}" for copy in range(copies) for name in FOLDERS)):
                (folder.path / name).mkdir(parents=True)
            # A folder can be made on a disk that has no room for a single byte in it.
            probe = folder.path / "events" / "probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
            _point(base / "latest", folder.path)
        except OSError as error:
            path = base / "runs" if folder is None else folder.path
            if folder is not None:
                folder.discard()
            raise RunFolderError(
                f"cannot write the run folder {path}: {error.strerror}; name another with --output-dir"
            ) from error
        folder.notes += _prune(base, keep=folder.run_id)
        return folder

    @classmethod
    def _new(cls, runs: Path) -> RunFolder:
        """A folder that this process has made: never one of a run that began in the same second. Raises OSError."""
        for _ in range(_IDS_TRIED):
            run_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(2)
            folder = cls(runs / run_id)
            try:
                folder.path.mkdir()
            except FileExistsError:
                continue
            try:
                folder._lock = _locked(folder.path / LOCK)
            except OSError:
                folder.discard()
                raise
            return folder
        raise FileExistsError(errno.EEXIST, f"{_IDS_TRIED} names were taken", str(runs))

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The folder of an earlier run: *path* itself, or the latest below it. Raises RunFolderError."""
        for candidate in (path, path / "latest"):
            # Of any kind: read_run reports what is wrong with it.
            if _exists(candidate / "run.json"):
                return cls(candidate.resolve())
        raise RunFolderError(f"{path} is not a run folder: it has no run.json; give .parasuite/runs/ID or .parasuite")

    def discard(self) -> None:
        """Remove the folder, which this process has made, before a run began in it."""
        self.close()
        remove_tree(self.path)

    def close(self) -> None:
        """Give back the room that was set aside, and let others remove the folder."""
        for descriptor, spare in self._spares:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                spare.unlink()
        self._spares.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def copy_dir(self, copy: int) -> Path:
        return self.path / "copies" / f"{copy:03d}"

    def write(self, name: str, text: str) -> None:
        """Replace the file *name* whole, so that a reader never finds half of one. Raises OSError."""
        # A name of its own: `report` may run twice at once.
        temporary = self.path / f".{name}-{os.getpid()}-{secrets.token_hex(4)}"
        with open(os.open(temporary, _NEW, 0o666), "wb") as stream:
            try:
                stream.write(text.encode("utf-8"))
                stream.flush()
                os.replace(temporary, self.path / name)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json. Raises OSError."""
        self.write("run.json", _run_json(facts))

    def reserve_room(self) -> None:
        """Set room aside for `write_end`. Raises OSError."""
        size = _SPARE_BYTES + os.stat(self.path / "run.json").st_size
        for number in range(_ENDS_WRITTEN):
            spare = self.path / f".run.json-spare-{number}"
            descriptor = os.open(spare, _NEW, 0o666)
            self._spares.append((descriptor, spare))
            left = size
            while left:
                left -= os.write(descriptor, b" " * left)

    def write_end(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json when the copies have ended, in the room that was set aside. Raises OSError.

        On a disk that its suite has filled, `report` would otherwise say that the run has no end.
        """
        if not self._spares:
            self.write_run(facts)
            return
        descriptor, spare = self._spares.pop()
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            text = _run_json(facts).encode("utf-8")
            size = len(text)
            while text:
                text = text[os.write(descriptor, text) :]
            os.ftruncate(descriptor, size)
            os.replace(spare, self.path / "run.json")
        except OSError:
            # The suite has removed it, or it says more than there is room for.
            self.write_run(facts)
        finally:
            os.close(descriptor)

    def read_run(self) -> dict[str, Any]:
        """What write_run wrote. Raises RunFolderError for a file that is not JSON, or without what a report needs."""
        try:
            found = read_json(self.path, "run.json", _RUN_JSON_MAX_BYTES)
        except Unreadable as error:
            raise RunFolderError(f"the run folder {self.path} cannot be read: {error}") from error
        facts: dict[str, Any] = found if isinstance(found, dict) else {}
        facts = {**_OPTIONAL, **facts}
        missing = [name for name, is_valid in _NEEDED.items() if not is_valid(facts.get(name))]
        if missing:
            raise RunFolderError(
                f"{self.path / 'run.json'} is not of this version of parasuite: without {', '.join(missing)}; "
                "run the suite again"
            )
        return facts

    def events(self, is_stopped: Callable[[], bool]) -> Iterator[Event]:
        """Every event of every writer, sorted by time, read as it goes. `losses` counts what cannot be read.

        Raises ReadingStopped where *is_stopped* says so before the first event.
        """
        files: list[EventFile] = []
        failed: list[Event] = []
        with self._noting_losses():
            files += [EventFile(name) for name in names(self.path, "events", ".jsonl")]
        for copy in self._copies():
            with self._noting_losses():
                files += event_files(self.path, f"{copy}/recorder")
                failed += failures(self.path, f"{copy}/recorder")
        return itertools.chain(failed, merged(self.path, files, self.losses, is_stopped))

    def orchestrator_events(self) -> Iterator[Event]:
        """What the orchestrator itself wrote: the run's start, how each copy fared, what the sampler saw."""
        return merged(self.path, [EventFile("events/orchestrator.jsonl")], self.losses)

    def _copies(self) -> list[str]:
        """The folders of the copies; whatever else a suite has put beside them is not ours."""
        with self._noting_losses():
            return [name for name in names(self.path, "copies", "") if _COPY.fullmatch(name)]
        return []

    @contextlib.contextmanager
    def _noting_losses(self) -> Iterator[None]:
        try:
            yield
        except Unreadable as error:
            self.losses.files.append(str(error))


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


def _run_json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=1) + "\n"


def _make_base(base: Path) -> None:
    """Make *base* and its `runs`; a new *base* keeps itself out of version control. Raises OSError."""
    base.parent.mkdir(parents=True, exist_ok=True)
    try:
        base.mkdir()
    except FileExistsError:
        pass  # It may be the user's own, with files that belong into version control.
    else:
        with open(base / ".gitignore", "x") as stream:
            stream.write("*\n")
    (base / "runs").mkdir(exist_ok=True)


def _point(link: Path, target: Path) -> None:
    """Make *link* a relative link to *target*, replacing an older link at once; none where links cannot be."""
    if os.path.lexists(link) and not link.is_symlink():
        return  # A file of the user's own.
    temporary = link.with_name(f".{link.name}-{target.name}")
    with contextlib.suppress(OSError, NotImplementedError):
        temporary.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        os.replace(temporary, link)


def _locked(path: Path) -> int:
    """A new file with the lock that says that its process lives, in whatever pid namespace. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        if fcntl is not None:
            # Where a file system has no locks (ENOLCK), the pid in run.json is all that there is.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _prune(base: Path, keep: str) -> list[str]:
    """Remove the oldest runs beyond RUNS_KEPT, but none that has no end, and the compiled files of other months.

    Returns a line for each that could not be removed.
    """
    try:
        runs = [name for name in _names(base, "runs") if _RUN_ID.fullmatch(name) and name != keep]
        old = [f"runs/{run}" for run in runs if _has_ended(base / "runs" / run)][: -(RUNS_KEPT - 1)]
        stale = [name for name in _names(base, "bytecode") if _BYTECODE.fullmatch(name) and keep[:6] not in name]
        old += [f"bytecode/{name}" for name in stale]
        return [problem for problem in (_remove(base, name) for name in old) if problem]
    except Unreadable as error:
        return [f"old runs are not removed: {error}"]


def _names(base: Path, folder: str) -> list[str]:
    try:
        return [name.rpartition("/")[2] for name in names(base, folder, "")]
    except Missing:
        return []


def _remove(base: Path, name: str) -> str:
    place, _, last = name.rpartition("/")
    with folder_below(base, place) as folder:
        return remove_from(folder, last, base / name) if isinstance(folder, int) else remove_tree(base / name)


def _has_ended(run: Path) -> bool:
    """Whether no parasuite is at work in the folder *run*."""
    try:
        is_locked = _is_locked(run)
        facts = read_json(run, "run.json", _RUN_JSON_MAX_BYTES)
    except Unreadable:
        return False
    if is_locked or not isinstance(facts, dict):
        return False
    pid = facts.get("pid")
    # Where there are no locks, as on Windows, only the pid can tell.
    is_alive = type(pid) is int and 0 < pid <= _PID_MAX and psutil.pid_exists(pid)
    return bool(facts.get("ended")) or is_locked is False or not is_alive


def _is_locked(run: Path) -> bool | None:
    """Whether the process that made *run* lives; None where that cannot be told. Raises Unreadable where its lock is
    no file.
    """
    if fcntl is None:
        return None
    try:
        with open_file(run, LOCK) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except Missing:
        return None  # Made before there was one.
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return False
