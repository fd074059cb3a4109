"""The kernel's interface for seccomp user notification: the filter, its notify descriptor, and acts on duplicates.

Linux 5.9 or newer, no privilege, standard library only. x86_64, and aarch64, whose system call numbers are from its
headers and have not been tested. Source: seccomp(2), seccomp_unotify(2), pidfd_getfd(2), process_vm_readv(2).
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import struct
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 1 << 3, 1 << 5
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_IOCTL_RECV, _IOCTL_SEND, _IOCTL_ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
_IOCTL_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1
_ANSWER_CONTINUE = 1
_PIDFD_OPEN_THREAD = os.O_EXCL  # PIDFD_THREAD, Linux 6.9
_PIDFD_GETFD = 438
_SO_PROTOCOL_MPTCP = 262
_X32_BIT = 0x40000000
_LANDLOCK_RESTRICT_SELF = 446  # The same on every architecture.
LANDLOCK_RESTRICT_SELF = frozenset({_LANDLOCK_RESTRICT_SELF, _LANDLOCK_RESTRICT_SELF | _X32_BIT})
ADDRESS_MAX = 128  # sizeof(struct sockaddr_storage)


@dataclass(frozen=True, slots=True)
class Architecture:
    """System call numbers of one machine, and seccomp's identifier for it (AUDIT_ARCH_...)."""

    audit: int
    seccomp: int
    bind: int
    listen: int
    connect: int
    sendto: int


_ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, seccomp=317, bind=49, listen=50, connect=42, sendto=44),
    "aarch64": Architecture(0xC00000B7, seccomp=277, bind=200, listen=201, connect=203, sendto=206),
}
ARCHITECTURE = _ARCHITECTURES.get(platform.machine())


class SeccompError(OSError):
    """The filter could not be installed. EBUSY: an outer filter has a notify descriptor (parasuite in parasuite)."""


# --- the filter ---------------------------------------------------------------------------------------------------

_LD, _JEQ, _JGE, _RET = 0x20, 0x15, 0x35, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16


def _argument(number: int) -> int:
    return _ARGS + 8 * number  # The low half; both machines are little-endian.


def program(machine: Architecture) -> bytes:
    """The filter: notify of bind, listen, and of connect and sendto with an address that may be an internet one.

    And of landlock_restrict_self, on any architecture: a program may make that call as a 32-bit one and then bind.

    The filter sees only the length of an address: 16 and 28 are sockaddr_in and sockaddr_in6, 24 is the latter as
    defined in RFC 2133, 128 and more a whole sockaddr_storage. A connect of a Unix socket passes untouched, unless
    its address has one of these lengths.
    """
    lines: list[tuple[int, int | str, int | str, int]] = [
        (_LD, 0, 0, _NR),
        *((_JEQ, "notify", 0, number) for number in sorted(LANDLOCK_RESTRICT_SELF)),
        (_LD, 0, 0, _ARCH),
        (_JEQ, 0, "allow", machine.audit),
        (_LD, 0, 0, _NR),
        (_JGE, "allow", 0, _X32_BIT),
        (_JEQ, "notify", 0, machine.bind),
        (_JEQ, "notify", 0, machine.listen),
        (_JEQ, "connect", 0, machine.connect),
        (_JEQ, 0, "allow", machine.sendto),
        (_LD, 0, 0, _argument(4)),  # sendto without an address is send, the common case: not trapped.
        (_JEQ, 0, "addressed", 0),
        (_LD, 0, 0, _argument(4) + 4),
        (_JEQ, "allow", 0, 0),
    ]
    labels = {"addressed": len(lines)}
    lines += [(_LD, 0, 0, _argument(5)), (_JEQ, "lengths", "lengths", 0)]
    labels["connect"] = len(lines)
    lines += [(_LD, 0, 0, _argument(2))]
    labels["lengths"] = len(lines)
    lines += [(_JEQ, "notify", 0, 16), (_JEQ, "notify", 0, 24), (_JEQ, "notify", 0, 28)]
    lines += [(_JGE, "notify", "allow", ADDRESS_MAX)]
    labels["allow"] = len(lines)
    lines += [(_RET, 0, 0, _RET_ALLOW)]
    labels["notify"] = len(lines)
    lines += [(_RET, 0, 0, _RET_USER_NOTIF)]

    def jump(here: int, target: int | str) -> int:
        return labels[target] - here - 1 if isinstance(target, str) else target

    return b"".join(
        struct.pack("=HBBI", code, jump(here, if_true), jump(here, if_false), operand)
        for here, (code, if_true, if_false, operand) in enumerate(lines)
    )


_libc = ctypes.CDLL(None, use_errno=True)


def _function(name: str, result: type, *arguments: type) -> ctypes._NamedFuncPointer:
    function = _libc[name]  # Unlike an attribute, an index gives a new object each time, with its own types.
    function.restype = result
    function.argtypes = list(arguments)
    return function


_prctl = _function("prctl", ctypes.c_int, *[ctypes.c_ulong] * 5)
_seccomp = _function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)
_getfd = _function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_uint)
_bind = _function("bind", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_listen = _function("listen", ctypes.c_int, ctypes.c_int, ctypes.c_int)


@dataclass(frozen=True, slots=True)
class Installed:
    """A filter's notify descriptor. *killable*: once received, a call is not restarted by a signal (Linux 5.19)."""

    fd: int
    killable: bool


def install(machine: Architecture | None = ARCHITECTURE) -> Installed:
    """Install the filter for the calling thread and everything that it starts from now on. It cannot be removed.

    no_new_privs, with which setuid programs run without their privilege, is set only if the kernel requires it: not
    for root with CAP_SYS_ADMIN. Raises SeccompError, with the errno of seccomp(2).
    """
    if machine is None:
        raise SeccompError(errno.ENOSYS, f"no system call numbers for {platform.machine()}")
    code = program(machine)
    instructions = ctypes.create_string_buffer(code, len(code))
    described = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions)))
    failure = 0
    for privileged in (True, False):
        if not privileged and _prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise SeccompError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        for extra in (_FLAG_WAIT_KILLABLE, 0):
            fd = _seccomp(machine.seccomp, _SECCOMP_SET_MODE_FILTER, _FLAG_NEW_LISTENER | extra, described)
            if fd >= 0:
                return Installed(fd, killable=bool(extra))
            failure = ctypes.get_errno()
            if failure != errno.EINVAL:
                break
        if failure != errno.EACCES:
            break
    raise SeccompError(failure, f"seccomp: {os.strerror(failure)}")


# --- the listener -------------------------------------------------------------------------------------------------

_REQUEST = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_ID = struct.Struct("=Q")
_ZEROES = bytes(_REQUEST.size)
_IDS = 1 << 64  # The first id is random, so ids may wrap around.


@dataclass(slots=True)
class Call:
    """One trapped call; its thread *tid* is stopped until the reply. *arguments*: the registers."""

    id: int
    tid: int
    number: int
    arguments: tuple[int, ...]

    def int_argument(self, number: int) -> int:
        """An argument of the C type int."""
        value = self.arguments[number] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value


class Listener:
    """The receiving end of one filter; owns *fd*.

    *interrupted*: how many calls a signal ended before they were received, up to the last one that was. Their
    callers were killed, made them again (SA_RESTART), or got EINTR; which, cannot be seen. The kernel numbers the
    calls under a filter consecutively: these are the numbers that are missing between the received ones.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.interrupted = 0
        self._next_id: int | None = None
        self._request = bytearray(_REQUEST.size)
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            # Wake the caller on this processor, since this process is about to sleep (Linux 6.6). Not if this process
            # has a real-time priority: then the caller would wait for everything that it does first.
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, _IOCTL_SET_FLAGS, _SYNC_WAKE_UP)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def receive(self) -> Call | None:
        """The next call; None if a signal ended it meanwhile. Blocks unless the descriptor polls readable."""
        request = self._request
        request[:] = _ZEROES  # The kernel requires it (EINVAL).
        try:
            fcntl.ioctl(self._fd, _IOCTL_RECV, request)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):
                raise
            return None
        fields = _REQUEST.unpack(request)
        if self._next_id is not None:
            self.interrupted += (fields[0] - self._next_id) % _IDS
        self._next_id = fields[0] + 1
        return Call(fields[0], fields[1], fields[3], fields[6:])

    def is_valid(self, call: Call) -> bool:
        """Whether the thread still waits in that call; if not, its id may have been reused."""
        try:
            fcntl.ioctl(self._fd, _IOCTL_ID_VALID, _ID.pack(call.id))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def let(self, call: Call) -> None:
        """Let the kernel perform the call."""
        self._send(_ANSWER.pack(call.id, 0, 0, _ANSWER_CONTINUE))

    def answer(self, call: Call, failure: int) -> None:
        """End the call with 0, or with -1 and errno *failure*."""
        self._send(_ANSWER.pack(call.id, 0, -failure, 0))

    def _send(self, answer: bytes) -> None:
        try:
            fcntl.ioctl(self._fd, _IOCTL_SEND, answer)
        except OSError as error:
            # The caller has been killed: no one waits for the reply.
            if error.errno != errno.ENOENT:
                raise


# --- acting for another -------------------------------------------------------------------------------------------


class _IOVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_process_vm_readv = _function(
    "process_vm_readv",
    ctypes.c_ssize_t,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
)


class Memory:
    """Reads memory of a thread that is stopped in a call."""

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(ADDRESS_MAX)
        self._local = _IOVector(ctypes.addressof(self._buffer), ADDRESS_MAX)
        self._remote = _IOVector(None, 0)
        self._local_at = ctypes.addressof(self._local)
        self._remote_at = ctypes.addressof(self._remote)

    def read(self, tid: int, address: int, length: int) -> bytes | None:
        """*length* bytes; b"" if they are not all mapped, or more than ADDRESS_MAX. None if this process may not read
        them (a program made itself non-dumpable).
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
    """A pidfd of the thread *tid*, or of its *process* if the kernel has none for threads (before Linux 6.9); and
    whether it guarantees that *tid* is not reused, as a process's does for its first thread. Raises OSError.
    """
    with contextlib.suppress(OSError):
        return os.pidfd_open(tid, _PIDFD_OPEN_THREAD), True
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
    """Whether *sock* is a multipath TCP socket (Go's default listener), whose cookie differs from the tables'."""
    return sock.proto == _SO_PROTOCOL_MPTCP
