"""The kernel's table of sockets and its word on their end, asked of a real kernel."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from contextlib import closing

import pytest
from parasuite.model.words import Protocol
from parasuite.sensors import netlink

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux's")
PATIENCE_S = 30  # A safety net only.


def cookie_of(sock: socket.socket) -> int:
    return int(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, 57, 8))[0])


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def bound(kind: int = socket.SOCK_STREAM, address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.bind((address, port))
    return made


def states(rows: list[netlink.Row], port: int) -> list[tuple[str, str, str]]:
    return [(row.address, row.protocol, row.socket_state) for row in rows if row.port == port]


def wait_for(destroyed: netlink.Destroyed, wanted: set[int]) -> set[int]:
    """The cookies of *wanted* that were reported, once all were, or after the safety net."""
    found: set[int] = set()
    while not wanted <= found:
        ready, _, _ = select.select([destroyed], [], [], PATIENCE_S)
        if not ready:
            break
        found.update(destroyed.cookies())
    return found & wanted


def test_a_socket_that_is_bound_and_does_not_listen_is_in_the_table(port_outside_the_ephemeral_range: int) -> None:
    port = port_outside_the_ephemeral_range
    with netlink.Table() as table, bound(port=port) as sock:
        assert states(table.rows(Protocol.TCP, netlink.TCP_OWNERS, port), port) == [("127.0.0.1", "tcp", "bound")]
        sock.listen()
        assert states(table.rows(Protocol.TCP, netlink.TCP_OWNERS, port), port) == [("127.0.0.1", "tcp", "listen")]


def test_only_rows_of_the_requested_port_are_listed_even_of_sockets_that_do_not_listen() -> None:
    with netlink.Table() as table, bound() as sock, bound():
        port = sock.getsockname()[1]
        assert {row.port for row in table.rows(Protocol.TCP, netlink.EVERY_TCP_STATE, port)} == {port}


def test_a_row_names_the_socket_by_cookie_and_inode() -> None:
    with netlink.Table() as table, bound(socket.SOCK_DGRAM, "::1") as sock:
        port = sock.getsockname()[1]
        (row,) = [row for row in table.rows(Protocol.UDP, netlink.UDP_STATES, port) if row.inode == inode_of(sock)]
        assert (row.cookie, row.inode, row.address, row.uid) == (cookie_of(sock), inode_of(sock), "::1", os.getuid())
        assert row.socket_state == "unconnected"


@pytest.mark.parametrize("v6only", [False, True])
def test_a_row_shows_whether_a_socket_is_dual_stack_or_v6_only(v6only: bool) -> None:
    with netlink.Table() as table, socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind(("::", 0))
        rows = table.rows(Protocol.TCP, netlink.TCP_OWNERS, sock.getsockname()[1])
        # Another process may have bound the port on another address.
        assert [row.v6only for row in rows if row.inode == inode_of(sock)] == [v6only]


@pytest.mark.parametrize(("device", "interface"), [(b"lo", 1), (b"", 0)])
def test_a_row_shows_the_device_that_a_socket_is_bound_to(device: bytes, interface: int) -> None:
    with netlink.Table() as table, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        sock.bind(("0.0.0.0", 0))
        rows = table.rows(Protocol.TCP, netlink.TCP_OWNERS, sock.getsockname()[1])
        assert [row.interface for row in rows if row.inode == inode_of(sock)] == [interface]


@pytest.mark.usefixtures("ample_network")
def test_the_accepted_end_and_the_time_wait_of_a_connection_are_in_the_table(
    port_outside_the_ephemeral_range: int,
) -> None:
    port = port_outside_the_ephemeral_range
    with netlink.Table() as table, bound(port=port) as listener:
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            there = table.rows(Protocol.TCP, netlink.EVERY_TCP_STATE, port)
            assert sorted(row.socket_state for row in there) == ["established", "listen"]
            accepted.close()
            assert client.recv(1) == b""
        listener.close()
        (row,) = table.rows(Protocol.TCP, netlink.EVERY_TCP_STATE, port)
        assert (row.socket_state, row.inode) == ("time-wait", 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_end_of_a_socket_is_reported_when_its_last_duplicate_closes(kind: int, address: str) -> None:
    destroyed = netlink.Destroyed()
    first = bound(kind, address)
    cookie = cookie_of(first)
    second = first.dup()
    first.close()
    with netlink.Table() as table:
        protocol = Protocol.TCP if kind == socket.SOCK_STREAM else Protocol.UDP
        mask = netlink.TCP_OWNERS if protocol == Protocol.TCP else netlink.UDP_STATES
        assert cookie in {row.cookie for row in table.rows(protocol, mask)}
        second.close()
        assert wait_for(destroyed, {cookie}) == {cookie}
        assert cookie not in {row.cookie for row in table.rows(protocol, mask)}
    destroyed.close()


def test_every_one_of_a_thousand_ends_is_reported() -> None:
    destroyed = netlink.Destroyed()
    cookies = set()
    for _ in range(1000):
        with bound() as sock:
            cookies.add(cookie_of(sock))
    assert wait_for(destroyed, cookies) == cookies
    assert destroyed.overflows == 0
    destroyed.close()


def test_a_full_buffer_is_counted_and_raises_nothing() -> None:
    with closing(netlink.Destroyed()) as destroyed:
        with socket.socket(fileno=os.dup(destroyed.fileno())) as small:
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        # The kernel tells of an end a moment later, so how many fill the buffer depends on its pace.
        reported = ends = 0
        while not destroyed.overflows and ends < 20_000:
            for _ in range(200):
                bound().close()
            ends += 200
            reported += len(list(destroyed.cookies()))
        assert destroyed.overflows >= 1
        assert reported < ends
