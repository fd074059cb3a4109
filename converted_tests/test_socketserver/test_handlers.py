"""A request handler is set up, handles and finishes; stream and datagram handlers show their request as two files.

The promise is in the library reference, "socketserver", and in io's BufferedIOBase.
"""

from __future__ import annotations

import array
import contextlib
import io
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, background
from converted_tests.strategies import wire_bytes
from converted_tests.test_socketserver.support import datagram_client, rest, stream_client
from netsupport import HOSTv4

CLIENT = ("192.0.2.1", 80)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The request and the client's end of it."""
    request, client = socket.socketpair()
    with request, client:
        client.settimeout(TIMEOUT_S)
        yield request, client


class Steps(socketserver.BaseRequestHandler):
    """Notes its steps on its server, and fails in `fails_in`."""

    fails_in = ""

    def _step(self, name: str) -> None:
        steps: Any = self.server
        steps.append((name, self.request, self.client_address))
        if self.fails_in == name:
            raise ValueError(name)

    def setup(self) -> None:
        super().setup()
        self._step("setup")

    def handle(self) -> None:
        super().handle()
        self._step("handle")

    def finish(self) -> None:
        super().finish()
        self._step("finish")


@pytest.mark.parametrize(
    ("fails_in", "names"),
    [
        pytest.param("", ["setup", "handle", "finish"], id="no failure"),
        pytest.param("handle", ["setup", "handle", "finish"], id="failure in handle"),
        pytest.param("setup", ["setup"], id="failure in setup"),
    ],
)
def test_a_handler_finishes_what_it_has_set_up(fails_in: str, names: list[str]) -> None:
    steps: Any = []
    kind = type("Failing", (Steps,), {"fails_in": fails_in})
    if fails_in:
        with pytest.raises(ValueError, match=fails_in):
            kind("request", CLIENT, steps)
    else:
        kind("request", CLIENT, steps)
    assert steps == [(name, "request", CLIENT) for name in names]


class Answering(socketserver.StreamRequestHandler):
    """Keeps what its files were while it handled."""

    seen: Any

    def handle(self) -> None:
        self.seen = (type(self.rfile), type(self.wfile), self.connection.gettimeout())


def test_a_stream_handler_shows_its_request_as_two_files(pair: tuple[socket.socket, socket.socket]) -> None:
    request, client = pair
    client.sendall(b"first\nsecond\n")

    class Both(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.connection is self.request is request
            assert isinstance(self.wfile, io.BufferedIOBase)
            assert isinstance(self.rfile, io.BufferedReader)
            assert (self.wfile.fileno(), self.wfile.writable()) == (request.fileno(), True)
            assert self.wfile.write(self.rfile.readline()) == 6
            # Nothing is held back: the client has it before the next line is read.
            assert client.recv(100) == b"first\n"
            self.wfile.write(self.rfile.readline())

    handler = Both(request, CLIENT, None)  # type: ignore[arg-type]
    assert (client.recv(100), handler.wfile.closed, handler.rfile.closed) == (b"second\n", True, True)
    assert request.fileno() >= 0


def test_write_counts_bytes_not_items(pair: tuple[socket.socket, socket.socket]) -> None:
    request, client = pair
    numbers = array.array("I", [1, 2, 3])

    class Numbers(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.wfile.write(numbers) == len(numbers.tobytes())

    Numbers(request, CLIENT, None)  # type: ignore[arg-type]
    assert client.recv(100) == numbers.tobytes()


BLOCK = bytes(range(256)) * 16 * 1024
"""4 MiB: more than the buffers of a socket pair or of a TCP connection hold, so that a write must wait."""


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals cannot be sent to a thread here")
def test_a_write_sends_all_of_a_big_block_even_when_a_signal_interrupts_it() -> None:
    interrupted: list[int] = []
    written: list[int] = []

    class Big(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            written.append(self.wfile.write(BLOCK))
            written.append(self.wfile.write(self.rfile.readline()))

    received: list[bytes] = []
    server_thread = threading.main_thread().ident
    assert server_thread is not None

    def read_with_an_interruption() -> None:
        with stream_client(server) as client, client.makefile("rb") as stream:
            received.append(stream.read(1000))
            signal.pthread_kill(server_thread, signal.SIGUSR1)
            received.append(stream.read(len(BLOCK) - 1000))
            client.sendall(b"got it\n")
            received.append(stream.read())

    before = signal.signal(signal.SIGUSR1, lambda number, _frame: interrupted.append(number))
    try:
        with socketserver.TCPServer((HOSTv4, 0), Big) as server:
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            with background(read_with_an_interruption):
                server.handle_request()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (interrupted, written) == ([signal.SIGUSR1], [len(BLOCK), 7])
    assert b"".join(received) == BLOCK + b"got it\n"


@given(st.data(), wire_bytes)
def test_any_bytes_come_back_from_a_handler_that_echoes_them(data: st.DataObject, said: bytes) -> None:
    class EchoAll(socketserver.StreamRequestHandler):
        wbufsize = data.draw(st.sampled_from([0, -1, 7]))

        def handle(self) -> None:
            self.wfile.writelines(self.rfile)

    request, client = socket.socketpair()
    with request, client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        EchoAll(request, CLIENT, None)  # type: ignore[arg-type]
        request.close()
        assert rest(client) == said


@pytest.mark.parametrize(
    ("attributes", "seen"),
    [
        pytest.param({}, (io.BufferedReader, "_SocketWriter", None), id="default"),
        pytest.param({"timeout": 7.5}, (io.BufferedReader, "_SocketWriter", 7.5), id="timeout"),
        pytest.param({"timeout": 0}, (io.BufferedReader, "_SocketWriter", 0.0), id="timeout of zero"),
        pytest.param({"rbufsize": 0}, (socket.SocketIO, "_SocketWriter", None), id="unbuffered reading"),
        pytest.param({"wbufsize": 100}, (io.BufferedReader, "BufferedWriter", None), id="buffered writing"),
        pytest.param({"wbufsize": -1}, (io.BufferedReader, "BufferedWriter", None), id="default buffer for writing"),
    ],
)
def test_class_attributes_say_how_a_stream_handler_reads_and_writes(
    attributes: dict[str, Any], seen: tuple[object, ...], pair: tuple[socket.socket, socket.socket]
) -> None:
    handler: Any = type("Told", (Answering,), attributes)(pair[0], CLIENT, None)
    reader, writer, timeout = handler.seen
    assert (reader, writer.__name__, timeout) == seen


@pytest.mark.parametrize(("buffer_size", "goes_early"), [(100, True), (1000, False)])
def test_buffered_writing_waits_for_a_full_buffer_or_the_handlers_end(
    buffer_size: int, goes_early: bool, pair: tuple[socket.socket, socket.socket]
) -> None:
    request, client = pair
    client.setblocking(False)
    early = b""

    class Buffering(socketserver.StreamRequestHandler):
        wbufsize = buffer_size

        def handle(self) -> None:
            nonlocal early
            self.wfile.write(b"a" * 99)
            self.wfile.write(b"b" * 99)
            with contextlib.suppress(BlockingIOError):
                early = client.recv(200)

    Buffering(request, CLIENT, None)  # type: ignore[arg-type]
    late = b""
    with contextlib.suppress(BlockingIOError):
        late = client.recv(200)
    # How much of what no longer fits goes out at once is io's affair and differs between versions.
    assert (bool(early), early + late) == (goes_early, b"a" * 99 + b"b" * 99)


@pytest.mark.parametrize("disable", [False, True])
def test_nagles_algorithm_is_disabled_when_the_class_says_so(disable: bool) -> None:
    options: list[bool] = []

    class Prompt(socketserver.StreamRequestHandler):
        if disable:
            disable_nagle_algorithm = True

        def handle(self) -> None:
            options.append(bool(self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    with socketserver.TCPServer((HOSTv4, 0), Prompt) as server, stream_client(server) as client:
        server.handle_request()
        assert (options, rest(client)) == ([disable], b"")


def test_a_handler_may_close_its_output_itself(pair: tuple[socket.socket, socket.socket]) -> None:
    request, client = pair

    class Closing(socketserver.StreamRequestHandler):
        wbufsize = 100

        def handle(self) -> None:
            self.wfile.write(b"bye")
            self.wfile.close()

    handler = Closing(request, CLIENT, None)  # type: ignore[arg-type]
    assert (client.recv(10), handler.rfile.closed) == (b"bye", True)


class Finishing(socketserver.StreamRequestHandler):
    """Its files are replaced while it handles, so that only `finish` touches them."""

    files: mock.Mock

    def handle(self) -> None:
        self.wfile.close()
        self.rfile.close()
        self.wfile, self.rfile = self.files.wfile, self.files.rfile


FINISHED = [
    pytest.param(False, [mock.call.wfile.flush(), mock.call.wfile.close(), mock.call.rfile.close()], id="open"),
    pytest.param(True, [mock.call.wfile.close(), mock.call.rfile.close()], id="closed"),
]


@pytest.mark.parametrize("failure", [None, ConnectionAbortedError("gone")], ids=["peer is there", "peer is gone"])
@pytest.mark.parametrize(("closed", "calls"), FINISHED)
def test_finish_flushes_what_is_open_and_closes_both_files_even_if_the_peer_is_gone(
    closed: bool, calls: list[object], failure: OSError | None, pair: tuple[socket.socket, socket.socket]
) -> None:
    files = mock.Mock()
    files.wfile.closed = closed
    files.wfile.flush.side_effect = failure
    type("Mocked", (Finishing,), {"files": files})(pair[0], CLIENT, None)
    assert files.mock_calls == calls


def test_a_failure_of_another_kind_in_the_last_flush_is_raised(pair: tuple[socket.socket, socket.socket]) -> None:
    files = mock.Mock()
    files.wfile.closed = False
    files.wfile.flush.side_effect = ValueError("not a matter of the peer")
    with pytest.raises(ValueError, match="not a matter of the peer"):
        type("Mocked", (Finishing,), {"files": files})(pair[0], CLIENT, None)


def test_a_datagram_handler_answers_all_it_wrote_in_one_datagram_at_its_end(tmp_path: Path) -> None:
    seen: list[object] = []

    class Twice(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            seen.append((self.packet, self.socket, self.rfile.read(3), self.rfile.read()))
            self.wfile.write(b"one, ")
            self.wfile.write(b"two")

    with socketserver.UDPServer((HOSTv4, 0), Twice) as server:
        with datagram_client(server, tmp_path, b"question") as client:
            server.handle_request()
            assert client.recvfrom(100) == (b"one, two", server.server_address)
        assert seen == [(b"question", server.socket, b"que", b"stion")]


def test_a_datagram_handler_that_writes_nothing_answers_with_an_empty_datagram(tmp_path: Path) -> None:
    with socketserver.UDPServer((HOSTv4, 0), socketserver.DatagramRequestHandler) as server:
        with datagram_client(server, tmp_path, b"question") as client:
            server.handle_request()
            assert client.recv(100) == b""
