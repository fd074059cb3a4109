"""What the processes of a copy are doing at one moment, for people: a line each, with their listeners.

Linux only, standard library only. A process can make reading its command line take for ever (userfaultfd(2)), so the
caller must be a process that can be killed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from parasuite.sensors.socket_tables import reachable_sockets

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_COMMAND_MAX = 300
_HUNG_BELOW = 0.01  # Of one CPU. A program that checks for input ten times a second uses less.
_STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk wait",
    "T": "stopped",
    "t": "traced",
    "Z": "ended",
    "I": "idle",
}
_ACCEPTS = 0x10000  # Of /proc/net/unix: __SO_ACCEPTCON.


def cpu_ticks(pids: Iterable[int], parent: int) -> int:
    """The CPU time, in clock ticks, of *pids* and of the ended children that they and *parent* have collected."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in map(_stat, pids) if fields)
    return ticks + sum(map(int, _stat(parent)[13:15]))


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on; [] once *pid* is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return stream.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def process_list(pids: Iterable[int]) -> Iterator[str]:
    """A line for each of *pids* that still exists, and an indented one for each socket on which it can be reached."""
    yield f"{'PID':>8} {'PARENT':>8} {'STATE':9} {'CPU s':>8} {'FILES':>5}  COMMAND"
    for pid in pids:
        fields = _stat(pid)
        if not fields:
            continue
        inodes, count = _sockets(pid)
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        state = _STATES.get(fields[0], fields[0])
        yield f"{pid:8} {fields[1]:>8} {state:9} {cpu_s:8.2f} {count:>5}  {_command(pid)}"
        for where in _reachable(pid, inodes):
            yield f"{'':8} listens on {where}"


def _command(pid: int) -> str:
    """The command line of *pid*, or its name in brackets; control characters are escaped."""
    words = name = b""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/comm", "rb") as stream:
            name = stream.read().rstrip(b"\n")
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            words = stream.read(_COMMAND_MAX).rstrip(b"\0").replace(b"\0", b" ")
    text = (words or b"[" + name + b"]").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _sockets(pid: int) -> tuple[set[str], str]:
    """The inodes of the sockets of *pid*, and how many descriptors it has; "?" where permission is denied."""
    inodes: set[str] = set()
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return inodes, "?"
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes, str(len(descriptors))


def _reachable(pid: int, inodes: set[str]) -> Iterator[str]:
    """Where the sockets *inodes* listen, in the network namespace of *pid*. Source: proc_pid_net(5)."""
    for row in reachable_sockets(pid):
        if str(row.inode) in inodes:
            address = f"[{row.address}]" if ":" in row.address else row.address
            yield f"{row.protocol} {address}:{row.port}"
    for fields in _rows(f"/proc/{pid}/net/unix"):
        if len(fields) > 7 and fields[6] in inodes and int(fields[3], 16) & _ACCEPTS:
            yield f"unix {fields[7]}"


def _rows(path: str) -> Iterator[list[str]]:
    with contextlib.suppress(OSError), open(path, errors="backslashreplace") as stream:
        next(stream, None)
        for line in stream:
            yield line.split()


def busy_or_hung(ticks: int, elapsed_s: float) -> str:
    """Whether a copy that used *ticks* of CPU time in its last *elapsed_s* seconds was busy or hung, in words."""
    cpu_s = ticks / _TICKS_PER_S
    what = "hung" if cpu_s < _HUNG_BELOW * elapsed_s else "still busy"
    return f"{what}: it used {cpu_s:.2f} s of CPU time in its last {elapsed_s:.1f} s"
