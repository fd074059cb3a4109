"""A private network: a user and a network namespace, made without root, in which no other program takes a port.

Source: user_namespaces(7), network_namespaces(7); a loopback interface is brought up by netdevice(7).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def enter(ephemeral: tuple[int, int] | None = None, *, as_root: bool = False) -> None:
    """Move this process, which must have one thread, into new namespaces; it keeps its user id there.

    *ephemeral* becomes the range of ports that the kernel gives out. *as_root* makes no user namespace, so that root
    can still become another user; only root may. Raises OSError where namespaces are refused.
    """
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if as_root else _CLONE_NEWUSER | _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"no new namespaces for uid {uid}: {os.strerror(error)}")
    if not as_root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    if ephemeral is not None:
        write_sysctl("ipv4/ip_local_port_range", f"{ephemeral[0]} {ephemeral[1]}")


def write_sysctl(name: str, value: str) -> None:
    """Set net/*name* in this process's network namespace."""
    Path("/proc/sys/net", name).write_text(value)
