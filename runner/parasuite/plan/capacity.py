"""How many copies can run here at once, and what limits that: the host, the container, or this user's limits.

Limits are set by the host, by the control groups of this process (cgroups(7), versions 1 and 2, each group up to the
root), and by resource limits (setrlimit(2)). They do not count the same things: RLIMIT_NPROC counts the threads of
this user, pids.max those of the control group, and pid_max those of the host.
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

_FDS_PER_COPY = 8  # in parasuite and the supervisor: its socket, the pipes and files of its start, files of reports
_MEMORY_PER_COPY = 30 << 20  # the private pages of a pytest copy: 24 to 25 MiB were measured
_PROCESSES_PER_COPY = 3  # its init, its main process, one child
_PORTS_PER_COPY = 16  # some listeners and connections at any one time
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the largest multiple of the page size

# Where a group's limit and its use are: controller ("" for version 2, which has one tree), file, file.
_GROUP_FILES = {
    "pids.max": (("", "pids.max", "pids.current"), ("pids", "pids.max", "pids.current")),
    "memory.max": (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """*copies_max*: how many copies *resource* allows. *detail*: the figures behind that."""

    resource: str
    copies_max: int
    detail: str


def why_too_many(copies: int) -> str:
    """Why so many copies cannot run here, and what to do about it; "" if they can."""
    tightest, *others = bounds()
    if copies <= tightest.copies_max:
        return ""
    figures = "; ".join(f"{bound.resource}: {bound.copies_max:,} ({bound.detail})" for bound in (tightest, *others))
    advice = f"use -j {tightest.copies_max}" if tightest.copies_max else f"free some {tightest.resource}"
    return f"{copies:,} copies are more than this machine can run: {figures}; {advice}"


def bounds() -> list[Bound]:
    """What limits the number of copies here, the tightest first. What the platform does not report is left out."""
    found = [*_memory(), *_descriptors(), *_processes(), *_ports()]
    return sorted(found, key=lambda bound: bound.copies_max)


def processors() -> int:
    """How many processors this process may use at once, by its affinity and by its group's quota (rounded up)."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = Groups().cpu_quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def _memory() -> Iterator[Bound]:
    available = psutil.virtual_memory().available
    yield Bound("memory", available // _MEMORY_PER_COPY, f"{available >> 20:,} MiB available, 30 MiB a copy")
    if (found := Groups().room("memory.max")) is not None:
        most, free = found
        detail = f"the cgroup's memory.max is {most >> 20:,} MiB, {free >> 20:,} MiB free, 30 MiB a copy"
        yield Bound("memory of the cgroup", free // _MEMORY_PER_COPY, detail)


def _descriptors() -> Iterator[Bound]:
    soft = resource_limits().get("RLIMIT_NOFILE")
    if soft is not None:
        yield Bound("file descriptors", soft // _FDS_PER_COPY, f"ulimit -n is {soft:,}, {_FDS_PER_COPY} a copy")


def _processes() -> Iterator[Bound]:
    with contextlib.suppress(OSError, ValueError):
        most = int(Path("/proc/sys/kernel/pid_max").read_text())
        yield _process_bound("processes", "kernel.pid_max", most, most - len(psutil.pids()))
    if (found := Groups().room("pids.max")) is not None:
        yield _process_bound("processes of the cgroup", "the cgroup's pids.max", *found)
    soft = resource_limits().get("RLIMIT_NPROC")
    # Does not apply to root; strictly, to processes with CAP_SYS_RESOURCE or CAP_SYS_ADMIN (fork(2)).
    if soft is not None and os.geteuid() != 0:
        yield _process_bound("processes of this user", "ulimit -u", soft, soft - _own_threads())


def _process_bound(resource: str, name: str, most: int, free: int) -> Bound:
    free = max(0, free)
    detail = f"{name} is {most:,}, {free:,} free, {_PROCESSES_PER_COPY} a copy"
    return Bound(resource, free // _PROCESSES_PER_COPY, detail)


def _own_threads() -> int:
    """How many threads RLIMIT_NPROC counts: those whose real user is ours, as far as we can see them."""
    count = 0
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == user:
                count += process.num_threads()
    return count


def _ports() -> Iterator[Bound]:
    first, last = ephemeral_range()
    if last:
        count = last - first + 1
        yield Bound("ephemeral ports", count // _PORTS_PER_COPY, f"{first} to {last}, {_PORTS_PER_COPY} a copy")


def conditions() -> dict[str, object]:
    """Load and limits at the start of a run, for run.json: a failure can then be traced to them later."""
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
        "copies_max": {bound.resource: bound.copies_max for bound in bounds()},
    }


def ephemeral_range() -> tuple[int, int]:
    """The ports that the kernel assigns for port 0, first and last; (0, 0) if the platform does not report them."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        # RFC 6335 section 6; the default of macOS and Windows.
        return (49152, 65535) if sys.platform in ("darwin", "win32") else (0, 0)
    return int(first), int(last)


def resource_limits() -> dict[str, int]:
    """The soft resource limits of this process, by name. Unlimited ones are left out; {} on Windows."""
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
    """The control groups of this process and all groups above them, of version 1 and 2. Empty on other systems."""

    def __init__(self, membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> None:
        self._folders: dict[str, list[Path]] = {}
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in membership.read_text().splitlines():
                _, names, path = line.split(":", 2)
                for name in names.split(","):
                    self._folders[name] = _up_from(_root(mounted, name), path)

    def cpu_quota(self) -> float | None:
        """How many processors the groups may use, as a share of time; None without a limit."""
        quotas = []
        for folder in self._folders.get("", ()):
            words = _read(folder / "cpu.max").split()
            if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]):
                quotas.append(int(words[0]) / int(words[1]))
        for folder in self._folders.get("cpu", ()):
            quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
            if quota and period:  # a quota of -1 means no limit, and `_number` returns None for it
                quotas.append(quota / period)
        return min(quotas, default=None)

    def room(self, name: str) -> tuple[int, int] | None:
        """The limit *name* ("pids.max", "memory.max") that leaves least room, and that room; None without a limit."""
        found = []
        for controller, most_file, used_file in _GROUP_FILES[name]:
            for folder in self._folders.get(controller, ()):
                most, used = _number(folder / most_file), _number(folder / used_file) or 0
                if most is not None and most < _UNLIMITED:
                    used -= _file_pages(folder) if name == "memory.max" else 0
                    found.append((most, min(most, max(0, most - used))))
        return min(found, key=lambda item: item[1], default=None)


def _root(mounted: Path, controller: str) -> Path:
    """Where the groups of *controller* are mounted; "" is version 2, in a separate folder if version 1 is in use."""
    if controller:
        return mounted / controller.removeprefix("name=")
    return mounted / "unified" if (mounted / "unified").is_dir() else mounted


def _up_from(root: Path, path: str) -> list[Path]:
    """The group at *path* and those above. In a container, *root* may be that group, and *path* lead nowhere."""
    own = root / path.strip("/") if ".." not in path else root
    return [own, *(folder for folder in own.parents if folder.is_relative_to(root))]


def _file_pages(folder: Path) -> int:
    """How many bytes of a group's memory are cached files, which the kernel frees before it refuses memory."""
    found = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    total = "total_" if "total_active_file" in found else ""  # version 1: includes the groups below
    pages = (found.get(f"{total}{kind}_file", "") for kind in ("active", "inactive"))
    return sum(int(size) for size in pages if size.isdigit())


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None
