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
    """Have the kernel send SIGCONT to this process when its parent dies."""
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGCONT))


def set_name(name: str) -> None:
    """Name this process, in up to 15 bytes, so that `killall python` does not kill what ends the copies."""
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_NAME, name.encode())


_HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def children_of(pid: int) -> list[int]:
    """The children of all threads of *pid*; [] once it has gone.

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
    """(state letter, parent) of *pid*; ("X", 0) once it has gone, ("?", 0) if /proc hides it."""
    try:
        stat = proc.stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    except PermissionError:
        return "?", 0
    return stat.state, stat.parent


def main_thread_of(pid: int) -> tuple[str, int]:
    """(state letter, CPU time in clock ticks) of the main thread of *pid*; ("X", 0) once it has gone."""
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
    # With /proc's hidepid, another user's process looks as if it did not exist.
    return state not in "ZX" or (state == "X" and _is_refused(pid))


def send_signal(pid: int, number: int) -> bool:
    """Send signal *number*; False if *pid* has gone, or runs as another user (a setuid program)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Killed:
    """*count*: how many processes were sent SIGKILL. *left*: those that are still alive, for people."""

    count: int = 0
    left: tuple[str, ...] = ()


def why_no_proc() -> str:
    """Why /proc does not show the processes of this PID namespace; "" if it does."""
    try:
        here = os.readlink("/proc/self")
    except OSError:
        return "no /proc is mounted"
    return "" if here == str(os.getpid()) else "/proc is that of another PID namespace"


def reap() -> bool:
    """Collect every child that has ended, without waiting; whether there are other children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def kill_tree(spare: frozenset[int] = frozenset(), collect: Callable[[], bool] = reap) -> Killed:
    """Kill every descendant of this process, which must be a subreaper, outside the trees of *spare*.

    In the first two rounds, every descendant is stopped, so that none forks while the others are being found, and
    then killed. Usually nothing is left after two or three rounds. But a chain of processes in which each generation
    forks and exits can outrun this. So from the third round on, each process is killed as soon as it is found,
    together with its process group: no fork escapes a signal to its group.

    *collect* is called in each round, as `reap` is: it collects the children that have ended and returns whether
    there are others. A chain would otherwise fill the process table with them. And only a process without children
    certainly has no descendants: a walk through /proc can miss a process that is being reparented.

    Only processes of another user, or in uninterruptible sleep, can survive.
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
            # A killed process needs a moment to die; asking again at once would only take the CPU from it.
            time.sleep(_DYING_S)
    return Killed(len(sent), tuple(_description(pid) for pid in found if _is_alive(pid)))


def _chase(root: int, spare: frozenset[int], sent: set[int]) -> None:
    """Kill each descendant of *root* as soon as it is found; with its process group, if it was not killed before."""
    pending = children_of(root)
    seen = {root, *spare}
    while pending:
        pid = pending.pop()
        if pid in seen:
            continue
        seen.add(pid)
        if pid not in sent:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # parasuite is in another session than any copy, whose main process begins a new one.
                if os.getsid(pid) != os.getsid(0):
                    os.killpg(os.getpgid(pid), signal.SIGKILL)
        if send_signal(pid, signal.SIGKILL):
            sent.add(pid)
        pending += children_of(pid)


def _is_refused(pid: int) -> bool:
    """Whether *pid* is alive and we have no permission to signal it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


def _description(pid: int) -> str:
    """The name of the process *pid*, its pid and its user."""
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
