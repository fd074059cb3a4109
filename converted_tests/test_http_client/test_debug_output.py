"""At a debug level above zero a connection prints what it sends and what heads it receives.
The manual page of http.client promises it of set_debuglevel; the text is for people, and kept as it is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from typing import Any, cast

import pytest

from converted_tests.peers import dialled
from converted_tests.test_http_client.support import Wire, fetch, message, wired

Printed = Callable[[], list[str]]
HEAD = "send: b'PUT / HTTP/1.1\\r\\n\\r\\n'"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """The lines on stdout so far."""
    return lambda: capsys.readouterr().out.split("\n")[:-1]


def talkative(*replies: bytes, level: int = 1) -> HTTPConnection:
    connection, _ = wired(*replies)
    connection.set_debuglevel(level)
    return connection


def put(connection: HTTPConnection, body: Any) -> None:
    connection.putrequest("PUT", "/", skip_host=True, skip_accept_encoding=True)
    connection.endheaders(body)


@pytest.mark.parametrize("level", [1, 2])
def test_reply_line_and_headers_are_printed(printed: Printed, level: int) -> None:
    connection = talkative(
        message("HTTP/1.1 200 OK", "First: val", "Second: val1", "Second: val2", "Content-Length: 0"), level=level
    )
    assert fetch(connection) == (200, b"")
    assert printed() == [
        "send: b'GET / HTTP/1.1\\r\\nHost: example.org\\r\\nAccept-Encoding: identity\\r\\n\\r\\n'",
        "reply: 'HTTP/1.1 200 OK\\r\\n'",
        "header: First: val",
        "header: Second: val1",
        "header: Second: val2",
        "header: Content-Length: 0",
    ]


def test_the_headers_of_interim_responses_are_printed_as_they_came(printed: Printed) -> None:
    interim = message("HTTP/1.1 100 Continue", "X: 1")
    connection = talkative(interim + message("HTTP/1.1 204 No Content"))
    assert fetch(connection) == (204, b"")
    assert printed()[1:] == [
        "reply: 'HTTP/1.1 100 Continue\\r\\n'",
        "headers: [b'X: 1\\r\\n', b'\\r\\n']",
        "reply: 'HTTP/1.1 204 No Content\\r\\n'",
    ]


@pytest.mark.parametrize("level", [0, -1])
def test_nothing_is_printed_at_level_zero(printed: Printed, level: int) -> None:
    replies = message("HTTP/1.1 100 Continue", "X: 1") + message("HTTP/1.1 200 OK", "X: 1", "Content-Length: 0")
    with dialled(Wire(message("HTTP/1.1 200 Established", "X: 1"), replies).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_debuglevel(level)
        connection.set_tunnel("destination.example")
        connection.request("POST", "/", [b"", b"a"])
        assert connection.getresponse().read() == b""
    connection = talkative(level=level)
    connection.send(cast(Any, io.StringIO("text")))
    put(connection, io.StringIO("text"))
    assert printed() == []


def test_nothing_is_printed_unless_asked_for(printed: Printed) -> None:
    connection, _ = wired(message("HTTP/1.1 200 OK", "X: 1", "Content-Length: 0"))
    assert (fetch(connection), connection.debuglevel, HTTPConnection.debuglevel) == ((200, b""), 0, 0)
    assert printed() == []


def test_a_response_on_its_own_prints_by_its_own_level(printed: Printed) -> None:
    wire = Wire(message("HTTP/1.1 200 OK", "X: 1"))
    HTTPResponse(wire.sock, debuglevel=1).begin()
    assert printed() == ["reply: 'HTTP/1.1 200 OK\\r\\n'", "header: X: 1"]


def test_the_level_reaches_the_response() -> None:
    connection = talkative(message("HTTP/1.1 200 OK", "Content-Length: 0"), level=7)
    connection.request("HEAD", "/")
    response = connection.getresponse()
    assert (response.debuglevel, response.read()) == (7, b"")


def test_data_that_is_sent_is_printed(printed: Printed) -> None:
    connection = talkative()
    connection.send(b"raw\x00")
    connection.send([b"list"])
    assert printed() == ["send: b'raw\\x00'", "send: [b'list']"]


def test_a_file_that_is_sent_is_named_and_not_printed(printed: Printed) -> None:
    connection = talkative()
    connection.send(binary := io.BytesIO(b"binary"))
    connection.send(cast(Any, text := io.StringIO("text")))
    assert printed() == [
        f"send: {binary!r}",
        "sending a readable",
        f"send: {text!r}",
        "sending a readable",
        "encoding file using iso-8859-1",
    ]


def test_a_file_that_is_a_body_is_printed_block_by_block(printed: Printed) -> None:
    put(talkative(), io.BytesIO(b"binary"))
    assert printed() == [HEAD, "reading a readable", "send: b'binary'"]


def test_a_text_file_that_is_a_body_is_printed_as_encoded(printed: Printed) -> None:
    put(talkative(), io.StringIO("caf\u00e9"))
    assert printed() == [HEAD, "reading a readable", "encoding file using iso-8859-1", "send: b'caf\\xe9'"]


def test_an_empty_item_of_a_body_is_mentioned(printed: Printed) -> None:
    put(talkative(), [b"a", b"", b"b"])
    assert printed() == [HEAD, "send: b'a'", "Zero length chunk ignored", "send: b'b'"]


def test_a_body_of_unknown_size_is_mentioned(printed: Printed) -> None:
    connection = talkative()
    connection.request("POST", "/", [b"a"], {"Host": "h", "Accept-Encoding": "x"})
    assert printed() == [
        "Unable to determine size of [b'a']",
        "send: b'POST / HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\nHost: h\\r\\nAccept-Encoding: x\\r\\n\\r\\n'",
        "send: b'1\\r\\na\\r\\n'",
        "send: b'0\\r\\n\\r\\n'",
    ]


def through_a_tunnel(connect_line: str) -> list[str]:
    with dialled(Wire(message("HTTP/1.1 200 Established", "X: 1", "Y: 2")).sock):
        connection = HTTPConnection("proxy.example")
        connection.set_debuglevel(1)
        connection.set_tunnel("destination.example")
        connection.connect()
    return [f"send: b'{connect_line}\\r\\n'", "header: X: 1\r", "", "header: Y: 2\r", ""]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CONNECT is sent as HTTP/1.1 since 3.12 (gh-66897)")
def test_the_headers_of_a_proxy_are_printed(printed: Printed) -> None:
    expected = through_a_tunnel("CONNECT destination.example:80 HTTP/1.0\\r\\n")
    assert printed() == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the blank line is printed too since 3.12 (gh-66897)")
def test_the_headers_of_a_proxy_are_printed_with_the_blank_line(printed: Printed) -> None:
    expected = through_a_tunnel("CONNECT destination.example:80 HTTP/1.1\\r\\nHost: destination.example:80\\r\\n")
    assert printed() == [*expected, "header: \r", ""]
