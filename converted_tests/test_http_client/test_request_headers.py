"""putheader writes one header, and no value can smuggle in another.
RFC 9110 section 5 says what names and values are, RFC 9112 section 5.2 what folding was."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_http_client.support import message, wired

Value = str | bytes | int


def header(name: str | bytes, *values: Value) -> bytes:
    """What putheader writes, without the line ending."""
    connection, wire = wired()
    connection.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
    connection.putheader(name, *values)
    connection.endheaders()
    return wire.sent.removeprefix(b"GET / HTTP/1.1\r\n").removesuffix(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        pytest.param("text", b"X: text", id="text"),
        pytest.param("", b"X: ", id="empty text"),
        pytest.param("caf\u00e9", b"X: caf\xe9", id="Latin-1 text"),
        pytest.param(42, b"X: 42", id="int"),
        pytest.param(-1, b"X: -1", id="negative int"),
        pytest.param(b"bytes", b"X: bytes", id="bytes"),
        pytest.param(b"\xff", b"X: \xff", id="byte 255"),
        pytest.param("\u20ac".encode(), b"X: \xe2\x82\xac", id="UTF-8 bytes"),
        pytest.param(b"\x80\x85\x9f", b"X: \x80\x85\x9f", id="C1 controls"),
        pytest.param(b"\x00\x0b\x0c", b"X: \x00\x0b\x0c", id="C0 controls that end no line"),
        pytest.param("  \tblanks \t ", b"X:   \tblanks \t ", id="blanks and tabs around"),
        pytest.param("one\r\n two", b"X: one\r\n two", id="folded with a blank"),
        pytest.param("one\r\n\ttwo", b"X: one\r\n\ttwo", id="folded with a tab"),
        pytest.param("one\n two", b"X: one\n two", id="folded by LF and a blank"),
        pytest.param("one\n\ttwo", b"X: one\n\ttwo", id="folded by LF and a tab"),
        pytest.param("one\r two", b"X: one\r two", id="folded by CR and a blank"),
        pytest.param("one\r\ttwo", b"X: one\r\ttwo", id="folded by CR and a tab"),
    ],
)
def test_a_value_is_written_as_given(value: Value, line: bytes) -> None:
    assert header("X", value) == line


def test_several_values_are_folded_one_a_line() -> None:
    assert header("X", "one", b"two", 3) == b"X: one\r\n\ttwo\r\n\t3"


def test_a_header_without_a_value_is_empty() -> None:
    assert header("X") == b"X: "


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"inner blank", id="blank inside"),
        pytest.param(b"trailing ", id="blank behind"),
        pytest.param(b"\xa0first", id="0xA0 in front"),
        pytest.param(b"in\xa0side", id="0xA0 inside"),
        pytest.param(b"behind\xa0", id="0xA0 behind"),
        pytest.param(b"x", id="one letter"),
        pytest.param(b"!#$%&'*+-.^_`|~09AZaz", id="all that a token may have"),
    ],
)
def test_a_name_may_be_nearly_anything(name: bytes) -> None:
    assert header(name, "1") == name + b": 1"


def test_a_name_may_be_text() -> None:
    assert header("X-Text", "1") == b"X-Text: 1"


def test_a_name_outside_ascii_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError, match="'ascii' codec can't encode"):
        header("caf\u00e9", "1")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"a\rb", id="CR inside"),
        pytest.param(b"a\nb", id="LF inside"),
        pytest.param(b"a\r\nb", id="CRLF inside"),
        pytest.param(b"a\r", id="CR behind"),
        pytest.param(b"a\n", id="LF behind"),
        pytest.param(b"\rb", id="CR in front"),
        pytest.param(b"\nb", id="LF in front"),
        pytest.param(b" b", id="blank in front"),
        pytest.param(b"\tb", id="tab in front"),
        pytest.param(b":b", id="colon in front"),
        pytest.param(b"a:b", id="colon inside"),
        pytest.param(b"a:", id="colon behind"),
        pytest.param(b" ", id="only a blank"),
    ],
)
def test_a_name_that_would_read_as_something_else_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        header(name, "1")
    assert str(caught.value) == f"Invalid header name {name!r}"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"a\rb", id="CR inside"),
        pytest.param(b"a\nb", id="LF inside"),
        pytest.param(b"a\r\nb", id="CRLF inside"),
        pytest.param(b"a\r", id="CR behind"),
        pytest.param(b"a\n", id="LF behind"),
        pytest.param(b"a\r\n", id="CRLF behind"),
        pytest.param(b"\rb", id="CR in front"),
        pytest.param(b"\nb", id="LF in front"),
        pytest.param(b"a\r\n b\r\nc", id="folded, then broken"),
        pytest.param(b"a\r\r\n b", id="CR before a fold"),
        pytest.param(b"a\r\n\x0bb", id="CRLF and a vertical tab"),
    ],
)
def test_a_value_that_would_start_another_header_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        header("X", value)
    assert str(caught.value) == f"Invalid header value {value!r}"


def test_text_values_are_checked_like_bytes() -> None:
    with pytest.raises(ValueError) as caught:
        header("X", "caf\u00e9\r\nY: 1")
    assert str(caught.value) == r"Invalid header value b'caf\xe9\r\nY: 1'"


@pytest.mark.parametrize(
    "values", [("a\n", "b", "c"), ("b", "a\n", "c"), ("b", "c", "a\n")], ids=["first", "middle", "last"]
)
def test_each_of_several_values_is_checked(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        header("X", *values)
    assert str(caught.value) == r"Invalid header value b'a\n'"


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="expected string or bytes-like object"):
        header("X", 1.5)  # type: ignore[arg-type]


def test_a_text_value_outside_latin_1_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError, match="'latin-1' codec can't encode"):
        header("X", "\u20ac")


def test_a_refused_header_leaves_the_request_as_it_was() -> None:
    connection, wire = wired()
    connection.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
    with pytest.raises(ValueError, match="Invalid header value"):
        connection.putheader("X", "1\r\nY: 2")
    connection.putheader("Z", "3")
    connection.endheaders()
    assert wire.sent == message("GET / HTTP/1.1", "Z: 3")


@given(st.lists(st.sampled_from([b"\r", b"\n", b" ", b"\t", b":", b"a", b"\xff"]), max_size=8).map(b"".join))
def test_law_a_value_is_refused_or_stays_one_header(value: bytes) -> None:
    try:
        line = header("X", value)
    except ValueError:
        assert re.search(rb"[\r\n]", value)
    else:
        continuations = re.split(rb"\r\n|\r|\n", line)[1:]
        assert [more for more in continuations if not more.startswith((b" ", b"\t"))] == []


@given(st.binary(max_size=6))
def test_law_a_name_is_refused_or_written_as_given(name: bytes) -> None:
    try:
        line = header(name, "1")
    except ValueError:
        assert not name or name[:1].isspace() or re.search(rb"[:\r\n]", name)
    else:
        assert line == name + b": 1"
