"""A response is a buffered file: it can be looked into, read by the line, and read as far as it has come.
io.BufferedReader's manual defines peek and read1; one body over all framings shows that they make no difference."""

from __future__ import annotations

from collections.abc import Callable
from http.client import HTTPResponse, IncompleteRead

import pytest

from converted_tests.test_http_client.support import chunks, message, response_of

LINES = [b"first line\n", b"second\n", b"\n", b"third, without an end"]
BODY = b"".join(LINES)

Framing = Callable[[bytes], HTTPResponse]


def by_length(body: bytes) -> HTTPResponse:
    return response_of(message("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", body=body))


def by_end_of_file(body: bytes) -> HTTPResponse:
    return response_of(message("HTTP/1.1 200 OK", body=body))


def by_one_chunk(body: bytes) -> HTTPResponse:
    return response_of(message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(body)))


def by_many_chunks(body: bytes) -> HTTPResponse:
    parts = [body[start : start + 4] for start in range(0, len(body), 4)]
    return response_of(message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=chunks(*parts)))


def in_single_bytes(body: bytes) -> HTTPResponse:
    wire = message("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", body=body)
    return response_of([wire[at : at + 1] for at in range(len(wire))])


every_framing = pytest.mark.parametrize(
    "framed",
    [by_length, by_end_of_file, by_one_chunk, by_many_chunks, in_single_bytes],
    ids=["length", "end of file", "one chunk", "many chunks", "single bytes"],
)


@every_framing
def test_peek_gives_a_beginning_of_what_is_read_next(framed: Framing) -> None:
    response = framed(BODY)
    rest = BODY
    while rest:
        glimpse = response.peek()
        assert glimpse
        assert rest.startswith(glimpse)
        assert response.read(3) == rest[:3]
        rest = rest[3:]
    assert response.peek() == b""


@every_framing
def test_a_bigger_peek_extends_a_smaller_one(framed: Framing) -> None:
    response = framed(BODY)
    small, unbounded, large = response.peek(1), response.peek(), response.peek(1000)
    assert small
    assert unbounded.startswith(small)
    assert large.startswith(unbounded)
    assert response.read() == BODY


@every_framing
def test_peek_of_nothing_gives_bytes(framed: Framing) -> None:
    response = framed(BODY)
    assert BODY.startswith(response.peek(0))
    assert response.read() == BODY


@every_framing
def test_peek_behind_the_end_gives_nothing(framed: Framing) -> None:
    response = framed(b"x")
    assert (response.read(), response.peek(), response.peek(5)) == (b"x", b"", b"")


@every_framing
def test_readline_gives_whole_lines_in_order(framed: Framing) -> None:
    response = framed(BODY)
    assert [response.readline() for _ in range(5)] == [*LINES, b""]


# Not over many chunks: there io.IOBase.readline does the work, which compares its limit with each chunk's share of
# the line, not with the line, and gives more than it was asked for (seen in CPython 3.11 to 3.13).
@pytest.mark.parametrize(
    "framed",
    [by_length, by_end_of_file, by_one_chunk, in_single_bytes],
    ids=["length", "end of file", "one chunk", "single bytes"],
)
@pytest.mark.parametrize("limit", [1, 5, 11, 100])
def test_readline_gives_no_more_than_its_limit(framed: Framing, limit: int) -> None:
    response = framed(BODY)
    expected = [line[start : start + limit] for line in LINES for start in range(0, len(line), limit)]
    assert [response.readline(limit) for _ in range(len(expected) + 1)] == [*expected, b""]


@every_framing
def test_readline_of_nothing_gives_nothing(framed: Framing) -> None:
    response = framed(BODY)
    assert (response.readline(0), response.read()) == (b"", BODY)


@every_framing
def test_read1_gives_what_is_there_in_order(framed: Framing) -> None:
    response = framed(BODY)
    read = b""
    while piece := response.read1():
        read += piece
    assert (read, response.read1()) == (BODY, b"")


@every_framing
@pytest.mark.parametrize("limit", [1, 3, 4, 5, 1000])
def test_read1_gives_no_more_than_its_limit(framed: Framing, limit: int) -> None:
    response = framed(BODY)
    read = b""
    while piece := response.read1(limit):
        assert len(piece) <= limit
        read += piece
    assert (read, response.read1(limit)) == (BODY, b"")


@every_framing
def test_read1_of_nothing_gives_nothing(framed: Framing) -> None:
    response = framed(BODY)
    assert (response.read1(0), response.isclosed(), response.read()) == (b"", False, BODY)


@every_framing
def test_readlines_and_iteration_give_the_same_lines(framed: Framing) -> None:
    assert framed(BODY).readlines() == list(framed(BODY)) == LINES


@every_framing
def test_the_ways_of_reading_may_be_mixed(framed: Framing) -> None:
    response = framed(BODY)
    assert BODY.startswith(response.peek(2))
    assert response.readline(3) == b"fir"
    assert response.read(2) == b"st"
    piece = response.read1(2)
    assert b" line\n".startswith(piece)
    rest = BODY[len(b"first" + piece) :]
    assert response.readline() == rest[: rest.index(b"\n") + 1]
    assert response.read() == rest[rest.index(b"\n") + 1 :]


def test_read1_stops_at_the_end_of_a_chunk() -> None:
    response = by_many_chunks(b"abcdefgh")
    pieces = [(response.read1(size), response.chunk_left) for size in (3, 3, -1, 4)]
    assert pieces == [(b"abc", 1), (b"d", 0), (b"efgh", 0), (b"", None)]
    assert response.isclosed()


def test_peek_shows_no_more_than_the_chunk() -> None:
    response = by_many_chunks(b"abcdefgh")
    assert (response.peek(1), response.peek(100)) == (b"abcd", b"abcd")
    assert response.read(1) == b"a"
    assert response.peek() == b"bcd"


def test_peek_that_meets_the_last_chunk_ends_the_body() -> None:
    response = by_one_chunk(b"x")
    assert (response.read(1), response.isclosed()) == (b"x", False)
    assert (response.peek(), response.isclosed()) == (b"", True)


def test_read1_gives_what_has_arrived_and_waits_for_no_more() -> None:
    response = response_of([message("HTTP/1.1 200 OK", "Content-Length: 6"), b"abc", b"def"])
    assert [response.read1(6), response.read1()] == [b"abc", b"def"]


def test_read1_gives_what_has_arrived_of_a_chunk() -> None:
    response = response_of(
        [message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), b"6\r\nabc", b"def\r\n0\r\n\r\n"]
    )
    pieces = [(response.read1(), response.chunk_left) for _ in range(3)]
    assert pieces == [(b"abc", 3), (b"def", 0), (b"", None)]


@pytest.mark.parametrize("cut", [b"5\r\n", b"", b"five\r\n"], ids=["in a chunk", "before a size", "no size"])
def test_read1_says_when_a_chunk_does_not_come(cut: bytes) -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=cut))
    with pytest.raises(IncompleteRead) as caught:
        response.read1()
    assert (caught.value.partial, caught.value.expected) == (b"", None)


@pytest.mark.parametrize("cut", [b"5\r\n", b"", b"five\r\n"], ids=["in a chunk", "before a size", "no size"])
def test_peek_shows_nothing_when_a_chunk_does_not_come(cut: bytes) -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=cut))
    assert response.peek() == b""
