"""A body is read to its end and no further, whether its length or the end of file says where that is.
RFC 9112 section 6.3 says where a body ends; io.BufferedIOBase says what read and readinto promise."""

from __future__ import annotations

import io
import socket
import sys
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from typing import cast

import pytest

from converted_tests.peers import canned, listening
from converted_tests.test_http_client.support import (
    Reading,
    Wire,
    begun,
    message,
    origin,
    read_or_readinto,
    response_of,
)

closes_at_the_last_byte = pytest.mark.skipif(
    sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2),
    reason="read1 and readline close at the last byte since 3.11.8 and 3.12.2 (gh-113199)",
)


def sized(body: bytes, length: int | None = None) -> HTTPResponse:
    """A response that promises *length* bytes, by default as many as *body* has."""
    return response_of(
        message("HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", body=body)
    )


def endless(body: bytes) -> HTTPResponse:
    """A response that ends with the connection."""
    return response_of(message("HTTP/1.1 200 OK", body=body))


def test_read_gives_the_whole_body_and_releases_the_file() -> None:
    response = endless(b"Text")
    assert (response.read(0), response.isclosed()) == (b"", False)
    assert (response.read(), response.isclosed(), response.closed) == (b"Text", True, False)
    response.close()
    assert response.closed


def test_a_body_of_known_length_is_read_whole() -> None:
    response = sized(b"hello")
    assert (response.read(), response.length, response.isclosed(), response.read()) == (b"hello", 0, True, b"")


@read_or_readinto
def test_the_last_byte_of_a_known_length_releases_the_file(reading: Reading) -> None:
    response = sized(b"Text")
    seen = [(reading(response, size), response.length, response.isclosed()) for size in (2, 0, 1, 1, 5)]
    assert seen == [(b"Te", 2, False), (b"", 2, False), (b"x", 1, False), (b"t", 0, True), (b"", 0, True)]
    assert not response.closed


@read_or_readinto
def test_only_the_end_of_file_ends_a_body_of_unknown_length(reading: Reading) -> None:
    response = endless(b"Text")
    seen = [(reading(response, size), response.isclosed()) for size in (2, 2, 0, 1, 1)]
    assert seen == [(b"Te", False), (b"xt", False), (b"", False), (b"", True), (b"", True)]
    assert response.length is None


@read_or_readinto
def test_reading_for_more_than_is_left_gives_what_is_left(reading: Reading) -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Content-Length: 5", body=b"helloNEXT"))
    assert (reading(response, 2), reading(response, 100), response.isclosed()) == (b"he", b"llo", True)


@read_or_readinto
def test_a_body_shorter_than_promised_ends_in_pieces_without_an_error(reading: Reading) -> None:
    response = sized(b"Text", length=10)
    seen = [(reading(response, 3), response.isclosed()) for _ in range(4)]
    assert seen == [(b"Tex", False), (b"t", False), (b"", True), (b"", True)]


@read_or_readinto
def test_a_body_of_length_zero_is_over_at_the_first_reading(reading: Reading) -> None:
    response = sized(b"")
    assert (response.isclosed(), reading(response, 0), response.isclosed()) == (False, b"", True)


def test_a_body_shorter_than_promised_is_incomplete_when_read_whole() -> None:
    response = sized(b"hello w", length=10)
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    failure = caught.value
    assert (failure.partial, failure.expected) == (b"hello w", 3)
    assert str(failure) == repr(failure) == "IncompleteRead(7 bytes read, 3 more expected)"
    assert response.isclosed()


def test_the_rest_of_a_body_is_incomplete_when_read_whole() -> None:
    response = sized(b"hello w", length=10)
    assert response.read(5) == b"hello"
    with pytest.raises(IncompleteRead) as caught:
        response.read()
    assert (caught.value.partial, caught.value.expected) == (b" w", 3)


def test_a_line_and_then_the_rest_make_the_whole() -> None:
    response = sized(b"one\ntwo\nthree")
    assert (response.readline(), response.length, response.read()) == (b"one\n", 9, b"two\nthree")
    assert response.isclosed()


@pytest.mark.parametrize("end", ["Content-Length: 9", "X: no length"])
def test_a_body_is_read_line_by_line(end: str) -> None:
    response = response_of(message("HTTP/1.1 200 OK", end, body=b"one\ntwo\n3"))
    assert [response.readline() for _ in range(4)] == [b"one\n", b"two\n", b"3", b""]


@pytest.mark.parametrize("end", ["Content-Length: 9", "X: no length"])
def test_a_body_can_be_iterated_over(end: str) -> None:
    response = response_of(message("HTTP/1.1 200 OK", end, body=b"one\ntwo\n3"))
    assert iter(response) is response
    assert (list(response), list(response)) == ([b"one\n", b"two\n", b"3"], [])


def test_iterating_over_a_closed_response_gives_nothing() -> None:
    response = sized(b"one\ntwo\n")
    response.close()
    assert list(response) == []


def test_a_line_may_be_read_up_to_a_limit() -> None:
    response = sized(b"one\ntwo\n")
    lines = [(response.readline(limit), response.length) for limit in (2, 0, 100, 4)]
    assert lines == [(b"on", 6), (b"", 6), (b"e\n", 4), (b"two\n", 0)]


def test_the_end_of_file_ends_the_lines_of_a_body_of_unknown_length() -> None:
    response = endless(b"one\n")
    seen = [(response.readline(limit), response.isclosed()) for limit in (-1, 0, -1, -1)]
    assert seen == [(b"one\n", False), (b"", False), (b"", True), (b"", True)]


def test_the_end_of_file_ends_the_pieces_of_a_body_of_unknown_length() -> None:
    response = endless(b"one")
    seen = [(response.read1(limit), response.isclosed()) for limit in (-1, 0, -1, -1)]
    assert seen == [(b"one", False), (b"", False), (b"", True), (b"", True)]


@pytest.mark.parametrize("method", ["readline", "read1"])
def test_a_body_shorter_than_promised_ends_by_lines_and_pieces_too(method: str) -> None:
    response = sized(b"one", length=5)
    read = getattr(response, method)
    assert (read(), response.length, response.isclosed()) == (b"one", 2, False)
    assert (read(), response.isclosed()) == (b"", True)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        pytest.param("read", (), id="read"),
        pytest.param("read", (100,), id="read bounded"),
        pytest.param("read1", (), id="read1"),
        pytest.param("read1", (-1,), id="read1 unbounded"),
        pytest.param("read1", (100,), id="read1 bounded"),
        pytest.param("read1", (6,), id="read1 bounded by one more"),
        pytest.param("readline", (), id="readline"),
        pytest.param("readline", (-1,), id="readline unbounded"),
        pytest.param("readline", (100,), id="readline bounded"),
        pytest.param("readline", (6,), id="readline bounded by one more"),
    ],
)
def test_nothing_behind_the_length_is_given_out(method: str, arguments: tuple[int, ...]) -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Content-Length: 5", body=b"helloNEXT\n"))
    read = getattr(response, method)
    assert (read(*arguments), response.length, response.read()) == (b"hello", 0, b"")
    assert response.isclosed()


def test_readlines_gives_nothing_behind_the_length() -> None:
    response = response_of(message("HTTP/1.1 200 OK", "Content-Length: 5", body=b"he\nloNEXT\n"))
    assert response.readlines() == [b"he\n", b"lo"]


def test_what_is_behind_the_length_stays_in_the_stream() -> None:
    wire = Wire(message("HTTP/1.1 200 OK", "Content-Length: 5", body=b"helloNEXT"))
    assert begun(wire).read() == b"hello"
    assert (wire.files[0].hung_up, wire.files[0].read()) == (True, b"NEXT")


@closes_at_the_last_byte
@pytest.mark.parametrize("method", ["readline", "read1"])
def test_lines_and_pieces_release_the_file_at_the_last_byte(method: str) -> None:
    response = sized(b"one\n")
    assert (getattr(response, method)(), response.isclosed()) == (b"one\n", True)


def test_a_response_is_readable_and_nothing_else() -> None:
    response = sized(b"x")
    assert (response.readable(), response.writable(), response.seekable()) == (True, False, False)


def test_leaving_the_with_block_closes_the_response() -> None:
    wire = Wire(message("HTTP/1.1 200 OK", body=b"never read"))
    with begun(wire) as response:
        assert not response.closed
    assert (response.closed, response.isclosed(), wire.files[0].hung_up) == (True, True, True)
    assert response.read() == b""


def test_closing_twice_is_closing_once() -> None:
    response = sized(b"x")
    response.close()
    response.close()
    assert response.closed


class Flushes(io.BytesIO):
    count = 0

    def flush(self) -> None:
        self.count += 1


def test_flushing_a_response_flushes_its_file() -> None:
    response = sized(b"x")
    response.fp = cast(io.BufferedReader, file := Flushes())
    response.flush()
    assert file.count == 1


def test_flushing_a_response_that_is_read_is_harmless() -> None:
    response = sized(b"x")
    response.read()
    response.flush()
    assert response.isclosed()


def test_flushing_a_closed_response_is_refused() -> None:
    response = sized(b"x")
    response.close()
    with pytest.raises(ValueError, match="closed file"):
        response.flush()


def test_the_descriptor_of_a_response_is_its_sockets() -> None:
    with canned(message("HTTP/1.1 200 OK", body=b"x")) as wire:
        with HTTPResponse(wire.client) as response:
            assert response.fileno() == wire.client.fileno()


def test_the_descriptor_of_a_response_to_connect_is_a_tunnel() -> None:
    with listening(origin(message("HTTP/1.1 200 Connection established"), b"pong")) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("CONNECT", "destination.example:443")
        with connection.getresponse() as response:
            assert (response.status, connection.sock) == (200, None)
            with socket.fromfd(response.fileno(), socket.AF_INET, socket.SOCK_STREAM) as tunnel:
                tunnel.sendall(b"ping\r\n\r\n")
            assert response.read() == b"pong"


def test_a_body_arrives_whole_from_a_real_server(ip_family: int) -> None:
    body = bytes(range(256)) * 300
    with listening(
        origin(message("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", body=body)), family=ip_family
    ) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("GET", "/")
        with connection.getresponse() as response:
            assert response.read() == body
        connection.close()


def test_a_body_can_be_read_after_its_connection_is_closed(ip_family: int) -> None:
    with listening(origin(message("HTTP/1.0 200 OK", body=b"still there")), family=ip_family) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("GET", "/")
        with connection.getresponse() as response:
            connection.close()
            assert response.read() == b"still there"


def test_a_server_that_hangs_up_in_the_body_leaves_it_incomplete() -> None:
    with listening(origin(message("HTTP/1.1 200 OK", "Content-Length: 10", body=b"hello w"))) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("GET", "/")
        with connection.getresponse() as response, pytest.raises(IncompleteRead) as caught:
            response.read()
        connection.close()
    assert (caught.value.partial, caught.value.expected) == (b"hello w", 3)
