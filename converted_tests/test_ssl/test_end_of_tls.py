"""A connection ends with close_notify, ends without it, or continues in the clear; the reader learns which.

Source: RFC 8446 section 6.1 (truncation), the ssl documentation of suppress_ragged_eofs and SSLSocket.unwrap, tcp(7).
"""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import Peer, Reset, Say, listening
from converted_tests.test_ssl.support import Ends, exactly, tls_dialled, unwrap


def one_line_then_eof() -> Peer:
    yield Say(b"hello")


def one_line_then_reset() -> Peer:
    yield Reset(b"hello")


def test_a_peers_plain_end_is_an_end_of_file(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(one_line_then_eof(), context=server_context) as server:
        with tls_dialled(server, client_context) as client:
            assert exactly(client, 5) == b"hello"
            assert client.recv(5) == b""
            assert client.recv_into(bytearray(5)) == 0


@pytest.mark.parametrize(
    "receive", [lambda sock: sock.recv(5), lambda sock: sock.recv_into(bytearray(5))], ids=["recv", "recv_into"]
)
def test_a_peers_plain_end_can_be_an_error(
    receive: Callable[[Any], object], client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(one_line_then_eof(), context=server_context) as server:
        with tls_dialled(server, client_context, suppress_ragged_eofs=False) as client:
            assert exactly(client, 5) == b"hello"
            with pytest.raises(ssl.SSLEOFError) as end:
                receive(client)
            assert end.value.args[0] == ssl.SSL_ERROR_EOF


@pytest.mark.skipif(sys.version_info < (3, 13), reason="until gh-115627 a reset was taken for an end of file")
def test_a_reset_is_not_taken_for_the_end(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with listening(one_line_then_reset(), context=server_context) as server:
        with tls_dialled(server, client_context) as client, pytest.raises(ConnectionResetError):
            exactly(client, 6)


def test_a_broken_record_is_not_taken_for_the_end(ends: Ends) -> None:
    client, server = ends
    # Bypassing TLS: a record of application data that is not encrypted. RFC 8446 section 5.2.
    socket.socket.send(client, b"\x17\x03\x03\x00\x20" + b"x" * 32)
    with pytest.raises(ssl.SSLError) as failure:
        server.recv(5)
    assert failure.value.reason == "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"


def test_after_tls_data_goes_through_the_plain_socket(ends: Ends) -> None:
    client, server = ends
    unwrap(client, server)
    assert client.send(b"a", 0) == 1
    assert client.sendall(b"b", 0) is None  # type: ignore[func-returns-value]
    assert server.recv(2, socket.MSG_WAITALL) == b"ab"
    assert client.send(b"cde", socket.MSG_DONTWAIT) == 3
    assert client.sendall(b"fg", socket.MSG_DONTWAIT) is None  # type: ignore[func-returns-value]
    assert server.recv(1) == b"c"
    # A stream over TCP does not show where its bytes come from.
    assert server.recvfrom(1) == (b"d", None)
    assert server.recv(3, socket.MSG_WAITALL | socket.MSG_PEEK) == b"efg"
    buffer = bytearray(8)
    assert server.recv_into(buffer, 1) == 1
    assert server.recvfrom(2, socket.MSG_PEEK)[0] == b"fg"
    assert server.recvfrom_into(memoryview(buffer)[1:], 1, socket.MSG_PEEK)[0] == 1
    assert server.recvfrom_into(memoryview(buffer)[1:], 2)[0] == 2
    assert buffer == b"efg\0\0\0\0\0"


def test_after_tls_flags_reach_the_plain_socket(ends: Ends) -> None:
    client, server = ends
    unwrap(client, server)
    client.sendall(b"hello")
    buffer = bytearray(5)
    assert server.recv_into(buffer, 5, socket.MSG_WAITALL | socket.MSG_PEEK) == 5
    assert server.recv_into(buffer, None, socket.MSG_PEEK) == 5
    assert server.recv(100) == b"hello"


def test_after_tls_at_most_1024_bytes_are_received_at_a_time(ends: Ends) -> None:
    client, server = ends
    unwrap(client, server)
    client.sendall(b"x" * 3000)
    assert server.recv(3000, socket.MSG_WAITALL | socket.MSG_PEEK) == b"x" * 3000
    assert len(server.recv()) == 1024
    assert len(server.recvfrom()[0]) == 1024


@pytest.mark.parametrize("flags", [(), (0,)], ids=["without flags", "with flags"])
def test_after_tls_sendto_is_the_plain_sockets_affair(flags: tuple[int, ...], ends: Ends) -> None:
    client, server = ends
    unwrap(client, server)
    sender: Any = client
    # TCP takes no notice of the address once it is connected. tcp(7).
    assert sender.sendto(b"hello", *flags, server.getsockname()) == 5
    assert server.recv(5) == b"hello"


def test_after_tls_a_file_is_sent_in_the_clear(ends: Ends, tmp_path: Path) -> None:
    client, server = ends
    unwrap(client, server)
    (tmp_path / "file").write_bytes(b"0123456789")
    with (tmp_path / "file").open("rb") as file:
        assert client.sendfile(file, 2, 3) == 3
    assert server.recv(3, socket.MSG_WAITALL) == b"234"
