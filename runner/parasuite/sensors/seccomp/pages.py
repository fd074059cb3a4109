"""Reads the pages that recorded processes publish: the test and line of a thread that is stopped in a call.

The copy may have put anything in their place: a FIFO, a link to a device, a file on a FUSE file system that never
answers. None of it may keep the supervisor waiting. So a page is opened below a folder that was opened before the
copy began, without crossing a mount or a link and without waiting, and is used only if it is a file of the right size
and owner. It is read, not mapped: accessing a map of a file that was cut short raises SIGBUS.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
from functools import lru_cache
from typing import NamedTuple

from parasuite.model.location import FRAMES_MAX, Location
from parasuite.model.party import Fixture
from parasuite.model.words import AttributedBy
from parasuite.sensors.recorder import _parasuite_page as layout

_OPENAT2 = 437  # On every architecture.
_RESOLVE_NO_XDEV, _RESOLVE_NO_SYMLINKS = 0x01, 0x04
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY
_HOW = struct.pack("=QQQ", _FLAGS, 0, _RESOLVE_NO_XDEV | _RESOLVE_NO_SYMLINKS)
# The head and the first two slots: the process's own and, nearly always, its main thread's.
_READ_AT_ONCE = layout.SLOTS_AT + 2 * layout.SLOT_SIZE
_ALL_TIDS = struct.Struct(f"={layout.SLOTS}I")
_ATTRIBUTED_BY = {
    layout.BY_THREAD: AttributedBy.THREAD,
    layout.BY_STARTER: AttributedBy.THREAD_START,
    layout.BY_PROCESS: AttributedBy.PROCESS,
}


class Attribution(NamedTuple):
    """What a call belongs to, as in Caller, and in its order; no frames for calls that Python did not make."""

    test: str = ""
    frames: tuple[Location, ...] = ()
    by: AttributedBy = AttributedBy.NONE
    fixture: Fixture | None = None
    library: str = ""


UNATTRIBUTED = Attribution()


class Page:
    """One process's page. *inode*: of its file. Owns *descriptor*."""

    def __init__(self, descriptor: int, inode: int) -> None:
        self.inode = inode
        self._descriptor = descriptor
        self._start = b""
        self._tids_raw = b""
        self._tids: tuple[int, ...] = ()

    def close(self) -> None:
        os.close(self._descriptor)

    def refresh(self) -> bool:
        """Read the page again; False if it is stale, because its process has made another one, or was cut short."""
        self._start = os.pread(self._descriptor, _READ_AT_ONCE, 0)
        return len(self._start) == _READ_AT_ONCE and self._start.startswith(layout.MAGIC)

    def is_of(self, pid: int, start_ticks: int) -> bool:
        """Whether the page is of the process *pid* that started at *start_ticks*, and this has not executed another
        program since, whose stack would be elsewhere. Fields that the page leaves 0 are not compared.
        """
        started, stack = struct.unpack_from("=QQ", self._start, 8)
        return started in (0, start_ticks) and stack in (0, layout.stack_start(pid) or stack)

    def attribution_of(self, tid: int, kind: int, descriptor: int) -> Attribution:
        """What the thread *tid* published before this call; if nothing, the test of the process.

        As of the last *refresh*.
        """
        raw = self._start[layout.TIDS_AT : layout.TIDS_AT + _ALL_TIDS.size]
        if raw != self._tids_raw:
            self._tids_raw, self._tids = raw, _ALL_TIDS.unpack(raw)
        if tid in self._tids:
            attribution = self._of_slot(self._tids.index(tid), kind, descriptor)
            if attribution is not None:
                return attribution
        return self.process_test()

    def xdist_worker(self) -> str:
        """The worker of pytest-xdist that the process was at the last *refresh*; "" if none."""
        return self._start[layout.WORKER_AT : layout.TIDS_AT].partition(b"\0")[0].decode("utf-8", "replace")

    def process_test(self) -> Attribution:
        """The test that the process as a whole ran at the last *refresh*."""
        slot = self._slot(0)
        _, _, _, *lengths = layout.HEAD.unpack_from(slot)
        return _attribution(slot[layout.TEXT_AT : layout.TEXT_AT + sum(lengths)], *lengths, layout.BY_PROCESS)

    def _of_slot(self, number: int, kind: int, descriptor: int) -> Attribution | None:
        slot = self._slot(number)
        if len(slot) < layout.SLOT_SIZE:
            return None
        published_descriptor, published_kind, attribution, *lengths = layout.HEAD.unpack_from(slot)
        if (published_kind, published_descriptor) != (kind, descriptor):
            return None  # Published for an earlier call. This one was made by native code, without Python's hooks.
        return _attribution(slot[layout.TEXT_AT : layout.TEXT_AT + sum(lengths)], *lengths, attribution)

    def _slot(self, number: int) -> bytes:
        at = layout.SLOTS_AT + number * layout.SLOT_SIZE
        if at + layout.SLOT_SIZE <= _READ_AT_ONCE:
            return self._start[at : at + layout.SLOT_SIZE]
        return os.pread(self._descriptor, layout.SLOT_SIZE, at)


@lru_cache(maxsize=1024)
def _attribution(
    text: bytes, test_length: int, frames_length: int, fixture_length: int, attribution: int
) -> Attribution:
    """Cached: consecutive calls usually come from the same test and line."""
    fixture_at = test_length + frames_length
    test = text[:test_length].decode("utf-8", "replace")
    shown, _, library = text[test_length:fixture_at].decode("utf-8", "replace").partition("\n\n")
    lines = shown.split("\n")[:FRAMES_MAX]
    fixture = parsed_fixture(text[fixture_at : fixture_at + fixture_length])
    by = _ATTRIBUTED_BY.get(attribution, AttributedBy.NONE) if test else AttributedBy.NONE
    frames = tuple(frame for line in lines if (frame := Location.parse(line)) is not None)
    return Attribution(test, frames, by, fixture, library)


def parsed_fixture(text: bytes) -> Fixture | None:
    """The fixture that a process names; None for text that names none."""
    with contextlib.suppress(ValueError):
        return Fixture.parse(text.decode("utf-8", "replace"))
    return None


class Folder:
    """The folder in which the processes of a copy publish their pages, opened before the copy begins."""

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        with contextlib.suppress(OSError):  # If there is none, nothing is published.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def open_page(self, pid: int, start_ticks: int, stale_inode: int = 0) -> Page | None:
        """The page of the process *pid* that started at *start_ticks*, refreshed; None if it has none.

        *stale_inode*: the inode of a stale page that must not be taken for it.
        """
        if self._descriptor < 0:
            return None
        descriptor = self._open(str(pid))
        if descriptor < 0:
            return None
        with contextlib.ExitStack() as if_it_is_none:
            if_it_is_none.callback(os.close, descriptor)
            with contextlib.suppress(OSError):
                found = os.fstat(descriptor)
                page = Page(descriptor, found.st_ino)
                is_page = stat.S_ISREG(found.st_mode) and found.st_size == layout.SIZE and found.st_ino != stale_inode
                if is_page and _may_be_of(found.st_uid, pid) and page.refresh() and page.is_of(pid, start_ticks):
                    if_it_is_none.pop_all()
                    return page
        return None

    def _open(self, name: str) -> int:
        """A descriptor of the file *name*; -1 if there is none that can be opened at once. Source: openat2(2)."""
        descriptor = _openat2(_OPENAT2, self._descriptor, name.encode(), _HOW, len(_HOW))
        if descriptor < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EPERM):
            # A container's profile forbids openat2. Plain open would cross a mount that the copy has put there.
            with contextlib.suppress(OSError):
                return os.open(name, _FLAGS, dir_fd=self._descriptor)
        return int(descriptor)


_openat2 = ctypes.CDLL(None, use_errno=True)["syscall"]
_openat2.restype = ctypes.c_long
_openat2.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]


def _may_be_of(owner: int, pid: int) -> bool:
    """Whether *owner* is the user of the process *pid*, or our own user, which the process may have had before."""
    return owner == os.geteuid() or owner == os.stat(f"/proc/{pid}").st_uid
