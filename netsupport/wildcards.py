"""One port on every address of the host: bound exclusively by this process, on both wildcard addresses.

Binding the loopback addresses is not enough: the kernel can still assign a port that is held on 127.0.0.1 and ::1
to a socket on 127.0.0.2. While a port was held on `0.0.0.0` and `::` (IPv6 only), none of 4,000 port-0 binds got it.
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
"""Errors of bind(2) for a port that is taken. Windows reports EACCES for a port that another socket holds with
SO_EXCLUSIVEADDRUSE, and for a port in an excluded range."""

_NO_PORT_LEFT = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL})
"""Errors of bind(2) for port 0 when the ephemeral range is full: the first on Linux, the second on macOS and BSD."""

DRAWS_MAX = 64

_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

_IP_LOCAL_PORT_RANGE = 51
"""Limits the ports that the kernel may assign to one socket; Linux 6.3 and later. Source: ip(7)."""


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close every one of *sockets*."""
    for sock in sockets:
        sock.close()


def claim_everywhere(port: int, kind: socket.SocketKind) -> tuple[socket.socket, ...]:
    """Return sockets bound to *port*, which is not 0, on both wildcards; no other socket can share the port.

    Only the IPv4 socket if the host has no IPv6. The sockets do not listen, so the kernel refuses TCP clients. Raises
    OSError as bind(2), with nothing left open, if any socket of the host has the port on any address; for TCP a
    connection counts, and so does its TIME_WAIT.
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
    """Let sockets that set SO_REUSEADDR bind and listen on the port of *hold*, which was bound exclusively.

    The option is set after bind(2) on purpose. If it were set before, the hold could share a port with a socket of
    another process that also sets it, and both processes would take the port for theirs.
    """
    for sock in hold:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def why_no_hold_through() -> str:
    """Test on this kernel whether a hold works; "" if it does, else the reason why not.

    Takes a real hold and checks that a plain socket cannot bind its port on any address, that the kernel does not
    assign the port to a port-0 bind, and that a socket with SO_REUSEADDR can bind and listen (on the loopback device
    only, so that other hosts cannot connect). Raises OSError for temporary conditions (EMFILE, no free port), which
    prove nothing.
    """
    if sys.platform != "linux":
        return f"hold-through is available on Linux only, and this is {sys.platform}"
    with contextlib.ExitStack() as cleanup:
        hold = draw_everywhere((socket.SOCK_STREAM,))
        cleanup.callback(close_all, hold)
        let_children_in(hold)
        port: int = hold[0].getsockname()[1]
        for (family, address), _held in zip(WILDCARDS, hold, strict=False):
            loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
            for host in (loopback, address):
                if binds(family, host, port, reuse=False):
                    return f"this kernel let a second socket bind {host} port {port}, which was held"
                if drawn(family, host, port):
                    return f"this kernel assigned the held port {port} to a port-0 bind on {host}"
            if not binds(family, address, port, reuse=True):
                return f"this kernel does not let a socket with SO_REUSEADDR bind a held port on {address}"
    return ""


def binds(family: int, host: str, port: int, *, reuse: bool) -> bool:
    """Whether a new TCP socket can bind *host* *port* and listen; on Linux only this host could connect to it."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        keep_to_this_host(sock)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as refusal:
            # EADDRNOTAVAIL: the kernel has IPv6 but no ::1 (disable_ipv6), so no socket can have the port there.
            if refusal.errno in TAKEN | {errno.EADDRNOTAVAIL}:
                return False
            raise
    return True


def keep_to_this_host(sock: socket.socket) -> None:
    """Bind *sock* to the loopback device: even if it listens on a wildcard, only this host can connect to it.

    This does not affect which binds fail: Linux compares the devices of two sockets only if both are bound to one,
    and a hold is not. If it is not permitted (before Linux 5.7, without CAP_NET_RAW), *sock* stays as it is.
    """
    if sys.platform == "linux":  # pragma: no branch - macOS, BSD, Windows
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")


def drawn(family: int, host: str, port: int) -> bool:
    """Whether the kernel assigns *port* to a port-0 bind on *host* with SO_REUSEADDR; False on kernels before 6.3.

    IP_LOCAL_PORT_RANGE leaves the kernel only this port to assign, so one attempt is enough to know.
    """
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, struct.pack("I", port | port << 16))
            sock.bind((host, 0))
        except OSError:
            # The bind failed, as it should; or this kernel is older than 6.3 and does not have the option.
            return False
        assigned: int = sock.getsockname()[1]
        return assigned == port
