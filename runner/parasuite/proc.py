"""Reads /proc. Linux, standard library only. Source: proc(5) and the pages that it names.

What is read here is shaped by the process that it describes: a name may hold any byte, and a command line may be
gigabytes long. So every read has a bound, and a field is found by its place, never by a word that may be in a name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_STATUS_HEAD = 512
"""Bytes of /proc/PID/status that hold its first lines: a name has 64 bytes at most, four times as many if escaped."""
_STAT_MAX = 2048


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says. *state*: a letter, "Z" for a zombie. *start_ticks*: in clock ticks since boot."""

    name: str
    state: str
    parent: int
    start_ticks: int


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
    )


def process_of(tid: int) -> int:
    """The process of the thread *tid*. Raises OSError if it is gone or hidden. Source: proc_pid_status(5)."""
    head = _read(f"/proc/{tid}/status", _STATUS_HEAD)
    # At the start of a line: the first line is the name, in which the kernel writes a newline as "\n" (two bytes).
    return int(head.partition(b"\nTgid:")[2].split(None, 1)[0])


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


def _read(path: str, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
