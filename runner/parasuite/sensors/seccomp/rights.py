"""Whether the caller's own rights decide about a bind or a listen.

The supervisor may perform a call for its caller only if the kernel would check nothing about that caller. inet_bind
and inet_listen check the socket (its user for SO_REUSEPORT, its cgroup for BPF, its options). There are three
exceptions, in which the kernel must perform the call itself:

- a port below ip_unprivileged_port_start of the socket's network needs CAP_NET_BIND_SERVICE there (ip(7)). We cannot
  read that limit of a network that is not our own, so there every explicit port may be below it;
- the caller is confined by Landlock (landlock(7)), which the kernel shows nowhere. A confinement begins with a call
  of landlock_restrict_self(2), which is trapped, and descendants inherit it. So we treat as confined the process that
  called, and every process of the copy that was started after the first such call, since its ancestors cannot be
  known for certain (reparenting, CLONE_PARENT). Older processes can only be confined by a call of their own;
- another security module gives the caller a label (proc_pid_attr(5)) that is not ours.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parasuite.model.network import Network
from parasuite.sensors.seccomp.callers import Thread, TracedProcess

_PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_EVERY_PORT = 65536
_LABEL = "/proc/{}/attr/current"
_LABEL_MAX = 4096
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Rights:
    """What is known of the rights of the copies' processes."""

    def __init__(self) -> None:
        self._port_start = -1
        with contextlib.suppress(OSError):
            self._port_start = os.open(_PORT_START, os.O_RDONLY | os.O_CLOEXEC)
        # None: no security module has labels (EINVAL), so callers' labels are not read.
        self._label = _label(os.getpid())
        self._confined_since: dict[int, int] = {}
        self._confined: set[tuple[int, int]] = set()

    def close(self) -> None:
        if self._port_start >= 0:
            os.close(self._port_start)
            self._port_start = -1

    def needs_privilege(self, port: int, network: Network) -> bool:
        """Whether binding *port* in *network* may need a capability."""
        return port > 0 and (not network.is_ours or port < self._first_unprivileged())

    def _first_unprivileged(self) -> int:
        """Read each time, since it may change during a run."""
        try:
            return int(os.pread(self._port_start, 16, 0))
        except (OSError, ValueError):
            return _EVERY_PORT

    def restricts_itself(self, copy: int, process: TracedProcess | None) -> None:
        """*process* of *copy* calls landlock_restrict_self(2) now. None if it is not known which process does."""
        now_ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)
        since = self._confined_since.setdefault(copy, now_ticks)
        if process is None:
            self._confined_since[copy] = 0
        elif process.ticks < since:
            self._confined.add((process.pid, process.ticks))

    def is_confined(self, copy: int, thread: Thread) -> bool:
        """Whether *thread* of *copy* may have to obey rules that this process does not."""
        if self._label is not None and _label(thread.tid) != self._label:
            return True
        since = self._confined_since.get(copy)
        if since is None:
            return False
        process = thread.process
        return process.ticks >= since or (process.pid, process.ticks) in self._confined


def _label(tid: int) -> bytes | None:
    try:
        descriptor = os.open(_LABEL.format(tid), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, _LABEL_MAX)
    except OSError:
        return None
    finally:
        os.close(descriptor)
