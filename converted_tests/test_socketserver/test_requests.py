"""A server takes a request, asks whether to serve it, serves it and closes it, whatever its handler raises.

The promise is in the library reference, "socketserver"; closing is shutdown(2) and close(2).
"""

from __future__ import annotations

import errno
import os
import re
import socket
import socketserver
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_socketserver.support import (
    EchoDatagram,
    EchoLine,
    Notes,
    datagram_client,
    failing,
    place,
    rest,
    stream_client,
)
from netsupport import HOSTv4


def test_a_request_is_verified_served_and_closed_with_the_clients_address() -> None:
    seen: list[tuple[object, ...]] = []

    class Seeing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            seen.append((self.client_address, self.server, threading.current_thread()))

    with Notes(Seeing) as server, stream_client(server) as client:
        server.handle_request()
        assert seen == [(client.getsockname(), server, threading.current_thread())]
        assert (server.noted, rest(client)) == (["verify", "shutdown"], b"")


def test_a_request_that_is_not_verified_is_closed_once_and_never_handled() -> None:
    class Strict(Notes):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            super().verify_request(request, client_address)
            return False

    with Strict(failing(AssertionError("handled"))) as server, stream_client(server) as client:
        server.handle_request()
        assert (server.noted, rest(client)) == (["verify", "shutdown"], b"")


def test_an_exception_in_a_handler_goes_to_handle_error_and_the_request_is_closed() -> None:
    failure = ValueError("bad")
    with Notes(failing(failure)) as server, stream_client(server) as client:
        server.handle_request()
        assert (server.noted, server.failures) == (["verify", "error", "shutdown"], [failure])
        assert rest(client) == b""


@pytest.mark.parametrize("failure", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_ends_the_program_passes_to_the_caller_and_the_request_is_closed(failure: BaseException) -> None:
    with Notes(failing(failure)) as server, stream_client(server) as client:
        with pytest.raises(type(failure)) as caught:
            server.handle_request()
        assert (caught.value, server.noted, server.failures) == (failure, ["verify", "shutdown"], [])
        assert rest(client) == b""


def test_an_exception_in_process_request_itself_is_handled_the_same_way() -> None:
    class Broken(Notes):
        def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as in the base
            self.noted.append(f"process for {client_address!r}")
            raise RuntimeError("cannot start a thread")

    with Broken() as server, stream_client(server) as client:
        server.handle_request()
        assert server.noted == ["verify", f"process for {client.getsockname()!r}", "error", "shutdown"]
        assert [repr(failure) for failure in server.failures] == ["RuntimeError('cannot start a thread')"]


def test_by_default_handle_error_prints_the_peers_address_and_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    server = socketserver.BaseServer(("192.0.2.2", 80), EchoLine)
    try:
        raise ValueError("bad")
    except ValueError:
        shown = traceback.format_exc()
        server.handle_error(None, ("192.0.2.1", 80))  # type: ignore[arg-type]
    rule = "-" * 40 + "\n"
    report = f"Exception occurred during processing of request from ('192.0.2.1', 80)\n{shown}"
    assert capsys.readouterr() == ("", rule + report + rule)


def test_a_failure_is_reported_on_standard_error_and_the_server_continues(capsys: pytest.CaptureFixture[str]) -> None:
    with socketserver.TCPServer((HOSTv4, 0), failing(ValueError("bad"))) as server:
        for _ in range(2):
            with stream_client(server) as client:
                server.handle_request()
                assert rest(client) == b""
    assert len(re.findall(r"^ValueError: bad$", capsys.readouterr().err, re.MULTILINE)) == 2


def test_shutdown_request_ends_the_servers_half_first_and_then_closes() -> None:
    with socketserver.TCPServer((HOSTv4, 0), EchoLine) as server:
        request, client = socket.socketpair()
        # A child that inherited the request would keep the connection alive after a mere close.
        with client, request.dup() as inherited:
            server.shutdown_request(request)
            assert (request.fileno(), client.recv(10)) == (-1, b"")
            client.send(b"still heard")
            assert inherited.recv(20) == b"still heard"


def test_shutdown_request_survives_a_peer_that_is_gone() -> None:
    with socketserver.TCPServer((HOSTv4, 0), EchoLine) as server:
        request = socket.socket()
        with pytest.raises(OSError) as caught:
            request.shutdown(socket.SHUT_WR)
        assert caught.value.errno == errno.ENOTCONN
        server.shutdown_request(request)
        assert request.fileno() == -1


@pytest.mark.parametrize("kind", [socketserver.UDPServer, socketserver.UnixDatagramServer])
def test_a_datagram_server_keeps_its_socket_when_a_request_is_done(kind: Any, tmp_path: Path) -> None:
    closed: list[object] = []

    class Closing(kind):  # type: ignore[misc]
        def close_request(self, request: Any) -> None:
            super().close_request(request)
            closed.append(request)

    with Closing(place(kind.address_family, tmp_path), EchoDatagram) as server:
        with datagram_client(server, tmp_path, b"one", b"two") as client:
            request, address = server.get_request()
            assert (request, address) == ((b"one", server.socket), client.getsockname())
            server.shutdown_request(request)
            assert closed == [request]
            server.handle_request()
            assert client.recv(10) == b"two"
            assert server.fileno() >= 0


@pytest.mark.parametrize(("attributes", "size"), [({}, 8192), ({"max_packet_size": 5}, 5)], ids=["default", "given"])
def test_a_datagram_is_cut_at_max_packet_size(attributes: dict[str, int], size: int, tmp_path: Path) -> None:
    with type("Cutting", (socketserver.UDPServer,), attributes)((HOSTv4, 0), EchoDatagram) as server:
        with datagram_client(server, tmp_path, bytes(9000)) as client:
            server.handle_request()
            assert client.recv(10_000) == bytes(size)


def test_each_request_has_a_handler_of_its_own() -> None:
    handlers: list[object] = []

    class Remembering(EchoLine):
        def setup(self) -> None:
            super().setup()
            handlers.append(self)

    with socketserver.TCPServer((HOSTv4, 0), Remembering) as server:
        for line in (b"one\n", b"two\n"):
            with stream_client(server, line) as client:
                server.handle_request()
                assert rest(client) == line
    assert len(set(map(id, handlers))) == 2


def test_a_unix_server_leaves_its_path_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "server")
    with socketserver.UnixStreamServer(path, EchoLine) as server, stream_client(server, b"line\n") as client:
        server.handle_request()
        assert (rest(client), server.server_address) == (b"line\n", path)
    assert os.path.exists(path)
