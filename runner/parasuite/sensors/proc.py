"""Reads /proc. Linux, standard library only. Source: proc(5) and the pages that it names.

What is read here is shaped by the process that it describes: a name may hold any byte, and a command line may be
gigabytes long. So every read has a bound, and a field is found by its place, never by a word that may be in a name.

Memory of another process, such as the address that it passes to bind(2), may be in a page that is not there yet.
process_vm_readv(2) then waits for whatever fills it. For a userfaultfd(2) or a FUSE file of that process's own this
may take for ever; only SIGKILL ends it. `AddressSpace` knows, without reading, which pages are there. (The command
line and the environment are such memory too, but the kernel gives up where it would have to wait for them.)
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Container
from dataclasses import dataclass

_STATUS_HEAD = 512
"""Bytes of /proc/PID/status that hold its first lines: a name has 64 bytes at most, four times as many if escaped."""
_STAT_MAX = 2048
_ENVIRONMENT_MAX = 6 << 20
"""No program is started with more. Source: execve(2)."""
_VARIABLE_MAX = 4096
_ENTRY = 8
_WINDOW_PAGES = 16


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says. *state*: a letter, "Z" for a zombie. *start_ticks*: in clock ticks since boot.

    *stack*: where its stack begins, another place after each execve(2); 0 if it may not be inspected.
    """

    name: str
    state: str
    parent: int
    start_ticks: int
    stack: int = 0


def stat(pid: int) -> Stat:
    """The Stat of *pid*. Raises OSError if it is gone or hidden. Source: proc_pid_stat(5)."""
    # The name is in brackets and may hold brackets, blanks and newlines itself; after it there are only numbers.
    before, _, after = _read(f"/proc/{pid}/stat", _STAT_MAX).rpartition(b")")
    fields = after.split()
    return Stat(
        name=_text(before.partition(b"(")[2]),
        state=fields[0].decode("ascii"),
        parent=int(fields[1]),
        start_ticks=int(fields[19]),
        stack=int(fields[25]),
    )


def process_of(tid: int) -> int:
    """The process of the thread *tid*. Raises OSError if it is gone or hidden. Source: proc_pid_status(5)."""
    head = _read(f"/proc/{tid}/status", _STATUS_HEAD)
    # At the start of a line: the first line is the name, in which the kernel writes a newline as "\n" (two bytes).
    return int(head.partition(b"\nTgid:")[2].split(None, 1)[0])


def cpu_use(tid: int) -> bytes:
    """What changes whenever the thread *tid* has used a CPU; b"" if it is gone, or the kernel does not count that.

    The CPU time in it grows at each tick of the timer, or when the thread leaves the CPU.
    Source: Documentation/scheduler/sched-stats.rst, "/proc/<pid>/schedstat".
    """
    try:
        text = _read(f"/proc/{tid}/schedstat", _STATUS_HEAD)
    except OSError:
        return b""
    fields = text.split()  # Time on a CPU, time spent waiting for one, how often it got one.
    return b"" if fields[2:] in ([], [b"0"]) else fields[0] + b" " + fields[2]


class AddressSpace:
    """The memory of a process from one execve(2) to the next. Raises OSError where it may not be looked at.

    Source: proc_pid_pagemap(5). A memory that another process shares (vfork(2)) lives as long as that one does.
    """

    def __init__(self, pid: int) -> None:
        self._descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._window = 0
        self._entries = b""

    def close(self) -> None:
        os.close(self._descriptor)

    @property
    def has_ended(self) -> bool:
        """Whether its process runs another program by now, or none."""
        # Asked of the pages around the last address: a process has nearly all its addresses on one stack, so that
        # `has_at_once`, which follows, mostly knows already.
        self._entries = os.pread(self._descriptor, _ENTRY * _WINDOW_PAGES, _ENTRY * self._window)
        return not self._entries

    def has_at_once(self, start: int, length: int) -> bool:
        """Whether *length* bytes from *start* on can be read now without waiting for their pages."""
        first, last = start // mmap.PAGESIZE, (start + length - 1) // mmap.PAGESIZE
        entries, self._entries = self._entries, b""
        if not self._window <= first <= last < self._window + len(entries) // _ENTRY:
            window = max(0, first - _WINDOW_PAGES // 2)
            entries = os.pread(self._descriptor, _ENTRY * _WINDOW_PAGES, _ENTRY * window)
            if not last < window + len(entries) // _ENTRY:
                return False  # No process can have memory there, or this one has ended, or it is too long.
            self._window = window
        # Bit 63 of an entry says that the page is present.
        at = _ENTRY * (first - self._window) + _ENTRY - 1
        if first == last:
            return entries[at] >= 0x80
        return min(entries[at : _ENTRY * (last - self._window + 1) : _ENTRY]) >= 0x80


def boot_s() -> float:
    """When the machine was started, in seconds since the epoch; 0 if /proc does not say."""
    with open("/proc/stat", "rb") as stream:
        for line in stream:
            if line.startswith(b"btime "):
                return float(line.split()[1])
    return 0.0


def pids() -> list[int]:
    """Every process that can be seen."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def command(pid: int, length_max: int) -> str:
    """The command line of *pid*, cut after *length_max* characters; "" if it is gone, hidden, or has none."""
    try:
        raw = _read(f"/proc/{pid}/cmdline", 4 * length_max)
    except OSError:
        return ""
    return _text(raw.rstrip(b"\0").replace(b"\0", b" "))[:length_max]


def environment(pid: int) -> list[bytes]:
    """The environment that *pid* was started with; [] where it may not be seen."""
    try:
        return _read(f"/proc/{pid}/environ", _ENVIRONMENT_MAX).split(b"\0")
    except OSError:
        return []


def variables(pid: int, names: Container[bytes]) -> dict[str, str]:
    """Those of *names* in the environment that *pid* was started with.

    What is longer than a path can be is cut off: these variables become part of many events and of reports.
    """
    entries = (entry.partition(b"=") for entry in environment(pid))
    return {
        name.decode(): value[:_VARIABLE_MAX].decode("utf-8", "backslashreplace")
        for name, _, value in entries
        if name in names
    }


def _read(path: str, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
