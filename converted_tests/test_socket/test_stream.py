"""A stream delivers every byte in order, in pieces of any size, until either side ends it.

Source: tcp(7), recv(2), shutdown(2); RFC 9293 sections 3.6 and 3.8.5.
"""

from __future__ import annotations

import array
import errno
import select
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, Peer, Reset, Say, Take, TakeAll, connected, listening
from converted_tests.strategies import pieces_of
from converted_tests.test_socket.support import Pair, echo, refusing, tcp_pair, unix_pair

TEXT = b"every byte in order"


def test_a_message_arrives_in_one_piece(stream_pair: Pair) -> None:
    client, server = stream_pair
    client.sendall(TEXT)
    assert server.recv(1024) == TEXT


def test_a_message_is_read_in_pieces(stream_pair: Pair) -> None:
    client, server = stream_pair
    client.sendall(TEXT)
    assert (server.recv(len(TEXT) - 3), server.recv(1024)) == (TEXT[:-3], TEXT[-3:])


@pytest.mark.parametrize("sizes", [(1024,), (len(TEXT) - 3, 1024)], ids=["one piece", "two pieces"])
def test_recvfrom_reads_a_stream_too(stream_pair: Pair, sizes: tuple[int, ...]) -> None:
    client, server = stream_pair
    client.sendall(TEXT)
    assert b"".join(server.recvfrom(size)[0] for size in sizes) == TEXT


def test_a_client_and_a_server_talk_over_a_listener() -> None:
    with listening(echo()) as server, socket.socket() as client:
        client.settimeout(TIMEOUT_S)
        client.connect(server.address)
        assert client.send(b"over the loop\n") == 14
        assert client.recv(1024) == b"over the loop\n"


@pytest.mark.usefixtures("ipv6")
def test_a_client_and_a_server_talk_over_an_ipv6_listener() -> None:
    with listening(echo(), family=socket.AF_INET6) as server, socket.socket(socket.AF_INET6) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(server.address)
        client.sendall(b"over the loop\n")
        assert client.recv(1024) == b"over the loop\n"


def test_a_listener_serves_one_client_after_the_other() -> None:
    def farewell(text: bytes) -> Peer:
        yield Say(text)

    with listening(farewell(b"first"), farewell(b"second")) as server:
        for text in (b"first", b"second"):
            with socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
                assert client.recv(100) == text
                assert client.recv(100) == b""


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_sendall_sends_more_than_a_buffer_holds(family: str) -> None:
    data = bytes(range(256)) * 8192
    heard = []

    def listener() -> Peer:
        heard.append((yield Take(size=len(data))))
        yield Say(b"all there")

    if family == "unix":
        with connected(listener()) as client:
            assert client.sendall(data) is None  # type: ignore[func-returns-value]
            assert client.recv(100) == b"all there"
    else:
        with (
            listening(listener()) as server,
            socket.create_connection((server.host, server.port), TIMEOUT_S) as client,
        ):
            client.sendall(data)
            assert client.recv(100) == b"all there"
    assert heard == [data]


def test_sendall_of_two_kibibytes_arrives_whole(stream_pair: Pair) -> None:
    client, server = stream_pair
    data = b"f" * 2048
    client.sendall(data)
    client.close()
    received = b""
    while chunk := server.recv(1024):
        received += chunk
    assert received == data


@pytest.mark.parametrize(
    ("how", "sending", "receiving"),
    [(socket.SHUT_RD, True, False), (socket.SHUT_WR, False, True), (socket.SHUT_RDWR, False, False)],
    ids=["reading", "writing", "both"],
)
def test_shutdown_ends_one_direction_or_both(stream_pair: Pair, how: int, sending: bool, receiving: bool) -> None:
    client, server = stream_pair
    server.sendall(TEXT)
    if not receiving:
        assert client.recv(1024) == TEXT
    client.shutdown(how)
    if sending:
        client.sendall(TEXT)
        assert server.recv(1024) == TEXT
    else:
        with pytest.raises(BrokenPipeError):
            client.sendall(TEXT)
        assert server.recv(1024) == b""
    assert client.recv(1024) == (TEXT if receiving else b"")


@pytest.mark.parametrize(
    ("how", "error"),
    [(2**31, OverflowError), (2**70, OverflowError), (-(2**40), OverflowError), ("2", TypeError), (99, OSError)],
)
def test_shutdown_refuses_a_direction_that_does_not_exist(how: Any, error: type[Exception]) -> None:
    with unix_pair() as (left, right):
        with pytest.raises(error):
            left.shutdown(how)
        left.sendall(TEXT)
        assert right.recv(100) == TEXT


def test_shutdown_needs_a_connection() -> None:
    with socket.socket() as sock, pytest.raises(OSError) as caught:
        sock.shutdown(socket.SHUT_RDWR)
    assert caught.value.errno == errno.ENOTCONN


def test_when_the_server_closes_the_client_is_readable_and_at_the_end() -> None:
    def closing() -> Peer:
        yield Say(b"")

    with listening(closing()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        assert select.select([client], [], [], TIMEOUT_S) == ([client], [], [])
        assert client.recv(1) == b""
        assert client.recv(1) == b""


def test_an_aborted_connection_is_reset() -> None:
    def aborting() -> Peer:
        yield b""
        yield Reset()

    with listening(aborting()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        client.sendall(b"go away\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_refused_connection_is_an_error_from_connect_and_an_errno_from_connect_ex() -> None:
    with refusing() as address, socket.socket() as first, socket.socket() as second:
        with pytest.raises(ConnectionRefusedError) as caught:
            first.connect(address)
        assert caught.value.errno == errno.ECONNREFUSED
        assert second.connect_ex(address) == errno.ECONNREFUSED


def test_connect_ex_of_a_connection_is_zero() -> None:
    def silent() -> Peer:
        yield TakeAll()

    with listening(silent()) as server, socket.socket() as client:
        client.settimeout(TIMEOUT_S)
        assert client.connect_ex((server.host, server.port)) == 0
        assert client.getpeername() == (server.host, server.port)


def test_a_peek_leaves_the_bytes(stream_pair: Pair) -> None:
    client, server = stream_pair
    client.sendall(TEXT)
    assert server.recv(5, socket.MSG_PEEK) == TEXT[:5]
    assert server.recv(1024) == TEXT


@pytest.mark.skipif(not hasattr(socket, "MSG_WAITALL"), reason="no MSG_WAITALL here")
def test_waitall_waits_for_every_byte() -> None:
    with tcp_pair() as (client, server):
        client.sendall(TEXT[:5])
        client.sendall(TEXT[5:])
        server.settimeout(None)
        assert server.recv(len(TEXT), socket.MSG_WAITALL) == TEXT


@pytest.mark.parametrize("call", ["recv", "recvfrom"])
def test_a_negative_size_is_refused(call: str) -> None:
    with unix_pair() as (left, _), pytest.raises(ValueError, match=f"negative buffersize in {call}"):
        getattr(left, call)(-1)


@pytest.mark.parametrize("call", ["send", "sendall"])
@pytest.mark.parametrize("data", ["text", 5, None])
def test_only_bytes_are_sent(call: str, data: Any) -> None:
    with unix_pair() as (left, _), pytest.raises(TypeError):
        getattr(left, call)(data)


@pytest.mark.parametrize(
    "data", [bytearray(TEXT), memoryview(TEXT), array.array("B", TEXT)], ids=lambda d: type(d).__name__
)
def test_every_buffer_is_sent(data: Any) -> None:
    with unix_pair() as (left, right):
        left.sendall(data)
        assert right.recv(100) == TEXT


def test_items_of_an_array_are_sent_as_their_bytes() -> None:
    numbers = array.array("i", [1, -2, 3])
    with unix_pair() as (left, right):
        assert left.send(numbers) == 3 * numbers.itemsize
        assert right.recv(100) == numbers.tobytes()


@pytest.mark.skipif(not hasattr(select, "select"), reason="no select here")
def test_urgent_data_overtakes_the_stream() -> None:
    with tcp_pair() as (client, server):
        client.sendall(b"before")
        assert client.send(b"!", socket.MSG_OOB) == 1
        client.sendall(b"after")
        assert select.select([], [], [server], TIMEOUT_S)[2] == [server]
        assert server.recv(1, socket.MSG_OOB) == b"!"
        assert server.recv(6) == b"before"
        assert server.recv(100) == b"after"


def test_urgent_data_stays_in_the_stream_when_asked_to() -> None:
    with tcp_pair() as (client, server):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        client.send(b"!", socket.MSG_OOB)
        client.close()
        assert server.recv(100) == b"!"


def test_without_urgent_data_there_is_nothing_to_read_out_of_band() -> None:
    with tcp_pair() as (_, server):
        # With a timeout the object would wait for something to read before it asks the kernel.
        server.settimeout(None)
        with pytest.raises(OSError) as caught:
            server.recv(1, socket.MSG_OOB)
    assert caught.value.errno == errno.EINVAL


@settings(max_examples=25)
@given(
    data=st.binary(min_size=1, max_size=100).flatmap(pieces_of),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=4),
)
def test_however_a_stream_is_cut_the_bytes_are_the_same(data: list[bytes], sizes: list[int]) -> None:
    received: list[bytes] = []
    with unix_pair() as (left, right):
        for piece in data:
            left.sendall(piece)
        left.close()
        while chunk := right.recv(sizes[len(received) % len(sizes)]):
            received.append(chunk)
    assert b"".join(received) == b"".join(data)
