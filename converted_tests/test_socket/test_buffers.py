"""recv_into and recvfrom_into fill a buffer of the caller's and return how much of it they filled.

Source: the library reference, socket.recv_into and socket.recvfrom_into; recv(2).
"""

from __future__ import annotations

import array
import socket
from typing import Any

import pytest

from converted_tests.peers import canned
from converted_tests.test_socket.support import datagram_pair, unix_pair

MESSAGE = b"into a buffer"

BUFFERS = [
    pytest.param(lambda: array.array("B", bytes(20)), id="array"),
    pytest.param(lambda: bytearray(20), id="bytearray"),
    pytest.param(lambda: memoryview(bytearray(20)), id="memoryview"),
]


@pytest.mark.parametrize("make", BUFFERS)
@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_a_message_goes_to_the_front_of_the_buffer(make: Any, call: str) -> None:
    buffer = make()
    with canned(MESSAGE) as server:
        result = getattr(server.client, call)(buffer)
    count = result if call == "recv_into" else result[0]
    assert count == len(MESSAGE)
    assert bytes(buffer) == MESSAGE + bytes(7)


@pytest.mark.parametrize("arguments", [(4,), (4, 0)])
@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_a_size_limits_what_is_taken(call: str, arguments: tuple[int, ...]) -> None:
    buffer = bytearray(b"." * 20)
    with canned(MESSAGE) as server:
        getattr(server.client, call)(buffer, *arguments)
        assert bytes(buffer) == MESSAGE[:4] + b"." * 16
        assert server.client.recv(100) == MESSAGE[4:]


def test_recvfrom_into_returns_the_sender() -> None:
    buffer = bytearray(20)
    with datagram_pair() as (left, right):
        left.sendto(MESSAGE, right.getsockname())
        assert right.recvfrom_into(buffer) == (len(MESSAGE), left.getsockname())


def test_a_datagram_is_cut_at_the_end_of_the_buffer() -> None:
    buffer = bytearray(4)
    with unix_pair(socket.SOCK_DGRAM) as (left, right):
        left.send(MESSAGE)
        left.send(b"next")
        assert right.recv_into(buffer) == 4
        assert bytes(buffer) == MESSAGE[:4]
        assert right.recv(100) == b"next"


@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_a_buffer_smaller_than_the_size_asked_for_is_refused(call: str) -> None:
    with canned(MESSAGE) as server:
        with pytest.raises(ValueError, match=r"buffer too small|nbytes is greater than the length of the buffer"):
            getattr(server.client, call)(bytearray(8), 9)
        assert server.client.recv(100) == MESSAGE


@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_a_negative_size_is_refused(call: str) -> None:
    with canned(MESSAGE) as server, pytest.raises(ValueError, match=f"negative buffersize in {call}"):
        getattr(server.client, call)(bytearray(8), -1)


@pytest.mark.parametrize("buffer", [b"read-only", "text", 5, None])
@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_what_cannot_be_written_to_is_no_buffer(call: str, buffer: Any) -> None:
    with canned(MESSAGE) as server, pytest.raises(TypeError):
        getattr(server.client, call)(buffer)


@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_an_empty_buffer_takes_nothing(call: str) -> None:
    with canned(MESSAGE) as server:
        result = getattr(server.client, call)(bytearray())
        assert (result if call == "recv_into" else result[0]) == 0
        assert server.client.recv(100) == MESSAGE


@pytest.mark.parametrize("call", ["recv_into", "recvfrom_into"])
def test_the_end_of_a_stream_is_zero_bytes(call: str) -> None:
    with canned(b"") as server:
        result = getattr(server.client, call)(bytearray(8))
        assert (result if call == "recv_into" else result[0]) == 0
