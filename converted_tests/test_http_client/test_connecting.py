"""A connection knows its host, port, timeout and source address, and connects when it is first needed.
RFC 3986 section 3.2 says what an authority is; the manual page of http.client promises the rest."""

from __future__ import annotations

import errno
import http.client
import io
import socket
import sys
from http.client import HTTPConnection, HTTPSConnection, InvalidURL
from pathlib import Path
from ssl import SSLContext
from types import SimpleNamespace

import pytest

from converted_tests.peers import SHORT_CONNECT_S, Silence, dialled, listening, open_listener
from converted_tests.test_http_client.support import IDENTITY, Wire, fetch, message, origin
from netsupport import HOSTv4

OK = message("HTTP/1.1 200 OK", "Content-Length: 2", body=b"hi")


def netloc_of(bound: socket.socket) -> tuple[str, int]:
    """The host and the port of a bound socket."""
    host, port = bound.getsockname()
    return host, port


@pytest.mark.parametrize(
    ("netloc", "host", "port"),
    [
        pytest.param("example.org", "example.org", None, id="host alone"),
        pytest.param("example.org:8000", "example.org", 8000, id="port"),
        pytest.param("example.org:", "example.org", None, id="empty port"),
        pytest.param("[fe80::207:e9ff:fe9b]:8000", "fe80::207:e9ff:fe9b", 8000, id="IPv6 and port"),
        pytest.param("[fe80::207:e9ff:fe9b]:", "fe80::207:e9ff:fe9b", None, id="IPv6 and empty port"),
        pytest.param("[fe80::207:e9ff:fe9b]", "fe80::207:e9ff:fe9b", None, id="IPv6 alone"),
        pytest.param("192.0.2.1:81", "192.0.2.1", 81, id="IPv4 and port"),
        pytest.param("", "", None, id="nothing"),
        pytest.param(":81", "", 81, id="port alone"),
        pytest.param("[half", "[half", None, id="bracket not closed"),
        pytest.param("half]", "half]", None, id="bracket not opened"),
    ],
)
def test_host_and_port_are_parted(netloc: str, host: str, port: int | None, client_context: SSLContext) -> None:
    plain = HTTPConnection(netloc)
    secure = HTTPSConnection(netloc, context=client_context)
    assert (plain.host, plain.port) == (host, port or 80)
    assert (secure.host, secure.port) == (host, port or 443)


def test_a_port_given_leaves_the_host_alone() -> None:
    connection = HTTPConnection("2001:db8::1", 8000)
    assert (connection.host, connection.port) == ("2001:db8::1", 8000)


@pytest.mark.parametrize(
    ("netloc", "port"),
    [
        pytest.param("example.org:80a", "80a", id="not a number"),
        pytest.param("user:password@example.org", "password@example.org", id="user and password"),
        pytest.param("example.org:a:b", "b", id="two colons"),
        pytest.param("2001:db8::1x", "1x", id="IPv6 without brackets"),
    ],
)
def test_a_port_that_is_not_a_number_is_refused(netloc: str, port: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        HTTPConnection(netloc)
    assert str(caught.value) == f"nonnumeric port: '{port}'"


def test_a_connection_dials_when_it_is_first_needed() -> None:
    with listening(origin(OK)) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        before = connection.sock
        assert fetch(connection) == (200, b"hi")
        peer = connection.sock.getpeername()
        connection.close()
        assert (before, peer, connection.sock) == (None, (host, port), None)


def test_a_connection_may_be_dialled_ahead(ip_family: int) -> None:
    with listening(origin(OK), family=ip_family) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.connect()
        dialled_socket = connection.sock
        assert fetch(connection) == (200, b"hi")
        assert connection.sock is dialled_socket
        connection.close()


def test_host_names_a_real_server_and_its_port() -> None:
    heard: list[bytes] = []
    with listening(origin(OK, heard=heard)) as (host, port):
        connection = HTTPConnection(f"{host}:{port}")
        assert fetch(connection) == (200, b"hi")
        connection.close()
    assert heard == [message("GET / HTTP/1.1", f"Host: {host}:{port}", IDENTITY)]


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("netloc", ["::1", "[::1]"], ids=["host and port", "in brackets"])
def test_a_server_is_reached_over_ipv6(netloc: str) -> None:
    heard: list[bytes] = []
    with listening(origin(OK, heard=heard), family=socket.AF_INET6) as (_, port):
        in_brackets = netloc.startswith("[")
        connection = HTTPConnection(f"{netloc}:{port}") if in_brackets else HTTPConnection(netloc, int(port))
        assert fetch(connection) == (200, b"hi")
        assert connection.sock.family == socket.AF_INET6
        connection.close()
    assert heard == [message("GET / HTTP/1.1", f"Host: [::1]:{port}", IDENTITY)]


def test_connect_may_be_overridden_to_reach_a_unix_socket(tmp_path: Path) -> None:
    class UnixConnection(HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(tmp_path / "http"))

    heard: list[bytes] = []
    with listening(origin(OK, heard=heard), family=socket.AF_UNIX, path=tmp_path / "http"):
        connection = UnixConnection("example.org")
        assert fetch(connection) == (200, b"hi")
        connection.close()
    assert heard == [message("GET / HTTP/1.1", "Host: example.org", IDENTITY)]


def test_without_a_listener_connecting_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind((HOSTv4, 0))
        connection = HTTPConnection(*netloc_of(bound))
        with pytest.raises(ConnectionRefusedError):
            connection.request("GET", "/")
        assert connection.sock is None


@pytest.mark.parametrize(
    ("arguments", "expected_s"),
    [
        pytest.param({}, 30.0, id="not given"),
        pytest.param({"timeout": None}, None, id="none"),
        pytest.param({"timeout": 20}, 20.0, id="a value"),
    ],
)
def test_the_timeout_reaches_the_socket(arguments: dict[str, float | None], expected_s: float | None) -> None:
    before_s = socket.getdefaulttimeout()
    with open_listener() as listener:
        socket.setdefaulttimeout(30)
        try:
            connection = HTTPConnection(*netloc_of(listener), **arguments)  # type: ignore[arg-type]
            connection.connect()
        finally:
            socket.setdefaulttimeout(before_s)
        assert connection.sock.gettimeout() == expected_s
        connection.close()


def test_the_timeout_is_kept_as_given(client_context: SSLContext) -> None:
    plain = HTTPConnection("example.org", timeout=12)
    secure = HTTPSConnection("example.org", timeout=13, context=client_context)
    assert (plain.timeout, secure.timeout) == (12, 13)


def test_a_server_that_says_nothing_runs_into_the_timeout() -> None:
    with listening(origin(Silence())) as (host, port):
        connection = HTTPConnection(str(host), int(port), timeout=SHORT_CONNECT_S)
        connection.request("GET", "/")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")
def test_the_connection_comes_from_the_source_address() -> None:
    with open_listener() as listener:
        connection = HTTPConnection(*netloc_of(listener), source_address=("127.0.0.3", 0))
        connection.connect()
        accepted, address = listener.accept()
        with accepted:
            assert (address[0], address) == ("127.0.0.3", connection.sock.getsockname())
        connection.close()


def test_the_source_port_is_bound_before_connecting() -> None:
    with open_listener() as listener, open_listener() as holder:
        # The port is held already: being refused proves that it was requested.
        connection = HTTPConnection(*netloc_of(listener), source_address=netloc_of(holder))
        with pytest.raises(OSError) as caught:
            connection.connect()
        assert caught.value.errno == errno.EADDRINUSE


def test_the_source_address_is_kept_as_given(client_context: SSLContext) -> None:
    plain = HTTPConnection("example.org", source_address=("127.0.0.1", 0))
    secure = HTTPSConnection("example.org", source_address=("127.0.0.2", 0), context=client_context)
    assert (plain.source_address, secure.source_address) == (("127.0.0.1", 0), ("127.0.0.2", 0))  # type: ignore[attr-defined]
    assert HTTPConnection("example.org").source_address is None  # type: ignore[attr-defined]


def test_small_packets_are_not_held_back() -> None:
    with open_listener() as listener:
        connection = HTTPConnection(*netloc_of(listener))
        connection.connect()
        assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        connection.close()


class Stubborn(Wire):
    """A socket whose protocol has no such option, or no such thing as options."""

    def __init__(self, code: int) -> None:
        super().__init__(OK)
        self.code = code

    def setsockopt(self, level: int, option: int, value: int) -> None:
        super().setsockopt(level, option, value)
        raise OSError(self.code, "refused")


def test_a_protocol_without_the_option_is_used_without_it() -> None:
    with dialled((wire := Stubborn(errno.ENOPROTOOPT)).sock):
        connection = HTTPConnection("example.org")
        assert fetch(connection) == (200, b"hi")
    assert wire.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def test_another_failure_of_the_option_is_not_hidden() -> None:
    with dialled(Stubborn(errno.EBADF).sock):
        connection = HTTPConnection("example.org")
        with pytest.raises(OSError) as caught:
            connection.connect()
    assert caught.value.errno == errno.EBADF


def test_connecting_and_sending_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[object, ...]] = []
    # An audit hook stays for the rest of the process, so the module is given another `sys` instead.
    monkeypatch.setattr(http.client, "sys", SimpleNamespace(audit=lambda *event: events.append(event)))
    with dialled(Wire().sock):
        connection = HTTPConnection("example.org", 81)
        connection.putrequest("PUT", "/", skip_host=True, skip_accept_encoding=True)
        connection.endheaders(b"body")
        connection.send(io.BytesIO(b"file"))
    assert events == [
        ("http.client.connect", connection, "example.org", 81),
        ("http.client.send", connection, b"PUT / HTTP/1.1\r\n\r\n"),
        ("http.client.send", connection, b"body"),
        ("http.client.send", connection, b"file"),
    ]
