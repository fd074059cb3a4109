"""How many copies this machine can hold at once."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_FDS_PER_COPY = 8  # ours and the supervisor's: its socket, the pipes and files of its start, what reports read
_MEMORY_PER_COPY = 30 << 20  # a pytest copy's own pages: 24 to 25 MiB measured
_PROCESSES_PER_COPY = 3  # its init, its main process, one child
_PORTS_PER_COPY = 16  # a handful of listeners and connections at one time


@dataclass(frozen=True, slots=True)
class Limit:
    """*copies_max*: how many copies *resource* allows; *detail*: the figure that says so."""

    resource: str
    copies_max: int
    detail: str


def limits() -> list[Limit]:
    """What bounds the number of copies here, tightest first. A bound that the platform does not tell is left out."""
    found = [_memory(), _descriptors(), _processes(), _ports()]
    return sorted((limit for limit in found if limit is not None), key=lambda limit: limit.copies_max)


def _memory() -> Limit:
    available = psutil.virtual_memory().available
    return Limit("memory", available // _MEMORY_PER_COPY, f"{available >> 20:,} MiB available, 30 MiB a copy")


def _descriptors() -> Limit | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    return Limit("file descriptors", soft // _FDS_PER_COPY, f"ulimit -n is {soft:,}, {_FDS_PER_COPY} a copy")


def _processes() -> Limit | None:
    bounds = {}
    with contextlib.suppress(OSError, ValueError):
        bounds["kernel.pid_max"] = int(Path("/proc/sys/kernel/pid_max").read_text())
    with contextlib.suppress(OSError, ValueError):
        own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip()
        bounds["the cgroup's pids.max"] = int(Path(f"/sys/fs/cgroup{own}/pids.max").read_text())
    if sys.platform != "win32" and os.geteuid() != 0:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        if soft != resource.RLIM_INFINITY:
            bounds["ulimit -u"] = soft
    if not bounds:
        return None
    name, value = min(bounds.items(), key=lambda item: item[1])
    free = max(0, value - len(psutil.pids()))
    detail = f"{name} is {value:,}, {free:,} free, {_PROCESSES_PER_COPY} a copy"
    return Limit("processes", free // _PROCESSES_PER_COPY, detail)


def _ports() -> Limit | None:
    first, last = ephemeral_range()
    if not last:
        return None
    count = last - first + 1
    return Limit("ephemeral ports", count // _PORTS_PER_COPY, f"{first} to {last}, {_PORTS_PER_COPY} a copy")


def ephemeral_range() -> tuple[int, int]:
    """The ports that the kernel draws port 0 from, both ends included; (0, 0) where the platform does not say."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        # RFC 6335 section 6; macOS and Windows draw from it by default.
        return (49152, 65535) if sys.platform in ("darwin", "win32") else (0, 0)
    return int(first), int(last)
