"""Every server class of socketserver answers its clients, one at a time, in threads, over each family of addresses.

The promise is in the library reference, "socketserver"; forking servers have a file of their own.
"""

from __future__ import annotations

import socket
import socketserver
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_socketserver.support import (
    EchoDatagram,
    EchoLine,
    datagram_client,
    place,
    rest,
    serving,
    stream_client,
)


class TCPServer6(socketserver.TCPServer):
    address_family = socket.AF_INET6


class ThreadingTCPServer6(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6


class UDPServer6(socketserver.UDPServer):
    address_family = socket.AF_INET6


class ThreadingUDPServer6(socketserver.ThreadingUDPServer):
    address_family = socket.AF_INET6


STREAM = [
    pytest.param(socketserver.TCPServer, id="TCPServer"),
    pytest.param(TCPServer6, id="TCPServer over IPv6"),
    pytest.param(socketserver.ThreadingTCPServer, id="ThreadingTCPServer"),
    pytest.param(ThreadingTCPServer6, id="ThreadingTCPServer over IPv6"),
    pytest.param(socketserver.UnixStreamServer, id="UnixStreamServer"),
    pytest.param(socketserver.ThreadingUnixStreamServer, id="ThreadingUnixStreamServer"),
]

DATAGRAM = [
    pytest.param(socketserver.UDPServer, id="UDPServer"),
    pytest.param(UDPServer6, id="UDPServer over IPv6"),
    pytest.param(socketserver.ThreadingUDPServer, id="ThreadingUDPServer"),
    pytest.param(ThreadingUDPServer6, id="ThreadingUDPServer over IPv6"),
    pytest.param(socketserver.UnixDatagramServer, id="UnixDatagramServer"),
    pytest.param(socketserver.ThreadingUnixDatagramServer, id="ThreadingUnixDatagramServer"),
]

LINES = [b"first\n", b"second, which is longer\n", b"\n"]


@pytest.mark.parametrize("kind", STREAM, indirect=True)
def test_three_clients_are_answered_one_handle_request_each(kind: Any, tmp_path: Path) -> None:
    answers = []
    with kind(place(kind.address_family, tmp_path), EchoLine) as server:
        for line in LINES:
            with stream_client(server, line) as client:
                server.handle_request()
                answers.append(rest(client))
    assert answers == LINES


@pytest.mark.parametrize("kind", STREAM, indirect=True)
def test_three_clients_are_answered_while_the_server_serves_for_ever(kind: Any, tmp_path: Path) -> None:
    server = kind(place(kind.address_family, tmp_path), EchoLine)
    answers = []
    with serving(server):
        for line in LINES:
            with stream_client(server, line) as client:
                answers.append(rest(client))
    assert answers == LINES


@pytest.mark.parametrize("kind", DATAGRAM, indirect=True)
def test_three_datagrams_are_answered_one_handle_request_each(kind: Any, tmp_path: Path) -> None:
    answers = []
    with kind(place(kind.address_family, tmp_path), EchoDatagram) as server:
        for line in LINES:
            with datagram_client(server, tmp_path, line) as client:
                server.handle_request()
                answers.append(client.recvfrom(100))
        address = server.server_address
    assert answers == [(line, address) for line in LINES]


@pytest.mark.parametrize("kind", DATAGRAM, indirect=True)
def test_three_datagrams_are_answered_while_the_server_serves_for_ever(kind: Any, tmp_path: Path) -> None:
    server = kind(place(kind.address_family, tmp_path), EchoDatagram)
    with serving(server), datagram_client(server, tmp_path) as client:
        answers = []
        for line in LINES:
            client.sendto(line, server.server_address)
            answers.append(client.recv(100))
    assert answers == LINES


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(socketserver.ThreadingTCPServer, id="over IPv4"),
        pytest.param(ThreadingTCPServer6, id="over IPv6"),
    ],
    indirect=True,
)
def test_a_slow_client_of_a_threading_server_does_not_delay_others(kind: Any, tmp_path: Path) -> None:
    server = kind(place(kind.address_family, tmp_path), EchoLine)
    with serving(server), stream_client(server, b"not yet a li") as slow:
        with stream_client(server, b"line\n") as quick:
            assert rest(quick) == b"line\n"
        slow.sendall(b"ne\n")
        assert rest(slow) == b"not yet a line\n"
