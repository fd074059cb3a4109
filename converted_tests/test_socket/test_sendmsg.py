"""sendmsg gathers buffers into one message, with ancillary items, and rejects arguments of any other type.

Source: sendmsg(2), cmsg(3); RFC 3542 section 20.
"""

from __future__ import annotations

import array
import errno
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import SHORT_S
from converted_tests.strategies import pieces_of
from converted_tests.test_socket.support import Pair, datagram_pair, fill, tcp_pair, unix_pair

MESSAGE = b"gathered from several places"

pytestmark = pytest.mark.skipif(not hasattr(socket.socket, "sendmsg"), reason="this system has no sendmsg")

BUFFERS: list[Any] = [
    pytest.param(lambda: [MESSAGE], id="one buffer"),
    pytest.param(lambda: [MESSAGE[:3], MESSAGE[3:9], MESSAGE[9:]], id="several buffers"),
    pytest.param(lambda: (part for part in (MESSAGE[:8], MESSAGE[8:])), id="generator"),
    pytest.param(lambda: [array.array("B", MESSAGE)], id="array"),
    pytest.param(lambda: [bytearray(MESSAGE[:4]), memoryview(MESSAGE)[4:]], id="mixed buffers"),
    pytest.param(lambda: [b"", MESSAGE, b""], id="empty buffers around"),
]


@pytest.mark.parametrize("buffers", BUFFERS)
def test_a_stream_gets_the_buffers_joined(buffers: Callable[[], Iterable[bytes]]) -> None:
    with tcp_pair() as (client, server):
        assert client.sendmsg(buffers()) == len(MESSAGE)
        client.close()
        assert server.recv(100) == MESSAGE


@pytest.mark.parametrize("buffers", BUFFERS)
def test_a_datagram_is_the_buffers_joined(buffers: Callable[[], Iterable[bytes]]) -> None:
    with datagram_pair() as (left, right):
        assert left.sendmsg(buffers(), [], 0, right.getsockname()) == len(MESSAGE)
        assert right.recvfrom(100) == (MESSAGE, left.getsockname())


def test_every_datagram_protocol_takes_several_buffers(datagrams: Pair) -> None:
    left, right = datagrams
    assert left.sendmsg([MESSAGE[:5], MESSAGE[5:]], [], 0, right.getsockname()) == len(MESSAGE)
    assert right.recvfrom(100) == (MESSAGE, left.getsockname())


def test_ancillary_items_may_come_from_a_generator(stream_pair: Pair) -> None:
    client, server = stream_pair
    nothing: list[tuple[int, int, bytes]] = []
    assert client.sendmsg([MESSAGE], (item for item in nothing)) == len(MESSAGE)
    assert server.recv(100) == MESSAGE


def test_no_address_is_needed_on_a_stream(stream_pair: Pair) -> None:
    client, server = stream_pair
    assert client.sendmsg([b"with ", b"all arguments"], [], 0, None) == 18
    assert server.recv(100) == b"with all arguments"


def test_no_address_is_needed_on_a_connected_datagram_socket(datagrams: Pair) -> None:
    left, right = datagrams
    left.connect(right.getsockname())
    assert left.sendmsg([b"connected"]) == 9
    assert right.recv(100) == b"connected"


@pytest.mark.parametrize("arguments", [(), ([], 0, None)])
def test_without_a_destination_a_datagram_goes_nowhere(datagrams: Pair, arguments: tuple[Any, ...]) -> None:
    left, _ = datagrams
    with pytest.raises(OSError) as caught:
        left.sendmsg([MESSAGE], *arguments)
    assert caught.value.errno in {errno.EDESTADDRREQ, errno.ENOTCONN}


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="nothing"),
        pytest.param((MESSAGE,), id="bytes for a list of buffers"),
        pytest.param((5,), id="number for a list of buffers"),
        pytest.param(([MESSAGE.decode()],), id="text buffer"),
        pytest.param(([MESSAGE, 5],), id="number for the second buffer"),
        pytest.param(([MESSAGE], 5), id="number for the ancillary items"),
        pytest.param(([MESSAGE], None), id="nothing for the ancillary items"),
        pytest.param(([MESSAGE], [], "flags"), id="text flags"),
        pytest.param(([MESSAGE], [], None), id="no flags"),
        pytest.param(([MESSAGE], [], 0, 5), id="number for an address"),
        pytest.param(([MESSAGE], [], 0, "host"), id="text for an internet address"),
        pytest.param(([MESSAGE], [], 0, None, 1), id="one argument too many"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused(arguments: tuple[Any, ...]) -> None:
    with datagram_pair() as (left, _), pytest.raises(TypeError):
        left.sendmsg(*arguments)


GOOD_ITEM = (getattr(socket, "SOL_SOCKET", 1), getattr(socket, "SCM_RIGHTS", 1), b"")


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(5, id="number"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param((), id="empty"),
        pytest.param((0,), id="level alone"),
        pytest.param((0, 0), id="no data"),
        pytest.param((0, 0, b"", 0), id="four parts"),
        pytest.param(("0", 0, b""), id="text level"),
        pytest.param((0, "0", b""), id="text type"),
        pytest.param((0, 0, "data"), id="text data"),
        pytest.param((0, 0, 5), id="number for the data"),
        pytest.param((0, 0, [5]), id="list for the data"),
    ],
)
def test_a_malformed_ancillary_item_is_refused_in_any_place(item: Any) -> None:
    with unix_pair() as (left, right):
        with pytest.raises(TypeError):
            left.sendmsg([MESSAGE], [item])
        with pytest.raises(TypeError):
            left.sendmsg([MESSAGE], [GOOD_ITEM, item])
        left.close()
        assert right.recv(100) == b""


def test_several_ancillary_items_are_refused_where_only_one_is_allowed() -> None:
    if hasattr(socket, "CMSG_SPACE"):
        pytest.skip("this system has CMSG_SPACE, so any number of items is allowed")
    with unix_pair() as (left, _), pytest.raises(OSError):
        left.sendmsg([MESSAGE], [GOOD_ITEM, GOOD_ITEM])


def test_an_ancillary_item_of_an_unknown_type_is_refused_by_the_kernel() -> None:
    with unix_pair() as (left, _), pytest.raises(OSError) as caught:
        left.sendmsg([MESSAGE], [(socket.SOL_SOCKET, 0x7FFF, b"1234")])
    assert caught.value.errno == errno.EINVAL


def test_sendmsg_after_close_fails(stream_pair: Pair) -> None:
    client, _ = stream_pair
    client.close()
    with pytest.raises(OSError) as caught:
        client.sendmsg([MESSAGE])
    assert caught.value.errno == errno.EBADF


def test_a_blocked_sendmsg_times_out(stream_pair: Pair) -> None:
    client, _ = stream_pair
    client.settimeout(SHORT_S)

    def send_without_end() -> None:
        while True:
            client.sendmsg([bytes(100_000)])

    with pytest.raises(TimeoutError, match="timed out"):
        send_without_end()


@pytest.mark.skipif(not hasattr(socket, "MSG_DONTWAIT"), reason="no MSG_DONTWAIT here")
def test_with_dontwait_a_full_stream_is_an_error_at_once() -> None:
    with unix_pair() as (left, _):
        fill(left)
        # The flag is for the kernel: with a timeout the object itself would wait.
        left.settimeout(None)
        with pytest.raises(OSError) as caught:
            left.sendmsg([bytes(100_000)], [], socket.MSG_DONTWAIT)
        assert caught.value.errno in {errno.EAGAIN, errno.ENOBUFS}


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=200).flatmap(pieces_of))
def test_however_a_message_is_cut_into_buffers_it_arrives_whole(pieces: list[bytes]) -> None:
    with unix_pair(socket.SOCK_DGRAM) as (left, right):
        left.sendmsg(pieces)
        assert right.recv(1000) == b"".join(pieces)


def test_sendmsg_afalg_is_for_the_kernels_cryptography_alone() -> None:
    if not hasattr(socket.socket, "sendmsg_afalg"):
        pytest.skip("this system has no AF_ALG")
    with unix_pair() as (left, _), pytest.raises(OSError, match="algset is only supported for AF_ALG"):
        left.sendmsg_afalg(op=0)
