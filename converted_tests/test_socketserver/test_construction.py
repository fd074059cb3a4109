"""A server's constructor binds and listens according to its class attributes, and closes the socket if that fails.

The promise is in the library reference, "socketserver"; the options are those of socket(7) and listen(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import runpy
import selectors
import socket
import socketserver
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_socketserver.support import EchoDatagram, EchoLine, place, stream_client
from netsupport import HOSTv4

library: Any = socketserver

PUBLIC = {
    "BaseServer",
    "TCPServer",
    "UDPServer",
    "ThreadingUDPServer",
    "ThreadingTCPServer",
    "BaseRequestHandler",
    "StreamRequestHandler",
    "DatagramRequestHandler",
    "ThreadingMixIn",
}
FORKING = {"ForkingUDPServer", "ForkingTCPServer", "ForkingMixIn"}
UNIX = {"UnixStreamServer", "UnixDatagramServer", "ThreadingUnixStreamServer", "ThreadingUnixDatagramServer"}
FORKING_UNIX = {"ForkingUnixStreamServer", "ForkingUnixDatagramServer"} if sys.version_info >= (3, 12) else set()


def test_all_lists_the_public_classes() -> None:
    expected = PUBLIC | FORKING | UNIX | FORKING_UNIX
    assert (set(socketserver.__all__), len(socketserver.__all__)) == (expected, len(expected))
    assert all(isinstance(getattr(socketserver, name), type) for name in socketserver.__all__)


def test_a_platform_without_fork_has_no_forking_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    there = runpy.run_path(socketserver.__file__)
    assert (set(there["__all__"]), "ForkingMixIn" in there) == (PUBLIC | UNIX, False)


def test_a_platform_without_unix_sockets_has_no_servers_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    there = runpy.run_path(socketserver.__file__)
    assert (set(there["__all__"]), "UnixStreamServer" in there) == (PUBLIC | FORKING, False)


def test_servers_wait_by_poll_where_there_is_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    assert library._ServerSelector is selectors.PollSelector
    monkeypatch.delattr(selectors, "PollSelector")
    assert runpy.run_path(socketserver.__file__)["_ServerSelector"] is selectors.SelectSelector


@pytest.mark.parametrize(
    ("kind", "family", "socktype"),
    [
        pytest.param(socketserver.TCPServer, socket.AF_INET, socket.SOCK_STREAM, id="TCP"),
        pytest.param(socketserver.UDPServer, socket.AF_INET, socket.SOCK_DGRAM, id="UDP"),
        pytest.param(socketserver.UnixStreamServer, socket.AF_UNIX, socket.SOCK_STREAM, id="Unix stream"),
        pytest.param(socketserver.UnixDatagramServer, socket.AF_UNIX, socket.SOCK_DGRAM, id="Unix datagram"),
    ],
)
def test_a_server_binds_a_socket_of_its_family_and_type(
    kind: Any, family: int, socktype: int, tmp_path: Path
) -> None:
    with kind(place(family, tmp_path), EchoLine) as server:
        assert (server.socket.family, server.socket.type) == (family, socktype)
        assert (server.server_address, server.RequestHandlerClass) == (server.socket.getsockname(), EchoLine)
        assert server.fileno() == server.socket.fileno() >= 0


@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.UDPServer])
def test_port_0_is_replaced_by_the_real_port(kind: Any) -> None:
    with kind((HOSTv4, 0), EchoLine) as server:
        host, port = server.server_address
        assert (host, port) == server.socket.getsockname()
        assert port != 0


def test_with_closes_the_server_at_its_end() -> None:
    server = socketserver.TCPServer((HOSTv4, 0), EchoLine)
    with server as entered:
        assert entered is server
        assert server.fileno() >= 0
    assert server.fileno() == -1


def test_a_bind_that_fails_closes_the_socket_each_time() -> None:
    # More often than a process may have descriptors by default (1,024), so that a leak cannot hide.
    for _ in range(1100):
        with pytest.raises(OverflowError):
            socketserver.TCPServer((HOSTv4, -1), EchoLine)


def test_an_activation_that_fails_closes_the_server() -> None:
    closed: list[int] = []

    class Deaf(socketserver.TCPServer):
        def server_activate(self) -> None:
            raise KeyboardInterrupt

        def server_close(self) -> None:
            super().server_close()
            closed.append(self.fileno())

    with pytest.raises(KeyboardInterrupt):
        Deaf((HOSTv4, 0), EchoLine)
    assert closed == [-1]


@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.UDPServer])
def test_an_address_that_is_taken_cannot_be_bound_again(kind: Any) -> None:
    with kind((HOSTv4, 0), EchoLine) as first:
        with pytest.raises(OSError) as caught:
            kind(first.server_address, EchoLine)
    assert caught.value.errno == errno.EADDRINUSE


def test_binding_and_listening_can_be_done_by_hand() -> None:
    with socketserver.TCPServer((HOSTv4, 0), EchoLine, bind_and_activate=False) as server:
        assert (server.server_address, server.socket.getsockname()) == ((HOSTv4, 0), ("0.0.0.0", 0))
        server.server_bind()
        assert server.server_address == server.socket.getsockname() != (HOSTv4, 0)
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        server.server_activate()
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        with stream_client(server, b"line\n") as client:
            server.handle_request()
            assert client.recv(100) == b"line\n"


def reuse_options(sock: socket.socket) -> tuple[bool, bool]:
    options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    address, port = (bool(sock.getsockopt(socket.SOL_SOCKET, option)) for option in options)
    return address, port


class SharesNothing(socket.socket):
    """Records the reuse options that it had when bind was called, and binds without them.

    With one of them, a datagram socket that binds port 0 may be assigned the port of another such socket.
    """

    at_bind: tuple[bool, bool] | None = None

    def bind(self, address: Any, /) -> None:
        self.at_bind = reuse_options(self)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
        super().bind(address)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="SO_REUSEPORT is missing on this platform")
@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.UDPServer])
@pytest.mark.parametrize("address", [False, True], ids=["address kept", "address reused"])
@pytest.mark.parametrize("port", [False, True], ids=["port kept", "port shared"])
def test_reuse_is_set_before_the_bind_as_the_class_allows(
    monkeypatch: pytest.MonkeyPatch, kind: Any, address: bool, port: bool
) -> None:
    monkeypatch.setattr(socket, "socket", SharesNothing)
    allowed = type("Allowed", (kind,), {"allow_reuse_address": address, "allow_reuse_port": port})
    with allowed((HOSTv4, 0), EchoLine) as server:
        assert server.socket.at_bind == (address, port)


@pytest.mark.parametrize("kind", [socketserver.TCPServer, socketserver.UDPServer])
def test_reuse_is_off_unless_allowed(kind: Any) -> None:
    with kind((HOSTv4, 0), EchoLine) as server:
        assert (server.allow_reuse_address, server.allow_reuse_port) == (False, False)
        assert reuse_options(server.socket) == (False, False)


def test_reuse_is_left_alone_on_a_platform_that_does_not_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEADDR")
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    everything = {"allow_reuse_address": True, "allow_reuse_port": True}
    with type("Allowed", (socketserver.TCPServer,), everything)((HOSTv4, 0), EchoLine) as server:
        monkeypatch.undo()
        assert reuse_options(server.socket) == (False, False)


def backlog_max(sock: socket.socket) -> int:
    """How many connections may wait on the listening *sock*: tcpi_sacked of its tcp_info, see tcp(7)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int(struct.unpack_from("I", info, 28)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the backlog of a listening socket")
@pytest.mark.parametrize(
    ("attributes", "backlog"), [({}, 5), ({"request_queue_size": 17}, 17)], ids=["default", "17"]
)
def test_request_queue_size_is_the_backlog(attributes: dict[str, int], backlog: int) -> None:
    with type("Queue", (socketserver.TCPServer,), attributes)((HOSTv4, 0), EchoLine) as server:
        assert backlog_max(server.socket) == backlog


def test_a_datagram_server_does_not_listen() -> None:
    with socketserver.UDPServer((HOSTv4, 0), EchoDatagram) as server:
        server.server_activate()
        assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0


def test_the_base_server_does_nothing_where_a_kind_of_server_must() -> None:
    base: Any = socketserver.BaseServer(("anywhere", 1), EchoLine)
    assert (base.server_address, base.RequestHandlerClass, base.timeout) == (("anywhere", 1), EchoLine, None)
    with contextlib.closing(socket.socket()) as request, base as entered:
        assert entered is base
        for hook in (base.server_activate, base.server_close, base.service_actions, base.handle_timeout):
            assert hook() is None
        assert base.close_request(request) is None
        assert base.verify_request(request, ("somewhere", 2)) is True
        base.shutdown_request(request)
        assert request.fileno() >= 0
