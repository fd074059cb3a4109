"""The fields of a response are kept in order, looked up in any case, and bounded in number and length.
RFC 9112 section 5 says how a field is parsed, RFC 9110 section 5.3 how repeated ones are joined."""

from __future__ import annotations

import io
from email.message import Message
from http.client import HTTPException, HTTPMessage, HTTPResponse, LineTooLong, parse_headers

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_http_client.support import FIELDS_MAX, LIMIT_BYTES, Wire, begun, message, response_of

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VISIBLE = "".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)]))


def headers_of(*fields: str) -> list[tuple[str, str]]:
    return response_of(message("HTTP/1.1 200 OK", *fields)).getheaders()


def response_with(*fields: str) -> HTTPResponse:
    return response_of(message("HTTP/1.1 200 OK", *fields))


def test_the_fields_are_listed_in_their_order() -> None:
    assert headers_of("B: 2", "a: 1", "B: 3") == [("B", "2"), ("a", "1"), ("B", "3")]


def test_a_response_may_have_no_field() -> None:
    assert headers_of() == []


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_lines_may_end_with_either_ending(ending: bytes) -> None:
    response = response_of(ending.join([b"HTTP/1.1 200 OK", b"A: 1", b"Content-Length: 2", b"", b"hi"]))
    assert (response.getheaders(), response.read()) == ([("A", "1"), ("Content-Length", "2")], b"hi")


def test_the_end_of_file_ends_the_fields_too() -> None:
    assert response_of(b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2").getheaders() == [("A", "1"), ("B", "2")]


@pytest.mark.parametrize(
    ("field", "parsed"),
    [
        pytest.param(f"{TOKEN}: 1", (TOKEN, "1"), id="every character of a token"),
        pytest.param(f"X: {VISIBLE}", ("X", VISIBLE), id="every visible character"),
        pytest.param("X: a b\tc", ("X", "a b\tc"), id="blanks and tabs inside"),
        pytest.param("X:no blank", ("X", "no blank"), id="no blank behind the colon"),
        pytest.param("X: a:b", ("X", "a:b"), id="a second colon"),
        pytest.param("X:", ("X", ""), id="empty"),
        pytest.param("X: one\r\n two", ("X", "one\r\n two"), id="folded with a blank"),
        pytest.param("X: one\r\n\ttwo\r\n  three", ("X", "one\r\n\ttwo\r\n  three"), id="folded twice"),
    ],
)
def test_a_field_is_parsed_with_its_neighbours_unharmed(field: str, parsed: tuple[str, str]) -> None:
    assert headers_of("Before: 1", field, "After: 2") == [("Before", "1"), parsed, ("After", "2")]


def test_a_line_that_begins_with_a_colon_does_not_break_the_others() -> None:
    assert headers_of("Before: 1", ": nameless", "After: 2") == [("Before", "1"), ("After", "2")]


def test_repeated_cookies_are_joined_by_commas() -> None:
    response = response_with("Set-Cookie: a=1; path=/", "X: 1", "Set-Cookie: b=2")
    assert response.getheader("Set-Cookie") == "a=1; path=/, b=2"


@pytest.mark.parametrize("name", ["My-Header", "my-header", "MY-HEADER"])
def test_a_field_is_looked_up_in_any_case(name: str) -> None:
    assert response_with("My-Header: one", "Other: 1", "MY-HEADER: two").getheader(name) == "one, two"


@pytest.mark.parametrize(
    ("default", "given_back"),
    [
        pytest.param("text", "text", id="text"),
        pytest.param("", "", id="empty text"),
        pytest.param(["one", "two"], "one, two", id="list is joined"),
        pytest.param(("one",), "one", id="tuple is joined"),
        pytest.param([], "", id="empty list is joined"),
        pytest.param(42, 42, id="int"),
        pytest.param(None, None, id="None"),
    ],
)
def test_a_field_that_is_missing_gives_the_default(default: object, given_back: object) -> None:
    assert response_with("X: 1").getheader("Missing", default) == given_back


def test_a_field_that_is_missing_gives_none_without_a_default() -> None:
    assert response_with("X: 1").getheader("Missing") is None


def test_a_field_that_is_there_outweighs_the_default() -> None:
    assert response_with("X: 1").getheader("X", "default") == "1"


def test_headers_msg_and_info_are_one_message() -> None:
    response = response_with("X: 1")
    assert isinstance(response.headers, HTTPMessage)
    assert response.msg is response.headers
    assert response.info() is response.headers


def test_getcode_gives_the_status_as_code_does() -> None:
    response = response_of(message("HTTP/1.1 404 Not Found"))
    assert (response.getcode(), response.status, vars(response)["code"]) == (404, 404, 404)


def test_geturl_gives_the_url_that_urllib_has_noted() -> None:
    response = response_with()
    response.url = "http://example.org/redirected"
    assert response.geturl() == "http://example.org/redirected"


def test_as_many_lines_as_the_limit_are_read() -> None:
    # The blank line counts as one of them.
    assert headers_of(*["X: 1"] * (FIELDS_MAX - 1)) == [("X", "1")] * (FIELDS_MAX - 1)


def test_more_lines_than_the_limit_are_refused() -> None:
    with pytest.raises(HTTPException) as caught:
        headers_of(*["X: 1"] * FIELDS_MAX)
    assert str(caught.value) == "got more than 100 headers"


def test_a_field_line_may_be_as_long_as_the_limit() -> None:
    value = "x" * (LIMIT_BYTES - len("X: \r\n"))
    assert headers_of(f"X: {value}") == [("X", value)]


def test_a_field_line_longer_than_the_limit_is_refused_at_the_first_byte_too_many() -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\n" + b"X: ".ljust(LIMIT_BYTES + 1, b"x") + b"more")
    with pytest.raises(LineTooLong) as caught:
        begun(wire)
    assert wire.files[0].read() == b"more"
    assert str(caught.value) == "got more than 65536 bytes when reading header line"


def test_parse_headers_reads_a_file_up_to_the_blank_line() -> None:
    file = io.BytesIO(b"A: 1\r\nB: caf\xe9\r\n\r\nbody")
    headers = parse_headers(file)
    assert (type(headers), headers.items(), file.read()) == (
        HTTPMessage,
        [("A", "1"), ("B", "caf\u00e9")],
        b"body",
    )


def test_parse_headers_makes_the_class_it_is_given() -> None:
    plain: type[Message[str, str]] = Message
    headers = parse_headers(io.BytesIO(b"A: 1\r\n\r\n"), plain)
    assert (type(headers), headers.items()) == (Message, [("A", "1")])


def test_getallmatchingheaders_finds_nothing_among_parsed_fields() -> None:
    # It compares with "name:", as the mimetools of Python 2 kept its lines; a parsed name has no colon.
    headers = parse_headers(io.BytesIO(b"A: 1\r\nB: 2\r\nA: 3\r\n\r\n"))
    assert headers.getallmatchingheaders("A") == []


def test_getallmatchingheaders_gives_lines_with_their_continuations() -> None:
    headers = HTTPMessage()
    for line in (
        " behind nothing",
        "Via: a",
        " behind a",
        "\tbehind a too",
        "Date: x",
        " behind x",
        "VIA: b",
        "Viaduct: c",
    ):
        headers[line] = ""
    assert headers.getallmatchingheaders("via") == ["Via: a", " behind a", "\tbehind a too", "VIA: b"]


names = st.text(st.sampled_from(TOKEN), min_size=1, max_size=12)
values = st.text(st.sampled_from(VISIBLE), max_size=20)


@given(st.lists(st.tuples(names, values), max_size=6))
def test_law_the_headers_that_were_sent_are_the_headers_that_are_listed(fields: list[tuple[str, str]]) -> None:
    assert headers_of(*(f"{name}: {value}" for name, value in fields)) == fields
