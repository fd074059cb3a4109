"""Appends the results of a copy's tests to results.jsonl, and decides whose tests are the copy's.

Any number of processes may write into the file at once: a line is appended with one write(2), and names its process.
A test that runs within another test is not a test of the copy: neither one in the same process, nor one in a process
that a test or a fixture started. Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import contextlib
import os

import _parasuite_tests as tests
from _parasuite_clock import now_ns
from _parasuite_page import parent_of, published_work

NAME = "results.jsonl"
VARIABLE = "PARASUITE_RESULTS"
"""The copy's folder, if its results come from whatever test runners its command starts. Hidden from programs."""
_TEXT_MAX = 16_000
_ANCESTORS_MAX = 100
_FIRST_DESCRIPTOR = 200  # Below 256, a usual limit (macOS).
_IDS_PER_WRITE = 500


class Stream:
    """Appends to results.jsonl with one write(2) per event, so that a line is torn only if its writer is killed."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, NAME)
        self._owner = os.getpid()
        self._runner = f"{self._owner}-{now_ns()}"
        from json import dumps  # Late: a program that never runs a test should not find it imported.

        self._dumps = dumps
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = _out_of_the_way(os.open(self._path, flags, 0o666))
        self._file = self._found()

    def close(self) -> None:
        """Nothing is going to be written."""
        os.close(self._descriptor)

    def _found(self) -> tuple[int, int] | None:
        """The file that the descriptor refers to; None if it is closed."""
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def write(self, event: str, **fields: object) -> None:
        """Append a line. A forked child of the process that opened the stream writes nothing."""
        self._append(self._line(event, fields))

    def write_collected(self, ids: list[str]) -> None:
        """Append a line for each of *ids*, some hundred with one write(2).

        A line for each, because readers limit the length of a line, and a suite may have 100,000 tests. None of the
        tests has begun, so nothing that a test does can be lost if the process is killed meanwhile.
        """
        for first in range(0, len(ids), _IDS_PER_WRITE):
            some = ids[first : first + _IDS_PER_WRITE]
            self._append("".join([self._line("collected", {"id": nodeid}) for nodeid in some]))

    def _line(self, event: str, fields: dict[str, object]) -> str:
        return self._dumps({"event": event, "t_ns": now_ns(), "runner": self._runner, **fields}) + "\n"

    def _append(self, text: str) -> None:
        if os.getpid() != self._owner:
            return
        try:
            # A test that closes all descriptors (os.closerange) closes this one; a socket may have its number now.
            if self._found() != self._file:
                self._open()
            os.write(self._descriptor, text.encode("ascii"))
        except OSError:
            pass  # If the disk is full the result is missing and its test counts as lost; the tests go on.

    def write_end(self) -> None:
        """Append that the runner came to its end in order."""
        self.write("ended")


class KeptLines:
    """A Stream that keeps its lines, for as long as it is not known whose they are."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, dict[str, object]]] = []

    def write(self, event: str, **fields: object) -> None:
        self._kept.append((event, fields))

    def write_end(self) -> None:
        """No process waits for the end."""

    def pour_into(self, stream: Stream) -> None:
        for event, fields in self._kept:
            stream.write(event, **fields)


def _out_of_the_way(descriptor: int) -> int:
    """*descriptor*, moved to a number that the program's own do not reach: those stay what they would be.

    It stays where it is if the program may not have that many, or where fcntl(2) is missing.
    """
    with contextlib.suppress(ImportError, OSError):
        from fcntl import F_DUPFD_CLOEXEC, fcntl

        moved = fcntl(descriptor, F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        os.close(descriptor)
        return moved
    return descriptor


def end_of(text: str) -> str:
    """The end of *text*, where a traceback says what happened."""
    return text if len(text) <= _TEXT_MAX else "[...]\n" + text[-_TEXT_MAX:]


def both_ends_of(text: str) -> str:
    """The beginning and the end of *text*, a message: reports show its first line."""
    half = _TEXT_MAX // 2
    return text if len(text) <= _TEXT_MAX else f"{text[:half]}\n[...]\n{text[-half:]}"


def is_started_by_a_test(folder: str) -> bool:
    """Whether a test or a fixture started this process: one is at work in a process that this one descends from, as
    the pages in the copy's *folder* say.

    A parent that runs several tests at once is not recognised. Only Linux tells the parent's parent.
    """
    if tests.is_forked_by_fixture():
        return True
    pages = os.path.join(folder, "pages")
    pid = getattr(os, "getppid", int)()
    for _ in range(_ANCESTORS_MAX):
        if pid <= 1:
            break
        if published_work(pages, pid):
            return True
        pid = parent_of(pid)
    return False
