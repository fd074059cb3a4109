"""The kernel's tables of internet sockets as files, of the network of any process.

Linux, standard library only. Source: proc_pid_net(5).
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

from parasuite.model.words import Protocol

_TABLES = {"tcp": Protocol.TCP, "tcp6": Protocol.TCP, "udp": Protocol.UDP, "udp6": Protocol.UDP}
_TCP_LISTEN = "0A"


class ReachableSocket(NamedTuple):
    """A TCP socket that listens, or a UDP socket. *is_connected*: of UDP, whether it takes from one peer only."""

    protocol: Protocol
    address: str
    port: int
    inode: int
    is_connected: bool


def reachable_sockets(pid: int) -> Iterator[ReachableSocket]:
    """Those of the network that *pid* is in; none once it is gone."""
    for table, protocol in _TABLES.items():
        for fields in _rows(f"/proc/{pid}/net/{table}"):
            if len(fields) > 9 and (protocol is Protocol.UDP or fields[3] == _TCP_LISTEN):
                address, port = _address(fields[1])
                yield ReachableSocket(protocol, address, port, int(fields[9]), _address(fields[2])[1] != 0)


def _rows(path: str) -> Iterator[list[str]]:
    with contextlib.suppress(OSError), open(path, errors="backslashreplace") as stream:
        next(stream, None)
        for line in stream:
            yield line.split()


def _address(text: str) -> tuple[str, int]:
    """127.0.0.1 and 80 for 0100007F:0050: the address in words of the host's byte order, the port in hexadecimal."""
    packed, _, port = text.partition(":")
    words = [int(packed[start : start + 8], 16) for start in range(0, len(packed), 8)]
    raw = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)
