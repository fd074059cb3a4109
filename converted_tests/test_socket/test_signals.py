"""A signal handler that raises ends a blocked call with its exception; after one that returns, the call continues.

Source: PEP 475; signal(7), "Interruption of system calls and library functions by signal handlers".
"""

from __future__ import annotations

import select
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, background, open_listener
from converted_tests.test_socket.support import drain, fill, interrupted_by, tcp_pair, unix_pair

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here"),
    pytest.mark.skipif(
        threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
    ),
]


class Alarm(Exception):
    """What a handler raises."""


def _raise() -> None:
    raise Alarm


RECEIVING: list[Any] = [
    pytest.param(lambda sock: sock.recv(1024), id="recv"),
    pytest.param(lambda sock: sock.recv_into(bytearray(1024)), id="recv_into"),
    pytest.param(lambda sock: sock.recvfrom(1024), id="recvfrom"),
    pytest.param(lambda sock: sock.recvfrom_into(bytearray(1024)), id="recvfrom_into"),
    pytest.param(lambda sock: sock.recvmsg(1024), id="recvmsg"),
    pytest.param(lambda sock: sock.recvmsg_into([bytearray(1024)]), id="recvmsg_into"),
]

SENDING: list[Any] = [
    pytest.param(lambda sock: sock.send(bytes(1024)), id="send"),
    pytest.param(lambda sock: sock.sendto(bytes(1024), sock.getpeername()), id="sendto"),
    pytest.param(lambda sock: sock.sendmsg([bytes(1024)]), id="sendmsg"),
]


@pytest.mark.parametrize("call", RECEIVING)
def test_a_raising_handler_ends_a_receiving_call(call: Callable[[socket.socket], object]) -> None:
    with unix_pair() as (left, _), pytest.raises(Alarm), interrupted_by(_raise):
        call(left)


@pytest.mark.parametrize("call", SENDING)
def test_a_raising_handler_ends_a_sending_call(call: Callable[[socket.socket], object]) -> None:
    def send_until_blocked(sock: socket.socket) -> None:
        # On TCP what is on its way may make room once more.
        while True:
            call(sock)

    with tcp_pair() as (client, _):
        fill(client)
        with pytest.raises(Alarm), interrupted_by(_raise):
            send_until_blocked(client)


def test_a_raising_handler_ends_accept_without_a_timeout_error() -> None:
    with open_listener() as listener, pytest.raises(Alarm), interrupted_by(_raise):
        listener.accept()


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S], ids=["blocking", "with a timeout"])
def test_a_raising_handler_ends_sendall(timeout: float | None) -> None:
    with unix_pair() as (left, right):

        def raise_in_the_middle() -> None:
            if select.select([right], [], [], 0)[0]:
                raise Alarm

        left.settimeout(timeout)
        with pytest.raises(Alarm), interrupted_by(raise_in_the_middle, times=10_000):
            left.sendall(bytes(4 << 20))
        left.close()
        assert len(right.recv(1)) == 1


@pytest.mark.parametrize("call", RECEIVING)
def test_a_receiving_call_continues_after_a_handler_that_returns(call: Callable[[socket.socket], Any]) -> None:
    with unix_pair() as (left, right), interrupted_by(lambda: right.sendall(b"by the handler")):
        result = call(left)
    assert (result[0] if isinstance(result, tuple) else result) in (b"by the handler", 14)


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S], ids=["blocking", "with a timeout"])
def test_sendall_continues_to_the_last_byte_after_a_handler_that_returns(timeout: float | None) -> None:
    data = bytes(range(256)) * 4096
    received = bytearray()
    with unix_pair() as (left, right):

        def make_room() -> None:
            received.extend(drain(right))

        left.settimeout(timeout)
        with interrupted_by(make_room, times=10_000):
            left.sendall(data)
        left.close()
        received.extend(drain(right))
    assert received == data


def test_accept_continues_after_a_handler_that_returns() -> None:
    with open_listener() as listener, socket.socket() as client:
        client.settimeout(TIMEOUT_S)
        with interrupted_by(lambda: client.connect(listener.getsockname())):
            accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()


def test_a_signal_during_sendall_while_a_thread_reads_loses_nothing() -> None:
    data = bytes(range(256)) * 4096
    received = bytearray()
    signals = []
    with unix_pair() as (left, right):

        def read() -> None:
            received.extend(right.recv(1))
            # One byte came, so the main thread is in the middle of sendall, or done with it.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
            while chunk := right.recv(65536):
                received.extend(chunk)

        before = signal.signal(signal.SIGALRM, lambda number, _frame: signals.append(number))
        try:
            with background(read), left:
                left.sendall(data)
        finally:
            signal.signal(signal.SIGALRM, before)
    assert received == data
    assert signals == [signal.SIGALRM]
