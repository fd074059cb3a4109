"""ThreadingMixIn serves each request in its own thread, and waits for these threads when the server is closed.

The promise is in the library reference, "socketserver", ThreadingMixIn.
"""

from __future__ import annotations

import socketserver
import threading
from typing import Any

import pytest

from converted_tests.test_socketserver.support import EchoLine, Notes, failing, rest, stream_client
from netsupport import HOSTv4


class Threads(socketserver.ThreadingMixIn, Notes):
    """A threading server that notes what happens to its requests."""


class ThreadTelling(socketserver.StreamRequestHandler):
    """Sends the kind of thread it runs in, then waits for the client to hang up."""

    def handle(self) -> None:
        thread = threading.current_thread()
        is_own = thread is not threading.main_thread()
        self.wfile.write(f"own thread: {is_own}, daemon: {thread.daemon}".encode())
        self.rfile.read()


def threads_of(server: Any) -> list[threading.Thread]:
    return list(server._threads)


def test_defaults_are_threads_that_are_waited_for() -> None:
    mixin = socketserver.ThreadingMixIn
    assert (mixin.daemon_threads, mixin.block_on_close) == (False, True)


def test_a_server_that_never_served_can_be_closed() -> None:
    server = socketserver.ThreadingTCPServer((HOSTv4, 0), EchoLine)
    server.server_close()
    assert server.fileno() == -1


@pytest.mark.parametrize("daemon", [False, True])
def test_a_request_runs_in_a_thread_of_its_own_of_the_kind_asked_for(daemon: bool) -> None:
    with Threads(ThreadTelling) as server:
        server.daemon_threads = daemon
        with stream_client(server) as client:
            server.handle_request()
            assert client.recv(100) == f"own thread: True, daemon: {daemon}".encode()
            assert [thread.daemon for thread in threads_of(server)] == ([] if daemon else [False])


def test_an_exception_in_a_thread_goes_to_handle_error_and_the_request_is_closed() -> None:
    failure = ValueError("bad")
    with Threads(failing(failure)) as server, stream_client(server) as client:
        server.handle_request()
        assert rest(client) == b""
    assert (server.noted, server.failures) == (["verify", "error", "shutdown"], [failure])


def test_what_ends_a_thread_is_left_to_the_thread_and_the_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = SystemExit(3)
    ended_by: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda hook_arguments: ended_by.append(hook_arguments.exc_value))
    with Threads(failing(failure)) as server, stream_client(server) as client:
        server.handle_request()
        assert rest(client) == b""
    assert (server.noted, server.failures, ended_by) == (["verify", "shutdown"], [], [failure])


def join_noted(thread: threading.Thread, joined: list[threading.Thread]) -> None:
    """From now on a join of *thread* is noted in *joined*."""
    real_join = thread.join

    def join(timeout: float | None = None) -> None:
        joined.append(thread)
        real_join(timeout)

    thread.join = join  # type: ignore[method-assign]


def test_server_close_waits_for_the_threads_that_still_run() -> None:
    joined: list[threading.Thread] = []
    server = Threads(ThreadTelling)
    with stream_client(server) as first, stream_client(server) as second:
        for client in (first, second):
            server.handle_request()
            client.recv(1)
        running = threads_of(server)
        for thread in running:
            join_noted(thread, joined)
    server.server_close()
    assert (len(running), joined, threads_of(server)) == (2, running, [])
    assert [thread.is_alive() for thread in running] == [False, False]


def test_server_close_does_not_wait_when_block_on_close_is_off() -> None:
    server = Threads(ThreadTelling)
    server.block_on_close = False
    with stream_client(server) as client:
        server.handle_request()
        client.recv(1)
        server.server_close()
        # The thread still runs: it waits for the client, which only now hangs up.
    assert type(server._threads).__name__ == "_NoThreads"  # type: ignore[attr-defined]


def test_threads_that_have_ended_are_forgotten() -> None:
    with Threads() as server:
        seen: list[threading.Thread] = []
        for _ in range(5):
            with stream_client(server, b"line\n") as client:
                server.handle_request()
                assert rest(client) == b"line\n"
            seen.extend(thread for thread in threads_of(server) if thread not in seen)
            for thread in threads_of(server):
                thread.join()
            assert len(threads_of(server)) == 1
    assert (len(seen), threads_of(server)) == (5, [])


def test_threads_that_run_are_kept_when_another_begins() -> None:
    with Threads(ThreadTelling) as server, stream_client(server) as slow:
        server.handle_request()
        slow.recv(1)
        with stream_client(server) as second:
            server.handle_request()
            second.recv(1)
            assert [thread.is_alive() for thread in threads_of(server)] == [True, True]


def test_each_server_waits_for_its_own_threads_alone() -> None:
    with Threads(ThreadTelling) as busy, Threads(ThreadTelling) as idle, stream_client(busy) as client:
        busy.handle_request()
        client.recv(1)
        assert (len(threads_of(busy)), type(idle._threads).__name__) == (1, "_NoThreads")  # type: ignore[attr-defined]
