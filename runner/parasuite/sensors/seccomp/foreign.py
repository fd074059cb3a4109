"""Acting on another process: its descriptors and its memory. Source: pidfd_open(2), pidfd_getfd(2),
process_vm_readv(2).

What is kernel-dependent here goes through a `Kernel`, so that a test can run the sensor on one that refuses
something.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from parasuite.model.network import Network
from parasuite.sensors import netlink, proc
from parasuite.sensors.seccomp.addresses import ADDRESS_MAX
from parasuite.sensors.seccomp.libc import libc_function
from parasuite.sensors.seccomp.socket_info import SocketInfo, socket_info

_PIDFD_OPEN_THREAD = os.O_EXCL  # PIDFD_THREAD, Linux 6.9
_PIDFD_GETFD = 438
_SO_PROTOCOL_MPTCP = 262

_getfd = libc_function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_bind = libc_function("bind", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_listen = libc_function("listen", ctypes.c_int, ctypes.c_int, ctypes.c_int)
_process_vm_readv = libc_function(
    "process_vm_readv",
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)


class _IOVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Memory:
    """Reads the memory of a thread that waits in a call."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(ADDRESS_MAX)
        self._local = _IOVector(ctypes.addressof(self._buffer), ADDRESS_MAX)
        self._remote = _IOVector(None, 0)
        self._local_at = ctypes.addressof(self._local)
        self._remote_at = ctypes.addressof(self._remote)

    def read(self, tid: int, address: int, length: int) -> bytes | None:
        """*length* bytes; b"" if they are not all mapped, or are more than ADDRESS_MAX. None if this process may not
        read that memory (the program made itself non-dumpable).
        """
        if length > ADDRESS_MAX:
            return b""
        self._local.length = self._remote.length = length
        self._remote.base = address
        got = _process_vm_readv(tid, self._local_at, 1, self._remote_at, 1, 0)
        if got < 0 and ctypes.get_errno() != errno.EFAULT:
            return None
        return self._buffer.raw[:got] if got == length else b""


def open_thread(tid: int, process: int) -> tuple[int, bool]:
    """A pidfd of the thread *tid*, or of its *process* if the kernel has none for threads; and whether it pins
    *tid*, as a process's does for its first thread. Raises OSError.
    """
    with contextlib.suppress(OSError):
        return os.pidfd_open(tid, _PIDFD_OPEN_THREAD), True
    return open_process_of(tid, process)


def open_process_of(tid: int, process: int) -> tuple[int, bool]:
    """As `open_thread` before Linux 6.9."""
    return os.pidfd_open(process), tid == process


def duplicate(pidfd: int, fd: int) -> int:
    """Our own duplicate of the descriptor *fd* of *pidfd*; close-on-exec. Raises OSError: EPERM, EBADF, ESRCH."""
    got = int(_getfd(_PIDFD_GETFD, pidfd, fd, 0))
    if got < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"pidfd_getfd: {os.strerror(code)}")
    return got


def perform_bind(fd: int, address: bytes) -> int:
    """bind(2) on our duplicate; 0 or the errno."""
    return ctypes.get_errno() if _bind(fd, address, len(address)) else 0


def perform_listen(fd: int, backlog: int) -> int:
    """listen(2) on our duplicate; 0 or the errno."""
    return ctypes.get_errno() if _listen(fd, backlog) else 0


def is_mptcp(sock: _socket.socket) -> bool:
    """Whether *sock* is a multipath TCP socket (Go's default listener). The tables list it under another cookie."""
    return sock.proto == _SO_PROTOCOL_MPTCP


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the sensor asks the kernel to do or to show, where kernels and sandboxes differ."""

    process_of: Callable[[int], int] = proc.process_of
    open_thread: Callable[[int, int], tuple[int, bool]] = open_thread
    duplicate: Callable[[int, int], int] = duplicate
    socket_info: Callable[[_socket.socket, Network], SocketInfo] = socket_info
    destroyed: Callable[[], netlink.Destroyed] = netlink.Destroyed


THIS_KERNEL = Kernel()
