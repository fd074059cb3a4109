"""A datagram arrives whole with its sender's address or not at all; sendto takes its arguments by position and type.

Source: udp(7), recvfrom(2); RFC 768, RFC 3828.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.test_socket.support import Pair, datagram_pair, tcp_pair
from netsupport import HOSTv4

TEXT = b"whole or not at all"


def test_sendto_and_recv(datagrams: Pair) -> None:
    left, right = datagrams
    assert left.sendto(TEXT, 0, right.getsockname()) == len(TEXT)
    assert right.recv(100) == TEXT


def test_recvfrom_gives_data_and_address(datagrams: Pair) -> None:
    left, right = datagrams
    left.sendto(TEXT, right.getsockname())
    assert right.recvfrom(100) == (TEXT, left.getsockname())
    right.sendto(b"answer", left.getsockname())
    assert left.recvfrom(100) == (b"answer", right.getsockname())


def test_what_does_not_fit_is_lost(datagrams: Pair) -> None:
    left, right = datagrams
    for text in (TEXT, b"", b"next"):
        left.sendto(text, right.getsockname())
    assert [right.recv(size) for size in (5, 100, 100)] == [TEXT[:5], b"", b"next"]


def test_a_connected_socket_sends_to_its_peer_and_receives_from_it_alone() -> None:
    with datagram_pair() as (left, right), datagram_pair() as (stranger, _):
        left.connect(right.getsockname())
        stranger.sendto(b"from a stranger", left.getsockname())
        left.send(TEXT)
        data, address = right.recvfrom(100)
        right.sendto(data.upper(), address)
        assert left.recv(100) == TEXT.upper()


def test_a_datagram_to_a_closed_port_comes_back_as_an_error() -> None:
    with datagram_pair() as (left, right):
        left.connect(right.getsockname())
        # Connected to itself, it keeps its port and receives from no other socket: for us the port is closed.
        right.connect(right.getsockname())
        left.send(TEXT)
        with pytest.raises(ConnectionRefusedError):
            left.recv(100)


def test_without_an_address_an_unconnected_socket_cannot_send() -> None:
    with datagram_pair() as (left, _), pytest.raises(OSError) as caught:
        left.send(TEXT)
    assert caught.value.errno in {errno.EDESTADDRREQ, errno.ENOTCONN}


def test_a_negative_size_is_refused(datagrams: Pair) -> None:
    _, right = datagrams
    with pytest.raises(ValueError, match="negative buffersize in recvfrom"):
        right.recvfrom(-1)
    with pytest.raises(ValueError, match="negative buffersize in recv"):
        right.recv(-1)


ADDRESS = (HOSTv4, 9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param((), r"sendto\(\) takes 2 or 3 arguments \(0 given\)", id="nothing"),
        pytest.param((b"data",), r"sendto\(\) takes 2 or 3 arguments \(1 given\)", id="no address"),
        pytest.param((b"data", 0, ADDRESS, 0), r"sendto\(\) takes 2 or 3 arguments \(4 given\)", id="one too many"),
        pytest.param(("data", ADDRESS), "a bytes-like object is required, not 'str'", id="text"),
        pytest.param(("data", 0, ADDRESS), "a bytes-like object is required, not 'str'", id="text and flags"),
        pytest.param((5j, ADDRESS), "a bytes-like object is required, not 'complex'", id="number"),
        pytest.param((5j, 0, ADDRESS), "a bytes-like object is required, not 'complex'", id="number and flags"),
        pytest.param((b"data", None), "not NoneType", id="nothing for an address"),
        pytest.param((b"data", 0, None), "not NoneType", id="nothing for an address after flags"),
        pytest.param((b"data", "0", ADDRESS), "'str' object cannot be interpreted as an integer", id="text flags"),
        pytest.param((b"data", None, ADDRESS), "an integer", id="no flags"),
    ],
)
def test_sendto_names_the_argument_that_is_wrong(arguments: tuple[Any, ...], text: str) -> None:
    with datagram_pair() as (left, _), pytest.raises(TypeError, match=text):
        left.sendto(*arguments)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_destination_port_has_sixteen_bits(port: int) -> None:
    with datagram_pair() as (left, _), pytest.raises(OverflowError, match="port must be 0-65535"):
        left.sendto(TEXT, (HOSTv4, port))


def test_a_datagram_longer_than_the_protocol_allows_is_refused() -> None:
    with datagram_pair() as (left, right), pytest.raises(OSError) as caught:
        left.sendto(bytes(65_508), right.getsockname())
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.skipif(sys.platform != "linux", reason="other systems answer EISCONN")
def test_a_connected_stream_ignores_the_address_of_sendto() -> None:
    with tcp_pair() as (client, server):
        client.sendto(TEXT, (HOSTv4, 9))
        assert server.recv(100) == TEXT


@settings(max_examples=15)
@given(st.binary(max_size=2000))
def test_any_datagram_arrives_as_it_was_sent(data: bytes) -> None:
    with datagram_pair() as (left, right):
        left.sendto(data, right.getsockname())
        assert right.recvfrom(4096) == (data, left.getsockname())


def test_udp_lite_checksums_cover_the_requested_length() -> None:
    proto = getattr(socket, "IPPROTO_UDPLITE", None)
    if proto is None or not hasattr(socket, "UDPLITE_SEND_CSCOV"):
        pytest.skip("built without UDP-Lite (RFC 3828)")
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, proto).close()
    except OSError as failure:
        pytest.skip(f"no UDP-Lite (RFC 3828) in this kernel: {failure.strerror}")
    with datagram_pair(socket.AF_INET, proto) as (left, right):
        left.setsockopt(proto, socket.UDPLITE_SEND_CSCOV, 8)
        right.setsockopt(proto, socket.UDPLITE_RECV_CSCOV, 20)
        left.sendto(b"covered too little", right.getsockname())
        left.setsockopt(proto, socket.UDPLITE_SEND_CSCOV, 20)
        left.sendto(b"covered enough", right.getsockname())
        assert left.getsockopt(proto, socket.UDPLITE_SEND_CSCOV) == 20
        assert right.recv(100) == b"covered enough"
