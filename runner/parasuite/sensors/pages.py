"""Reads the pages that the recorder's processes publish: which test, which line, for a thread that stands still."""

from __future__ import annotations

import mmap
import os
import struct
from functools import lru_cache
from typing import NamedTuple

from parasuite.sensors.recorder import _parasuite_page as layout

_ALL_TIDS = struct.Struct(f"={layout.SLOTS}I")
_ATTRIBUTIONS = {
    layout.BY_THREAD: "thread",
    layout.BY_STARTER: "thread's start",
    layout.BY_PROCESS: "process",
}


class Said(NamedTuple):
    """What a page says of a call. *source_line* is "" where the call did not come through Python."""

    test: str = ""
    source_line: str = ""
    attribution: str = ""


NOTHING_SAID = Said()


class Page:
    """One process's page, mapped for reading. *inode*: of its file."""

    def __init__(self, memory: mmap.mmap, inode: int) -> None:
        self.inode = inode
        self._memory = memory
        self._tids_raw = b""
        self._tids: tuple[int, ...] = ()

    def close(self) -> None:
        self._memory.close()

    @property
    def is_void(self) -> bool:
        """Whether its process has made another one instead."""
        return self._memory[0:8] != layout.MAGIC

    def said(self, tid: int, kind: int, descriptor: int) -> Said:
        """What the thread *tid* said before this call; where it said nothing, what its process runs."""
        raw = self._memory[layout.TIDS_AT : layout.SLOTS_AT - 192]
        if raw != self._tids_raw:
            self._tids_raw, self._tids = raw, _ALL_TIDS.unpack(raw)
        if tid in self._tids:
            told = self._slot(self._tids.index(tid), kind, descriptor)
            if told is not None:
                return told
        return self.process_test()

    def process_test(self) -> Said:
        """The test that the process as a whole runs now."""
        _, _, _, test_length, _ = layout.HEAD.unpack_from(self._memory, layout.SLOTS_AT)
        if not test_length:
            return NOTHING_SAID
        return Said(self._text(layout.SLOTS_AT + layout.TEXT_AT, test_length), "", "process")

    def _slot(self, slot: int, kind: int, descriptor: int) -> Said | None:
        at = layout.SLOTS_AT + slot * layout.SLOT_SIZE
        said_descriptor, said_kind, attribution, test_length, line_length = layout.HEAD.unpack_from(self._memory, at)
        if (said_kind, said_descriptor) != (kind, descriptor):
            return None  # Of an earlier call: this one is native code's, behind Python's back.
        text_at = at + layout.TEXT_AT
        return _said(self._memory[text_at : text_at + test_length + line_length], test_length, attribution)

    def _text(self, at: int, length: int) -> str:
        return self._memory[at : at + length].decode("utf-8", "replace")


@lru_cache(maxsize=1024)
def _said(text: bytes, test_length: int, attribution: int) -> Said:
    """Of many calls the same: one test's, of one line."""
    test = text[:test_length].decode("utf-8", "replace")
    line = text[test_length:].decode("utf-8", "replace")
    return Said(test, line, _ATTRIBUTIONS.get(attribution, "") if test else "")


def open_page(folder: str, pid: int, start_ticks: int, void: int = 0) -> Page | None:
    """The page of the process *pid* that started at *start_ticks*; None if it has none. *void*: the inode of one that
    is not meant.
    """
    try:
        descriptor = os.open(f"{folder}/{pid}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        inode = os.fstat(descriptor).st_ino
        memory = mmap.mmap(descriptor, layout.SIZE, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    page = Page(memory, inode)
    if page.is_void or inode == void or struct.unpack_from("=Q", memory, 8)[0] not in (0, start_ticks):
        page.close()
        return None
    return page
