"""Whether a socket blocks is one fact, on which timeout, getblocking and the descriptor's O_NONBLOCK agree.

Source: the library reference, socket.setblocking, socket.settimeout and socket.accept; fcntl(2), accept(2).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, open_listener
from converted_tests.test_socket.support import Pair, unix_pair

State = tuple[float | None, bool, bool]

BLOCKING: State = (None, True, False)
NONBLOCKING: State = (0.0, False, True)


def _state(sock: socket.socket) -> State:
    """The timeout, the result of getblocking, and whether the descriptor has O_NONBLOCK."""
    return sock.gettimeout(), sock.getblocking(), bool(fcntl.fcntl(sock, fcntl.F_GETFL) & os.O_NONBLOCK)


STEPS: list[Any] = [
    pytest.param(lambda sock: sock.setblocking(True), BLOCKING, id="setblocking(True)"),
    pytest.param(lambda sock: sock.setblocking(False), NONBLOCKING, id="setblocking(False)"),
    pytest.param(lambda sock: sock.setblocking(2**32), BLOCKING, id="setblocking(huge)"),
    pytest.param(lambda sock: sock.settimeout(None), BLOCKING, id="settimeout(None)"),
    pytest.param(lambda sock: sock.settimeout(0), NONBLOCKING, id="settimeout(0)"),
    pytest.param(lambda sock: sock.settimeout(7.5), (7.5, True, True), id="settimeout(7.5)"),
]


@pytest.mark.parametrize(("step", "after"), STEPS)
@pytest.mark.parametrize(
    ("flags", "before"),
    [(0, BLOCKING), (getattr(socket, "SOCK_NONBLOCK", 0), NONBLOCKING)],
    ids=["plain", "SOCK_NONBLOCK"],
)
def test_a_new_socket_changes_from_its_flags_to_what_was_set(
    flags: int, before: State, step: Callable[[socket.socket], None], after: State
) -> None:
    if before == NONBLOCKING and not flags:
        pytest.skip("no SOCK_NONBLOCK here")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | flags) as sock:
        assert (_state(sock), sock.type) == (before, socket.SOCK_STREAM)
        step(sock)
        assert (_state(sock), sock.type) == (after, socket.SOCK_STREAM)


def test_the_last_setting_counts_whatever_was_set_before() -> None:
    expected, states = [], []
    with socket.socket() as sock:
        for pair in itertools.permutations(STEPS, 2):
            for step, after in (row.values for row in pair):
                step(sock)
                states.append((_state(sock), sock.type))
                expected.append((after, socket.SOCK_STREAM))
    assert states == expected


@pytest.mark.skipif(not hasattr(socket, "SOCK_NONBLOCK"), reason="no SOCK_NONBLOCK here")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [(0, (2.5, True, True)), (getattr(socket, "SOCK_NONBLOCK", 0), NONBLOCKING)],
    ids=["the default's timeout", "the flag is stronger"],
)
def test_the_flag_is_stronger_than_a_default_timeout(flags: int, expected: State) -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(2.5)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM | flags) as sock:
            assert _state(sock) == expected
    finally:
        socket.setdefaulttimeout(before)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="since Python 3.12 it takes the truth of anything")
@pytest.mark.parametrize(("value", "error"), [("1", TypeError), (1.5, TypeError), (2**70, OverflowError)])
def test_setblocking_takes_an_integer(value: Any, error: type[Exception]) -> None:
    with socket.socket() as sock:
        with pytest.raises(error):
            sock.setblocking(value)
        assert _state(sock) == BLOCKING


def test_setblocking_fails_on_a_closed_descriptor() -> None:
    with socket.socket() as sock:
        pass
    with pytest.raises(OSError):
        sock.setblocking(False)


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S], ids=["blocking listener", "listener with a timeout"])
def test_an_accepted_socket_blocks(timeout: float | None) -> None:
    with open_listener() as listener, socket.create_connection(listener.getsockname(), TIMEOUT_S):
        listener.settimeout(timeout)
        accepted, _ = listener.accept()
        with accepted:
            assert _state(accepted) == BLOCKING


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S], ids=["blocking listener", "listener with a timeout"])
def test_an_accepted_socket_has_the_default_timeout_if_there_is_one(
    process_timeout_s: float, timeout: float | None
) -> None:
    with open_listener() as listener, socket.create_connection(listener.getsockname(), TIMEOUT_S):
        listener.settimeout(timeout)
        accepted, _ = listener.accept()
        with accepted:
            assert _state(accepted) == (process_timeout_s, True, True)


def test_a_non_blocking_accept_takes_a_client_that_waits_and_waits_for_none() -> None:
    with open_listener() as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        with socket.create_connection(listener.getsockname(), TIMEOUT_S) as client:
            assert select.select([listener], [], [], TIMEOUT_S)[0] == [listener]
            accepted, address = listener.accept()
            with accepted:
                assert address == client.getsockname()
                assert accepted.gettimeout() is None


def test_a_non_blocking_recv_takes_what_is_there_and_waits_for_nothing(stream_pair: Pair) -> None:
    client, server = stream_pair
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(10)
    client.sendall(b"there")
    assert select.select([server], [], [], TIMEOUT_S)[0] == [server]
    assert server.recv(10) == b"there"


def test_a_non_blocking_send_takes_what_fits() -> None:
    with unix_pair() as (left, _):
        left.setblocking(False)
        total = left.send(bytes(8 << 20))
        assert 0 < total < 8 << 20
        with pytest.raises(BlockingIOError):
            left.send(bytes(8 << 20))


def test_a_non_blocking_connect_continues_in_the_background() -> None:
    with open_listener() as listener, socket.socket() as client:
        client.setblocking(False)
        try:
            client.connect(listener.getsockname())
        except BlockingIOError:
            assert select.select([], [client], [], TIMEOUT_S)[1] == [client]
        accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
