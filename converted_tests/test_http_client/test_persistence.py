"""A connection is kept as long as both sides may use it, and opened again afterwards.
RFC 9112 section 9.3 says when a connection persists, section 9.5 what a client does when it ends early."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import BadStatusLine, HTTPConnection, RemoteDisconnected

import pytest

from converted_tests.peers import Peer, Reset, listening, transcript
from converted_tests.test_http_client.support import fetch, message, origin

KEPT = message("HTTP/1.1 200 OK", "Content-Length: 4", body=b"kept")
CLOSED = message("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 6", body=b"closed")


@contextmanager
def connection_to(*peers: Peer, family: int = socket.AF_INET) -> Iterator[HTTPConnection]:
    """A client of a listener that serves one connection with each of *peers*."""
    with listening(*peers, family=family) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        try:
            yield connection
        finally:
            connection.close()


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        pytest.param(("HTTP/1.0 200 OK",), False, id="1.0"),
        pytest.param(("HTTP/1.0 200 OK", "Content-Length: 2"), False, id="1.0, length"),
        pytest.param(("HTTP/1.0 200 OK", "Connection: keep-alive"), False, id="1.0, keep-alive, no length"),
        pytest.param(("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 2"), True, id="1.0, keep-alive"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length: 2"), True, id="1.1"),
        pytest.param(("HTTP/1.1 200 OK",), False, id="1.1, no length"),
        pytest.param(("HTTP/1.1 200 OK", "Connection: keep-alive", "Content-Length: 2"), True, id="1.1, keep-alive"),
        pytest.param(("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2"), False, id="1.1, close"),
    ],
)
def test_the_head_decides_whether_the_connection_is_kept(lines: tuple[str, ...], kept: bool) -> None:
    with connection_to(origin(message(*lines, body=b"hi"))) as connection:
        connection.request("GET", "/")
        with connection.getresponse() as response:
            before = connection.sock is not None
            assert response.read() == b"hi"
        assert (before, connection.sock is not None) == (kept, kept)


def test_a_kept_connection_is_used_again(ip_family: int) -> None:
    heard: list[bytes] = []
    with connection_to(origin(KEPT, KEPT, KEPT, heard=heard), family=ip_family) as connection:
        connection.connect()
        first_socket = connection.sock
        assert [fetch(connection, url=url) for url in ("/1", "/2", "/3")] == [(200, b"kept")] * 3
        assert connection.sock is first_socket
    assert [request.split()[1] for request in heard] == [b"/1", b"/2", b"/3"]


def test_a_closed_connection_is_opened_again(ip_family: int) -> None:
    with connection_to(origin(CLOSED), origin(CLOSED), origin(KEPT), family=ip_family) as connection:
        assert [fetch(connection) for _ in range(3)] == [(200, b"closed"), (200, b"closed"), (200, b"kept")]


def test_a_server_that_hangs_up_before_its_reply_is_a_disconnection(ip_family: int) -> None:
    with connection_to(origin(KEPT, b""), origin(KEPT), family=ip_family) as connection:
        assert fetch(connection) == (200, b"kept")
        connection.request("GET", "/")
        with pytest.raises(RemoteDisconnected) as caught:
            connection.getresponse()
        assert str(caught.value) == "Remote end closed connection without response"
        assert connection.sock is None
        assert fetch(connection) == (200, b"kept")


def test_a_server_that_resets_before_its_reply_is_a_reset(ip_family: int) -> None:
    with connection_to(origin(Reset()), origin(KEPT), family=ip_family) as connection:
        connection.request("GET", "/")
        with pytest.raises(ConnectionResetError) as caught:
            connection.getresponse()
        assert not isinstance(caught.value, RemoteDisconnected)
        assert connection.sock is None
        assert fetch(connection) == (200, b"kept")


def test_a_server_that_hangs_up_after_an_interim_reply_is_a_disconnection() -> None:
    with connection_to(origin(message("HTTP/1.1 100 Continue")), origin(KEPT)) as connection:
        connection.request("GET", "/")
        with pytest.raises(RemoteDisconnected):
            connection.getresponse()
        assert connection.sock is None
        assert fetch(connection) == (200, b"kept")


def test_a_reply_that_is_no_http_leaves_the_connection_to_its_user() -> None:
    with connection_to(origin(b"nonsense\r\n")) as connection:
        connection.request("GET", "/")
        with pytest.raises(BadStatusLine) as caught:
            connection.getresponse()
        assert caught.value.args == ("nonsense\r\n",)
        assert connection.sock is not None


def test_a_dialogue_of_two_requests_as_the_server_sees_it() -> None:
    dialogue = transcript("""
        C: GET /first HTTP/1.1
        C: Host: 127.0.0.1:*
        C: Accept-Encoding: identity
        C:
        S: HTTP/1.1 200 OK
        S: Content-Length: 7
        S:
        S: first
        C: POST /second HTTP/1.1
        C: Host: 127.0.0.1:*
        C: Accept-Encoding: identity
        C: Content-Length: 6
        C:
        C: body
        S: HTTP/1.1 404 Not Found
        S: Connection: close
        S:
        S: second
    """)
    with connection_to(dialogue) as connection:
        assert fetch(connection, url="/first") == (200, b"first\r\n")
        connection.request("POST", "/second", b"body\r\n")
        with connection.getresponse() as response:
            assert (response.status, response.read(), connection.sock) == (404, b"second\r\n", None)
