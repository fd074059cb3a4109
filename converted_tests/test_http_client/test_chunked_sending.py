"""A body of unknown length is sent in chunks, unless the caller has coded it already.
RFC 9112 section 7.1 says what the chunked coding is, and that HTTP/1.0 has none."""

from __future__ import annotations

import io
from collections.abc import Iterable
from copy import copy
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import listening
from converted_tests.test_http_client.support import (
    EXAMPLE_HOST,
    IDENTITY,
    Old,
    chunks,
    message,
    origin,
    pieces,
    response_of,
    wired,
    written,
)

CHUNKED = "Transfer-Encoding: chunked"
# A body in a table is copied before it is sent: a file that was read once is empty the next time.
ONE_TWO = b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def post(*more: str, body: bytes = b"") -> bytes:
    return message("POST / HTTP/1.1", EXAMPLE_HOST, IDENTITY, *more, body=body)


def sent_with(body: Any, **named: bool) -> list[bytes]:
    """The calls of send after the head if *body* is passed to endheaders."""
    connection, wire = wired()
    connection.putrequest("POST", "/")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(body, **named)
    assert wire.sends[0] == post(CHUNKED)
    return wire.sends[1:]


@pytest.mark.parametrize(
    ("body", "sends"),
    [
        pytest.param([b"one", b"two"], [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"], id="list"),
        pytest.param((b"one", b"two"), [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"], id="tuple"),
        pytest.param(b"bytes", [b"5\r\nbytes\r\n", b"0\r\n\r\n"], id="bytes"),
        pytest.param(io.BytesIO(b"file"), [b"4\r\nfile\r\n", b"0\r\n\r\n"], id="file"),
        pytest.param([b"x" * 26], [b"1A\r\n" + b"x" * 26 + b"\r\n", b"0\r\n\r\n"], id="size in hexadecimal"),
        pytest.param(
            [b"", b"one", b"", b"two", b""], [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"], id="empty items"
        ),
        pytest.param([], [b"0\r\n\r\n"], id="no item"),
        pytest.param([b""], [b"0\r\n\r\n"], id="only an empty item"),
        pytest.param([bytearray(b"ab")], [b"2\r\nab\r\n", b"0\r\n\r\n"], id="bytearray items"),
        pytest.param([memoryview(b"ab")], [b"2\r\nab\r\n", b"0\r\n\r\n"], id="memoryview items"),
        pytest.param(None, [], id="no body"),
    ],
)
def test_endheaders_encodes_each_item_and_ends_with_the_last_chunk(body: Any, sends: list[bytes]) -> None:
    assert sent_with(copy(body), encode_chunked=True) == sends


def test_endheaders_sends_the_items_as_they_are_unless_asked() -> None:
    assert sent_with([b"one", b"", b"two"]) == [b"one", b"two"]


def test_endheaders_encodes_what_a_generator_gives() -> None:
    assert b"".join(sent_with(pieces(b"one", b"two"), encode_chunked=True)) == ONE_TWO


def test_the_encoding_is_asked_for_by_name_alone() -> None:
    connection, _ = wired()
    connection.putrequest("POST", "/")
    with pytest.raises(TypeError, match="positional argument"):
        connection.endheaders([b"one"], True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([b"one", b"two"], id="list"),
        pytest.param((b"one", b"two"), id="tuple"),
        pytest.param(b"onetwo", id="bytes"),
        pytest.param("onetwo", id="text"),
        pytest.param(io.BytesIO(b"onetwo"), id="file"),
    ],
)
def test_a_body_that_the_caller_has_coded_is_not_coded_again(body: Any) -> None:
    sent = written("POST", "/", copy(body), {"Transfer-Encoding": "gzip, chunked"})
    assert sent == post("Transfer-Encoding: gzip, chunked", body=b"onetwo")


def test_the_name_of_transfer_encoding_may_be_in_any_case() -> None:
    sent = written("POST", "/", [b"one"], {"transfer-ENCODING": "chunked"})
    assert sent == post("transfer-ENCODING: chunked", body=b"one")


@pytest.mark.parametrize(
    ("body", "coded"),
    [
        pytest.param([b"one", b"two"], ONE_TWO, id="list"),
        pytest.param("text", b"4\r\ntext\r\n0\r\n\r\n", id="text"),
        pytest.param(io.BytesIO(b"file"), b"4\r\nfile\r\n0\r\n\r\n", id="file"),
    ],
)
def test_the_caller_may_name_the_coding_and_leave_the_work(body: Any, coded: bytes) -> None:
    sent = written("POST", "/", copy(body), {"Transfer-Encoding": "gzip, chunked"}, encode_chunked=True)
    assert sent == post("Transfer-Encoding: gzip, chunked", body=coded)


def test_bytes_get_a_length_and_no_chunks_even_if_asked_for() -> None:
    assert written("POST", "/", b"ab", encode_chunked=True) == post("Content-Length: 2", body=b"ab")


@pytest.mark.parametrize(
    ("body", "coded"),
    [
        pytest.param([b"one", b"two"], ONE_TWO, id="list"),
        pytest.param((b"one", b"two"), ONE_TWO, id="tuple"),
        pytest.param({b"one": 1, b"two": 2}, ONE_TWO, id="keys of a dict"),
        pytest.param([], b"0\r\n\r\n", id="empty list"),
        pytest.param(io.BytesIO(b"file"), b"4\r\nfile\r\n0\r\n\r\n", id="binary file"),
        pytest.param(io.StringIO("caf\u00e9"), b"4\r\ncaf\xe9\r\n0\r\n\r\n", id="text file"),
        pytest.param(io.BytesIO(), b"0\r\n\r\n", id="empty file"),
    ],
)
def test_a_body_of_unknown_length_is_sent_in_chunks(body: Any, coded: bytes) -> None:
    assert written("POST", "/", copy(body)) == post(CHUNKED, body=coded)


def test_the_coding_is_named_before_the_callers_headers() -> None:
    assert written("POST", "/", [b"a"], {"X": "1"}) == post(CHUNKED, "X: 1", body=chunks(b"a"))


def test_a_generator_is_sent_in_chunks() -> None:
    assert written("POST", "/", pieces(b"one", b"two")) == post(CHUNKED, body=ONE_TWO)


def test_a_large_file_becomes_a_chunk_a_block() -> None:
    connection, wire = wired(connection=HTTPConnection("example.org", blocksize=4))
    connection.request("POST", "/", io.BytesIO(b"0123456789"))
    assert wire.sends[1:] == [b"4\r\n0123\r\n", b"4\r\n4567\r\n", b"2\r\n89\r\n", b"0\r\n\r\n"]


def test_text_in_an_iterable_cannot_be_a_chunk() -> None:
    with pytest.raises(TypeError):
        written("POST", "/", ["text"])


def test_http_1_0_has_no_chunks() -> None:
    connection, wire = wired(connection=Old("example.org"))
    connection.putrequest("POST", "/")
    connection.endheaders([b"one", b"two"], encode_chunked=True)
    assert wire.sends == [message("POST / HTTP/1.0"), b"one", b"two"]


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_law_what_was_sent_in_chunks_is_read_back_whole(parts: list[bytes]) -> None:
    body = written("POST", "/", iter(parts)).removeprefix(post(CHUNKED))
    assert body == chunks(*filter(None, parts))
    assert response_of(message("HTTP/1.1 200 OK", CHUNKED, body=body)).read() == b"".join(parts)


@pytest.mark.parametrize(
    "body", [pytest.param([b"one", b"two"], id="list"), pytest.param(iter([b"one", b"two"]), id="iterator")]
)
def test_a_real_server_receives_the_chunks(body: Iterable[bytes]) -> None:
    heard: list[bytes] = []
    with listening(origin(message("HTTP/1.1 200 OK", "Content-Length: 0"), heard=heard)) as (host, port):
        connection = HTTPConnection(str(host), int(port))
        connection.request("POST", "/", copy(body), {"Host": "h"})
        with connection.getresponse() as response:
            assert response.status == 200
        connection.close()
    assert heard == [message("POST / HTTP/1.1", IDENTITY, CHUNKED, "Host: h", body=ONE_TWO)]
