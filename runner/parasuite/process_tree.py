"""Finding, signalling and ending a tree of processes, by /proc. Linux only, standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

from parasuite import proc

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_KILL_TIMEOUT_S = 5.0
_DYING_S = 0.002


def _prctl(option: int, argument: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become_subreaper() -> None:
    """Make this process the parent of every orphan below it. Raises OSError. Source: prctl(2)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def continue_when_parent_dies() -> None:
    """Have the kernel send SIGCONT to this process when its parent is gone."""
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))


def set_name(name: str) -> None:
    """Name this process, up to 15 bytes, for ps and killall: one that ends every python spares those who tidy up."""
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_NAME, name.encode())


_HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def children_of(pid: int) -> list[int]:
    """The children of *pid*, of all its threads; [] once it is gone.

    Source: proc_pid_task(5) where the kernel has CONFIG_PROC_CHILDREN, else a scan by proc_pid_stat(5).
    """
    if not _HAS_CHILDREN_FILES:
        return [other for other in proc.pids() if state_of(other)[1] == pid]
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as stream:
                    found += map(int, stream.read().split())
    return found


def state_of(pid: int) -> tuple[str, int]:
    """(state letter, parent) of *pid*; ("X", 0) once it is gone, ("?", 0) if /proc hides it."""
    try:
        stat = proc.stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    except PermissionError:
        return "?", 0
    return stat.state, stat.parent


def main_thread_of(pid: int) -> tuple[str, int]:
    """(state letter, CPU time in clock ticks) of the main thread of *pid*; ("X", 0) once it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return "X", 0
    return fields[0].decode(), int(fields[11]) + int(fields[12])


def tree_of(root: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """Every living descendant of *root* outside the trees of *spare*, nearest first, without *root*."""
    found: list[int] = []
    pending = children_of(root)
    seen = {root, *spare}
    while pending:
        pid = pending.pop(0)
        if pid not in seen:
            seen.add(pid)
            found.append(pid)
            pending += children_of(pid)
    return [pid for pid in found if state_of(pid)[0] not in "ZX"]


def send_signal(pid: int, number: int) -> bool:
    """Whether *number* could be sent: not to one that is gone, nor to one of another user (a setuid program)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_tree(root: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """End every descendant of *root* outside the trees of *spare*; the pids that could not be ended are returned.

    All are stopped first, so that none forks while the rest is being found, then killed; again, until a walk finds
    nobody alive: two or three rounds in practice. Zombies are left to their parents.
    """
    give_up_s = time.monotonic() + _KILL_TIMEOUT_S
    while found := tree_of(root, spare):
        stopped = [pid for pid in found if send_signal(pid, signal.SIGSTOP)]
        for pid in stopped:
            send_signal(pid, signal.SIGKILL)
        if not stopped or time.monotonic() > give_up_s:
            break
        # A killed process needs a moment to die; asking again at once would only keep it from the processor.
        time.sleep(_DYING_S)
    return found


def reap() -> None:
    """Collect every child that has ended; none is waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def is_python(pid: int) -> bool:
    try:
        return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False
