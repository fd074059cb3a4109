"""However the bytes of a response are cut and read, the result is the same body, or an HTTPException.
RFC 9112 section 6.3 makes the length of a body a property of the message alone, never of its packets."""

from __future__ import annotations

from http.client import HTTPException

from hypothesis import given
from hypothesis import strategies as st

from converted_tests.strategies import pieces_of
from converted_tests.test_http_client.support import by_read, by_readinto, chunks, message, response_of

bodies = st.binary(max_size=60)
sizes = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@st.composite
def framed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body and a response that carries it, in one of the three framings."""
    body = draw(bodies)
    match draw(st.sampled_from(["length", "chunks", "end of file"])):
        case "length":
            return body, message("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", body=body)
        case "chunks":
            parts = filter(None, draw(pieces_of(body)))
            coded = chunks(*parts, trailer=draw(st.sampled_from([b"", b"X: 1\r\n"])))
            return body, message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=coded)
        case _:
            return body, message("HTTP/1.1 200 OK", body=body)


@given(framed(), st.data())
def test_law_cutting_the_stream_anywhere_changes_nothing(response: tuple[bytes, bytes], data: st.DataObject) -> None:
    body, wire = response
    assert response_of(data.draw(pieces_of(wire))).read() == body


@given(framed(), sizes, st.sampled_from([by_read, by_readinto, lambda response, size: response.read1(size)]))
def test_law_the_sizes_asked_for_change_nothing(
    response: tuple[bytes, bytes], asked: list[int], reading: object
) -> None:
    body, wire = response
    received = response_of(wire)
    assert callable(reading)
    parts: list[bytes] = []
    while part := reading(received, asked[len(parts) % len(asked)]):
        parts.append(part)
    assert b"".join(parts) == body


@given(framed())
def test_law_the_lines_make_the_body(response: tuple[bytes, bytes]) -> None:
    body, wire = response
    lines = list(response_of(wire))
    assert b"".join(lines) == body
    assert all(line.endswith(b"\n") for line in lines[:-1])


@given(framed(), st.data())
def test_law_a_response_that_breaks_off_gives_no_more_than_was_sent(
    response: tuple[bytes, bytes], data: st.DataObject
) -> None:
    body, wire = response
    cut = data.draw(st.integers(0, len(wire)))
    try:
        received = response_of(wire[:cut]).read()
    except HTTPException:
        return
    assert body.startswith(received)


# A number of many digits is a memory error, and a negative size of a chunk a ValueError from the file under the
# response (CPython 3.11 to 3.13): neither is in what these lines can be made of.
words = st.sampled_from(
    [
        b"HTTP/1.1",
        b"HTTP/1.0",
        b" ",
        b"200",
        b"100",
        b"204",
        b"OK",
        b":",
        b"Content-Length: 3",
        b"\x00",
        b"\xff",
        b"7;x",
    ]
)
fields = st.sampled_from(
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b": ", b" folded", b"no colon"]
)
noise = st.text(st.characters(max_codepoint=255, exclude_characters="-0123456789abcdefABCDEF"), max_size=8)
lines = st.one_of(
    st.lists(words, max_size=4).map(b"".join), fields, noise.map(lambda text: text.encode("latin-1")), st.just(b"")
)
endings = st.sampled_from([b"\r\n", b"\n", b"\r"])
replies = st.lists(st.tuples(lines, endings), max_size=12).map(lambda pairs: b"".join(a + b for a, b in pairs))


@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", message("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")]), replies
)
def test_law_whatever_a_server_says_gives_a_body_or_an_http_exception(start: bytes, reply: bytes) -> None:
    try:
        body = response_of(start + reply).read()
    except HTTPException:
        return
    assert len(body) <= len(start + reply)
