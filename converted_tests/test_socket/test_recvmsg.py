"""recvmsg gives data, ancillary items, flags and address of one message; recvmsg_into scatters the data over buffers.

Source: recvmsg(2); RFC 3542 section 20.
"""

from __future__ import annotations

import array
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import SHORT_S
from converted_tests.test_socket.support import Pair, datagram_pair, unix_pair

MESSAGE = b"twenty-four bytes of it."

pytestmark = pytest.mark.skipif(not hasattr(socket.socket, "recvmsg"), reason="this system has no recvmsg")

Received = tuple[bytes, list[tuple[int, int, bytes]], int, Any]
Receive = Callable[..., Received]


def _by_recvmsg(sock: socket.socket, size: int, *arguments: int) -> Received:
    return sock.recvmsg(size, *arguments)


def _by_recvmsg_into(sock: socket.socket, size: int, *arguments: int) -> Received:
    buffer = bytearray(size)
    count, *rest = sock.recvmsg_into([buffer], *arguments)
    return bytes(buffer[:count]), *rest


@pytest.fixture(params=[_by_recvmsg, _by_recvmsg_into], ids=["recvmsg", "recvmsg_into"])
def receive(request: pytest.FixtureRequest) -> Receive:
    """Both ways to receive a message, under one signature."""
    chosen: Receive = request.param
    return chosen


def _no_record_end(flags: int) -> int:
    """*flags* without MSG_EOR, which systems set on datagrams as they like."""
    return flags & ~getattr(socket, "MSG_EOR", 0)


@pytest.mark.parametrize("arguments", [(), (10_240, 0)])
def test_a_datagram_comes_with_its_senders_address(
    datagrams: Pair, receive: Receive, arguments: tuple[int, ...]
) -> None:
    left, right = datagrams
    left.sendto(MESSAGE, right.getsockname())
    data, ancillary, flags, address = receive(right, len(MESSAGE) + 10, *arguments)
    assert (data, ancillary, _no_record_end(flags), address) == (MESSAGE, [], 0, left.getsockname())


def test_a_datagram_that_fits_exactly_is_not_marked(datagrams: Pair, receive: Receive) -> None:
    left, right = datagrams
    left.sendto(MESSAGE, right.getsockname())
    data, _, flags, _ = receive(right, len(MESSAGE))
    assert (data, _no_record_end(flags)) == (MESSAGE, 0)


def test_a_datagram_that_does_not_fit_is_cut_and_marked(datagrams: Pair, receive: Receive) -> None:
    left, right = datagrams
    left.sendto(MESSAGE, right.getsockname())
    left.sendto(b"next", right.getsockname())
    data, _, flags, address = receive(right, len(MESSAGE) - 3)
    assert (data, flags & socket.MSG_TRUNC, address) == (MESSAGE[:-3], socket.MSG_TRUNC, left.getsockname())
    assert right.recv(100) == b"next"


def test_a_peek_leaves_the_datagram(datagrams: Pair, receive: Receive) -> None:
    left, right = datagrams
    left.sendmsg([MESSAGE[:9], MESSAGE[9:]], [], 0, right.getsockname())
    first, _, _, _ = receive(right, 1024, 0, socket.MSG_PEEK)
    cut, _, _, _ = receive(right, 4, 0, socket.MSG_PEEK)
    last, _, _, _ = receive(right, 1024)
    assert (first, cut, last) == (MESSAGE, MESSAGE[:4], MESSAGE)


def test_a_stream_has_no_address_and_no_flags(stream_pair: Pair, receive: Receive) -> None:
    client, server = stream_pair
    client.sendall(MESSAGE)
    data, ancillary, flags, _ = receive(server, 1024, 1024)
    assert (data, ancillary, _no_record_end(flags)) == (MESSAGE, [], 0)


def test_a_stream_is_read_in_chunks_and_never_marked(stream_pair: Pair, receive: Receive) -> None:
    client, server = stream_pair
    client.sendmsg([MESSAGE])
    chunks = [receive(server, 14), receive(server, 1024)]
    assert [chunk[0] for chunk in chunks] == [MESSAGE[:14], MESSAGE[14:]]
    assert [_no_record_end(chunk[2]) for chunk in chunks] == [0, 0]


def test_a_peek_leaves_the_streams_data(stream_pair: Pair, receive: Receive) -> None:
    client, server = stream_pair
    client.sendall(MESSAGE)
    assert [receive(server, size, 0, socket.MSG_PEEK)[0] for size in (5, 1024)] == [MESSAGE[:5], MESSAGE]
    assert receive(server, 1024)[0] == MESSAGE


def test_the_end_of_a_stream_is_an_empty_message(stream_pair: Pair, receive: Receive) -> None:
    client, server = stream_pair
    client.close()
    data, ancillary, flags, _ = receive(server, 1024)
    assert (data, ancillary, _no_record_end(flags)) == (b"", [], 0)


def test_nothing_is_read_after_close(stream_pair: Pair, receive: Receive) -> None:
    _, server = stream_pair
    server.close()
    with pytest.raises(OSError) as caught:
        receive(server, 1024)
    assert caught.value.errno == errno.EBADF


def test_a_message_that_does_not_come_times_out(stream_pair: Pair, receive: Receive) -> None:
    _, server = stream_pair
    server.settimeout(SHORT_S)
    with pytest.raises(TimeoutError, match="timed out"):
        receive(server, 1024)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param((), TypeError, id="no size"),
        pytest.param(("1024",), TypeError, id="text size"),
        pytest.param((1024.0,), TypeError, id="fraction for a size"),
        pytest.param((-1,), ValueError, id="negative size"),
        pytest.param((1024, -1), ValueError, id="negative ancillary size"),
        pytest.param((1024, "0"), TypeError, id="text ancillary size"),
        pytest.param((1024, 0, "flags"), TypeError, id="text flags"),
        pytest.param((1024, 0, 0, 0), TypeError, id="one argument too many"),
    ],
)
def test_recvmsg_refuses_bad_arguments(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with unix_pair() as (_, right), pytest.raises(error):
        right.recvmsg(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param((), TypeError, id="nothing"),
        pytest.param((bytearray(8),), TypeError, id="buffer for a list of buffers"),
        pytest.param((5,), TypeError, id="number for a list of buffers"),
        pytest.param(([b"read-only"],), TypeError, id="read-only buffer"),
        pytest.param(([bytearray(8), "text"],), TypeError, id="text for the second buffer"),
        pytest.param(([bytearray(8)], -1), ValueError, id="negative ancillary size"),
        pytest.param(([bytearray(8)], "0"), TypeError, id="text ancillary size"),
        pytest.param(([bytearray(8)], 0, "flags"), TypeError, id="text flags"),
        pytest.param(([bytearray(8)], 0, 0, 0), TypeError, id="one argument too many"),
    ],
)
def test_recvmsg_into_refuses_bad_arguments(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with unix_pair() as (left, right):
        left.sendall(MESSAGE)
        with pytest.raises(error):
            right.recvmsg_into(*arguments)
        assert right.recv(1024) == MESSAGE


def test_recvmsg_into_fills_an_array() -> None:
    with datagram_pair() as (left, right):
        left.sendto(MESSAGE, right.getsockname())
        buffer = array.array("B", bytes(30))
        count, ancillary, flags, address = right.recvmsg_into([buffer])
        assert (count, buffer.tobytes()) == (24, MESSAGE + bytes(6))
        assert (ancillary, _no_record_end(flags), address) == ([], 0, left.getsockname())


def test_recvmsg_into_takes_its_buffers_from_a_generator() -> None:
    with unix_pair() as (left, right):
        left.sendall(MESSAGE)
        buffers = [bytearray(10), bytearray(10)]
        assert right.recvmsg_into(buffer for buffer in buffers)[0] == 20
        assert b"".join(buffers) == MESSAGE[:20]
        assert right.recv(100) == MESSAGE[20:]


def test_recvmsg_into_scatters_over_parts_of_buffers() -> None:
    with datagram_pair() as (left, right):
        left.sendto(MESSAGE, right.getsockname())
        first, middle, last = (
            bytearray(b"----"),
            array.array("B", b"abcdefgh"),
            memoryview(bytearray(b"0123456789" * 3)),
        )
        count, *_ = right.recvmsg_into([first, memoryview(middle)[2:5], last])
        assert count == 24
        assert (bytes(first), middle.tobytes()) == (MESSAGE[:4], b"ab" + MESSAGE[4:7] + b"fgh")
        assert bytes(last) == MESSAGE[7:] + b"7890123456789"


@settings(max_examples=25)
@given(data=st.binary(min_size=1, max_size=120), sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_scattering_is_cutting_the_message(data: bytes, sizes: list[int]) -> None:
    buffers = [bytearray(size) for size in sizes]
    with unix_pair(socket.SOCK_DGRAM) as (left, right):
        left.send(data)
        count, _, flags, _ = right.recvmsg_into(buffers)
    room = sum(sizes)
    assert count == min(room, len(data))
    assert b"".join(buffers)[:count] == data[:count]
    assert bool(flags & socket.MSG_TRUNC) == (room < len(data))
