"""Parses a struct sockaddr as the caller wrote it. Pure. Source: ip(7), ipv6(7), unix(7), vsock(7)."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import NamedTuple

AF_VSOCK = 40
ADDRESS_MAX = 128  # sizeof(struct sockaddr_storage)
_SUN_PATH_AT = 2
_U16, _PORT = struct.Struct("=H"), struct.Struct("!H")
_INET_LENGTH, _INET6_LENGTH, _VSOCK_LENGTH = 8, 24, 12


class Address(NamedTuple):
    """*address* and *port* as in Endpoint, except that a Unix path may be relative to the caller's folder."""

    family: int
    address: str
    port: int


@lru_cache(maxsize=256)
def parse(raw: bytes) -> Address | None:
    """The address in *raw*; None for a family that no sensor follows, or if *raw* is too short.

    AF_UNSPEC is read as AF_INET, as bind(2) of an AF_INET socket reads it.
    """
    if len(raw) < 2:
        return None
    (family,) = _U16.unpack_from(raw)
    if family in (socket.AF_INET, socket.AF_UNSPEC) and len(raw) >= _INET_LENGTH:
        return Address(family, socket.inet_ntop(socket.AF_INET, raw[4:8]), _PORT.unpack_from(raw, 2)[0])
    if family == socket.AF_INET6 and len(raw) >= _INET6_LENGTH:
        return Address(family, socket.inet_ntop(family, raw[8:24]), _PORT.unpack_from(raw, 2)[0])
    if family == socket.AF_UNIX:
        return Address(family, unix_name(raw[_SUN_PATH_AT:]), 0)
    if family == AF_VSOCK and len(raw) >= _VSOCK_LENGTH:
        port, cid = struct.unpack_from("=II", raw, 4)
        return Address(family, str(cid), port)
    return None


def unix_name(name: bytes) -> str:
    """The name in sun_path: a path ends at its NUL; an abstract name begins with a NUL, here "@", and may contain any
    byte. A relative path that begins with "@" gets "./" before it. An empty name asks the kernel to choose one.
    """
    if name[:1] == b"\0":
        return "@" + name[1:].decode("utf-8", "backslashreplace").replace("\0", "\\0")
    path = name.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return f"./{path}" if path.startswith("@") else path


def unix_is_abstract(raw: bytes) -> bool:
    """Whether the struct sockaddr_un in *raw* has an abstract name, and not a path that begins with "@"."""
    return len(raw) > _SUN_PATH_AT and raw[_SUN_PATH_AT] == 0
