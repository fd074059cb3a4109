"""handle_request waits for one request and no longer than its timeout, serve_forever until shutdown is called.

The promise is in the library reference, "socketserver". Time is a stub here wherever its course matters.
"""

from __future__ import annotations

import socketserver
import time
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.peers import background
from converted_tests.test_socketserver.support import LOOK_S, EchoLine, Notes, rest, serving, stream_client
from netsupport import HOSTv4

READY = [("key", 1)]


class StubSelector:
    """A selector with prepared results, one for each wait; `waits` has the timeout of each."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.waits: list[float | None] = []
        self.registered: list[tuple[object, int]] = []

    def __enter__(self) -> StubSelector:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def register(self, server: object, events: int) -> None:
        self.registered.append((server, events))

    def select(self, timeout: float | None) -> object:
        self.waits.append(timeout)
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer


class Requests(socketserver.BaseServer):
    """A server without a socket: `requests` counts the requests, each of which disappears before it is accepted."""

    def __init__(self) -> None:
        super().__init__((HOSTv4, 0), EchoLine)
        self.requests = 0
        self.noted: list[str] = []
        self.socket: Any = self
        self.socket_timeout: float | None = None

    def gettimeout(self) -> float | None:
        return self.socket_timeout

    def get_request(self) -> tuple[Any, Any]:
        self.requests += 1
        raise OSError("gone already")

    def service_actions(self) -> None:
        self.noted.append("actions")

    def handle_timeout(self) -> str:  # type: ignore[override]
        return "timed out"


def waiting_by(selector: StubSelector, monkeypatch: pytest.MonkeyPatch) -> Requests:
    monkeypatch.setattr(socketserver, "_ServerSelector", lambda: selector)
    return Requests()


def clock(*readings: float) -> Callable[[], float]:
    left = list(readings)
    return lambda: left.pop(0)


@pytest.mark.parametrize(
    ("socket_timeout", "server_timeout", "wait"),
    [
        pytest.param(None, None, None, id="neither"),
        pytest.param(5.0, None, 5.0, id="the socket's alone"),
        pytest.param(None, 3.0, 3.0, id="the server's alone"),
        pytest.param(5.0, 3.0, 3.0, id="the server's is smaller"),
        pytest.param(2.0, 3.0, 2.0, id="the socket's is smaller"),
    ],
)
def test_handle_request_waits_for_the_smaller_of_two_timeouts(
    socket_timeout: float | None, server_timeout: float | None, wait: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    selector = StubSelector(READY)
    server = waiting_by(selector, monkeypatch)
    server.socket_timeout, server.timeout = socket_timeout, server_timeout
    server.handle_request()
    assert (selector.waits, selector.registered, server.requests) == ([wait], [(server, 1)], 1)


def test_handle_request_waits_on_when_it_wakes_early_until_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = StubSelector([], [], [], [])
    server = waiting_by(selector, monkeypatch)
    server.timeout = 5.0
    monkeypatch.setattr(socketserver, "time", clock(100.0, 103.0, 105.0, 105.5))
    handled: Any = server.handle_request
    assert handled() == "timed out"
    assert (selector.waits, server.requests) == ([5.0, 2.0, 0.0], 0)


def test_handle_request_without_a_timeout_waits_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = StubSelector([], [], READY)
    server = waiting_by(selector, monkeypatch)
    server.handle_request()
    assert (selector.waits, server.requests) == ([None, None, None], 1)


def test_handle_timeout_is_called_if_no_request_arrives() -> None:
    with Notes() as server:
        server.timeout = 0.01
        started_s = time.monotonic()
        server.handle_request()
        waited_s = time.monotonic() - started_s
    assert server.noted == ["timeout"]
    assert waited_s >= 0.01


def test_handle_timeout_is_not_called_if_a_request_arrives() -> None:
    with Notes() as server, stream_client(server, b"line\n") as client:
        server.timeout = 30.0
        server.handle_request()
        assert rest(client) == b"line\n"
    assert server.noted == ["verify", "shutdown"]


def test_a_request_that_is_gone_before_it_is_accepted_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Any:
        raise ConnectionAbortedError("gone")

    with Notes() as server, stream_client(server, b"line\n") as client:
        monkeypatch.setattr(server, "get_request", gone)
        server.handle_request()
        assert server.noted == []
        monkeypatch.undo()
        server.handle_request()
        assert rest(client) == b"line\n"


class StopServing(Exception):
    """How a test leaves serve_forever from within."""


class Counting(Notes):
    """Leaves serve_forever after `rounds_left` rounds."""

    rounds_left = 3

    def service_actions(self) -> None:
        super().service_actions()
        self.noted.append("actions")
        self.rounds_left -= 1
        if self.rounds_left == 0:
            raise StopServing


def test_service_actions_is_called_every_round_with_a_request_or_without() -> None:
    with Counting() as server, stream_client(server, b"line\n") as client:
        with pytest.raises(StopServing):
            server.serve_forever(poll_interval=0)
        assert rest(client) == b"line\n"
    assert server.noted == ["verify", "shutdown", "actions", "actions", "actions"]


@pytest.mark.parametrize(("arguments", "interval"), [((), 0.5), ((7.0,), 7.0)], ids=["default", "given"])
def test_serve_forever_looks_up_every_poll_interval_for_a_shutdown(
    arguments: tuple[float, ...], interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked_to_stop() -> object:
        # What shutdown() does before it waits for the loop; it cannot be called from the loop itself.
        server._BaseServer__shutdown_request = True  # type: ignore[attr-defined]
        return READY

    selector = StubSelector([], READY, asked_to_stop)
    server = waiting_by(selector, monkeypatch)
    server.timeout = 0.001
    server.serve_forever(*arguments)
    assert (selector.waits, selector.registered) == ([interval] * 3, [(server, 1)])
    # The request that came together with the shutdown is left alone, and so are the service actions.
    assert (server.requests, server.noted) == (1, ["actions", "actions"])


def test_shutdown_ends_serve_forever_and_server_close_closes_the_socket() -> None:
    server = socketserver.TCPServer((HOSTv4, 0), EchoLine)
    with background(lambda: server.serve_forever(LOOK_S)) as thread:
        with stream_client(server, b"line\n") as client:
            assert rest(client) == b"line\n"
        assert thread.is_alive()
        server.shutdown()
    assert server.fileno() >= 0
    server.server_close()
    assert server.fileno() == -1


def test_a_server_that_was_shut_down_can_serve_again() -> None:
    with Notes() as server:
        for _ in range(2):
            with background(lambda: server.serve_forever(LOOK_S)):
                try:
                    with stream_client(server, b"line\n") as client:
                        assert rest(client) == b"line\n"
                finally:
                    server.shutdown()
    assert server.noted == ["verify", "shutdown"] * 2


def test_shutdown_works_before_the_loop_has_begun_and_right_after() -> None:
    for _ in range(20):
        with socketserver.TCPServer((HOSTv4, 0), EchoLine) as server:
            with background(server.shutdown):
                server.serve_forever(LOOK_S)


def test_a_loop_that_ends_by_an_exception_lets_shutdown_return() -> None:
    with Counting() as server:
        with pytest.raises(StopServing):
            server.serve_forever(poll_interval=0)
        server.shutdown()


def test_shutdown_waits_for_the_request_in_progress_also_when_the_server_serves_again() -> None:
    events: list[str] = []

    class Slow(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"begun")
            self.rfile.read()
            events.append("handled")

    server = socketserver.TCPServer((HOSTv4, 0), Slow)
    with background(lambda: server.serve_forever(LOOK_S)):
        server.shutdown()
    with serving(server), stream_client(server) as client:
        assert client.recv(5) == b"begun"

        def shut_down() -> None:
            server.shutdown()
            events.append("shut down")

        with background(shut_down):
            client.close()
    assert events == ["handled", "shut down"]
