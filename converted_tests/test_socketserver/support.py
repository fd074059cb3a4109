"""Request handlers, places to listen at and clients, for every kind of server of socketserver."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converted_tests.peers import TIMEOUT_S, background
from netsupport import HOSTv4, HOSTv6, bind_port, bind_unix_socket

LOOK_S = 0.001
"""How often serve_forever looks for a shutdown. Nothing wakes it, so this is what each shutdown costs."""


class EchoLine(socketserver.StreamRequestHandler):
    """Sends a line back."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


class EchoDatagram(socketserver.DatagramRequestHandler):
    """Sends a datagram back."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


def place(family: int, folder: Path) -> Any:
    """The address where a server of *family* listens: a port of the kernel's choice, or a path in *folder*."""
    if family == socket.AF_INET:
        return (HOSTv4, 0)
    if family == socket.AF_INET6:
        return (HOSTv6, 0)
    return str(folder / "server")


@contextlib.contextmanager
def stream_client(server: Any, say: bytes = b"") -> Iterator[socket.socket]:
    """A client's socket that is connected to *server* and has sent *say*."""
    with socket.socket(server.address_family) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(server.server_address)
        client.sendall(say)
        yield client


@contextlib.contextmanager
def datagram_client(server: Any, folder: Path, *say: bytes) -> Iterator[socket.socket]:
    """A client's socket with its own address, which has sent the datagrams *say* to *server*."""
    with socket.socket(server.address_family, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_S)
        if server.address_family in (socket.AF_INET, socket.AF_INET6):
            bind_port(client, server.server_address[0])
        else:
            path = folder / "client"
            path.unlink(missing_ok=True)
            bind_unix_socket(client, path)
        for datagram in say:
            client.sendto(datagram, server.server_address)
        yield client


def rest(client: socket.socket) -> bytes:
    """Everything that a server sends until it hangs up."""
    with client.makefile("rb") as stream:
        return stream.read()


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Within the body *server* serves, in a thread; after it the server is shut down and closed."""
    with server, background(lambda: server.serve_forever(LOOK_S), "server"):
        try:
            yield
        finally:
            server.shutdown()


class Notes(socketserver.TCPServer):
    """A TCP server that notes which of its methods are called, and the addresses of clients that fail."""

    def __init__(self, handler: Any = EchoLine, **named: Any) -> None:
        self.noted: list[str] = []
        self.failures: list[BaseException | None] = []
        super().__init__((HOSTv4, 0), handler, **named)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.noted.append("verify")
        return super().verify_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.noted.append("shutdown")
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's names
        self.noted.append("error")
        self.failures.append(sys.exc_info()[1])

    def handle_timeout(self) -> None:
        self.noted.append("timeout")


def failing(failure: BaseException) -> type[socketserver.BaseRequestHandler]:
    """A handler that raises *failure*."""

    class Failing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            raise failure

    return Failing
