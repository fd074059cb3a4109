"""CONNECT asks a proxy for a tunnel; everything after that is addressed to the destination.
RFC 9110 section 9.3.6 defines CONNECT; a request through it names the destination as if there were no proxy."""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import closing
from http.client import BadStatusLine, HTTPConnection, HTTPSConnection, InvalidURL, LineTooLong, RemoteDisconnected
from typing import TYPE_CHECKING

import pytest

from converted_tests.peers import StartTLS, dialled, listening
from converted_tests.test_http_client.support import IDENTITY, LIMIT_BYTES, Wire, fetch, message, origin

if TYPE_CHECKING:
    import trustme

DESTINATION = "destination.example"
ESTABLISHED = message("HTTP/1.1 200 Connection established")
OK = message("HTTP/1.1 200 OK", "Content-Length: 2", body=b"hi")

connects_by_1_1 = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="CONNECT is sent as HTTP/1.1, with Host, since 3.12 (gh-66897)"
)
brackets_ipv6 = sys.version_info >= (3, 12, 3) or (3, 11, 9) <= sys.version_info < (3, 12)
BRACKETS = "an IPv6 destination is put in brackets since 3.11.9 and 3.12.3 (gh-100985)"


def connect(authority: str, *more: str) -> bytes:
    """The request for a tunnel: HTTP/1.0 up to Python 3.11, since then HTTP/1.1 with a Host at the end."""
    if sys.version_info >= (3, 12):
        return message(f"CONNECT {authority} HTTP/1.1", *more, f"Host: {authority}")
    return message(f"CONNECT {authority} HTTP/1.0", *more)


def get(host: str, url: str = "/") -> bytes:
    return message(f"GET {url} HTTP/1.1", f"Host: {host}", IDENTITY)


def test_the_destination_is_reached_through_a_real_proxy() -> None:
    heard: list[bytes] = []
    with listening(origin(ESTABLISHED, OK, heard=heard)) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.set_tunnel(DESTINATION, 8080)
        assert fetch(connection, url="/inner") == (200, b"hi")
        assert (connection.host, connection.port) == (host, port)
        assert connection.sock.getpeername() == (host, port)
        connection.close()
    assert heard == [connect(f"{DESTINATION}:8080"), get(f"{DESTINATION}:8080", "/inner")]


def test_each_new_connection_asks_for_its_tunnel(ip_family: int) -> None:
    closing_reply = message("HTTP/1.1 200 OK", body=b"once")
    heard: list[bytes] = []
    peers = [origin(ESTABLISHED, closing_reply, heard=heard) for _ in range(2)]
    with listening(*peers, family=ip_family) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.set_tunnel(DESTINATION, 80)
        assert [fetch(connection), fetch(connection)] == [(200, b"once")] * 2
    assert heard == [connect(f"{DESTINATION}:80"), get(DESTINATION)] * 2


def test_tls_is_spoken_with_the_destination_and_not_with_the_proxy(
    authority: trustme.CA, client_context: ssl.SSLContext
) -> None:
    destination_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(DESTINATION).configure_cert(destination_context)
    heard: list[bytes] = []
    proxy = origin(StartTLS(ESTABLISHED, destination_context), OK, heard=heard)
    with listening(proxy) as (host, port):
        with closing(HTTPSConnection(str(host), int(port), context=client_context)) as connection:
            connection.set_tunnel(DESTINATION)
            assert fetch(connection) == (200, b"hi")
    assert heard == [connect(f"{DESTINATION}:443"), get(DESTINATION)]


@pytest.mark.parametrize(
    ("destination", "port", "authority_form", "host"),
    [
        pytest.param(DESTINATION, None, f"{DESTINATION}:80", DESTINATION, id="default port"),
        pytest.param(DESTINATION, 80, f"{DESTINATION}:80", DESTINATION, id="default port, given"),
        pytest.param(DESTINATION, 8080, f"{DESTINATION}:8080", f"{DESTINATION}:8080", id="port"),
        pytest.param(
            f"{DESTINATION}:8080", None, f"{DESTINATION}:8080", f"{DESTINATION}:8080", id="port in the host"
        ),
        pytest.param(f"{DESTINATION}:", None, f"{DESTINATION}:80", DESTINATION, id="empty port"),
    ],
)
def test_connect_and_host_name_the_destination(
    destination: str, port: int | None, authority_form: str, host: str
) -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example", 3128)
        connection.set_tunnel(destination, port)
        assert fetch(connection) == (200, b"hi")
    assert wire.sent == connect(authority_form) + get(host)


@pytest.mark.skipif(brackets_ipv6, reason=BRACKETS)
def test_an_ipv6_destination_goes_without_brackets() -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel("[2001:db8::1]:443")
        assert fetch(connection) == (200, b"hi")
    assert wire.sent == connect("2001:db8::1:443") + get("[2001:db8::1]:443")


@pytest.mark.skipif(not brackets_ipv6, reason=BRACKETS)
@pytest.mark.parametrize("destination", ["[2001:db8::1]", "2001:db8::1"])
def test_an_ipv6_destination_goes_in_brackets(destination: str) -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(destination, 443)
        assert fetch(connection) == (200, b"hi")
    assert wire.sent.startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.")
    assert wire.sent.endswith(b"\r\n\r\n" + get("[2001:db8::1]:443"))


def test_a_destination_with_a_port_that_is_not_a_number_is_refused() -> None:
    connection = HTTPConnection("proxy.example")
    with pytest.raises(InvalidURL, match="nonnumeric port: 'http'"):
        connection.set_tunnel("destination:http")


def test_the_request_for_a_tunnel_goes_out_in_one_piece() -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION, headers={"User-Agent": "test", "Proxy-Authorization": "caf\u00e9"})
        connection.connect()
    assert wire.sends == [connect(f"{DESTINATION}:80", "User-Agent: test", "Proxy-Authorization: caf\u00e9")]


def test_the_headers_for_the_proxy_stay_with_the_proxy() -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION, headers={"X-Proxy": "1"})
        connection.request("GET", "/", headers={"X-Origin": "2"})
    assert wire.sent == connect(f"{DESTINATION}:80", "X-Proxy: 1") + message(
        "GET / HTTP/1.1", f"Host: {DESTINATION}", IDENTITY, "X-Origin: 2"
    )


def test_the_headers_are_forgotten_when_a_tunnel_is_set_without_any() -> None:
    with dialled((wire := Wire(ESTABLISHED)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel("first.example", headers={"X-Proxy": "1"})
        connection.set_tunnel(DESTINATION)
        connection.connect()
    assert wire.sent == connect(f"{DESTINATION}:80")


def test_a_tunnel_to_no_host_is_no_tunnel() -> None:
    with dialled((wire := Wire(OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        connection.set_tunnel("")
        assert fetch(connection) == (200, b"hi")
    assert wire.sent == get("proxy.example")


def test_a_tunnel_cannot_be_set_on_an_established_connection() -> None:
    with dialled(Wire().sock):
        connection = HTTPConnection("proxy.example")
        connection.connect()
        with pytest.raises(RuntimeError) as caught:
            connection.set_tunnel(DESTINATION)
    assert str(caught.value) == "Can't set up tunnel for established connection"


def test_a_tunnel_may_be_set_again_after_the_connection_is_closed() -> None:
    with dialled((wire := Wire(ESTABLISHED)).sock):
        connection = HTTPConnection("proxy.example")
        connection.connect()
        connection.close()
        connection.set_tunnel(DESTINATION)
        connection.connect()
    assert wire.sent == connect(f"{DESTINATION}:80")


def test_a_request_made_by_hand_goes_through_the_tunnel() -> None:
    with dialled((wire := Wire(ESTABLISHED, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION, 81)
        connection.putrequest("GET", "/by/hand")
        connection.putheader("X", "1")
        connection.endheaders()
        assert connection.getresponse().read() == b"hi"
    assert wire.sent == connect(f"{DESTINATION}:81") + message(
        "GET /by/hand HTTP/1.1", f"Host: {DESTINATION}:81", IDENTITY, "X: 1"
    )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(message("HTTP/1.0 200 OK"), id="HTTP/1.0"),
        pytest.param(message("HTTP/1.1 200 OK", "X: 1", "Y: 2"), id="fields"),
        pytest.param(b"HTTP/1.1 200 OK\nX: 1\n\n", id="lines ended by LF"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="end of file instead of a blank line"),
        pytest.param(b"HTTP/1.1 200", id="end of file in the status line"),
    ],
)
def test_a_proxy_that_agrees_is_read_to_the_blank_line(reply: bytes) -> None:
    with dialled((wire := Wire(reply, OK)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        assert fetch(connection) == (200, b"hi")
    assert (wire.files[0].hung_up, wire.files[0].read()) == (True, b"")


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_nothing_behind_the_blank_line_of_the_proxy_is_read(ending: bytes) -> None:
    with dialled((wire := Wire(ending.join([b"HTTP/1.1 200 OK", b"X: 1", b"", b"inner"]))).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        connection.connect()
    assert wire.files[0].read() == b"inner"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param("404 Not Found", "404 Not Found", id="not found"),
        pytest.param("407   Proxy Authentication Required  ", "407 Proxy Authentication Required", id="blanks"),
        pytest.param("201 Created", "201 Created", id="success of another kind"),
        pytest.param("199 Less", "199 Less", id="one less"),
        pytest.param("502", "502 ", id="no reason given"),
    ],
)
def test_a_proxy_that_refuses_is_quoted_and_left(status: str, reason: str) -> None:
    with dialled((wire := Wire(message(f"HTTP/1.1 {status}"))).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        with pytest.raises(OSError) as caught:
            connection.request("GET", "/")
    assert str(caught.value) == f"Tunnel connection failed: {reason}"
    assert (connection.sock, wire.closed, wire.files[0].hung_up) == (None, True, True)
    assert wire.sent == connect(f"{DESTINATION}:80")


def test_a_real_proxy_that_refuses_leaves_no_socket_open() -> None:
    with listening(origin(message("HTTP/1.1 403 Forbidden", "Content-Length: 2", body=b"no"))) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.set_tunnel(DESTINATION)
        with pytest.raises(OSError, match=r"^Tunnel connection failed: 403 Forbidden$"):
            connection.connect()
        assert connection.sock is None


@pytest.mark.parametrize(
    ("reply", "failure"),
    [pytest.param(b"", RemoteDisconnected, id="nothing"), pytest.param(b"SSH-2.0\r\n", BadStatusLine, id="no HTTP")],
)
def test_a_proxy_that_speaks_no_http_is_an_error(reply: bytes, failure: type[Exception]) -> None:
    with dialled((wire := Wire(reply)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        with pytest.raises(failure):
            connection.connect()
    assert wire.files[0].hung_up


def test_a_line_of_the_proxy_may_be_as_long_as_the_limit() -> None:
    with dialled(Wire(b"HTTP/1.1 200 OK\r\n" + b"X: ".ljust(LIMIT_BYTES - 2, b"x") + b"\r\n\r\n", OK).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        assert fetch(connection) == (200, b"hi")


def test_a_line_of_the_proxy_longer_than_the_limit_is_refused() -> None:
    with dialled((wire := Wire(b"HTTP/1.1 200 OK\r\n" + b"X: ".ljust(LIMIT_BYTES + 1, b"x") + b"more")).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        with pytest.raises(LineTooLong) as caught:
            connection.connect()
    assert str(caught.value) == "got more than 65536 bytes when reading header line"
    assert (wire.files[0].hung_up, wire.files[0].read()) == (True, b"more")


@connects_by_1_1
def test_a_host_that_the_caller_gives_the_proxy_is_kept() -> None:
    with dialled((wire := Wire(ESTABLISHED)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION, headers={"hOST": "mine"})
        connection.connect()
    assert wire.sent == message(f"CONNECT {DESTINATION}:80 HTTP/1.1", "hOST: mine")


@connects_by_1_1
def test_an_international_destination_is_named_in_ascii() -> None:
    with dialled((wire := Wire(ESTABLISHED)).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel("b\u00fccher.example")
        connection.connect()
    assert wire.sent == connect("xn--bcher-kva.example:80")


@connects_by_1_1
def test_the_fields_of_the_proxy_can_be_asked_for() -> None:
    with dialled(Wire(message("HTTP/1.1 200 OK", "X: 1", "Y: 2")).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_tunnel(DESTINATION)
        before = connection.get_proxy_response_headers()  # type: ignore[attr-defined]
        connection.connect()
        after = connection.get_proxy_response_headers()  # type: ignore[attr-defined]
    assert (before, after.items()) == (None, [("X", "1"), ("Y", "2")])


@connects_by_1_1
def test_the_headers_given_are_not_changed() -> None:
    headers = {"X": "1"}
    connection = HTTPConnection("proxy.example")
    connection.set_tunnel(DESTINATION, headers=headers)
    connection.set_tunnel(DESTINATION)
    assert headers == {"X": "1"}


@pytest.mark.usefixtures("ipv6")
def test_a_proxy_may_be_reached_over_ipv6() -> None:
    heard: list[bytes] = []
    with listening(origin(ESTABLISHED, OK, heard=heard), family=socket.AF_INET6) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.set_tunnel(DESTINATION)
        assert fetch(connection) == (200, b"hi")
        connection.close()
    assert heard == [connect(f"{DESTINATION}:80"), get(DESTINATION)]
