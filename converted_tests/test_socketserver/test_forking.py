"""ForkingMixIn serves each request in a child process and collects each child, so that none is left as a zombie.

The promise is in the library reference, "socketserver", ForkingMixIn, and in fork(2) and waitpid(2).
"""

from __future__ import annotations

import os
import socket
import socketserver
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_socketserver.support import (
    EchoDatagram,
    EchoLine,
    datagram_client,
    failing,
    place,
    rest,
    stream_client,
)
from netsupport import HOSTv4

# Every test forks from its own thread and has no other; pytest-xdist has one that waits for orders, which makes
# Python 3.12 warn. A child touches nothing of that thread's: it answers its client and leaves by os._exit.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:This process \(pid=\d+\) is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def _parent_stays_and_children_leave(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test whose own process would exit like a child, and end a child that comes back to the tests.

    Without this the one would end the whole run, with success, and the other would run the rest of it twice.
    """
    own_pid, leave = os.getpid(), os._exit

    def leave_as_a_child(status: int) -> None:
        if os.getpid() == own_pid:
            pytest.fail(f"the server's own process was about to exit with status {status}")
        leave(status)

    monkeypatch.setattr(os, "_exit", leave_as_a_child)
    yield
    if os.getpid() != own_pid:
        leave(70)


class ForkingTCPServer6(socketserver.ForkingTCPServer):
    address_family = socket.AF_INET6


class ForkingUDPServer6(socketserver.ForkingUDPServer):
    address_family = socket.AF_INET6


class ForkingUnixStream(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """What Python 3.12 calls ForkingUnixStreamServer."""


class ForkingUnixDatagram(socketserver.ForkingMixIn, socketserver.UnixDatagramServer):
    """What Python 3.12 calls ForkingUnixDatagramServer."""


LINES = [b"first\n", b"second, which is longer\n", b"\n"]


class TellPid(EchoLine):
    """Answers with the id of the process that serves, and the line."""

    def handle(self) -> None:
        self.wfile.write(b"%d: " % os.getpid())
        super().handle()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(socketserver.ForkingTCPServer, id="ForkingTCPServer"),
        pytest.param(ForkingTCPServer6, id="ForkingTCPServer over IPv6"),
        pytest.param(ForkingUnixStream, id="forking Unix stream server"),
    ],
    indirect=True,
)
def test_three_clients_are_answered_by_three_children(kind: Any, tmp_path: Path) -> None:
    answers = []
    with kind(place(kind.address_family, tmp_path), TellPid) as server:
        for line in LINES:
            with stream_client(server, line) as client:
                server.handle_request()
                answers.append(rest(client))
        children = set(server.active_children)
    assert sorted(answers) == sorted(b"%d: %s" % pair for pair in zip(sorted(children), LINES, strict=True))
    assert (len(children), os.getpid() in children, server.active_children) == (3, False, set())


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(socketserver.ForkingUDPServer, id="ForkingUDPServer"),
        pytest.param(ForkingUDPServer6, id="ForkingUDPServer over IPv6"),
        pytest.param(ForkingUnixDatagram, id="forking Unix datagram server"),
    ],
    indirect=True,
)
def test_three_datagrams_are_answered_by_children(kind: Any, tmp_path: Path) -> None:
    answers = []
    with kind(place(kind.address_family, tmp_path), EchoDatagram) as server:
        for line in LINES:
            with datagram_client(server, tmp_path, line) as client:
                server.handle_request()
                answers.append(client.recv(100))
        assert len(server.active_children) == 3
    assert (answers, server.active_children) == (LINES, set())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 added both classes")
def test_forking_unix_servers_are_the_mixin_over_unix_servers() -> None:
    library: Any = socketserver
    bases = (library.ForkingUnixStreamServer.__bases__, library.ForkingUnixDatagramServer.__bases__)
    assert bases == (ForkingUnixStream.__bases__, ForkingUnixDatagram.__bases__)


def is_zombie_or_runs(pid: int) -> bool:
    """Whether *pid* is still a child of this process."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def exit_status(pid: int) -> int:
    """The exit status of *pid*, once it has exited; it stays a zombie for its server to collect."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    return ended.si_status


def only_child(server: Any) -> int:
    (pid,) = server.active_children
    return int(pid)


class Telling(socketserver.ForkingTCPServer):
    """Tells the client of an error."""

    def __init__(self, handler: Any) -> None:
        super().__init__((HOSTv4, 0), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        request.sendall(f"{sys.exc_info()[1]!r} for {client_address} in {os.getpid()}".encode())


def test_a_child_that_handled_its_request_exits_with_status_0() -> None:
    with Telling(EchoLine) as server, stream_client(server, b"line\n") as client:
        server.handle_request()
        assert (rest(client), exit_status(only_child(server))) == (b"line\n", 0)


def test_an_exception_is_handled_in_the_child_which_exits_with_status_1() -> None:
    with Telling(failing(ValueError("bad"))) as server, stream_client(server) as client:
        server.handle_request()
        pid = only_child(server)
        message = f"ValueError('bad') for {client.getsockname()} in {pid}"
        assert (rest(client).decode(), exit_status(pid)) == (message, 1)


@pytest.mark.parametrize("failure", [SystemExit(3), SystemExit(0), KeyboardInterrupt()], ids=repr)
def test_what_ends_a_child_is_not_handled_and_the_request_is_closed(failure: BaseException) -> None:
    with Telling(failing(failure)) as server, stream_client(server) as client:
        server.handle_request()
        assert (rest(client), exit_status(only_child(server))) == (b"", 1)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        pytest.param(EchoLine, b"line\n", id="handled"),
        pytest.param(failing(ValueError("bad")), b"ValueError, ", id="an error"),
        pytest.param(failing(SystemExit(0)), b"", id="the end of the program"),
    ],
)
def test_a_child_shuts_its_request_down_whatever_its_handler_did(handler: Any, said: bytes) -> None:
    class Parting(Telling):
        def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's names
            request.sendall(b"ValueError, ")

        def shutdown_request(self, request: Any) -> None:
            request.sendall(b"goodbye")
            super().shutdown_request(request)

    with Parting(handler) as server, stream_client(server, b"line\n") as client:
        server.handle_request()
        assert rest(client) == said + b"goodbye"


def test_a_child_exits_even_if_it_cannot_close_its_request() -> None:
    class Stuck(Telling):
        def shutdown_request(self, request: Any) -> None:  # noqa: ARG002 - the base class's name
            raise RuntimeError("cannot")

    with Stuck(EchoLine) as server, stream_client(server, b"line\n") as client:
        server.handle_request()
        assert (rest(client), exit_status(only_child(server))) == (b"line\n", 0)


def test_the_parent_closes_its_copy_of_the_request_and_not_the_connection() -> None:
    kept: list[socket.socket] = []

    class Keeping(Telling):
        def process_request(self, request: Any, client_address: Any) -> None:
            kept.append(request)
            super().process_request(request, client_address)

    with Keeping(EchoLine) as server, stream_client(server) as client:
        server.handle_request()
        assert kept[0].fileno() == -1
        client.sendall(b"line\n")
        assert rest(client) == b"line\n"


class UntilHangUp(socketserver.StreamRequestHandler):
    """Sends a line to say that it runs, then waits for the client to hang up."""

    def handle(self) -> None:
        self.wfile.write(b"!")
        self.rfile.read()


class Releasing(Telling):
    """Calls `release` when it is closed, right before it collects its children."""

    release: Callable[[], object]

    def collect_children(self, *, blocking: bool = False) -> None:
        if self.fileno() == -1:
            self.release()
        super().collect_children(blocking=blocking)


def test_server_close_waits_for_every_child() -> None:
    server = Releasing(UntilHangUp)
    with stream_client(server) as first, stream_client(server) as second:
        for client in (first, second):
            server.handle_request()
            assert client.recv(1) == b"!"
        children = set(server.active_children or ())

        def hang_up() -> None:
            # Each child has inherited the clients' sockets too, so a mere close would end no connection.
            for client in (first, second):
                client.shutdown(socket.SHUT_WR)

        server.release = hang_up
        server.server_close()
    assert (len(children), server.active_children) == (2, set())
    assert [pid for pid in children if is_zombie_or_runs(pid)] == []


def test_server_close_does_not_wait_when_block_on_close_is_off() -> None:
    server = Telling(UntilHangUp)
    server.block_on_close = False
    with stream_client(server) as client:
        server.handle_request()
        assert client.recv(1) == b"!"
        server.server_close()
        pid = only_child(server)
        assert is_zombie_or_runs(pid)
        client.shutdown(socket.SHUT_WR)
        server.collect_children(blocking=True)
    assert (server.active_children, is_zombie_or_runs(pid)) == (set(), False)


@pytest.mark.parametrize("hook", ["handle_timeout", "service_actions"])
def test_a_timeout_and_every_round_of_the_loop_collect_the_children_that_have_ended(hook: str) -> None:
    with Telling(UntilHangUp) as server, stream_client(server) as busy, stream_client(server) as done:
        server.handle_request()
        running = only_child(server)
        assert busy.recv(1) == b"!"
        server.handle_request()
        assert done.recv(1) == b"!"
        (ended,) = set(server.active_children or ()) - {running}
        getattr(server, hook)()
        assert server.active_children == {running, ended}

        done.shutdown(socket.SHUT_WR)
        assert exit_status(ended) == 0
        getattr(server, hook)()
        assert (server.active_children, is_zombie_or_runs(ended)) == ({running}, False)
        busy.shutdown(socket.SHUT_WR)


class StopServing(Exception):
    """How a test leaves serve_forever from within."""


def test_serve_forever_collects_its_children_and_leaves_no_zombie() -> None:
    children: set[int] = set()

    class Serving(Telling):
        def service_actions(self) -> None:
            children.update(self.active_children or ())
            for pid in self.active_children or ():
                exit_status(pid)
            super().service_actions()
            if len(children) == 3:
                raise StopServing

    with Serving(EchoLine) as server:
        with (
            stream_client(server, b"one\n") as one,
            stream_client(server, b"two\n") as two,
            stream_client(server, b"three\n") as three,
            pytest.raises(StopServing),
        ):
            server.serve_forever()
        assert (one.fileno(), two.fileno(), three.fileno()) == (-1, -1, -1)
        assert (len(children), server.active_children) == (3, set())
        assert [pid for pid in children if is_zombie_or_runs(pid)] == []


def test_at_max_children_the_server_waits_for_one_to_end() -> None:
    with Telling(UntilHangUp) as server, stream_client(server) as busy, stream_client(server) as done:
        server.handle_request()
        running = only_child(server)
        server.handle_request()
        server.max_children = 2
        assert (busy.recv(1), done.recv(1)) == (b"!", b"!")
        done.shutdown(socket.SHUT_WR)
        server.collect_children()
        assert server.active_children == {running}
        busy.shutdown(socket.SHUT_WR)


def test_a_child_that_was_collected_elsewhere_is_forgotten() -> None:
    with Telling(EchoLine) as server, stream_client(server, b"line\n"):
        server.handle_request()
        os.waitpid(only_child(server), 0)
        server.collect_children()
        assert server.active_children == set()
