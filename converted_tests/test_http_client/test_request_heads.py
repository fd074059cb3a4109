"""A request begins with its request line, and Host and Accept-Encoding are added where the caller gave none.
RFC 9112 section 3 says what a request line is, RFC 9110 section 7.2 what Host names."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPSConnection, InvalidURL
from ssl import SSLContext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_http_client.support import EXAMPLE_HOST, IDENTITY, Old, message, wired, written

CONTROLS = [chr(code) for code in range(32)]
NOT_IN_URLS = [*CONTROLS, " ", "\x7f"]


def test_a_request_has_a_host_and_asks_for_no_coding() -> None:
    assert written("GET", "/path?query") == message("GET /path?query HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_an_empty_url_asks_for_the_root() -> None:
    assert written("GET", "") == message("GET / HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_a_method_is_sent_as_given() -> None:
    assert written("Propfind me\x7f", "/") == message("Propfind me\x7f / HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_the_callers_headers_follow_in_their_order() -> None:
    sent = written("GET", "/", headers={"B": "2", "a": "1", "C": 3})
    assert sent == message("GET / HTTP/1.1", EXAMPLE_HOST, IDENTITY, "B: 2", "a: 1", "C: 3")


@pytest.mark.parametrize(
    ("given_header", "lines"),
    [
        pytest.param(("Content-Length", "2"), (EXAMPLE_HOST, IDENTITY, "Content-Length: 2"), id="Content-Length"),
        pytest.param(
            ("cONTENT-lENGTH", "2"), (EXAMPLE_HOST, IDENTITY, "cONTENT-lENGTH: 2"), id="length in other case"
        ),
        pytest.param(("Host", "other"), (IDENTITY, "Content-Length: 2", "Host: other"), id="Host"),
        pytest.param(("hOST", "other"), (IDENTITY, "Content-Length: 2", "hOST: other"), id="host in other case"),
        pytest.param(
            ("Accept-Encoding", "gzip"),
            (EXAMPLE_HOST, "Content-Length: 2", "Accept-Encoding: gzip"),
            id="Accept-Encoding",
        ),
        pytest.param(
            ("accept-encoding", "gzip"),
            (EXAMPLE_HOST, "Content-Length: 2", "accept-encoding: gzip"),
            id="accept-encoding in other case",
        ),
        pytest.param(
            ("X-Other", "1"), (EXAMPLE_HOST, IDENTITY, "Content-Length: 2", "X-Other: 1"), id="none of the three"
        ),
    ],
)
def test_a_header_that_the_caller_gives_is_not_added_again(
    given_header: tuple[str, str], lines: tuple[str, ...]
) -> None:
    assert written("POST", "/", b"ab", dict([given_header])) == message("POST / HTTP/1.1", *lines, body=b"ab")


@pytest.mark.parametrize(
    ("skips", "lines"),
    [
        pytest.param({}, (EXAMPLE_HOST, IDENTITY), id="neither"),
        pytest.param({"skip_host": True}, (IDENTITY,), id="skip_host"),
        pytest.param({"skip_accept_encoding": True}, (EXAMPLE_HOST,), id="skip_accept_encoding"),
        pytest.param({"skip_host": True, "skip_accept_encoding": True}, (), id="both"),
    ],
)
def test_putrequest_adds_the_headers_that_are_not_skipped(skips: dict[str, bool], lines: tuple[str, ...]) -> None:
    connection, wire = wired()
    connection.putrequest("GET", "/", **skips)
    connection.endheaders()
    assert wire.sent == message("GET / HTTP/1.1", *lines)


def test_nothing_is_sent_before_the_end_of_the_headers() -> None:
    connection, wire = wired()
    connection.putrequest("GET", "/")
    connection.putheader("X", "1")
    before = wire.sent
    connection.endheaders()
    assert (before, wire.sends) == (b"", [message("GET / HTTP/1.1", EXAMPLE_HOST, IDENTITY, "X: 1")])


def test_an_http_1_0_client_adds_no_header() -> None:
    connection, wire = wired(connection=Old("example.org"))
    connection.request("GET", "/")
    assert wire.sent == message("GET / HTTP/1.0")


@pytest.mark.parametrize(
    ("host", "port", "line"),
    [
        pytest.param("example.org", None, "Host: example.org", id="default port"),
        pytest.param("example.org", 80, "Host: example.org", id="default port, given"),
        pytest.param("example.org", 443, "Host: example.org:443", id="another scheme's port"),
        pytest.param("example.org:8080", None, "Host: example.org:8080", id="port in the host"),
        pytest.param("b\u00fccher.example", None, "Host: xn--bcher-kva.example", id="international name"),
        pytest.param("b\u00fccher.example", 81, "Host: xn--bcher-kva.example:81", id="international name and port"),
        pytest.param("2001:db8::1", 80, "Host: [2001:db8::1]", id="IPv6"),
        pytest.param("[2001:db8::1]", None, "Host: [2001:db8::1]", id="IPv6 in brackets"),
        pytest.param("[2001:db8::1]:8080", None, "Host: [2001:db8::1]:8080", id="IPv6 and port"),
        pytest.param("fe80::1%2", 80, "Host: [fe80::1]", id="IPv6 with zone"),
        pytest.param("[fe80::1%2]:81", None, "Host: [fe80::1]:81", id="IPv6 with zone and port"),
    ],
)
def test_host_names_the_server_as_a_url_would(host: str, port: int | None, line: str) -> None:
    connection, wire = wired(connection=HTTPConnection(host, port))
    connection.request("GET", "/")
    assert wire.sent == message("GET / HTTP/1.1", line, IDENTITY)


@pytest.mark.parametrize(
    ("port", "line"), [(None, "Host: example.org"), (443, "Host: example.org"), (80, "Host: example.org:80")]
)
def test_over_https_only_port_443_goes_without_saying(client_context: SSLContext, port: int, line: str) -> None:
    connection, wire = wired(connection=HTTPSConnection("example.org", port, context=client_context))
    connection.request("GET", "/")
    assert wire.sent == message("GET / HTTP/1.1", line, IDENTITY)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        pytest.param("http://other.example/x", "Host: other.example", id="http"),
        pytest.param("http://other.example:8080/x", "Host: other.example:8080", id="http with port"),
        pytest.param("https://other.example/x", "Host: other.example", id="https"),
        pytest.param("http://[fe80::1%25eth0]/", "Host: [fe80::1]", id="IPv6 with zone"),
        pytest.param("http://[2001:db8::1]:81/", "Host: [2001:db8::1]:81", id="IPv6"),
        pytest.param("http:/x", EXAMPLE_HOST, id="http without a host"),
        pytest.param("ftp://other.example/x", EXAMPLE_HOST, id="another scheme"),
        pytest.param("//other.example/x", EXAMPLE_HOST, id="no scheme"),
        pytest.param("*", EXAMPLE_HOST, id="asterisk"),
    ],
)
def test_an_absolute_url_says_which_host_is_meant(url: str, line: str) -> None:
    assert written("GET", url) == message(f"GET {url} HTTP/1.1", line, IDENTITY)


def test_a_url_outside_ascii_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        written("GET", "/b\u00fccher")


@pytest.mark.parametrize(
    ("method", "control"),
    [
        *(pytest.param("G{}ET", control, id=f"{control!a} inside") for control in CONTROLS),
        *(pytest.param("{}GET", control, id=f"{control!a} before") for control in "\r\n\0"),
        *(pytest.param("GET{}", control, id=f"{control!a} behind") for control in "\r\n\0"),
    ],
)
def test_a_method_with_a_control_character_is_refused(method: str, control: str) -> None:
    bad = method.format(control)
    with pytest.raises(ValueError) as caught:
        written(bad, "/")
    assert str(caught.value) == f"method can't contain control characters. {bad!r} (found at least {control!r})"


@pytest.mark.parametrize("control", NOT_IN_URLS, ids=ascii)
def test_a_url_with_a_blank_or_control_character_is_refused(control: str) -> None:
    url = f"/a{control}b"
    with pytest.raises(InvalidURL) as caught:
        written("GET", url)
    assert str(caught.value) == f"URL can't contain control characters. {url!r} (found at least {control!r})"


@pytest.mark.parametrize("control", NOT_IN_URLS, ids=ascii)
def test_a_host_with_a_blank_or_control_character_is_refused(control: str) -> None:
    host = f"a{control}b"
    with pytest.raises(InvalidURL) as caught:
        HTTPConnection(host, 80)
    assert str(caught.value) == f"URL can't contain control characters. {host!r} (found at least {control!r})"


visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(visible, visible.map(lambda text: "/" + text))
def test_law_whatever_is_visible_reaches_the_request_line_unchanged(method: str, url: str) -> None:
    assert written(method, url) == message(f"{method} {url} HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_the_check_of_the_url_may_be_overridden() -> None:
    class AnyPath(HTTPConnection):
        def _validate_path(self, url: str) -> None:
            """Every path is fine."""

    connection, wire = wired(connection=AnyPath("example.org"))
    connection.request("GET", "/with blank\x7f")
    assert wire.sent == message("GET /with blank\x7f HTTP/1.1", EXAMPLE_HOST, IDENTITY)


def test_the_check_of_the_host_may_be_overridden() -> None:
    class AnyHost(HTTPConnection):
        def _validate_host(self, host: str) -> None:
            """Every host is fine."""

    connection, wire = wired(connection=AnyHost("exam ple.org"))
    connection.request("GET", "/")
    assert wire.sent == message("GET / HTTP/1.1", "Host: exam ple.org", IDENTITY)


def test_the_encoding_of_the_request_line_may_be_overridden() -> None:
    class Utf8(HTTPConnection):
        def _encode_request(self, request: str) -> bytes:
            return request.encode()

    connection, wire = wired(connection=Utf8("example.org"))
    connection.request("GET", "/\u2603")
    assert wire.sent == "GET /\u2603 HTTP/1.1\r\n".encode() + message(EXAMPLE_HOST, IDENTITY)


def test_an_international_name_in_the_url_becomes_ascii_in_host() -> None:
    class Utf8(HTTPConnection):
        def _encode_request(self, request: str) -> bytes:
            return request.encode()

    connection, wire = wired(connection=Utf8("example.org"))
    connection.request("GET", "http://b\u00fccher.example:81/")
    head = "GET http://b\u00fccher.example:81/ HTTP/1.1\r\n".encode()
    assert wire.sent == head + message("Host: xn--bcher-kva.example:81", IDENTITY)
