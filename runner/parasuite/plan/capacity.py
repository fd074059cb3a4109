"""How many copies this machine can hold at once, for this user, in this container; and what bounds it.

The host, the control groups (cgroups(7), both versions, each group up to the root) and the resource limits
(setrlimit(2)) have bounds of their own, and each counts something else: RLIMIT_NPROC the threads of this user,
pids.max those of the group, pid_max all of the host's.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_FDS_PER_COPY = 8  # ours and the supervisor's: its socket, the pipes and files of its start, what reports read
_MEMORY_PER_COPY = 30 << 20  # a pytest copy's own pages: 24 to 25 MiB measured
_PROCESSES_PER_COPY = 3  # its init, its main process, one child
_PORTS_PER_COPY = 16  # a handful of listeners and connections at one time
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the greatest multiple of a page

# What a group says, by controller and file: version 2 has one tree, version 1 one for each controller.
_GROUP_FILES = {
    "pids.max": (("", "pids.max", "pids.current"), ("pids", "pids.max", "pids.current")),
    "memory.max": (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """*copies_max*: how many copies *resource* allows; *detail*: the figure that says so."""

    resource: str
    copies_max: int
    detail: str


def limits() -> list[Limit]:
    """What bounds the number of copies here, tightest first. A bound that the platform does not tell is left out."""
    found = [*_memory(), *_descriptors(), *_processes(), *_ports()]
    return sorted(found, key=lambda limit: limit.copies_max)


def processors() -> int:
    """How many processors this process may use at once: its affinity, and its group's quota, rounded up."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = Groups().cpu_quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _memory() -> Iterator[Limit]:
    available = psutil.virtual_memory().available
    yield Limit("memory", available // _MEMORY_PER_COPY, f"{available >> 20:,} MiB available, 30 MiB a copy")
    if (found := Groups().room("memory.max")) is not None:
        most, free = found
        detail = f"the cgroup's memory.max is {most >> 20:,} MiB, {free >> 20:,} MiB free, 30 MiB a copy"
        yield Limit("memory of the cgroup", free // _MEMORY_PER_COPY, detail)


def _descriptors() -> Iterator[Limit]:
    soft = resource_limits().get("RLIMIT_NOFILE")
    if soft is not None:
        yield Limit("file descriptors", soft // _FDS_PER_COPY, f"ulimit -n is {soft:,}, {_FDS_PER_COPY} a copy")


def _processes() -> Iterator[Limit]:
    with contextlib.suppress(OSError, ValueError):
        most = int(Path("/proc/sys/kernel/pid_max").read_text())
        yield _process_limit("processes", "kernel.pid_max", most, most - len(psutil.pids()))
    if (found := Groups().room("pids.max")) is not None:
        yield _process_limit("processes of the cgroup", "the cgroup's pids.max", *found)
    soft = resource_limits().get("RLIMIT_NPROC")
    # The kernel spares root, strictly who has CAP_SYS_RESOURCE or CAP_SYS_ADMIN (fork(2)).
    if soft is not None and os.geteuid() != 0:
        yield _process_limit("processes of this user", "ulimit -u", soft, soft - _own_threads())


def _process_limit(resource: str, name: str, most: int, free: int) -> Limit:
    free = max(0, free)
    detail = f"{name} is {most:,}, {free:,} free, {_PROCESSES_PER_COPY} a copy"
    return Limit(resource, free // _PROCESSES_PER_COPY, detail)


def _own_threads() -> int:
    """What RLIMIT_NPROC counts: every thread whose real user is ours, as far as it can be seen."""
    count = 0
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                count += process.num_threads()
    return count


def _ports() -> Iterator[Limit]:
    first, last = ephemeral_range()
    if last:
        count = last - first + 1
        yield Limit("ephemeral ports", count // _PORTS_PER_COPY, f"{first} to {last}, {_PORTS_PER_COPY} a copy")


def conditions() -> dict[str, object]:
    """What a run has to live with, for run.json: a failure of load or of limits is to be told from others later."""
    groups = Groups()
    return {
        "processors": processors(),
        "affinity": sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        "load": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "resource_limits": resource_limits(),
        "cgroup": {
            "cpu_quota": groups.cpu_quota(),
            **{f"{name} and what is free": groups.room(name) for name in _GROUP_FILES},
        },
        "copies_max": {limit.resource: limit.copies_max for limit in limits()},
    }


def ephemeral_range() -> tuple[int, int]:
    """The ports that the kernel draws port 0 from, both ends included; (0, 0) where the platform does not say."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        # RFC 6335 section 6; macOS and Windows draw from it by default.
        return (49152, 65535) if sys.platform in ("darwin", "win32") else (0, 0)
    return int(first), int(last)


def resource_limits() -> dict[str, int]:
    """The soft resource limits of this process by name, without those that are unlimited; {} on Windows."""
    if sys.platform == "win32":
        return {}
    import resource

    names = ("NOFILE", "NPROC", "AS", "DATA", "STACK", "FSIZE", "CPU", "CORE", "MEMLOCK")
    found = {}
    for name in (f"RLIMIT_{name}" for name in names):
        if hasattr(resource, name):
            soft, _ = resource.getrlimit(getattr(resource, name))
            if soft != resource.RLIM_INFINITY:
                found[name] = soft
    return found


class Groups:
    """The control groups that this process is in, its own and all above, of either version; none but on Linux."""

    def __init__(self, membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> None:
        self._folders: dict[str, list[Path]] = {}
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in membership.read_text().splitlines():
                _, names, path = line.split(":", 2)
                for name in names.split(","):
                    self._folders[name] = _up_from(_root(mounted, name), path)

    def cpu_quota(self) -> float | None:
        """How many processors' worth of time the group may use; None where nothing bounds it."""
        quotas = []
        for folder in self._folders.get("", ()):
            words = _read(folder / "cpu.max").split()
            if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
                quotas.append(int(words[0]) / int(words[1]))
        for folder in self._folders.get("cpu", ()):
            quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
            if quota and period:  # -1, which is no number here, is no quota
                quotas.append(quota / period)
        return min(quotas, default=None)

    def room(self, name: str) -> tuple[int, int] | None:
        """The limit *name* ("pids.max", "memory.max") that leaves least, and what it leaves; None without one."""
        found = []
        for controller, most_file, used_file in _GROUP_FILES[name]:
            for folder in self._folders.get(controller, ()):
                most, used = _number(folder / most_file), _number(folder / used_file) or 0
                if most is not None and most < _UNLIMITED:
                    used -= _file_pages(folder) if name == "memory.max" else 0
                    found.append((most, min(most, max(0, most - used))))
        return min(found, key=lambda item: item[1], default=None)


def _root(mounted: Path, controller: str) -> Path:
    """Where the groups of *controller* are mounted; "" is version 2, in a folder of its own beside version 1."""
    if controller:
        return mounted / controller.removeprefix("name=")
    return mounted / "unified" if (mounted / "unified").is_dir() else mounted


def _up_from(root: Path, path: str) -> list[Path]:
    """The group at *path* and those above. In a container *root* may be the group itself, and *path* not be in it."""
    own = root / path.strip("/") if ".." not in path else root
    return [own, *(folder for folder in own.parents if folder.is_relative_to(root))]


def _file_pages(folder: Path) -> int:
    """The bytes of a group's memory that hold pages of files: the kernel gives them up before it refuses any."""
    found = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    total = "total_" if "total_active_file" in found else ""  # of version 1: with the groups below
    pages = (found.get(f"{total}{kind}_file", "") for kind in ("active", "inactive"))
    return sum(int(size) for size in pages if size.isdigit())


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None
