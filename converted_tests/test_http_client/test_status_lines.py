"""A response begins with a status line, after any number of interim responses; else an exception says what is wrong.
RFC 9112 section 4 says what a status line is, RFC 9110 section 15.2 what an interim response is."""

from __future__ import annotations

from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    LineTooLong,
    RemoteDisconnected,
    ResponseNotReady,
    UnknownProtocol,
)

import pytest

from converted_tests.peers import listening
from converted_tests.test_http_client.support import (
    FIELDS_MAX,
    LIMIT_BYTES,
    Wire,
    begun,
    fetch,
    message,
    origin,
    response_of,
    wired,
)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        pytest.param("HTTP/1.1 200 OK", (11, 200, "OK"), id="plain"),
        pytest.param("HTTP/1.0 200 OK", (10, 200, "OK"), id="HTTP/1.0"),
        pytest.param("HTTP/0.9 200 OK", (10, 200, "OK"), id="HTTP/0.9 passes for 1.0"),
        pytest.param("HTTP/1.2 200 OK", (11, 200, "OK"), id="HTTP/1.2 passes for 1.1"),
        pytest.param("HTTP/1.1 404 Not Found at all", (11, 404, "Not Found at all"), id="reason of many words"),
        pytest.param("HTTP/1.1 200", (11, 200, ""), id="no reason"),
        pytest.param("HTTP/1.1 200 ", (11, 200, ""), id="empty reason"),
        pytest.param("HTTP/1.1\t 200   Fine  ", (11, 200, "Fine"), id="more blanks"),
        pytest.param("HTTP/1.1 200 \u00dcber", (11, 200, "\u00dcber"), id="reason in Latin-1"),
        pytest.param("HTTP/1.1 101 Switching", (11, 101, "Switching"), id="101 is not waited over"),
        pytest.param("HTTP/1.1 999 Highest", (11, 999, "Highest"), id="999"),
        pytest.param("HTTP/1.1 0200 OK", (11, 200, "OK"), id="leading zero"),
    ],
)
def test_a_status_line_is_version_code_and_reason(line: str, meaning: tuple[int, int, str]) -> None:
    response = response_of(message(line))
    assert (response.version, response.status, response.reason) == meaning


@pytest.mark.parametrize(
    ("line", "closed"),
    [
        pytest.param("HTTP/1.1 99 Too low", False, id="99"),
        pytest.param("HTTP/1.1 1000 Too high", False, id="1000"),
        pytest.param("HTTP/1.1 -200 Negative", False, id="negative"),
        pytest.param("HTTP/1.1 400.100 Not Ok", False, id="fraction"),
        pytest.param("HTTP/1.1 OK", False, id="no number"),
        pytest.param("HTTP/1.1", True, id="version alone"),
        pytest.param("", True, id="blank line"),
        pytest.param("http/1.1 200 OK", True, id="lower case"),
        pytest.param("ICY 200 OK", True, id="another protocol"),
        pytest.param(" HTTP/1.1", True, id="version alone, indented"),
        pytest.param("<html><body>Hi</body></html>", True, id="no status line at all"),
    ],
)
def test_a_bad_status_line_is_shown_in_the_exception(line: str, closed: bool) -> None:
    response = HTTPResponse(Wire(message(line)).sock)
    with pytest.raises(BadStatusLine) as caught:
        response.begin()
    assert caught.value.args == (f"{line}\r\n",)
    assert response.isclosed() is closed


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1", "HTTP/11", "HTTP/"])
def test_an_unknown_version_is_named_in_the_exception(version: str) -> None:
    with pytest.raises(UnknownProtocol) as caught:
        response_of(message(f"{version} 200 OK"))
    assert caught.value.args == (version,)


def test_an_end_of_file_instead_of_a_status_line_is_a_disconnection() -> None:
    with pytest.raises(RemoteDisconnected) as caught:
        response_of(b"")
    assert str(caught.value) == "Remote end closed connection without response"


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["no line end", "LF", "CRLF"])
def test_a_status_line_cut_by_the_end_of_file_is_an_empty_response(ending: bytes) -> None:
    response = response_of(b"HTTP/1.1 200 Ok" + ending)
    assert (response.status, response.reason, response.getheaders()) == (200, "Ok", [])
    assert (response.read(), response.isclosed()) == (b"", True)


def test_a_status_line_may_be_as_long_as_the_limit() -> None:
    line = b"HTTP/1.1 200 ".ljust(LIMIT_BYTES - 2, b"x") + b"\r\n"
    assert response_of(line + b"\r\n").reason == "x" * (LIMIT_BYTES - 15)


@pytest.mark.parametrize("more", [b"more\r\n\r\n", b""], ids=["and goes on", "and is cut"])
def test_a_status_line_longer_than_the_limit_is_refused_at_the_first_byte_too_many(more: bytes) -> None:
    wire = Wire(b"HTTP/1.1 200 ".ljust(LIMIT_BYTES + 1, b"x") + more)
    with pytest.raises(LineTooLong) as caught:
        begun(wire)
    assert wire.files[0].read() == more
    assert str(caught.value) == "got more than 65536 bytes when reading status line"


@pytest.mark.parametrize(
    "interim",
    [
        pytest.param([message("HTTP/1.1 100 Continue")], id="one"),
        pytest.param([message("HTTP/1.1 100 Continue", "X: 1", "Y: 2")], id="one with fields"),
        pytest.param([message("HTTP/1.1 100 Continue"), message("HTTP/1.1 100 Go on", "X: 1")], id="two"),
    ],
)
def test_interim_responses_are_waited_over(interim: list[bytes]) -> None:
    response = response_of(b"".join(interim) + message("HTTP/1.1 404 Gone", "A: b", "Content-Length: 2", body=b"no"))
    assert (response.status, response.reason, response.getheaders(), response.read()) == (
        404,
        "Gone",
        [("A", "b"), ("Content-Length", "2")],
        b"no",
    )


def test_an_interim_response_that_never_ends_is_refused() -> None:
    with pytest.raises(HTTPException) as caught:
        response_of(message("HTTP/1.1 100 Continue", *["X: 1"] * FIELDS_MAX))
    assert str(caught.value) == "got more than 100 headers"


def test_an_interim_response_may_have_as_many_fields_as_a_final_one() -> None:
    interim = message("HTTP/1.1 100 Continue", *["X: 1"] * (FIELDS_MAX - 1))
    assert response_of(interim + message("HTTP/1.1 204 No Content")).status == 204


def test_an_interim_response_and_then_the_end_of_file_is_a_disconnection() -> None:
    with pytest.raises(RemoteDisconnected):
        response_of(message("HTTP/1.1 100 Continue"))


def test_begin_reads_the_head_only_once() -> None:
    wire = Wire(message("HTTP/1.1 200 OK", body=message("HTTP/1.1 404 Not Found")))
    response = begun(wire)
    headers = response.headers
    response.begin()
    assert (response.status, response.headers) == (200, headers)
    assert wire.files[0].read() == message("HTTP/1.1 404 Not Found")


def test_before_begin_nothing_is_known() -> None:
    response = HTTPResponse(Wire(message("HTTP/1.1 200 OK", "X: 1")).sock)
    known = [response.version, response.status, response.reason, response.chunked, response.chunk_left]
    assert [*known, response.length, response.will_close] == ["UNKNOWN"] * 7
    assert [response.headers, response.msg, response.debuglevel] == [None, None, 0]
    with pytest.raises(ResponseNotReady):
        response.getheader("X")
    with pytest.raises(ResponseNotReady):
        response.getheaders()


def test_a_getresponse_that_fails_closes_the_response_and_its_file() -> None:
    responses: list[HTTPResponse] = []

    class Remembered(HTTPResponse):
        def begin(self) -> None:
            responses.append(self)
            super().begin()

    connection, wire = wired(message("HTTP/1.1 1000 Too high"))
    connection.response_class = Remembered
    connection.request("GET", "/")
    with pytest.raises(BadStatusLine):
        connection.getresponse()
    assert [(response.closed, response.isclosed()) for response in responses] == [(True, True)]
    assert (wire.files[0].hung_up, wire.closed) == (True, False)


def test_a_refused_status_line_over_a_real_connection_leaves_nothing_open() -> None:

    with listening(origin(message("HTTP/9.9 200 OK"))) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        with pytest.raises(UnknownProtocol, match=r"HTTP/9\.9"):
            fetch(connection)
        connection.close()
