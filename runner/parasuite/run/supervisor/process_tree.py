"""Finding, signalling and ending a tree of processes, by /proc. Linux only, standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from parasuite.sensors import proc

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_KILL_TIMEOUT_S = 5.0
_DYING_S = 0.002
_ORDERLY_ROUNDS = 2
_EMPTY_WALKS = 10


def _prctl(option: int, argument: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def become_subreaper() -> str:
    """Make this process the parent of every orphan below it; why that is refused (by a filter), or "".

    Source: PR_SET_CHILD_SUBREAPER(2const).
    """
    try:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    except OSError as error:
        return error.strerror or str(error)
    return ""


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
    return [pid for pid in found if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    state = state_of(pid)[0]
    # By /proc's hidepid, another user's process looks like none.
    return state not in "ZX" or (state == "X" and _is_refused(pid))


def send_signal(pid: int, number: int) -> bool:
    """Whether *number* could be sent: not to one that is gone, nor to one of another user (a setuid program)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Killed:
    """*count*: processes that were sent SIGKILL. *left*: those that are still alive, each in words."""

    count: int = 0
    left: tuple[str, ...] = ()


def why_no_proc() -> str:
    """Why /proc does not show the processes of this one's own PID namespace; "" if it does."""
    try:
        here = os.readlink("/proc/self")
    except OSError:
        return "no /proc is mounted"
    return "" if here == str(os.getpid()) else "/proc is that of another PID namespace"


def reap() -> bool:
    """Collect every child that has ended; none is waited for. Whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def kill_tree(spare: frozenset[int] = frozenset(), collect: Callable[[], bool] = reap) -> Killed:
    """End every descendant of this process, which must be a subreaper, outside the trees of *spare*.

    At first all are stopped, so that none forks while the rest is being found, then killed; again, until none is
    left: two or three rounds in practice. A chain in which each generation forks and exits outruns that. From the
    third round on each process is killed as soon as it is seen, together with its process group: no fork escapes a
    signal to its group.

    *collect*: collects the children that have ended, and says whether there are others; as `reap` has it. It is
    called in each round, since a chain fills the table of processes with them, and since only a process without
    children certainly has no descendants: a walk through /proc may miss one that moves.

    Left alive are only processes of another user, or in an uninterruptible system call.
    """
    here = os.getpid()
    sent: set[int] = set()
    give_up_s = time.monotonic() + _KILL_TIMEOUT_S
    rounds = empty_walks = 0
    found: list[int] = []
    while collect() and time.monotonic() < give_up_s:
        found = tree_of(here, spare)
        empty_walks = 0 if found else empty_walks + 1
        if spare and empty_walks > _EMPTY_WALKS:
            break
        if rounds < _ORDERLY_ROUNDS:
            for pid in found:
                send_signal(pid, signal.SIGSTOP)
        else:
            _chase(here, spare, sent)
        sent.update([pid for pid in found if send_signal(pid, signal.SIGKILL)])
        rounds += 1
        if found and all(_is_refused(pid) for pid in found):
            break
        if sent.issuperset(found):
            # A killed process needs a moment to die; asking again at once would only keep it from the processor.
            time.sleep(_DYING_S)
    return Killed(len(sent), tuple(_in_words(pid) for pid in found if _is_alive(pid)))


def _chase(root: int, spare: frozenset[int], sent: set[int]) -> None:
    """Kill each descendant of *root* that a walk meets at once, and the process groups of those that are new."""
    pending = children_of(root)
    seen = {root, *spare}
    while pending:
        pid = pending.pop()
        if pid in seen:
            continue
        seen.add(pid)
        if pid not in sent:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # No tree of a copy shares a session with parasuite: its main process begins one of its own.
                if os.getsid(pid) != os.getsid(0):
                    os.killpg(os.getpgid(pid), signal.SIGKILL)
        if send_signal(pid, signal.SIGKILL):
            sent.add(pid)
        pending += children_of(pid)


def _is_refused(pid: int) -> bool:
    """Whether *pid* is alive, and of a user whose processes we may not signal."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def _in_words(pid: int) -> str:
    """The name, number and user of *pid*."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            name = stream.read().rpartition(b")")[0].partition(b"(")[2].decode("utf-8", "backslashreplace")
        return f"{name} (pid {pid}, user {os.stat(f'/proc/{pid}').st_uid})"
    except OSError:
        return f"pid {pid}"


def is_python(pid: int) -> bool:
    try:
        return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False
