"""Pairs over every transport that this machine has."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from converted_tests.test_socket.support import Pair, datagram_pair, tcp_pair, unix_pair


@pytest.fixture(params=["tcp4", "tcp6", "unix"])
def stream_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A connected pair of stream sockets."""
    if request.param == "unix":
        with unix_pair() as pair:
            yield pair
        return
    if request.param == "tcp6":
        request.getfixturevalue("ipv6")
    with tcp_pair(socket.AF_INET6 if request.param == "tcp6" else socket.AF_INET) as pair:
        yield pair


@pytest.fixture(params=["udp4", "udp6", "udplite"])
def datagrams(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two bound datagram sockets; the second is where the first sends to."""
    family = socket.AF_INET6 if request.param == "udp6" else socket.AF_INET
    if family == socket.AF_INET6:
        request.getfixturevalue("ipv6")
    proto = 0
    if request.param == "udplite":
        proto = getattr(socket, "IPPROTO_UDPLITE", 136)
        try:
            socket.socket(family, socket.SOCK_DGRAM, proto).close()
        except OSError as failure:
            pytest.skip(f"no UDP-Lite (RFC 3828) in this kernel: {failure.strerror}")
    with datagram_pair(family, proto) as pair:
        yield pair
