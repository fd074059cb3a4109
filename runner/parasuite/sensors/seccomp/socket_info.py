"""The properties of a socket: protocol, network, cookie, inode, options. Linux."""

from __future__ import annotations

import _socket
import os
import socket
import struct
from dataclasses import dataclass

from parasuite.model.events import Endpoint
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.overlap import is_loopback
from parasuite.model.words import Protocol, SocketOption

# Plain numbers, not enumerations: they are compared for each trapped call.
INET = (_socket.AF_INET, _socket.AF_INET6)
PROTOCOLS = {_socket.SOCK_STREAM: Protocol.TCP, _socket.SOCK_DGRAM: Protocol.UDP}
_IPPROTO_MPTCP = 262
_FOLLOWED = frozenset({0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, _IPPROTO_MPTCP})
_U64 = struct.Struct("=Q")
_SO_REUSEPORT, _SO_COOKIE, _SO_BINDTOIFINDEX, _SO_NETNS_COOKIE = 15, 57, 62, 71
_OPTIONS: dict[tuple[bool, bool], tuple[SocketOption, ...]] = {
    (False, False): (),
    (True, False): (SocketOption.REUSEADDR,),
    (False, True): (SocketOption.REUSEPORT,),
    (True, True): (SocketOption.REUSEADDR, SocketOption.REUSEPORT),
}
_LOOPBACK_INTERFACE = 1
"""The index of `lo`, the same in every network namespace."""


@dataclass(slots=True)
class SocketInfo:
    """The properties of an internet socket. *v6only* is None for AF_INET."""

    protocol: Protocol
    network: Network
    cookie: int
    inode: int
    options: tuple[SocketOption, ...]
    v6only: bool | None


def is_followed(sock: _socket.socket) -> bool:
    """Whether *sock* is TCP (or MPTCP) or UDP; the sensor ignores all others.

    The type is not enough: SCTP sockets are streams as well, and UDP-Lite sockets are datagram sockets, but they have
    separate ports.
    """
    return sock.family in INET and sock.type in PROTOCOLS and sock.proto in _FOLLOWED


def socket_info(sock: _socket.socket, network: Network) -> SocketInfo:
    """The properties of *sock*, for which `is_followed` must be true and which is in *network*."""
    reuseaddr = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR)
    reuseport = sock.getsockopt(_socket.SOL_SOCKET, _SO_REUSEPORT)
    v6only = None
    if sock.family == _socket.AF_INET6:
        v6only = bool(sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    return SocketInfo(
        protocol=PROTOCOLS[sock.type],
        network=network,
        cookie=cookie_of(sock),
        inode=os.fstat(sock.fileno()).st_ino,
        options=_OPTIONS[bool(reuseaddr), bool(reuseport)],
        v6only=v6only,
    )


def device_option(sock: _socket.socket, address: str) -> tuple[SocketOption, ...]:
    """LOOPBACK_DEVICE if *sock*, bound to *address*, is bound to the device `lo`: other hosts cannot reach it then.

    For a loopback address that changes nothing, so the kernel is not asked. Before Linux 5.1 it cannot be asked.
    """
    if is_loopback(address):
        return ()
    try:
        return interface_option(sock.getsockopt(socket.SOL_SOCKET, _SO_BINDTOIFINDEX))
    except OSError:
        return ()


def interface_option(interface: int) -> tuple[SocketOption, ...]:
    """Like `device_option`, for a socket that is bound to the device with the index *interface*; 0 for none."""
    return (SocketOption.LOOPBACK_DEVICE,) if interface == _LOOPBACK_INTERFACE else ()


def endpoint_of(sock: _socket.socket, info: SocketInfo) -> Endpoint:
    """The endpoint that *sock* is bound to."""
    host, port = sock.getsockname()[:2]
    return Endpoint(info.protocol, host.partition("%")[0] if "%" in host else host, port, info.network, info.v6only)


def cookie_of(sock: _socket.socket) -> int:
    """SO_COOKIE. Raises OSError before Linux 4.6."""
    return int(_U64.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8))[0])


class Networks:
    """Determines the network of a socket: OUR_NETWORK is the one that parasuite lets the copy use, which is also
    parasuite's, unless `learn` says otherwise. Any other is named by the namespace's inode, as shown in
    /proc/PID/ns/net.
    """

    def __init__(self) -> None:
        self._networks: dict[int, Network] = {}
        self._own: bytes | None = None
        self._own_inode = os.stat("/proc/self/ns/net").st_ino
        self._own_of: dict[int, bytes] = {}  # By copy.
        self._own_inode_of: dict[int, int] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                self._own = _network_cookie(probe)
            except OSError:
                self._own = None  # Before Linux 5.14: every socket is assumed to be in our network.

    def learn(self, copy: int, sock: _socket.socket, inode: int) -> None:
        """*copy* has a network of its own, that of *sock*, whose namespace has *inode*."""
        if self._own is not None:
            self._own_of[copy] = _network_cookie(sock)
        self._own_inode_of[copy] = inode

    def of(self, sock: _socket.socket, tid: int, copy: int) -> Network:
        """The network of *sock*, a socket of the thread *tid* of *copy*."""
        if self._own is None:
            return OUR_NETWORK
        cookie = _network_cookie(sock)
        if cookie == self._own_of.get(copy, self._own):
            return OUR_NETWORK
        number = int(_U64.unpack(cookie)[0])
        network = self._networks.get(number)
        if network is None:
            try:
                network = Network(os.stat(f"/proc/{tid}/ns/net").st_ino)
            except OSError:
                # The thread may not be inspected. Any number that is unique to this namespace will do.
                network = Network(number)
            if network in self._networks.values():
                # The kernel reuses an inode once its namespace has ended, but never a cookie.
                network = Network(number)
            self._networks[number] = network
        return network

    def of_thread(self, tid: int, copy: int) -> Network:
        """The network of the thread *tid* of *copy*, for sockets that cannot be duplicated: nearly always theirs."""
        try:
            inode = os.stat(f"/proc/{tid}/ns/net").st_ino
        except OSError:
            return OUR_NETWORK
        return OUR_NETWORK if inode == self._own_inode_of.get(copy, self._own_inode) else Network(inode)


def _network_cookie(sock: _socket.socket) -> bytes:
    """SO_NETNS_COOKIE. Raises OSError before Linux 5.14."""
    return sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
