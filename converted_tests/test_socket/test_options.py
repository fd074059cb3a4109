"""Options, names, ports and the queue of a listener go to the kernel as they are, within the range of their type.

Source: getsockopt(2), socket(7), listen(2), getsockname(2).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S
from converted_tests.test_socket.support import datagram_pair, tcp_pair, unix_pair
from netsupport import HOSTv4, HOSTv6, bind_port

REUSE = (socket.SOL_SOCKET, socket.SO_REUSEADDR)


def test_reuse_of_addresses_is_off_until_it_is_set() -> None:
    with socket.socket() as sock:
        assert sock.getsockopt(*REUSE) == 0
        sock.setsockopt(*REUSE, 1)
        assert sock.getsockopt(*REUSE) != 0
        sock.setsockopt(*REUSE, 0)
        assert sock.getsockopt(*REUSE) == 0


def test_an_option_may_be_set_and_read_as_bytes() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 7))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 7)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 4) == struct.pack("i", 1)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param((*REUSE, None), TypeError, id="no value"),
        pytest.param((*REUSE, 1.5), TypeError, id="fraction"),
        pytest.param((*REUSE, "1"), TypeError, id="text"),
        pytest.param((*REUSE,), TypeError, id="too few arguments"),
        pytest.param((*REUSE, b"", 1), TypeError, id="value and length"),
        pytest.param(("1", 2, 3), TypeError, id="text level"),
        pytest.param((*REUSE, b"\1"), OSError, id="too few bytes"),
    ],
)
def test_setsockopt_refuses_what_is_no_option(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with socket.socket() as sock:
        with pytest.raises(error):
            sock.setsockopt(*arguments)
        assert sock.getsockopt(*REUSE) == 0


@pytest.mark.parametrize("length", [-1, 1025])
def test_getsockopt_returns_between_one_and_1024_bytes(length: int) -> None:
    with socket.socket() as sock, pytest.raises(OSError, match="getsockopt buflen out of range"):
        sock.getsockopt(*REUSE, length)


def test_an_option_that_does_not_exist_is_an_error() -> None:
    with socket.socket() as sock, pytest.raises(OSError) as caught:
        sock.getsockopt(socket.SOL_SOCKET, 9999)
    assert caught.value.errno == errno.ENOPROTOOPT


def test_the_kernel_knows_the_kind_of_a_socket() -> None:
    with datagram_pair() as (left, _), tcp_pair() as (client, _):
        kinds = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) for sock in (left, client)]
    assert kinds == [socket.SOCK_DGRAM, socket.SOCK_STREAM]


def test_a_refused_connection_leaves_its_error_for_getsockopt_once() -> None:
    with datagram_pair() as (left, right):
        left.connect(right.getsockname())
        # Connected to itself, it keeps its port and receives from no other socket: for us the port is closed.
        right.connect(right.getsockname())
        left.send(b"to nobody")
        assert select.select([left], [], [], TIMEOUT_S)[0] == [left]
        errors = [left.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)]
    assert errors == [errno.ECONNREFUSED, 0]


def test_the_name_of_a_bound_socket_is_host_and_port() -> None:
    with socket.socket() as sock:
        assert sock.getsockname() == ("0.0.0.0", 0)
        port = bind_port(sock)
        assert sock.getsockname() == (HOSTv4, port)
        assert 0 < port < 65536


@pytest.mark.usefixtures("ipv6")
def test_the_name_of_a_bound_ipv6_socket_has_flow_label_and_scope() -> None:
    with socket.socket(socket.AF_INET6) as sock:
        assert sock.getsockname() == ("::", 0, 0, 0)
        port = bind_port(sock, HOSTv6)
        assert sock.getsockname() == (HOSTv6, port, 0, 0)


def test_a_socket_that_is_not_connected_has_no_peer() -> None:
    with socket.socket() as sock, pytest.raises(OSError) as caught:
        sock.getpeername()
    assert caught.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("port", [-1, 65536])
@pytest.mark.parametrize("call", ["bind", "connect", "connect_ex"])
def test_a_port_outside_sixteen_bits_overflows(call: str, port: int) -> None:
    with socket.socket() as sock, pytest.raises(OverflowError):
        getattr(sock, call)((HOSTv4, port))


@pytest.mark.parametrize(
    ("address", "error"),
    [
        pytest.param(HOSTv4, TypeError, id="text"),
        pytest.param((HOSTv4,), TypeError, id="no port"),
        pytest.param((HOSTv4, 0, 0), TypeError, id="too many parts"),
        pytest.param((HOSTv4, "0"), TypeError, id="port in text"),
        pytest.param((5, 0), TypeError, id="number for a host"),
        pytest.param((HOSTv6, 0), OSError, id="another family"),
    ],
)
def test_an_address_of_another_form_is_refused(address: Any, error: type[Exception]) -> None:
    with socket.socket() as sock, pytest.raises(error):
        sock.bind(address)


def test_two_listeners_cannot_have_one_port() -> None:
    with socket.socket() as first, socket.socket() as second:
        port = bind_port(first)
        first.listen()
        with pytest.raises(OSError) as caught:
            second.bind((HOSTv4, port))
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("backlog", [(), (0,), (-1,), (1,), (65_536,)])
def test_a_listener_accepts_whatever_its_backlog(backlog: tuple[int, ...]) -> None:
    with socket.socket() as listener, socket.socket() as client:
        bind_port(listener)
        listener.settimeout(TIMEOUT_S)
        listener.listen(*backlog)
        client.settimeout(TIMEOUT_S)
        client.connect(listener.getsockname())
        accepted, address = listener.accept()
        with accepted:
            assert address == client.getsockname()


@pytest.mark.parametrize(
    ("backlog", "error"),
    [(2**31, OverflowError), (-(2**31) - 1, OverflowError), ("1", TypeError), (1.5, TypeError), (None, TypeError)],
)
def test_a_backlog_is_an_integer_of_the_c_library(backlog: Any, error: type[Exception]) -> None:
    with socket.socket() as sock:
        bind_port(sock)
        with pytest.raises(error):
            sock.listen(backlog)


def test_a_datagram_socket_does_not_listen() -> None:
    with datagram_pair() as (left, _), pytest.raises(OSError) as caught:
        left.listen()
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="no SO_PEERCRED here")
def test_a_pair_knows_the_process_at_its_other_end() -> None:
    with unix_pair() as (left, _):
        credentials = left.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    assert struct.unpack("3i", credentials) == (os.getpid(), os.getuid(), os.getgid())
