"""Changes of this network's devices, addresses and routes. Linux. Source: rtnetlink(7), linux/rtnetlink.h."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time

LOOPBACK = 1
"""The index of `lo`, the same in every network."""

_NETLINK_ROUTE = 0
_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24
_REQUEST, _ACKNOWLEDGE, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_ERROR = 2
_IFF_UP, _IFF_MULTICAST = 0x1, 0x1000
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NO_DUPLICATE_DETECTION, _NO_PREFIX_ROUTE = 0x2, 0x200
_RTA_DST, _RTA_OIF = 1, 4
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_PROTOCOL_STATIC = 4
_SCOPE_GLOBAL, _SCOPE_LINK = 0, 253
_UNICAST, _LOCAL = 1, 2
_ROUTE_TIMEOUT_S, _ROUTE_POLL_S = 10.0, 0.001
_DISCARD_PORT = 9  # Nothing is sent there.
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class RouteSocket:
    """Asks the kernel for one change at a time. Every method raises OSError with the kernel's errno."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def set_up(self, device: int) -> None:
        """Bring *device* up, and let it carry multicast."""
        flags = _IFF_UP | _IFF_MULTICAST
        self._ask(_NEW_LINK, _LINK.pack(socket.AF_UNSPEC, 0, device, flags, flags))

    def add_address(self, device: int, address: str) -> None:
        """Give *device* *address*, alone in its subnet."""
        parsed = ipaddress.ip_address(address)
        family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
        head = _ADDRESS.pack(family, parsed.max_prefixlen, 0, _SCOPE_GLOBAL, device)
        packed = _attribute(_IFA_LOCAL, parsed.packed) + _attribute(_IFA_ADDRESS, parsed.packed)
        flags = struct.pack("=I", _NO_DUPLICATE_DETECTION | _NO_PREFIX_ROUTE)
        self._ask(_NEW_ADDRESS, head + packed + _attribute(_IFA_FLAGS, flags), _CREATE | _REPLACE)
        if family == socket.AF_INET6:
            _await_route(address)

    def route_multicast(self, device: int, family: int) -> None:
        """Send to every multicast group of *family* through *device*, unless a program names another one."""
        if family == socket.AF_INET:
            group, length, table, scope, kind = "224.0.0.0", 4, _TABLE_MAIN, _SCOPE_LINK, _UNICAST
        else:
            # Local: any other route of IPv6 through `lo` becomes one that refuses (RTF_REJECT).
            group, length, table, scope, kind = "ff00::", 8, _TABLE_LOCAL, _SCOPE_GLOBAL, _LOCAL
        head = _ROUTE.pack(family, length, 0, 0, table, _PROTOCOL_STATIC, scope, kind, 0)
        to = _attribute(_RTA_DST, ipaddress.ip_address(group).packed)
        self._ask(_NEW_ROUTE, head + to + _attribute(_RTA_OIF, struct.pack("=I", device)), _CREATE | _REPLACE)

    def _ask(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._sequence += 1
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, _REQUEST | _ACKNOWLEDGE | flags, self._sequence, 0) + body)
        answer = self._socket.recv(1 << 16)
        _, answered, _, _, _ = _HEADER.unpack_from(answer)
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0] if answered == _ERROR else 0
        if code:
            raise OSError(code, f"rtnetlink: {os.strerror(code)}")


def _await_route(address: str) -> None:
    """Wait until *address* can be used: the kernel makes the route to an IPv6 address a moment later."""
    give_up_s = time.monotonic() + _ROUTE_TIMEOUT_S
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        while failure := client.connect_ex((address, _DISCARD_PORT)):
            if time.monotonic() > give_up_s:
                raise OSError(failure, f"{address}: {os.strerror(failure)}")
            time.sleep(_ROUTE_POLL_S)


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)
