"""The seccomp filter: which system calls are trapped, and how the filter is installed.

Linux 5.9 or newer, no privilege, standard library only. x86_64, and aarch64, whose system call numbers are from its
headers and have not been tested. Source: seccomp(2), linux/bpf_common.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from parasuite.sensors.seccomp.addresses import ADDRESS_MAX
from parasuite.sensors.seccomp.libc import libc_function

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 1 << 3, 1 << 5
_RET_ALLOW, _RET_USER_NOTIF = 0x7FFF0000, 0x7FC00000
_X32_BIT = 0x40000000
_LANDLOCK_RESTRICT_SELF = 446  # The same on every architecture.
LANDLOCK_RESTRICT_SELF = frozenset({_LANDLOCK_RESTRICT_SELF, _LANDLOCK_RESTRICT_SELF | _X32_BIT})


@dataclass(frozen=True, slots=True)
class Architecture:
    """System call numbers of one machine. *audit*: what seccomp calls the machine (AUDIT_ARCH_*)."""

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
    """The filter could not be installed; EBUSY: an outer filter has a notify descriptor (parasuite in parasuite)."""


@dataclass(frozen=True, slots=True)
class NetworkWindow:
    """A network that this process is not in, as one that is opened it.

    *table*, *unix_table*, *destroyed*: descriptors of netlink sockets for what these are called in sensors/netlink.
    *inode*: of the namespace, as /proc/PID/ns/net shows it.
    """

    table: int
    unix_table: int
    destroyed: int
    inode: int


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed filter's notify descriptor.

    *restart_safe*: once received, a call is not restarted by a signal (WAIT_KILLABLE_RECV, Linux 5.19). *network*:
    shows the network of the processes under it; None if that is the supervisor's own.
    """

    fd: int
    restart_safe: bool
    network: NetworkWindow | None = None


# --- the program --------------------------------------------------------------------------------------------------

# Instructions of classic BPF: load a word, jump if equal, jump if greater or equal, return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
# Offsets in struct seccomp_data.
_CALL_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16


@dataclass(frozen=True, slots=True)
class _Step:
    """One instruction. *then*, *otherwise*: the labels to jump to; "" continues with the next step.

    *label*: its own name.
    """

    code: int
    operand: int
    then: str = ""
    otherwise: str = ""
    label: str = ""


def _argument(number: int) -> int:
    """The offset of the low half of an argument; both machines are little-endian."""
    return _ARGUMENTS + 8 * number


def _steps(machine: Architecture) -> list[_Step]:
    """Notify of bind, listen, and of connect and sendto with an address that may be an internet one.

    The filter sees only the length of an address: 16 and 28 are sockaddr_in and sockaddr_in6, 24 is the latter as
    defined in RFC 2133, 128 and more a whole sockaddr_storage. A connect of a Unix socket passes untouched, unless
    its address has one of these lengths. landlock_restrict_self is trapped on any architecture: a program may make
    that call as a 32-bit one and then bind.
    """
    return [
        _Step(_LOAD, _CALL_NUMBER),
        *(_Step(_IF_EQUAL, number, "notify") for number in sorted(LANDLOCK_RESTRICT_SELF)),
        _Step(_LOAD, _MACHINE),
        _Step(_IF_EQUAL, machine.audit, otherwise="allow"),
        _Step(_LOAD, _CALL_NUMBER),
        _Step(_IF_AT_LEAST, _X32_BIT, "allow"),
        _Step(_IF_EQUAL, machine.bind, "notify"),
        _Step(_IF_EQUAL, machine.listen, "notify"),
        _Step(_IF_EQUAL, machine.connect, "connect"),
        _Step(_IF_EQUAL, machine.sendto, otherwise="allow"),
        # sendto without an address is send: the common case, which passes here.
        _Step(_LOAD, _argument(4)),
        _Step(_IF_EQUAL, 0, otherwise="sendto with an address"),
        _Step(_LOAD, _argument(4) + 4),
        _Step(_IF_EQUAL, 0, "allow"),
        _Step(_LOAD, _argument(5), label="sendto with an address"),
        _Step(_IF_EQUAL, 0, "length", "length"),
        _Step(_LOAD, _argument(2), label="connect"),
        _Step(_IF_EQUAL, 16, "notify", label="length"),
        _Step(_IF_EQUAL, 24, "notify"),
        _Step(_IF_EQUAL, 28, "notify"),
        _Step(_IF_AT_LEAST, ADDRESS_MAX, "notify", "allow"),
        _Step(_RETURN, _RET_ALLOW, label="allow"),
        _Step(_RETURN, _RET_USER_NOTIF, label="notify"),
    ]


def program(machine: Architecture) -> bytes:
    """The filter as the kernel takes it: an array of struct sock_filter."""
    steps = _steps(machine)
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def distance(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", step.code, distance(place, step.then), distance(place, step.otherwise), step.operand)
        for place, step in enumerate(steps)
    )


# --- its installation ---------------------------------------------------------------------------------------------

_prctl = libc_function("prctl", ctypes.c_int, *[ctypes.c_ulong] * 5)
_seccomp = libc_function("syscall", ctypes.c_long, ctypes.c_long, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


def install(machine: Architecture | None = ARCHITECTURE) -> Installed:
    """Put the filter on the calling thread and on everything that it starts from now on; irrevocable.

    no_new_privs, which takes their privilege from setuid programs, is set only where the kernel requires it: not for
    a root with CAP_SYS_ADMIN. Raises SeccompError, with the errno of seccomp(2).
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
                return Installed(fd, restart_safe=bool(extra))
            failure = ctypes.get_errno()
            if failure != errno.EINVAL:
                break
        if failure != errno.EACCES:
            break
    raise SeccompError(failure, f"seccomp: {os.strerror(failure)}")
