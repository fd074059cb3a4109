"""What a peer sends in the clear before TLS begins never reaches the program that asked for TLS.

Source: CVE-2023-40217, the ssl module's changes in Python 3.11.5; tcp(7) on resets.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator

import pytest

from converted_tests.peers import canned, dialled
from converted_tests.test_ssl.support import plain_connection, tls_sockets, unverified

SECRET = b"DELETE /everything HTTP/1.0\r\n\r\n"
REASON = "Closed before TLS handshake with data in recv buffer."


@contextlib.contextmanager
def spoken_to_and_reset() -> Iterator[socket.socket]:
    """A socket whose peer sent SECRET in the clear and then reset the connection."""
    with plain_connection() as (peer, sock):
        peer.sendall(SECRET)
        # Closing a socket that has unread data resets the connection. RFC 2525 section 2.17.
        sock.sendall(b"unread")
        peer.close()
        yield sock


def as_server(_client: ssl.SSLContext, server: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
    return server.wrap_socket(sock, server_side=True)


def as_client(client: ssl.SSLContext, _server: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
    return client.wrap_socket(sock, server_hostname="localhost")


both_sides = pytest.mark.parametrize("wrap", [as_server, as_client], ids=["server", "client"])


@both_sides
def test_data_before_a_reset_stops_the_wrapping(
    wrap: Callable[..., ssl.SSLSocket], client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with spoken_to_and_reset() as sock:
        descriptor = sock.fileno()
        with pytest.raises(ssl.SSLError) as failure:
            wrap(client_context, server_context, sock)
        library: str | None = failure.value.library
        assert (failure.value.reason, library) == (REASON, None)
        assert failure.value.args[1] == REASON
        assert sock.fileno() == -1
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_a_failure_to_close_does_not_hide_the_reason() -> None:
    class Unclosable(ssl.SSLSocket):
        def close(self) -> None:
            super().close()
            raise OSError("cannot close, on purpose")

    context = unverified()
    context.sslsocket_class = Unclosable
    with spoken_to_and_reset() as sock, pytest.raises(ssl.SSLError) as failure:
        context.wrap_socket(sock)
    assert failure.value.reason == REASON


@both_sides
def test_nothing_of_that_data_is_in_the_error(
    wrap: Callable[..., ssl.SSLSocket], client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with spoken_to_and_reset() as sock, pytest.raises(ssl.SSLError) as failure:
        wrap(client_context, server_context, sock)
    assert b"DELETE" not in repr(failure.value.__dict__).encode() + repr(failure.value.args).encode()


def test_the_error_is_not_in_a_cycle_with_its_own_traceback(client_context: ssl.SSLContext) -> None:
    with spoken_to_and_reset() as sock, pytest.raises(ssl.SSLError) as failure:
        client_context.wrap_socket(sock, server_hostname="localhost")
    frames = [frame for frame, _ in traceback.walk_tb(failure.value.__traceback__)][1:]
    assert frames
    holders = [
        frame.f_code.co_name for frame in frames for value in frame.f_locals.values() if value is failure.value
    ]
    assert holders == []


def test_an_https_client_does_not_take_it_for_an_answer(client_context: ssl.SSLContext) -> None:
    with spoken_to_and_reset() as sock, dialled(sock):
        connection = http.client.HTTPSConnection("localhost", context=client_context)
        with pytest.raises(ssl.SSLError, match="before TLS handshake with data"):
            connection.request("GET", "/")
        connection.close()


@both_sides
def test_a_reset_without_data_leaves_a_socket_that_is_not_connected(
    wrap: Callable[..., ssl.SSLSocket], client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with plain_connection() as (peer, sock):
        sock.sendall(b"unread")
        peer.close()
        with contextlib.suppress(ConnectionResetError):
            # Takes the pending error off, as a program does that has tried to read before it wraps.
            sock.recv(1)
        with wrap(client_context, server_context, sock) as wrapped:
            assert wrapped.version() is None
            assert wrapped.recv(1) == b""


def test_text_in_place_of_a_hello_is_an_error_of_tls(client_context: ssl.SSLContext) -> None:
    with canned(b"220 ready when you are\r\n") as server:
        with pytest.raises(ssl.SSLError) as failure:
            client_context.wrap_socket(server.client, server_hostname="localhost")
    assert failure.value.reason == "WRONG_VERSION_NUMBER"


def test_blocking_is_as_it_was_after_the_look_for_data(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with socket.socket() as plain, client_context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        assert wrapped.getblocking() is True
    with tls_sockets(client_context, server_context) as (client, _):
        assert client.getblocking() is False
