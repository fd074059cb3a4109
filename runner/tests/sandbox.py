"""Sandboxes to run a program in: an outer seccomp filter that refuses some system calls, as a container's does."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Sequence

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _FIRST_ARGUMENT = 0, 16
_ALLOW, _ERRNO = 0x7FFF0000, 0x50000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_AF_NETLINK = 16
# By name: numbers on x86_64 and aarch64, then the first argument that is refused (None: any), and the errno.
_CALLS = {
    "netlink": ((41, 198), _AF_NETLINK, errno.EAFNOSUPPORT),
    "pidfd_open": ((434, 434), None, errno.EPERM),
    "process_vm_readv": ((310, 270), None, errno.EPERM),
    "pidfd_getfd": ((438, 438), None, errno.EPERM),
    "seccomp": ((317, 277), None, errno.EPERM),
    "unshare": ((272, 97), None, errno.EPERM),
    "clone3": ((435, 435), None, errno.EPERM),
}
REFUSABLE = tuple(_CALLS)


def refusing(names: Sequence[str], argv: Sequence[str]) -> list[str]:
    """The command that runs *argv* where the calls *names* (see REFUSABLE) are refused."""
    return [sys.executable, "-I", __file__, ",".join(names), *argv]


def _refuse(names: Sequence[str]) -> None:
    is_arm = platform.machine() == "aarch64"
    lines = [(_LOAD, 0, 0, _NUMBER)]
    for name in names:
        numbers, first_argument, refusal = _CALLS[name]
        answer = (_RETURN, 0, 0, _ERRNO | refusal)
        if first_argument is None:
            lines += [(_EQUAL, 0, 1, numbers[is_arm]), answer]
        else:
            lines += [(_EQUAL, 0, 3, numbers[is_arm]), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
            lines += [(_EQUAL, 0, 1, first_argument), answer, (_LOAD, 0, 0, _NUMBER)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("=HBBI", *line) for line in lines)
    instructions = ctypes.create_string_buffer(code, len(code))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(lines), ctypes.addressof(instructions)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no outer filter")


if __name__ == "__main__":
    import os

    _refuse(sys.argv[1].split(","))
    os.execvp(sys.argv[2], sys.argv[2:])
