"""One number on every address of the host: bound on both wildcards, exclusively, by this process.

The wildcards decide, not the loopback addresses: a number held on 127.0.0.1 and ::1 can still be drawn on
127.0.0.2, while `0.0.0.0` and `::` (IPv6 only) together left 0 of 4,000 draws on any address.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence

WILDCARDS = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))

TAKEN = frozenset({errno.EADDRINUSE, errno.EACCES})
"""What bind(2) says of a number that somebody has. Windows says EACCES for one that SO_EXCLUSIVEADDRUSE keeps and
for one in an excluded range."""

_NO_PORT_LEFT = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})
"""What bind(2) says for port 0 when the ephemeral range is full: Linux the first, macOS and BSD the second."""

DRAWS_MAX = 64

_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

_IP_LOCAL_PORT_RANGE = 51
"""Narrows the range of one socket's automatic port; Linux 6.3 and later. Source: ip(7)."""


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close every one of *sockets*."""
    for sock in sockets:
        sock.close()


def claim_everywhere(port: int, kind: socket.SocketKind) -> tuple[socket.socket, ...]:
    """Return sockets bound to *port*, which is not 0, on both wildcards; no other socket can share the port.

    One socket where the host has no IPv6. No socket listens, so a TCP client is refused. Raises OSError as bind(2)
    if any socket of the host has the port on any address (TCP: a connection or its TIME_WAIT counts), with
    nothing left open.
    """
    claimed: list[socket.socket] = []
    try:
        _bind_wildcards(port, kind, claimed)
    except BaseException:
        close_all(claimed)
        raise
    return tuple(claimed)


def draw_everywhere(
    kinds: Sequence[socket.SocketKind], is_unwanted: Callable[[int], bool] = lambda _port: False
) -> tuple[socket.socket, ...]:
    """Return sockets bound as by `claim_everywhere`, for each of *kinds*, on one port of the kernel's choice.

    The kernel chooses a port that is free in one address family, for one protocol. Another process may have it in
    the other family or for the other protocol, so this draws up to DRAWS_MAX times. A rejected port stays bound until
    the end: the kernel would soon offer it again. Raises OSError (EADDRINUSE) if no draw succeeds.
    """
    drawn: list[socket.socket] = []
    rejected: list[socket.socket] = []
    try:
        for _ in range(DRAWS_MAX):
            rejected += drawn
            drawn, port = [], 0
            try:
                for kind in kinds:
                    _bind_wildcards(port, kind, drawn)
                    port = drawn[0].getsockname()[1]
            except OSError as refusal:
                if not drawn and refusal.errno in _NO_PORT_LEFT:
                    break
                if refusal.errno not in TAKEN:
                    raise
                continue
            if not is_unwanted(port):
                claimed, drawn = tuple(drawn), []
                return claimed
    finally:
        close_all(rejected + drawn)
    raise OSError(errno.EADDRINUSE, "the kernel has no port left that is free on every address")


def _bind_wildcards(port: int, kind: socket.SocketKind, bound: list[socket.socket]) -> None:
    """Bind *kind* to *port* on both wildcards and append each socket to *bound* as soon as it is bound.

    0 lets the kernel choose for the first wildcard. Raises OSError as socket(2) and bind(2).
    """
    for place, (family, address) in enumerate(WILDCARDS):
        try:
            sock = socket.socket(family, kind)
        except OSError as refusal:
            if place and refusal.errno in _NO_SUCH_FAMILY:
                return
            raise
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            sock.bind((address, port))
        except OSError as refusal:
            sock.close()
            if place and refusal.errno in _NO_SUCH_FAMILY:
                return
            raise
        except BaseException:
            sock.close()
            raise
        bound.append(sock)
        port = sock.getsockname()[1]


def let_children_in(hold: tuple[socket.socket, ...]) -> None:
    """Let sockets that set SO_REUSEADDR bind and listen beside *hold*, which was bound exclusively.

    The option is set after bind(2) on purpose: with it set before, the hold could have joined a foreign socket
    that had it, too, and two processes would have believed the number theirs.
    """
    for sock in hold:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def why_no_hold_through() -> str:
    """Prove on this kernel that a held number is kept from strangers and open to children; "" if it is, else why not.

    With a real hold: a plain socket is refused on every address, the kernel draws the number for no port-0 bind, and
    a socket with SO_REUSEADDR binds and listens on it; where it does, other hosts do not reach it. Raises OSError for
    what may pass, EMFILE or a full range: that proves nothing.
    """
    if sys.platform != "linux":
        return f"hold-through is proven on Linux alone, this is {sys.platform}"
    with contextlib.ExitStack() as cleanup:
        hold = draw_everywhere((socket.SOCK_STREAM,))
        cleanup.callback(close_all, hold)
        let_children_in(hold)
        port: int = hold[0].getsockname()[1]
        for (family, address), _held in zip(WILDCARDS, hold, strict=False):
            loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
            for host in (loopback, address):
                if binds(family, host, port, reuse=False):
                    return f"this kernel let a second socket bind {host} port {port} beside a hold"
                if drawn(family, host, port):
                    return f"this kernel drew the held port {port} for a port-0 bind on {host}"
            if not binds(family, address, port, reuse=True):
                return f"this kernel refuses a socket with SO_REUSEADDR on {address} beside a hold"
    return ""


def binds(family: int, host: str, port: int, *, reuse: bool) -> bool:
    """Whether a new TCP socket can bind *host* *port* and listen there, on Linux for this host alone."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        keep_to_this_host(sock)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as refusal:
            # EADDRNOTAVAIL: IPv6 is there and ::1 is not (disable_ipv6), so nobody can have the number on it.
            if refusal.errno in TAKEN | {errno.EADDRNOTAVAIL}:
                return False
            raise
    return True


def keep_to_this_host(sock: socket.socket) -> None:
    """Bind *sock* to the loopback device, so that it can listen on a wildcard and be reached by this host alone.

    It changes nothing about what is refused: Linux compares the devices of two sockets only if both have one, and a
    hold has none. Where it is refused (before Linux 5.7 without CAP_NET_RAW) *sock* stays as it is.
    """
    if sys.platform == "linux":  # pragma: no branch - macOS, BSD, Windows
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")


def drawn(family: int, host: str, port: int) -> bool:
    """Whether the kernel gives *port* to a reusing port-0 bind on *host*; False where it cannot be asked.

    IP_LOCAL_PORT_RANGE leaves the kernel that one number to choose, which turns a rare event into a certain one.
    """
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, struct.pack("I", port | port << 16))
            sock.bind((host, 0))
        except OSError:
            # Refused, as it should be, or a kernel before 6.3 that has no such option.
            return False
        given: int = sock.getsockname()[1]
        return given == port
