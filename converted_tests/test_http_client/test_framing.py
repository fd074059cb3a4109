"""Head and method decide how long a body is and whether the connection outlives it.
RFC 9112 section 6.3 gives the order of the rules for the length, section 9.3 those for keeping a connection."""

from __future__ import annotations

import pytest

from converted_tests.test_http_client.support import Reading, message, read_or_readinto, response_of

LENGTH = "Content-Length: 5"


@pytest.mark.parametrize(
    ("lines", "will_close"),
    [
        pytest.param(("HTTP/1.1 200 OK", LENGTH), False, id="1.1, length"),
        pytest.param(("HTTP/1.1 200 OK",), True, id="1.1, no length"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), False, id="1.1, chunks"),
        pytest.param(("HTTP/1.1 200 OK", LENGTH, "Connection: close"), True, id="1.1, close"),
        pytest.param(("HTTP/1.1 200 OK", LENGTH, "Connection: upgrade, CLOSE"), True, id="1.1, close among others"),
        pytest.param(("HTTP/1.1 200 OK", LENGTH, "Connection: keep-alive"), False, id="1.1, keep-alive"),
        pytest.param(("HTTP/1.1 200 OK", "Connection: keep-alive"), True, id="1.1, keep-alive, no length"),
        pytest.param(("HTTP/1.1 204 No Content",), False, id="1.1, no content"),
        pytest.param(("HTTP/1.0 200 OK", LENGTH), True, id="1.0, length"),
        pytest.param(("HTTP/1.0 200 OK", LENGTH, "Connection: close"), True, id="1.0, close"),
        pytest.param(("HTTP/1.0 200 OK", LENGTH, "Connection: Keep-Alive"), False, id="1.0, keep-alive"),
        pytest.param(("HTTP/1.0 200 OK", "Connection: keep-alive"), True, id="1.0, keep-alive, no length"),
        pytest.param(("HTTP/1.0 200 OK", LENGTH, "Keep-Alive: timeout=5"), False, id="1.0, Keep-Alive field"),
        pytest.param(("HTTP/1.0 200 OK", LENGTH, "Keep-Alive:"), True, id="1.0, empty Keep-Alive field"),
        pytest.param(
            ("HTTP/1.0 200 OK", LENGTH, "Proxy-Connection: Keep-Alive"), False, id="1.0, Proxy-Connection keeps"
        ),
        pytest.param(("HTTP/1.0 200 OK", LENGTH, "Proxy-Connection: close"), True, id="1.0, Proxy-Connection closes"),
        pytest.param(
            ("HTTP/1.1 200 OK", LENGTH, "Connection: close", "Keep-Alive: timeout=5"), True, id="1.1, both said"
        ),
        pytest.param(("HTTP/0.9 200 OK", LENGTH), True, id="0.9, length"),
    ],
)
def test_the_head_decides_whether_the_connection_will_close(lines: tuple[str, ...], will_close: bool) -> None:
    assert response_of(message(*lines)).will_close is will_close


@pytest.mark.parametrize(
    ("lines", "length", "chunked"),
    [
        pytest.param(("HTTP/1.1 200 OK", LENGTH), 5, False, id="length"),
        pytest.param(("HTTP/1.1 200 OK",), None, False, id="nothing said"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length: 0"), 0, False, id="length 0"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length: -1"), None, False, id="negative length"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length: many"), None, False, id="no number"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length: 5.0"), None, False, id="fraction"),
        pytest.param(("HTTP/1.1 200 OK", "Content-Length:"), None, False, id="empty length"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), None, True, id="chunks"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding: CHUNKED"), None, True, id="chunks in capitals"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", LENGTH), None, True, id="chunks and length"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding: gzip", LENGTH), 5, False, id="another coding"),
        pytest.param(("HTTP/1.1 200 OK", "Transfer-Encoding:", LENGTH), 5, False, id="empty coding"),
        pytest.param(("HTTP/1.1 204 No Content", LENGTH), 0, False, id="204"),
        pytest.param(("HTTP/1.1 304 Not Modified", LENGTH), 0, False, id="304"),
        pytest.param(("HTTP/1.1 101 Switching", LENGTH), 0, False, id="101"),
        pytest.param(("HTTP/1.1 199 Interim", LENGTH), 0, False, id="199"),
        pytest.param(("HTTP/1.1 203 Other", LENGTH), 5, False, id="203"),
        pytest.param(("HTTP/1.1 205 Reset", LENGTH), 5, False, id="205"),
        pytest.param(("HTTP/1.1 303 Other", LENGTH), 5, False, id="303"),
    ],
)
def test_the_head_gives_the_length(lines: tuple[str, ...], length: int | None, chunked: bool) -> None:
    response = response_of(message(*lines))
    assert (response.length, response.chunked, response.chunk_left) == (
        length,
        chunked,
        None if chunked else "UNKNOWN",
    )


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "101 Switching"])
def test_a_status_without_a_body_has_none_though_bytes_follow(status: str) -> None:
    response = response_of(message(f"HTTP/1.1 {status}", LENGTH, body=b"hello"))
    assert (response.read(), response.isclosed()) == (b"", True)


def test_a_negative_length_means_up_to_the_end_of_file() -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Content-Length: -1", body=b"hello"))
    assert (response.read(), response.isclosed()) == (b"hello", True)


@read_or_readinto
def test_the_answer_to_head_has_no_body_though_bytes_follow(reading: Reading) -> None:
    response = response_of(message("HTTP/1.1 200 OK", LENGTH, body=b"hello"), method="HEAD")
    assert (response.length, response.isclosed()) == (0, False)
    assert (reading(response, 5), response.isclosed()) == (b"", True)
    assert reading(response, 5) == b""


@read_or_readinto
def test_the_answer_to_head_has_no_chunks_though_they_follow(reading: Reading) -> None:
    reply = message("HTTP/1.1 200 Sure", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    response = response_of(reply, method="HEAD")
    assert (response.status, response.reason) == (200, "Sure")
    assert (reading(response, 5), response.isclosed(), response.closed) == (b"", True, False)


def test_the_answer_to_head_is_read_whole_as_nothing() -> None:
    response = response_of(message("HTTP/1.1 200 OK", LENGTH, body=b"hello"), method="HEAD")
    assert (response.read(), response.isclosed()) == (b"", True)


@pytest.mark.parametrize("framing", [LENGTH, "Transfer-Encoding: chunked"])
def test_the_answer_to_head_gives_nothing_by_the_line_or_at_a_glance(framing: str) -> None:
    reply = message("HTTP/1.1 200 OK", framing, body=b"5\r\nhello\r\n0\r\n\r\n")
    response = response_of(reply, method="HEAD")
    assert (response.peek(), response.readline(), response.read1(), response.isclosed()) == (b"", b"", b"", False)
