"""The kernel's table of sockets (NETLINK_SOCK_DIAG): which sockets exist now, and which have just been destroyed.

Linux, no privilege, standard library only. Source: sock_diag(7), linux/inet_diag.h, linux/sock_diag.h.
A netlink socket belongs to the network namespace in which it was made, and sees only that one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from parasuite.model.words import Protocol, SocketState

NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_ATTRIBUTE_V6ONLY = 11  # INET_DIAG_SKV6ONLY; attributes above 8 come unasked, idiag_ext has only 8 bits
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_DESTROY_GROUPS = (1, 2, 3, 4)  # SKNLGRP_INET_TCP_DESTROY, .._UDP_.., and the same of INET6
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 16 << 20
_COOKIE_OFFSET = 16 + 44  # nlmsghdr, then idiag_cookie within inet_diag_msg
_LENGTH, _COOKIE = struct.Struct("=I"), struct.Struct("=Q")

ESTABLISHED, TIME_WAIT, CLOSE, LISTEN = 1, 6, 7, 10
BOUND_INACTIVE = 13  # Linux 6.8: TCP, bound, neither listening nor connected; no other table shows these
EVERY_TCP_STATE = 0xFFF | 1 << BOUND_INACTIVE
TCP_OWNERS = 1 << LISTEN | 1 << BOUND_INACTIVE
UDP_STATES = 1 << CLOSE | 1 << ESTABLISHED
# Asked for as BOUND_INACTIVE, such a socket's row says CLOSE.
_STATES = {
    LISTEN: SocketState.LISTEN,
    BOUND_INACTIVE: SocketState.BOUND,
    CLOSE: SocketState.BOUND,
    TIME_WAIT: SocketState.TIME_WAIT,
}

_REQUEST_ONE = 0x1
_UNIX_REQUEST = struct.Struct("=IHHII BBHIIIII")
_UNIX_ROW = struct.Struct("=BBBBIQ")
_SHOW_NAME, _ATTRIBUTE_NAME = 1, 0  # UDIAG_SHOW_NAME, UNIX_DIAG_NAME
_ANY_COOKIE = 0xFFFFFFFF

_REQUEST = struct.Struct("=IHHII BBBBI")
_ROW = struct.Struct("=BBBB 4s16s16sI QIIIII")


class NetlinkError(OSError):
    """The kernel refused a dump; errno says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One socket. *state*: as in the constants above. *inode*: 0 once it is closed. *peer_raw*: the peer's address.

    *interface*: the index of the network device that it was bound to by SO_BINDTODEVICE, 0 if to none.
    """

    family: int
    protocol: Protocol
    state: int
    address: str
    port: int
    cookie: int
    uid: int
    inode: int
    v6only: bool
    peer_port: int
    interface: int
    peer_raw: bytes

    @property
    def peer_address(self) -> str:
        return socket.inet_ntop(self.family, self.peer_raw[: 4 if self.family == socket.AF_INET else 16])

    @property
    def socket_state(self) -> SocketState:
        """What the socket is doing, in the words of a Holder."""
        if self.protocol == Protocol.UDP:
            return SocketState.UNCONNECTED if self.state == CLOSE else SocketState.ESTABLISHED
        # In FIN_WAIT and similar states the kernel still talks to the peer, but the socket's process has closed it.
        return _STATES.get(self.state, SocketState.ESTABLISHED if self.inode else SocketState.GONE)


class Table:
    """Dumps of the table, by protocol, state and port: 0.4 ms for a hundred listeners.

    *made*: a netlink socket of the network to query; by default one of this process's network is made. Raises OSError
    if netlink is not available.
    """

    def __init__(self, made: socket.socket | None = None) -> None:
        self._socket = made if made is not None else open_socket()
        # A safety net only: the kernel has its reply ready when send returns.
        self._socket.settimeout(5)
        self._sequence = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, protocol: Protocol, states: int, port: int = 0) -> list[Row]:
        """The sockets of *protocol* in *states* (a mask), v4 and v6, at local *port* (0: every port).

        Although the request names the port, the kernel also lists every socket that is bound and does not listen
        (Linux 6.18), so the rows of other ports are dropped here.
        """
        return [
            row
            for family in (socket.AF_INET, socket.AF_INET6)
            for row in self._dump(family, protocol, states, port)
            if port in (0, row.port)
        ]

    def _dump(self, family: int, protocol: Protocol, states: int, port: int) -> Iterator[Row]:
        number = socket.IPPROTO_TCP if protocol == Protocol.TCP else socket.IPPROTO_UDP
        for message, start, end in self._messages(family, number, states, port):
            yield _row(message, start, end, protocol)

    def _messages(self, family: int, protocol: int, states: int, port: int) -> Iterator[tuple[bytes, int, int]]:
        self._sequence += 1
        request = _REQUEST.pack(
            72, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, self._sequence, 0, family, protocol, 0, 0, states
        )
        # inet_diag_sockid: ports in network order, addresses, interface, "any cookie".
        request += struct.pack("!HH", port, 0) + bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
        self._socket.send(request)
        yield from _answers(self._socket, self._sequence)


@dataclass(frozen=True, slots=True)
class UnixRow:
    """A Unix socket. *name*: as its process wrote it, like sun_path: a path with the NUL that ends it, a NUL and an
    abstract name, or b"" while it is not bound. *state*: LISTEN, ESTABLISHED, or CLOSE for every other.
    """

    state: int
    inode: int
    cookie: int
    name: bytes


class UnixTable:
    """The Unix sockets of this network, bound or not.

    *made*: as in Table. Raises OSError if netlink is not available. A kernel without unix_diag answers that there is
    no such socket, whichever it is asked for.
    """

    def __init__(self, made: socket.socket | None = None) -> None:
        self._socket = made if made is not None else open_socket()
        self._socket.settimeout(5)  # As in Table.
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def row(self, inode: int) -> UnixRow | None:
        """The socket with *inode*, of this network; None if there is none."""
        try:
            return _unix_row(*next(self._ask(_REQUEST_ONE, inode)))
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                return None
            raise

    def rows(self) -> list[UnixRow]:
        """Every Unix socket of this network."""
        return [_unix_row(*answer) for answer in self._ask(_REQUEST_DUMP, 0)]

    def _ask(self, flags: int, inode: int) -> Iterator[tuple[bytes, int, int]]:
        self._sequence += 1
        header = (40, _SOCK_DIAG_BY_FAMILY, flags, self._sequence, 0)
        show = (0xFFFFFFFF, inode & 0xFFFFFFFF, _SHOW_NAME, _ANY_COOKIE, _ANY_COOKIE)
        self._socket.send(_UNIX_REQUEST.pack(*header, socket.AF_UNIX, 0, 0, *show))
        return _answers(self._socket, self._sequence)


def _unix_row(message: bytes, start: int, end: int) -> UnixRow:
    _, _, state, _, number, cookie = _UNIX_ROW.unpack_from(message, start)
    name, offset = b"", start + _UNIX_ROW.size
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        if kind == _ATTRIBUTE_NAME:
            name = message[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return UnixRow(state, number, cookie, name)


def _answers(asked: socket.socket, sequence: int) -> Iterator[tuple[bytes, int, int]]:
    """The messages that answer the request *sequence*, each with the offsets of its content.

    Ends with the dump; a caller that asked for a single row takes the first. Raises NetlinkError.
    """
    while True:
        answer = asked.recv(1 << 16)
        offset = 0
        while offset < len(answer):
            length, kind, _, number, _ = struct.unpack_from("=IHHII", answer, offset)
            if number == sequence:
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -int(struct.unpack_from("=i", answer, offset + 16)[0])
                    raise NetlinkError(code, f"sock_diag: {os.strerror(code)}")
                yield answer, offset + 16, offset + length
            offset += (length + 3) & ~3


def _row(message: bytes, start: int, end: int, protocol: Protocol) -> Row:
    family, state, _, _, ports, source, peer, interface, cookie, _, _, _, uid, inode = _ROW.unpack_from(
        message, start
    )
    port, peer_port = struct.unpack("!HH", ports)
    v6only = False
    offset = start + _ROW.size
    while offset + 4 <= end:
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        if kind == _ATTRIBUTE_V6ONLY:
            v6only = bool(message[offset + 4])
        offset += (length + 3) & ~3
    address = socket.inet_ntop(family, source[: 4 if family == socket.AF_INET else 16])
    return Row(family, protocol, state, address, port, cookie, uid, inode, v6only, peer_port, interface, peer)


class Destroyed:
    """The cookies of sockets whose last reference is gone, as the kernel multicasts them, 0.02 to 2 ms later.

    The kernel reports every internet socket of the namespace, other users' too, so look the cookie up first. A socket
    that was never bound is reported only if a process had read its cookie.
    """

    def __init__(self, made: socket.socket | None = None) -> None:
        self._socket = made if made is not None else open_socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        for group in _DESTROY_GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        self._socket.setblocking(False)
        self.overflows = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def cookies(self) -> Iterator[int]:
        """The cookies that have arrived; never blocks. `overflows` counts drops by the kernel: then use Table."""
        while True:
            try:
                messages = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.overflows += 1
                continue
            offset = 0
            while offset + _COOKIE_OFFSET + 8 <= len(messages):
                (length,) = _LENGTH.unpack_from(messages, offset)
                yield _COOKIE.unpack_from(messages, offset + _COOKIE_OFFSET)[0]
                offset += (length + 3) & ~3


def open_socket() -> socket.socket:
    """A netlink socket of the network that this process is in now. Raises OSError if netlink is not available."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    try:
        made.bind((0, 0))
    except OSError:
        made.close()
        raise
    return made
