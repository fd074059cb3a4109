"""The table of this system, checked with real calls. The same test checks the other tables on their systems."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from netsupport import PortLease, leases, reserve_port
from netsupport.tests.pair_tables import ACCESS, INUSE, OK, TABLES, Case

HERE = TABLES.get(sys.platform, [])
IP_LOCAL_PORT_RANGE = 51
"""ip(7), Linux 6.3: narrows one socket's automatic port to a range."""

VERDICTS = {errno.EADDRINUSE: INUSE, errno.EACCES: ACCESS}
OPTIONS = {"RA": "SO_REUSEADDR", "RP": "SO_REUSEPORT", "EX": "SO_EXCLUSIVEADDRUSE"}


@pytest.fixture(scope="module")
def lease() -> Iterator[PortLease]:
    """A port that no other socket has on any address, so that only the pair itself can be the reason for an error."""
    with reserve_port(kind="both", child_reuses_address=False) as leased:
        assert leased.guarantee is leases.Guarantee.LEASE
        yield leased


def made(address: str, kind: socket.SocketKind, option: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address == "::only")
    if option != "none":
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, OPTIONS[option]), 1)
    return sock


def bound(address: str, port: int, kind: socket.SocketKind, option: str) -> socket.socket:
    sock = made(address, kind, option)
    try:
        sock.bind((address.removesuffix("only"), port))
    except BaseException:
        sock.close()
        raise
    return sock


def verdict(case: Case, port: int, options: str) -> str:
    """What this kernel says to the second socket."""
    first_option, second_option = options.split("/")
    first_kind = socket.SOCK_DGRAM if case.state == "udp" else socket.SOCK_STREAM
    second_kind = {"": first_kind, "udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[case.second_protocol]
    with bound(case.first, port, first_kind, first_option) as first:
        if case.state == "listening":
            first.listen()
        try:
            bound(case.second, port, second_kind, second_option).close()
        except OSError as refusal:
            return VERDICTS[refusal.errno or 0]
    return OK


@pytest.mark.skipif(not HERE, reason=f"no table for {sys.platform}")
@pytest.mark.parametrize("case", HERE, ids=str)
def test_this_kernel_behaves_as_its_table_says(case: Case, lease: PortLease) -> None:
    assert {options: verdict(case, lease.port, options) for options in case.verdicts} == case.verdicts


@pytest.mark.parametrize("system", TABLES)
def test_a_table_has_one_row_for_each_pair(system: str) -> None:
    names = [str(case) for case in TABLES[system]]
    assert len(set(names)) == len(names)
    assert {each for case in TABLES[system] for each in case.verdicts.values()} <= {OK, INUSE, ACCESS}


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="rows of the table for Linux alone")


@LINUX
@pytest.mark.parametrize("option", ["RA", "RP"])
def test_of_two_bound_sockets_that_share_a_port_the_second_cannot_listen_once_the_first_does(
    option: str, lease: PortLease
) -> None:
    with bound("127.0.0.1", lease.port, socket.SOCK_STREAM, option) as first:
        with bound("127.0.0.1", lease.port, socket.SOCK_STREAM, option) as second:
            first.listen()
            if option == "RP":
                second.listen()
            else:
                with pytest.raises(OSError) as refusal:
                    second.listen()
                assert refusal.value.errno == errno.EADDRINUSE


def drawn(port: int, kind: socket.SocketKind, option: str) -> bool:
    """Whether a port-0 bind gets *port* when the kernel may assign no other."""
    with made("127.0.0.1", kind, option) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port | port << 16))
        except OSError:
            pytest.skip("this kernel is older than 6.3 and cannot be limited to one port")
        with contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", 0))
        given: int = sock.getsockname()[1]
        assert given in (0, port)
        return given == port


@LINUX
@pytest.mark.parametrize("option", ["none", "RA", "RP"])
@pytest.mark.parametrize("state", ["listening", "bound"])
def test_a_tcp_port_in_use_is_never_drawn(option: str, state: str) -> None:
    with bound("127.0.0.1", 0, socket.SOCK_STREAM, option) as owner:
        if state == "listening":
            owner.listen()
        assert not drawn(owner.getsockname()[1], socket.SOCK_STREAM, option)


@LINUX
@pytest.mark.parametrize(("option", "repeats"), [("none", False), ("RA", True), ("RP", True)])
def test_a_udp_port_is_drawn_again_if_both_sockets_reuse_it(option: str, repeats: bool) -> None:
    with bound("127.0.0.1", 0, socket.SOCK_DGRAM, option) as owner:
        assert drawn(owner.getsockname()[1], socket.SOCK_DGRAM, option) == repeats


@LINUX
def test_a_tcp_port_in_time_wait_is_never_drawn(scene: Any) -> None:
    assert scene("a_draw_of_a_port_in_time_wait") is False


@LINUX
@pytest.mark.parametrize("option", ["none", "RA"])
def test_the_source_port_of_a_live_client_cannot_be_bound(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        with pytest.raises(OSError) as refusal:
            bound("127.0.0.1", client.getsockname()[1], socket.SOCK_STREAM, option)
        assert refusal.value.errno == errno.EADDRINUSE


@LINUX
def test_of_two_udp_sockets_that_share_a_port_the_last_to_bind_gets_the_datagrams(lease: PortLease) -> None:
    with bound("127.0.0.1", lease.port, socket.SOCK_DGRAM, "RA") as first:
        with bound("127.0.0.1", lease.port, socket.SOCK_DGRAM, "RA") as second:
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.sendto(b"to one of you", ("127.0.0.1", lease.port))
                assert second.recv(100) == b"to one of you"
                first.setblocking(False)
                with pytest.raises(BlockingIOError):
                    first.recv(100)
