"""A page of memory in which a Python process publishes which test runs and which line is about to bind or connect.

The supervisor reads it while the caller is stopped in the call. Nothing is ever sent, so a slow or dead reader costs
nothing. There is one file per process, named by its pid. It is mapped shared, so it survives SIGKILL, and without a
descriptor, so that the program may close all descriptors and finds none that it did not open. Standard library only,
Python 3.8 or newer.

    0     "PSPAGE1" and a NUL (all zeroes: the page is stale)
    8     the process's start in clock ticks since boot, and where its stack begins (u64 each; 0 if unknown)
    24    the worker of pytest-xdist that the process is, ended by a NUL
    64    64 thread ids (u32), one for each slot; slot 0 belongs to the process as a whole
    512   64 slots of 1 kB: descriptor (i32), kind of call (u8), attribution (u8), lengths of test, frames and
          fixture (u16 each), and at 16 these three texts; the frames as user_frames gives them
"""

from __future__ import annotations

import os
import struct
import sys
from _thread import allocate_lock

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

MAGIC = b"PSPAGE1\0"
WORKER_AT, TIDS_AT, SLOTS_AT = 24, 64, 512
SLOTS, SLOT_SIZE = 64, 1024
SIZE = SLOTS_AT + SLOTS * SLOT_SIZE
# Disk space taken at first: enough for a few threads, as most processes have. There may be thousands of processes.
_ROOM_AT_FIRST = 8192
HEAD = struct.Struct("=iBBHHH")
TEXT_AT = 16
# Frames take the room that test and fixture leave, at least 288 bytes.
TEXT_MAX, TEST_MAX, FIXTURE_MAX = SLOT_SIZE - TEXT_AT, 640, 80
NOTHING, BIND, LISTEN, CONNECT, SEND = range(5)
# How it is known which test a call belongs to.
BY_THREAD, BY_STARTER, BY_PROCESS = range(3)


def start_ticks(pid: Any) -> int:
    """When *pid* (an id or "self") started, in clock ticks since boot; 0 if unknown."""
    return _in_stat(pid, 22)


def stack_start(pid: Any) -> int:
    """The address at which the stack of *pid* begins; 0 if unknown. It changes when the process executes another
    program (execve(2)), because the kernel chooses it at random.
    """
    return _in_stat(pid, 28)


def _in_stat(pid: Any, field: int) -> int:
    """A field by its number in proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[field - 3])
    except (OSError, IndexError, ValueError):
        return 0


def parent_of(pid: Any) -> int:
    """The process that started *pid*, or that took it over; 0 if unknown."""
    return _in_stat(pid, 4)


def published_work(folder: str, pid: int) -> str:
    """The test that the process *pid* runs, or the fixture at work there, as its page in *folder* says; else ""."""
    try:
        with open(os.path.join(folder, str(pid)), "rb") as stream:
            head = stream.read(SLOTS_AT)
            slot = stream.read(SLOT_SIZE)
    except OSError:
        return ""
    if head[: len(MAGIC)] != MAGIC or len(slot) < SLOT_SIZE:
        return ""
    started = struct.unpack_from("=Q", head, 8)[0]
    if started and started != start_ticks(pid):
        return ""  # Of an earlier process with this pid.
    _, _, _, test, frames, fixture = HEAD.unpack_from(slot)
    return slot[TEXT_AT : TEXT_AT + (test or frames + fixture)].decode("utf-8", "replace")


def mapped(path: str, size: int, room: int) -> Any:
    """A new file of *size* bytes, mapped, with disk space for the first *room* bytes. Raises OSError, with no file
    left.

    If possible no descriptor stays open (`_map`). Keep the map for as long as the process lives: a map that has a
    descriptor closes it when it is deleted, and by then the program may have closed that descriptor itself and opened
    another file under its number (os.closerange).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        os.ftruncate(descriptor, size)
        _take_room(descriptor, 0, room)
        return _map(descriptor, size)
    except OSError:
        try:  # noqa: SIM105 - contextlib is not imported here: see _parasuite_guard.
            os.unlink(path)
        except OSError:
            pass
        raise
    finally:
        os.close(descriptor)


def _map(descriptor: int, size: int) -> Any:
    """The file of *descriptor* as a writable buffer that keeps no descriptor: a program that lists its descriptors
    (as CPython's test_subprocess does) would find one that it never opened.

    Before Python 3.13, mmap always keeps one, so the C library's mmap(2) is called instead. If that is not possible
    either (other systems, PyPy, subinterpreters), the map keeps a descriptor.
    """
    if sys.version_info < (3, 13):
        try:
            from _parasuite_libc import map_file

            return map_file(descriptor, size)
        except ImportError:
            pass
    import mmap

    if sys.version_info >= (3, 13) and os.name == "posix":
        return mmap.mmap(descriptor, size, trackfd=False)
    return mmap.mmap(descriptor, size)


def _take_room(descriptor: int, start: int, end: int) -> None:
    """Take disk space for the bytes from *start* to *end*: else writing to the map on a full disk raises SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, start, end - start)
            return
        except OSError:
            pass  # Not every file system can; a full disk also shows below.
    os.lseek(descriptor, start, os.SEEK_SET)
    while start < end:
        start += os.write(descriptor, bytes(end - start))


def _make_void(path: str) -> None:
    """Invalidate an existing page at *path* for readers that have it mapped. It was this process's page before an
    exec(2), or that of an earlier process with this pid.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            os.write(descriptor, bytes(len(MAGIC)))
        finally:
            os.close(descriptor)
    except OSError:
        pass


def _cut(text: str, limit: int) -> bytes:
    """*text* in UTF-8, at most *limit* bytes; of a longer one the end, the more specific part of an id or a path."""
    data = text.encode("utf-8", "backslashreplace")
    return data if len(data) <= limit else b"..." + data[3 - limit :]


def _cut_frames(text: str, limit: int) -> bytes:
    """The innermost frames of *text* in UTF-8 that fit into *limit* bytes; if not even one does, the end of that."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data
    end = data.rfind(b"\n", 0, limit + 1)
    return data[:end] if end > 0 else _cut(text.partition("\n")[0], limit)


class Page:
    """This process's page, for writing. Raises OSError if the file cannot be created."""

    def __init__(self, folder: str) -> None:
        from _parasuite_clock import is_in_another_namespace, now_ns

        self._path = path = os.path.join(folder, str(os.getpid()))
        # Created under another name and renamed: a reader never sees half a page, nor one of an earlier process with
        # this pid.
        aside = f"{path}.{now_ns()}.new"
        self._room = _ROOM_AT_FIRST
        self._memory = mapped(aside, SIZE, self._room)
        self._inode = os.stat(aside).st_ino
        # In another time namespace the start of this process is counted from another boot time than the reader's.
        started = 0 if is_in_another_namespace() else start_ticks("self")
        self._memory[8:24] = struct.pack("=QQ", started, stack_start("self"))
        self._memory[0:8] = MAGIC
        self._slots = {0: 0}
        self._next = 1
        self._claiming = allocate_lock()
        _make_void(path)
        os.replace(aside, path)

    def publish_worker(self, name: str) -> None:
        """Publish which worker of pytest-xdist this process is."""
        room = TIDS_AT - WORKER_AT - 1
        self._memory[WORKER_AT:TIDS_AT] = _cut(name, room).ljust(room + 1, b"\0")

    def publish(
        self, tid: int, kind: int, descriptor: int, test: str, frames: str, attribution: int, fixture: str = ""
    ) -> None:
        """Publish what the thread *tid* is about to do; for *tid* 0, which test the process as a whole runs.

        *frames*: as user_frames gives them. *fixture*: "scope:name".
        """
        slot = self._slots.get(tid)
        if slot is None:
            slot = self._claim(tid)
            if slot is None:
                return
        test_bytes, fixture_bytes = _cut(test, TEST_MAX), fixture.encode("utf-8", "backslashreplace")[:FIXTURE_MAX]
        frames_bytes = _cut_frames(frames, TEXT_MAX - len(test_bytes) - len(fixture_bytes))
        lengths = len(test_bytes), len(frames_bytes), len(fixture_bytes)
        at = SLOTS_AT + slot * SLOT_SIZE
        memory = self._memory
        # Lengths of zero first and the true ones last: a reader in between sees an empty slot, never half a name.
        memory[at : at + HEAD.size] = HEAD.pack(-1, NOTHING, 0, 0, 0, 0)
        text = test_bytes + frames_bytes + fixture_bytes
        memory[at + TEXT_AT : at + TEXT_AT + len(text)] = text
        memory[at : at + HEAD.size] = HEAD.pack(descriptor, kind, attribution, *lengths)

    def _claim(self, tid: int) -> int | None:
        """A slot for *tid*; None while another slot is being claimed. Do not wait for that: this may run in a signal
        handler that interrupted the very claim.
        """
        if not self._claiming.acquire(blocking=False):
            return None
        try:
            slot = self._next
            if SLOTS_AT + (slot + 1) * SLOT_SIZE > self._room and not self._takes_all_room():
                slot = 1
            # If there are more threads than slots, the oldest loses its slot and claims another at its next call.
            self._next = slot % (SLOTS - 1) + 1
            for other in [other for other, taken in list(self._slots.items()) if taken == slot]:
                del self._slots[other]
            self._slots[tid] = slot
            self._memory[TIDS_AT + 4 * slot : TIDS_AT + 4 * slot + 4] = struct.pack("=I", tid)
            return slot
        finally:
            self._claiming.release()

    def _takes_all_room(self) -> bool:
        """Take disk space for the rest of the page; whether that succeeded."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            try:
                if os.fstat(descriptor).st_ino == self._inode:
                    _take_room(descriptor, self._room, SIZE)
                    self._room = SIZE
            finally:
                os.close(descriptor)
        except OSError:
            pass
        return self._room == SIZE
