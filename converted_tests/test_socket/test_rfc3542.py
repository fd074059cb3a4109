"""An IPv6 datagram carries its hop limit and traffic class as ancillary items, to be read and to be set.

Source: RFC 3542 sections 6.3, 6.5 and 20; ipv6(7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from converted_tests.test_socket.support import HAS_IPV6_CONSTANTS, Pair, datagram_pair

pytestmark = [
    pytest.mark.usefixtures("ipv6"),
    pytest.mark.skipif(not HAS_IPV6_CONSTANTS, reason="the options of RFC 3542 are not built in"),
]

INT_BYTES = struct.calcsize("i")
HOP_LIMIT = (getattr(socket, "IPPROTO_IPV6", 41), getattr(socket, "IPV6_HOPLIMIT", 0))
TRAFFIC_CLASS = (getattr(socket, "IPPROTO_IPV6", 41), getattr(socket, "IPV6_TCLASS", 0))
LENGTH, SPACE = socket.CMSG_LEN(INT_BYTES), socket.CMSG_SPACE(INT_BYTES)


def _integer(value: int) -> bytes:
    return struct.pack("i", value)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two IPv6 sockets; the second wants to know the hop limit."""
    with datagram_pair(socket.AF_INET6) as (left, right):
        right.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        yield left, right


def _receive(sock: socket.socket, room: int, into: bool) -> tuple[dict[tuple[int, int], bytes], bool]:
    """The ancillary items of the next message, by level and type, and whether some did not fit."""
    if into:
        _, ancillary, flags, _ = sock.recvmsg_into([bytearray(100)], room)
    else:
        data, ancillary, flags, _ = sock.recvmsg(100, room)
        assert data == b"message"
    return {(level, kind): data for level, kind, data in ancillary}, bool(flags & socket.MSG_CTRUNC)


into_or_not = pytest.mark.parametrize("into", [False, True], ids=["recvmsg", "recvmsg_into"])


@into_or_not
@pytest.mark.parametrize("room", [LENGTH, SPACE, 1000])
def test_the_systems_hop_limit_is_received(pair: Pair, room: int, into: bool) -> None:
    left, right = pair
    left.sendto(b"message", right.getsockname())
    usual = left.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    assert _receive(right, room, into) == ({HOP_LIMIT: _integer(usual)}, False)


@into_or_not
@pytest.mark.parametrize("hop_limit", [1, 2, 255])
def test_a_hop_limit_that_was_sent_is_received(pair: Pair, hop_limit: int, into: bool) -> None:
    left, right = pair
    left.sendmsg([b"message"], [(*HOP_LIMIT, _integer(hop_limit))], 0, right.getsockname())
    assert _receive(right, SPACE, into) == ({HOP_LIMIT: _integer(hop_limit)}, False)


def test_udp_lite_carries_both_as_well() -> None:
    proto = getattr(socket, "IPPROTO_UDPLITE", 136)
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, proto).close()
    except OSError as failure:
        pytest.skip(f"no UDP-Lite (RFC 3828) in this kernel: {failure.strerror}")
    with datagram_pair(socket.AF_INET6, proto) as (left, right):
        right.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        right.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        items = [(*TRAFFIC_CLASS, _integer(4)), (*HOP_LIMIT, _integer(3))]
        left.sendmsg([b"message"], items, 0, right.getsockname())
        assert _receive(right, 2 * SPACE, False) == ({HOP_LIMIT: _integer(3), TRAFFIC_CLASS: _integer(4)}, False)


@pytest.mark.parametrize("hop_limit", [-2, 256])
def test_a_hop_limit_outside_eight_bits_is_refused(pair: Pair, hop_limit: int) -> None:
    left, right = pair
    with pytest.raises(OSError):
        left.sendmsg([b"message"], [(*HOP_LIMIT, _integer(hop_limit))], 0, right.getsockname())


@into_or_not
def test_traffic_class_and_hop_limit_travel_together(pair: Pair, into: bool) -> None:
    left, right = pair
    right.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    items = [(*TRAFFIC_CLASS, _integer(4)), (*HOP_LIMIT, _integer(3))]
    left.sendmsg([b"message"], items, 0, right.getsockname())
    assert _receive(right, 2 * SPACE, into) == ({HOP_LIMIT: _integer(3), TRAFFIC_CLASS: _integer(4)}, False)
    left.sendto(b"message", right.getsockname())
    unchanged = left.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    assert _receive(right, SPACE + LENGTH, into) == (
        {HOP_LIMIT: _integer(unchanged), TRAFFIC_CLASS: _integer(0)},
        False,
    )


@pytest.mark.parametrize("size", [INT_BYTES - 1, INT_BYTES + 1])
def test_an_item_of_odd_size_is_refused_or_the_message_arrives(pair: Pair, size: int) -> None:
    left, right = pair
    item: Any = (*HOP_LIMIT, _integer(3)[:size].ljust(size, b"\0"))
    try:
        left.sendmsg([b"message"], [item], 0, right.getsockname())
    except OSError:
        left.sendto(b"message", right.getsockname())
    assert right.recv(100) == b"message"


@into_or_not
@pytest.mark.parametrize(
    ("room", "length"),
    [
        pytest.param(0, None, id="no room"),
        pytest.param(1, None, id="one byte"),
        pytest.param(socket.CMSG_LEN(0) - 1, None, id="all but a byte of the header"),
        pytest.param(socket.CMSG_LEN(0), 0, id="header alone"),
        pytest.param(socket.CMSG_LEN(1), 1, id="one byte of data"),
        pytest.param(LENGTH - 1, INT_BYTES - 1, id="all but a byte of data"),
    ],
)
def test_one_item_is_cut_where_the_room_ends(pair: Pair, room: int, length: int | None, into: bool) -> None:
    left, right = pair
    left.sendto(b"message", right.getsockname())
    items, lost = _receive(right, room, into)
    assert lost
    # RFC 3542 leaves it to the system whether a truncated item is reported at all.
    assert {kind: len(data) for kind, data in items.items()} in ({}, {HOP_LIMIT: length})


@into_or_not
@pytest.mark.parametrize(
    ("room", "length"),
    [
        pytest.param(SPACE, None, id="no room"),
        pytest.param(SPACE + socket.CMSG_LEN(0) - 1, None, id="all but a byte of the header"),
        pytest.param(SPACE + socket.CMSG_LEN(0), 0, id="header alone"),
        pytest.param(SPACE + socket.CMSG_LEN(1), 1, id="one byte of data"),
        pytest.param(SPACE + LENGTH - 1, INT_BYTES - 1, id="all but a byte of data"),
    ],
)
def test_the_second_item_is_cut_and_the_first_stays_whole(
    pair: Pair, room: int, length: int | None, into: bool
) -> None:
    left, right = pair
    right.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    left.sendto(b"message", right.getsockname())
    items, lost = _receive(right, room, into)
    assert lost
    sizes = sorted(len(data) for data in items.values())
    assert sizes in ([INT_BYTES], sorted([INT_BYTES, length or 0]))
    assert set(items) <= {HOP_LIMIT, TRAFFIC_CLASS}
