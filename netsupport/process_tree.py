"""A started process with all its descendants: which processes belong to it, and how to end them.

Run as a script, this file is the watchdog of one tree. It reads the process id and the start time of the root from
standard input. When standard input ends, the process that started the tree was killed or could not end the tree, and
the watchdog ends it. So this file imports only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

MARK = "NETSUPPORT_SERVER"
"""The environment variable that marks the processes of a tree. It identifies daemons, which have left the session and
lost their parent; only a program that also clears its environment escapes. A tree that is started within a tree has
both marks, separated by a colon. Only Linux lets us read it: on other systems a daemon escapes."""

POLL_MAX_S = 0.05

KILL_PATIENCE_S = 5.0
"""How long a process may take to end after SIGKILL, for instance because it waits for a disk."""

_NO_PROCESS = -1
"""No process has this id, this parent or this session; 0 is the kernel's own."""

_ENVIRONMENT_MAX = 6 << 20
"""No program is started with more. Source: execve(2)."""


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the process table. *started*, in clock ticks since boot, distinguishes processes that reuse an id."""

    pid: int
    parent: int
    session: int
    started: int


def pauses() -> Iterator[None]:
    """Wait a little longer each time, from 1 ms to POLL_MAX_S, where the kernel offers nothing to wait for."""
    pause_s = 0.001
    while True:
        yield
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, POLL_MAX_S)


def process(pid: int) -> Process | None:
    """The living process *pid*; None for one that is gone or a zombie."""
    fields = _stat(pid)
    if not fields or fields[0] in b"ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def started_at(pid: int) -> int:
    """When process *pid*, which may be a zombie, was started, as in Process; 0 if unknown."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[bytes]:
    """What /proc says of *pid*, from its state on; nothing if it is gone or hidden. Source: proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may itself hold brackets and blanks.
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def process_table() -> dict[int, Process]:
    """Every living process that can be seen, by its id."""
    if sys.platform != "linux":  # pragma: no cover - macOS, BSD
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,pgid=,state="], capture_output=True, check=True
        ).stdout
        return parse_ps(listing)
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdecimal())
    return {each.pid: each for each in found if each is not None}


def parse_ps(listing: bytes) -> dict[int, Process]:
    """The processes in the output of `ps -A -o pid=,ppid=,pgid=,state=`; the process group is used as the session."""
    rows = (line.split() for line in listing.splitlines())
    return {
        int(pid): Process(int(pid), int(parent), int(group), 0)
        for pid, parent, group, state in rows
        if not state.startswith(b"Z")
    }


@dataclass(frozen=True, slots=True)
class Tree:
    """The process *root*, which was started in its own session with MARK=*mark*, and all its descendants.

    *started* is the start time of the root as in Process, or 0 if unknown. It shows whether another process has
    reused the root's id after the root had ended and been reaped.
    """

    root: int
    mark: str
    started: int = 0

    def members(self) -> list[Process]:
        """The living processes of the tree: descendants, members of the session, and all that carry the mark."""
        table = process_table()
        found = table.get(self.root)
        root = self.root if found is None or self.started in (0, found.started) else _NO_PROCESS
        pids = {root}
        has_grown = True
        while has_grown:
            children = {each.pid for each in table.values() if each.parent in pids} - pids
            pids |= children
            has_grown = bool(children)
        return [each for each in table.values() if each.pid in pids or each.session == root or self._marked(each.pid)]

    def _marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                # A process can make it gigabytes long (prctl(2), PR_SET_MM).
                entries = file.read(_ENVIRONMENT_MAX).split(b"\0")
        except OSError:
            # The process belongs to another user or has ended: we need not end it.
            return False
        name = f"{MARK}=".encode()
        return any(e.startswith(name) and self.mark.encode() in e[len(name) :].split(b":") for e in entries)

    def end(self, grace_s: float) -> list[Process]:
        """Send SIGTERM to all and, after *grace_s* seconds, SIGKILL to the rest; return those that survived both.

        Only processes of another user, or in uninterruptible sleep, can survive.
        """
        members = self.members()
        for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_PATIENCE_S)):
            end_s = time.monotonic() + patience_s
            signalled: set[tuple[int, int]] = set()
            for _ in pauses():  # pragma: no branch - the pauses never end
                for each in members:
                    # Each process gets the signal once; those that were forked after the first round get it, too.
                    if (each.pid, each.started) not in signalled:
                        signalled.add((each.pid, each.started))
                        send_signal(each, number)
                members = self.members()
                if not members:
                    return []
                if time.monotonic() >= end_s:
                    break
        return members


def send_signal(target: Process, number: signal.Signals) -> None:
    """Send *number* to *target*, but not to another process that has reused its id.

    Without pidfds this is only very likely: the id is checked, and used a moment later.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError), _pidfd(target.pid) as descriptor:
        if sys.platform == "linux":  # pragma: no branch - macOS, BSD
            # Compare only the start time: if the parent has ended meanwhile, the rest of the row has changed.
            found = process(target.pid)
            if found is None or found.started != target.started:
                return
        if descriptor is None:
            os.kill(target.pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    """A descriptor of process *pid*; None if there can be none. Raises ProcessLookupError if it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        # Another system, Linux before 5.3, a sandbox that forbids the call, or no descriptor left.
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def watch(mark: str) -> None:
    """Wait for the end of standard input, then end the tree; if it gave no root, find the tree by its mark alone."""
    root, _, started = sys.stdin.read().partition(" ")
    Tree(int(root or _NO_PROCESS), mark, int(started or 0)).end(grace_s=1.0)


if __name__ == "__main__":
    watch(sys.argv[1])
