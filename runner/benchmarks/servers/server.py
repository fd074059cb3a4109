"""Does what its first argument says, with the port in its second; fails if someone is in the way."""

import os
import socket
import sys

HERE = "127.0.0.1"
CURED = os.environ.get("PLANTED_CURED") == "1"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def bound(kind: socket.SocketKind, port: int, option: int | None = None) -> socket.socket:
    sock = socket.socket(type=kind)
    sock.settimeout(5)
    if option is not None and not CURED:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    sock.bind((HERE, port))
    if kind == STREAM:
        sock.listen()
    return sock


def drawn(kind: socket.SocketKind) -> int:
    with bound(kind, 0) as sock:
        port: int = sock.getsockname()[1]
    return port


def fixed(kind: socket.SocketKind, port: int) -> None:
    bound(kind, 0 if CURED else port).close()


def lost(kind: socket.SocketKind) -> None:
    bound(kind, 0 if CURED else drawn(kind)).close()


def closed() -> None:
    if CURED:
        return
    try:
        socket.create_connection((HERE, drawn(STREAM)), timeout=5).close()
    except ConnectionRefusedError:
        return
    raise AssertionError("a closed port has answered")


def reuse_tcp() -> None:
    with bound(STREAM, 0, socket.SO_REUSEPORT) as server, socket.create_connection(server.getsockname()):
        server.accept()[0].close()


def reuse_udp() -> None:
    with bound(DATAGRAM, 0, socket.SO_REUSEADDR) as server, bound(DATAGRAM, 0) as client:
        client.sendto(b"hello", server.getsockname())
        server.recv(9)


mode, number = sys.argv[1], int(sys.argv[2])
{
    "fixed-tcp": lambda: fixed(STREAM, number),
    "fixed-udp": lambda: fixed(DATAGRAM, number),
    "lost-tcp": lambda: lost(STREAM),
    "lost-udp": lambda: lost(DATAGRAM),
    "closed-tcp": closed,
    "reuse-tcp": reuse_tcp,
    "reuse-udp": reuse_udp,
}[mode]()
