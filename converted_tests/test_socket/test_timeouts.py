"""A timeout bounds every wait of a socket and ends it with TimeoutError; zero never waits and None always does.

Source: the library reference, "Notes on socket timeouts".
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from converted_tests.peers import SHORT_CONNECT_S, SHORT_S, TIMEOUT_S, Peer, Silence, listening, open_listener
from converted_tests.test_socket.support import Pair, echo, fill, tcp_pair, unix_pair


def silent() -> Peer:
    yield Silence()


@pytest.fixture
def default_restored() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


def test_no_timeout_is_the_default() -> None:
    assert socket.getdefaulttimeout() is None
    with socket.socket() as sock:
        assert sock.gettimeout() is None


@pytest.mark.usefixtures("default_restored")
@pytest.mark.parametrize("timeout", [0.0, 10, 2.5, None])
def test_the_default_reaches_new_sockets_of_every_origin(timeout: float | None) -> None:
    socket.setdefaulttimeout(timeout)
    left, right = socket.socketpair()
    with left, right, socket.socket() as plain, socket.fromfd(plain.fileno(), plain.family, plain.type) as copy:
        timeouts = [sock.gettimeout() for sock in (left, right, plain, copy)]
    assert (socket.getdefaulttimeout(), timeouts) == (timeout, [timeout] * 4)


@pytest.mark.usefixtures("default_restored")
def test_a_default_does_not_reach_back() -> None:
    with socket.socket() as older:
        socket.setdefaulttimeout(10)
        assert older.gettimeout() is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(-1, ValueError, id="negative"),
        pytest.param(-0.001, ValueError, id="a little negative"),
        pytest.param(float("nan"), ValueError, id="no number"),
        pytest.param("10", TypeError, id="text"),
        pytest.param([], TypeError, id="list"),
        pytest.param(1j, TypeError, id="complex"),
        pytest.param(float("inf"), OverflowError, id="infinite"),
        pytest.param(1e300, OverflowError, id="huge"),
    ],
)
def test_a_value_that_is_no_timeout_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        socket.setdefaulttimeout(value)
    assert socket.getdefaulttimeout() is None
    with socket.socket() as sock:
        with pytest.raises(error):
            sock.settimeout(value)
        assert sock.gettimeout() is None


def test_an_answer_within_the_timeout_arrives() -> None:
    with listening(echo()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        client.sendall(b"are you there?\n")
        assert client.recv(100) == b"are you there?\n"


def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    with listening(silent()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        client.settimeout(SHORT_S)
        began_s = time.monotonic()
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            client.recv(100)
        assert time.monotonic() - began_s >= 0.9 * SHORT_S


RECEIVING: list[Any] = [
    pytest.param(lambda sock: sock.recv(10), id="recv"),
    pytest.param(lambda sock: sock.recv_into(bytearray(10)), id="recv_into"),
    pytest.param(lambda sock: sock.recvfrom(10), id="recvfrom"),
    pytest.param(lambda sock: sock.recvfrom_into(bytearray(10)), id="recvfrom_into"),
    pytest.param(lambda sock: sock.recvmsg(10), id="recvmsg"),
    pytest.param(lambda sock: sock.recvmsg_into([bytearray(10)]), id="recvmsg_into"),
]


@pytest.mark.parametrize("call", RECEIVING)
def test_every_receiving_call_times_out(call: Callable[[socket.socket], object]) -> None:
    with unix_pair() as (left, _):
        left.settimeout(0.001)
        with pytest.raises(TimeoutError, match="timed out"):
            call(left)


@pytest.mark.parametrize("call", RECEIVING)
def test_with_a_timeout_of_zero_a_receiving_call_would_block(call: Callable[[socket.socket], object]) -> None:
    with unix_pair() as (left, _):
        left.settimeout(0)
        with pytest.raises(BlockingIOError):
            call(left)


def test_datagrams_time_out_and_would_block_in_the_same_way(datagrams: Pair) -> None:
    _, right = datagrams
    right.settimeout(0.001)
    with pytest.raises(TimeoutError, match="timed out"):
        right.recv(10)
    right.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        right.recv(10)


def test_accept_times_out_and_would_block_in_the_same_way() -> None:
    with open_listener() as listener:
        listener.settimeout(0.001)
        with pytest.raises(TimeoutError, match="timed out"):
            listener.accept()
        listener.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("call", ["send", "sendall"])
def test_a_full_stream_times_out(call: str) -> None:
    with unix_pair() as (left, _):
        fill(left)
        left.settimeout(0.001)
        with pytest.raises(TimeoutError, match="timed out"):
            getattr(left, call)(bytes(1024))


def test_sendall_spends_one_timeout_on_all_of_its_data() -> None:
    with unix_pair() as (left, right):
        left.settimeout(SHORT_S)
        began_s = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out"):
            left.sendall(bytes(4 << 20))
        assert time.monotonic() - began_s >= 0.9 * SHORT_S
        assert right.recv(1) == b"\0"


def test_a_timeout_may_be_changed_between_two_calls() -> None:
    with tcp_pair() as (client, server):
        client.settimeout(0.001)
        with pytest.raises(TimeoutError):
            client.recv(10)
        client.settimeout(TIMEOUT_S)
        server.sendall(b"late")
        assert client.recv(10) == b"late"


def test_a_connection_that_is_never_accepted_times_out() -> None:
    with open_listener(backlog=0) as listener:
        waiting = []

        def connect_until_the_queue_is_full() -> None:
            for _ in range(8):
                waiting.append(socket.create_connection(listener.getsockname(), SHORT_CONNECT_S))

        try:
            with pytest.raises(TimeoutError) as caught:
                connect_until_the_queue_is_full()
        finally:
            for sock in waiting:
                sock.close()
        assert (type(caught.value), str(caught.value)) == (TimeoutError, "timed out")
