"""Which endpoints overlap: the tables of each system, and the kernel's own word."""

from __future__ import annotations

import itertools
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.events import Endpoint
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.overlap import canonical, canonical_address, is_loopback, overlaps, reaches
from parasuite.model.words import Protocol

ADDRESSES = ["0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0"]
endpoints = st.builds(
    Endpoint,
    protocol=st.sampled_from([Protocol.TCP, Protocol.UDP]),
    address=st.sampled_from([*ADDRESSES, "224.0.0.251", "192.0.2.7"]),
    port=st.sampled_from([8025, 8026]),
    network=st.sampled_from([OUR_NETWORK, Network(4026531992)]),
    v6only=st.sampled_from([None, True, False]),
)


def tcp(address: str, port: int = 8025, v6only: bool | None = None, namespace: int = 0) -> Endpoint:
    return Endpoint(Protocol.TCP, address, port, Network(namespace), v6only)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (tcp("127.0.0.1"), tcp("127.0.0.1")),
        (tcp("0.0.0.0"), tcp("127.0.0.1")),
        (tcp("0.0.0.0"), tcp("192.0.2.7")),
        (tcp("::", v6only=False), tcp("127.0.0.1")),
        (tcp("::", v6only=False), tcp("0.0.0.0")),
        (tcp("::", v6only=True), tcp("::1")),
        (tcp("::", v6only=True), tcp("::", v6only=False)),
        (tcp("127.0.0.1"), tcp("::ffff:127.0.0.1")),
        (Endpoint(Protocol.UNIX, "@name"), Endpoint(Protocol.UNIX, "@name")),
        (Endpoint(Protocol.VSOCK, "4294967295", 1234), Endpoint(Protocol.VSOCK, "1", 1234)),
        (
            Endpoint(Protocol.UNIX, "/tmp/s", network=Network(1)),
            Endpoint(Protocol.UNIX, "/tmp/s", network=Network(2)),
        ),
    ],
)
def test_these_endpoints_overlap_in_either_order(first: Endpoint, second: Endpoint) -> None:
    assert overlaps(first, second)
    assert overlaps(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (tcp("127.0.0.1"), tcp("127.0.0.2")),
        (tcp("127.0.0.1"), tcp("::1")),
        (tcp("::", v6only=True), tcp("127.0.0.1")),
        (tcp("::", v6only=True), tcp("0.0.0.0")),
        (tcp("127.0.0.1", 8025), tcp("127.0.0.1", 8026)),
        (tcp("127.0.0.1"), Endpoint(Protocol.UDP, "127.0.0.1", 8025)),
        (tcp("127.0.0.1", namespace=1), tcp("127.0.0.1", namespace=2)),
        (Endpoint(Protocol.UDP, "224.0.0.251", 5353), Endpoint(Protocol.UDP, "224.0.0.251", 5353)),
        (Endpoint(Protocol.UNIX, "@name", network=Network(1)), Endpoint(Protocol.UNIX, "@name", network=Network(2))),
    ],
)
def test_these_endpoints_do_not_overlap_in_either_order(first: Endpoint, second: Endpoint) -> None:
    assert not overlaps(first, second)
    assert not overlaps(second, first)


def test_a_wildcard_of_unknown_v6only_counts_as_the_system_makes_it() -> None:
    unknown, v4 = tcp("::"), tcp("127.0.0.1")
    assert overlaps(unknown, v4, os="linux")
    assert overlaps(unknown, v4, os="macos")
    assert not overlaps(unknown, v4, os="windows")


@given(endpoints, endpoints)
def test_overlap_is_symmetric(first: Endpoint, second: Endpoint) -> None:
    assert overlaps(first, second) == overlaps(second, first)


@given(endpoints, endpoints)
def test_spelling_does_not_matter(first: Endpoint, second: Endpoint) -> None:
    assert overlaps(first, second) == overlaps(canonical(first), canonical(second))


def test_mapped_and_long_addresses_have_one_spelling() -> None:
    assert canonical_address("::ffff:127.0.0.1") == "127.0.0.1"
    assert canonical_address("0:0:0:0:0:0:0:1") == "::1"
    assert canonical_address("fe80::1%eth0") == "fe80::1%eth0"
    assert canonical_address("/tmp/socket") == "/tmp/socket"


def test_loopback_is_what_only_this_host_reaches() -> None:
    assert [is_loopback(a) for a in ("127.9.9.9", "::1", "::ffff:127.0.0.1")] == [True, True, True]
    assert [is_loopback(a) for a in ("0.0.0.0", "::", "192.0.2.7", "/tmp/s")] == [False, False, False, False]


def test_a_client_of_a_wildcard_means_this_host() -> None:
    assert reaches(tcp("0.0.0.0"), tcp("127.0.0.1"))
    assert reaches(tcp("::1"), tcp("::", v6only=True))
    assert not reaches(tcp("0.0.0.0"), tcp("127.0.0.2"))
    assert not reaches(tcp("127.0.0.1"), tcp("::", v6only=True))


def _bound(address: str, v6only: bool, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        made.bind((address, port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="the live matrix is Linux's: elsewhere overlaps are let in")
def test_linux_refuses_the_second_plain_listener_exactly_where_endpoints_overlap(
    port_outside_the_ephemeral_range: int,
) -> None:
    port = port_outside_the_ephemeral_range
    kinds = [(a, v6only) for a in ADDRESSES for v6only in ((False, True) if a == "::" else (False,))]
    disagreements = []
    for (first, first_only), (second, second_only) in itertools.product(kinds, kinds):
        with _bound(first, first_only, port):
            try:
                _bound(second, second_only, port).close()
                refused = False
            except OSError:
                refused = True
        told = overlaps(tcp(first, port, first_only), tcp(second, port, second_only))
        if told != refused:
            disagreements.append((first, first_only, second, second_only, refused))
    assert disagreements == []
