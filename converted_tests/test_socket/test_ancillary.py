"""Descriptors travel with the data of a Unix socket, whole or not at all; the size macros agree with the kernel.

Source: unix(7), cmsg(3); RFC 3542 sections 20.2 and 20.3.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_socket.support import unix_pair

INT_BYTES = array.array("i").itemsize
RIGHTS = (socket.SOL_SOCKET, getattr(socket, "SCM_RIGHTS", 1))

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="how the kernel cuts ancillary data is its own choice"
)


def _packed(*descriptors: int) -> bytes:
    return array.array("i", descriptors).tobytes()


def _rights(*descriptors: int) -> tuple[int, int, bytes]:
    return (*RIGHTS, _packed(*descriptors))


@contextlib.contextmanager
def _pipes(count: int) -> Iterator[list[int]]:
    """The read ends of *count* pipes; the n-th contains just the number n as text."""
    ends = []
    try:
        for number in range(count):
            reading, writing = os.pipe()
            ends.append(reading)
            os.write(writing, str(number).encode())
            os.close(writing)
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _contents(descriptors: list[int]) -> list[bytes]:
    """What each of *descriptors* holds; closes them."""
    contents = []
    for descriptor in descriptors:
        with open(descriptor, "rb") as pipe:
            contents.append(pipe.read())
    return contents


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors in *ancillary*, which holds nothing but whole descriptors."""
    found = array.array("i")
    for level, kind, data in ancillary:
        assert (level, kind) == RIGHTS
        found.frombytes(data)
    return found.tolist()


@pytest.mark.parametrize("into", [False, True], ids=["recvmsg", "recvmsg_into"])
@pytest.mark.parametrize("room", ["space", "length"])
@pytest.mark.parametrize("count", [1, 5])
def test_descriptors_arrive_as_duplicates_in_order(count: int, room: str, into: bool) -> None:
    measure = socket.CMSG_SPACE if room == "space" else socket.CMSG_LEN
    with _pipes(count) as sent, unix_pair() as (left, right):
        assert left.sendmsg([b"text"], [_rights(*sent)]) == 4
        size = measure(count * INT_BYTES)
        if into:
            buffer = bytearray(100)
            length, ancillary, flags, _ = right.recvmsg_into([buffer], size)
            data = bytes(buffer[:length])
        else:
            data, ancillary, flags, _ = right.recvmsg(100, size)
        received = _descriptors(ancillary)
        assert (data, flags & socket.MSG_CTRUNC, len(ancillary)) == (b"text", 0, 1)
        assert not set(received) & set(sent)
        assert _contents(received) == [str(number).encode() for number in range(count)]


@pytest.mark.parametrize("extra", [0, 100], ids=["smallest room", "more room"])
def test_two_items_arrive_together(extra: int) -> None:
    with _pipes(2) as (first, second), unix_pair() as (left, right):
        left.sendmsg([b"text"], [_rights(first), _rights(second)])
        room = socket.CMSG_SPACE(INT_BYTES) + socket.CMSG_LEN(INT_BYTES) + extra
        data, ancillary, flags, _ = right.recvmsg(100, room)
        assert (data, flags & socket.MSG_CTRUNC) == (b"text", 0)
        assert _contents(_descriptors(ancillary)) == [b"0", b"1"]


@linux_only
@pytest.mark.parametrize(
    "items",
    [
        pytest.param([(*RIGHTS, b"")], id="empty array"),
        pytest.param([(*RIGHTS, _packed(0)[:-1])], id="most of one integer"),
        pytest.param([(*RIGHTS, b"\0")], id="one byte"),
    ],
)
def test_less_than_one_descriptor_is_nothing(items: list[Any]) -> None:
    with unix_pair() as (left, right):
        left.sendmsg([b"text"], items)
        assert right.recvmsg(100, 1000)[:3] == (b"text", [], 0)


@linux_only
def test_half_a_descriptor_behind_a_whole_one_is_dropped() -> None:
    with _pipes(2) as (first, second), unix_pair() as (left, right):
        half = _packed(second)[: INT_BYTES // 2]
        left.sendmsg([b"text"], [(*RIGHTS, _packed(first) + half), _rights(second)])
        _, ancillary, flags, _ = right.recvmsg(100, 1000)
        assert flags & socket.MSG_CTRUNC == 0
        assert _contents(_descriptors(ancillary)) == [b"0", b"1"]


def test_a_number_that_is_not_a_descriptor_is_refused_with_the_whole_message() -> None:
    with unix_pair() as (left, right):
        with pytest.raises(OSError) as caught:
            left.sendmsg([b"text"], [_rights(0x7FFF_0000)])
        assert caught.value.errno == errno.EBADF
        left.close()
        assert right.recv(100) == b""


@linux_only
@pytest.mark.parametrize("into", [False, True], ids=["recvmsg", "recvmsg_into"])
@pytest.mark.parametrize(
    ("room", "arriving"),
    [
        pytest.param(0, 0, id="no room"),
        pytest.param(1, 0, id="one byte"),
        pytest.param(2 * INT_BYTES, 0, id="two integers"),
        pytest.param(socket.CMSG_LEN(0) - 1, 0, id="all but a byte of the header"),
        pytest.param(socket.CMSG_LEN(0), 0, id="header alone"),
        pytest.param(socket.CMSG_LEN(INT_BYTES) - 1, 0, id="header and most of a descriptor"),
        pytest.param(socket.CMSG_LEN(INT_BYTES), 1, id="one descriptor"),
        pytest.param(socket.CMSG_LEN(2 * INT_BYTES) - 1, 1, id="one and a half"),
    ],
)
def test_descriptors_that_do_not_fit_are_lost_whole_and_the_loss_is_marked(
    room: int, arriving: int, into: bool
) -> None:
    with _pipes(2) as sent, unix_pair() as (left, right):
        left.sendmsg([b"text"], [_rights(*sent)])
        if into:
            _, ancillary, flags, _ = right.recvmsg_into([bytearray(100)], room)
        else:
            data, ancillary, flags, _ = right.recvmsg(100, room)
            assert data == b"text"
        assert flags & socket.MSG_CTRUNC == socket.MSG_CTRUNC
        assert _contents(_descriptors(ancillary)) == [b"0", b"1"][:arriving]


@linux_only
def test_without_a_size_no_ancillary_data_is_received() -> None:
    with _pipes(1) as sent, unix_pair() as (left, right):
        left.sendmsg([b"text"], [_rights(*sent)])
        assert right.recvmsg(100) == (b"text", [], socket.MSG_CTRUNC, None)


def test_ten_descriptors_travel_by_send_fds_and_recv_fds() -> None:
    with _pipes(10) as sent, unix_pair() as (left, right):
        assert socket.send_fds(left, [b"te", b"xt"], sent) == 4
        data, received, flags, address = socket.recv_fds(right, 100, 10)
        assert (data, flags & socket.MSG_CTRUNC, address) == (b"text", 0, None)
        assert _contents(received) == [str(number).encode() for number in range(10)]


def test_asking_for_more_descriptors_than_come_is_fine() -> None:
    with _pipes(2) as sent, unix_pair() as (left, right):
        socket.send_fds(left, [b"text"], sent)
        data, received, _, _ = socket.recv_fds(right, 2, 30)
        assert (data, right.recv(100)) == (b"te", b"xt")
        assert _contents(received) == [b"0", b"1"]


@linux_only
def test_asking_for_fewer_descriptors_than_come_loses_the_rest() -> None:
    with _pipes(3) as sent, unix_pair() as (left, right):
        socket.send_fds(left, [b"text"], sent)
        # Space for three is not followed by padding that a fourth could use.
        data, received, flags, _ = socket.recv_fds(right, 100, 1)
        assert (data, flags & socket.MSG_CTRUNC) == (b"text", socket.MSG_CTRUNC)
        assert _contents(received) == [b"0"]


def test_no_descriptors_are_an_empty_list() -> None:
    with unix_pair() as (left, right):
        left.sendall(b"text")
        data, received, flags, _ = socket.recv_fds(right, 100, 4)
        assert (data, received, flags & socket.MSG_CTRUNC) == (b"text", [], 0)


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="credentials travel like this on Linux alone")
def test_credentials_are_not_taken_for_descriptors() -> None:
    with _pipes(1) as sent, unix_pair() as (left, right):
        right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        left.sendall(b"alone")
        data, ancillary, flags, _ = right.recvmsg(100, 1000)
        own = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
        assert (data, ancillary, flags) == (b"alone", [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, own)], 0)
        socket.send_fds(left, [b"text"], sent)
        data, received, _, _ = socket.recv_fds(right, 100, 20)
        assert (data, _contents(received)) == (b"text", [b"0"])


class Scripted(socket.socket):
    """Receives the ancillary data that a test wrote down."""

    items: list[tuple[int, int, bytes]]
    room = 0

    def recvmsg(self, _size: int, room: int = 0, _flags: int = 0, /) -> Any:
        self.room = room
        return b"text", self.items, 0, "address"


@pytest.mark.parametrize(
    ("items", "received"),
    [
        pytest.param([(*RIGHTS, _packed(7, 8))], [7, 8], id="two whole ones"),
        pytest.param([(*RIGHTS, _packed(7, 8)[:-1])], [7], id="one and a cut one"),
        pytest.param([(*RIGHTS, b"\1")], [], id="a cut one"),
        pytest.param([_rights(7), _rights(8)], [7, 8], id="two items"),
        pytest.param([(RIGHTS[0], RIGHTS[1] + 1, _packed(7))], [], id="another type"),
        pytest.param([(RIGHTS[0] + 1, RIGHTS[1], _packed(7))], [], id="another level"),
    ],
)
def test_recv_fds_takes_whole_descriptors_out_of_rights_alone(
    items: list[tuple[int, int, bytes]], received: list[int]
) -> None:
    with Scripted(socket.AF_UNIX) as sock:
        sock.items = items
        assert socket.recv_fds(sock, 100, 3) == (b"text", received, 0, "address")
        assert sock.room == socket.CMSG_LEN(3 * INT_BYTES)


@given(st.integers(0, 100_000))
def test_the_length_of_an_item_is_its_header_and_its_data(size: int) -> None:
    assert socket.CMSG_LEN(size) == socket.CMSG_LEN(0) + size


@given(st.integers(0, 100_000))
def test_the_space_of_an_item_holds_its_length_and_the_padding_of_the_next(size: int) -> None:
    space, length = socket.CMSG_SPACE(size), socket.CMSG_LEN(size)
    assert length <= space < length + 2 * struct.calcsize("n")
    assert space <= socket.CMSG_SPACE(size + 1) <= space + 2 * struct.calcsize("n")


@pytest.mark.skipif(struct.calcsize("P") != 8 or sys.platform != "linux", reason="sizes of 64-bit Linux")
def test_the_sizes_on_64_bit_linux() -> None:
    assert [socket.CMSG_LEN(size) for size in (0, 1, 4, 8, 9)] == [16, 17, 20, 24, 25]
    assert [socket.CMSG_SPACE(size) for size in (0, 1, 4, 8, 9)] == [16, 24, 24, 24, 32]


@pytest.mark.parametrize("measure", [socket.CMSG_LEN, socket.CMSG_SPACE])
@pytest.mark.parametrize("size", [-1, -(2**40), sys.maxsize, 2**70])
def test_a_size_that_no_item_can_have_overflows(measure: Any, size: int) -> None:
    with pytest.raises(OverflowError):
        measure(size)


@linux_only
def test_the_largest_length_is_the_largest_integer() -> None:
    limit = 2**31 - 1
    header = socket.CMSG_LEN(0)
    assert socket.CMSG_LEN(limit - header) == limit
    with pytest.raises(OverflowError, match="CMSG_LEN"):
        socket.CMSG_LEN(limit - header + 1)
    with pytest.raises(OverflowError, match="CMSG_SPACE"):
        socket.CMSG_SPACE(limit - header)
