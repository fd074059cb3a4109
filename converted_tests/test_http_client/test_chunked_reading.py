"""A chunked body is decoded chunk by chunk, and a truncated one reports how far it came.
RFC 9112 section 7.1 defines chunks, their extensions and the trailer, section 8 what an incomplete body is."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPResponse, IncompleteRead, LineTooLong

import pytest

from converted_tests.peers import listening
from converted_tests.test_http_client.support import (
    LIMIT_BYTES,
    Reading,
    Wire,
    begun,
    by_read,
    chunks,
    message,
    origin,
    read_or_readinto,
    response_of,
)

HEAD = message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
HELLO_WORLD = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def chunked(body: bytes) -> HTTPResponse:
    return response_of(HEAD + body)


def read_whole(response: HTTPResponse, _size: int) -> bytes:
    return response.read()


every_way = pytest.mark.parametrize(
    "reading",
    [read_whole, by_read, lambda response, size: response.read1(size)],
    ids=["read", "read bounded", "read1"],
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(HELLO_WORLD, id="two chunks"),
        pytest.param(b"B\r\nhello world\r\n0\r\n\r\n", id="size in capitals"),
        pytest.param(b"b\r\nhello world\r\n0\r\n\r\n", id="size in small letters"),
        pytest.param(b"00B \r\nhello world\r\n000\r\n\r\n", id="zeros and blanks about the size"),
        pytest.param(b"b\nhello world\r\n0\n\n", id="lines ended by LF"),
        pytest.param(b"b;x=y\r\nhello world\r\n0;last\r\n\r\n", id="extensions"),
        pytest.param(b'b ; x="a;b"\r\nhello world\r\n0\r\n\r\n', id="extension with a semicolon"),
        pytest.param(b"b\r\nhello world\r\n0\r\nX: 1\r\nY: 2\r\n\r\n", id="trailer"),
        pytest.param(b"b\r\nhello world\r\n0\r\n", id="no last line end"),
        pytest.param(b"b\r\nhello world\r\n0", id="no line end behind the last size"),
        pytest.param(b"b\r\nhello world\r\n0\r\nX: 1\r\n", id="trailer without an end"),
    ],
)
def test_the_chunks_are_joined(body: bytes) -> None:
    response = chunked(body)
    assert (response.read(), response.isclosed(), response.closed) == (b"hello world", True, False)
    assert response.read() == b""


def test_a_body_of_no_chunk_is_empty() -> None:
    response = chunked(b"0\r\n\r\n")
    assert (response.read(), response.isclosed()) == (b"", True)


@read_or_readinto
def test_a_chunk_may_be_read_in_pieces(reading: Reading) -> None:
    response = chunked(HELLO_WORLD)
    seen = [(reading(response, size), response.chunk_left) for size in (2, 0, 3, 4, 2)]
    assert seen == [(b"he", 3), (b"", 3), (b"llo", 0), (b" wor", 2), (b"ld", 0)]
    assert not response.isclosed()
    assert (reading(response, 1), response.isclosed(), reading(response, 1)) == (b"", True, b"")


@read_or_readinto
@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        pytest.param((100,), [b"hello world"], id="all at once"),
        pytest.param((11, 1), [b"hello world", b""], id="exactly all"),
        pytest.param((12,), [b"hello world"], id="one more than all"),
        pytest.param((7, 7), [b"hello w", b"orld"], id="across the chunks"),
        pytest.param((6, 100), [b"hello ", b"world"], id="one byte of the second"),
    ],
)
def test_a_reading_may_span_chunks(reading: Reading, sizes: tuple[int, ...], parts: list[bytes]) -> None:
    response = chunked(HELLO_WORLD)
    assert ([reading(response, size) for size in sizes], response.isclosed()) == (parts, True)


def test_a_part_and_then_the_rest_make_the_whole() -> None:
    response = chunked(HELLO_WORLD)
    assert (response.read(3), response.read(), response.isclosed()) == (b"hel", b"lo world", True)


def test_a_body_without_its_last_chunk_is_incomplete() -> None:
    response = chunked(b"5\r\nhello\r\n6\r\n world\r\n")
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    failure = caught.value
    assert (failure.partial, failure.expected) == (b"hello world", None)
    assert str(failure) == repr(failure) == "IncompleteRead(11 bytes read)"
    assert response.isclosed()


@read_or_readinto
@pytest.mark.parametrize(
    ("body", "partial"),
    [
        pytest.param(b"5\r\nhello\r\n6\r\n world\r\n", b"hello world", id="no last chunk"),
        pytest.param(b"5\r\nhello\r\n6\r\n world\r\nfoo\r\n", b"hello world", id="no size"),
        pytest.param(b"5\r\nhello\r\n;x=y\r\n", b"hello", id="only an extension"),
        pytest.param(b"", b"", id="no chunk at all"),
        pytest.param(b"\r\n", b"", id="blank line"),
    ],
)
def test_a_body_without_a_next_size_is_incomplete(reading: Reading, body: bytes, partial: bytes) -> None:
    response = chunked(body)
    with pytest.raises(IncompleteRead) as caught:
        reading(response, 100)
    assert (caught.value.partial, caught.value.expected, response.isclosed()) == (partial, None, True)


@read_or_readinto
@pytest.mark.parametrize(
    ("body", "cut", "missing"),
    [
        pytest.param(b"5\r\nhello\r\n6\r\n wo", b" wo", 3, id="inside a chunk"),
        pytest.param(b"5\r\nhello\r\n6\r\n", b"", 6, id="before a chunk"),
        pytest.param(b"5\r\nhello\r", b"\r", 1, id="inside the line end of a chunk"),
        pytest.param(b"5\r\nhello", b"", 2, id="before the line end of a chunk"),
    ],
)
def test_a_chunk_cut_short_is_left_out_of_the_partial_body(
    reading: Reading, body: bytes, cut: bytes, missing: int
) -> None:
    with pytest.raises(IncompleteRead) as caught:
        reading(chunked(body), 100)
    reason = caught.value.__context__
    assert isinstance(reason, IncompleteRead)
    assert (caught.value.partial, caught.value.expected) == (b"hello", None)
    assert (reason.partial, reason.expected) == (cut, missing)


def test_a_chunk_cut_short_at_exactly_what_is_asked_for_is_no_error() -> None:
    response = chunked(b"6\r\nhello")
    assert response.read(5) == b"hello"


def test_reading_a_cut_body_names_the_first_failure_as_the_cause() -> None:
    with pytest.raises(IncompleteRead) as caught:
        chunked(b"5\r\nhel").read()
    assert repr(caught.value.__cause__) == "IncompleteRead(3 bytes read, 2 more expected)"


@every_way
def test_a_size_line_longer_than_the_limit_is_refused_at_the_first_byte_too_many(reading: Reading) -> None:
    wire = Wire(HEAD + b"1;".ljust(LIMIT_BYTES + 1, b"x") + b"more")
    with pytest.raises(LineTooLong) as caught:
        reading(begun(wire), 10)
    assert wire.files[0].read() == b"more"
    assert str(caught.value) == "got more than 65536 bytes when reading chunk size"


def test_a_size_line_may_be_as_long_as_the_limit() -> None:
    assert chunked(b"1;".ljust(LIMIT_BYTES - 2, b"x") + b"\r\na\r\n0\r\n\r\n").read() == b"a"


def test_a_trailer_line_longer_than_the_limit_is_refused_at_the_first_byte_too_many() -> None:
    wire = Wire(HEAD + b"0\r\n" + b"X: ".ljust(LIMIT_BYTES + 1, b"x") + b"more")
    with pytest.raises(LineTooLong) as caught:
        begun(wire).read()
    assert wire.files[0].read() == b"more"
    assert str(caught.value) == "got more than 65536 bytes when reading trailer line"


def test_a_trailer_line_may_be_as_long_as_the_limit() -> None:
    assert chunked(b"0\r\nX: ".ljust(3 + LIMIT_BYTES - 2, b"x") + b"\r\n\r\n").read() == b""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chunks(b"hello", b" world"), id="plain"),
        pytest.param(chunks(b"hello world", trailer=b"X: 1\r\nY: 2\r\n"), id="trailer"),
        pytest.param(b"b\r\nhello world\r\n0\r\nX: 1\n\n", id="trailer ended by LF"),
        pytest.param(b"b\r\nhello world\r\n0;x=y\r\n\r\n", id="extension of the last chunk"),
    ],
)
@read_or_readinto
def test_what_is_behind_the_last_chunk_stays_in_the_stream(reading: Reading, body: bytes) -> None:
    wire = Wire(HEAD + body + b"HTTP/1.1 404 NEXT\r\n\r\n")
    assert reading(begun(wire), 100) == b"hello world"
    assert (wire.files[0].hung_up, wire.files[0].read()) == (True, b"HTTP/1.1 404 NEXT\r\n\r\n")


def test_the_line_end_of_the_last_chunk_read_is_left_for_later() -> None:
    wire = Wire(HEAD + chunks(b"hello"))
    assert begun(wire).read(5) == b"hello"
    assert wire.files[0].read() == b"\r\n0\r\n\r\n"


def test_a_chunked_body_arrives_whole_from_a_real_server(ip_family: int) -> None:
    parts = [bytes([letter]) * 700 for letter in range(65, 91)]
    with listening(origin(HEAD + chunks(*parts), HEAD + chunks(b"again")), family=ip_family) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        for body in (b"".join(parts), b"again"):
            connection.request("GET", "/")
            with connection.getresponse() as response:
                assert response.read() == body
        connection.close()


def test_a_server_that_hangs_up_between_chunks_leaves_the_body_incomplete() -> None:
    with listening(origin(HEAD + b"5\r\nhello\r\n")) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("GET", "/")
        with connection.getresponse() as response, pytest.raises(IncompleteRead) as caught:
            response.read()
        connection.close()
    assert caught.value.partial == b"hello"
