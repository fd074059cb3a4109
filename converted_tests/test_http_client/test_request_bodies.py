"""A body of known length gets a Content-Length; a length that the caller gives is not checked.
RFC 9110 section 8.6 says when a request has one; text is Latin-1, as http.client's manual promises."""

from __future__ import annotations

import io
import socket
from array import array
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from ssl import SSLContext
from typing import Any, cast

import pytest

from converted_tests.peers import canned, listening
from converted_tests.test_http_client.support import (
    EXAMPLE_HOST,
    IDENTITY,
    chunks,
    fetch,
    message,
    origin,
    pieces,
    wired,
    written,
)

EXPECTING_A_BODY = ["PUT", "POST", "PATCH"]
EXPECTING_NONE = ["GET", "CONNECT", "DELETE", "HEAD", "OPTIONS", "TRACE"]


def request(method: str, *more: str, body: bytes = b"") -> bytes:
    return message(f"{method} / HTTP/1.1", EXAMPLE_HOST, IDENTITY, *more, body=body)


class Sizes(io.BytesIO):
    """A file that records how much is requested from it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[int | None] = []

    def read(self, size: int | None = -1) -> bytes:
        self.asked.append(size)
        return super().read(size)


class Growing(io.StringIO):
    """A text whose end moves away while it is read."""

    additions = ["\u00e4", "\u00f6"]

    def read(self, size: int | None = -1) -> str:
        text = super().read(size)
        if not text and self.additions:
            self.write(addition := self.additions[0])
            self.seek(self.tell() - len(addition))
            self.additions = self.additions[1:]
            text = super().read(size)
        return text


@pytest.mark.parametrize("method", [*EXPECTING_A_BODY, "post"])
@pytest.mark.parametrize("body", [None, "", b""], ids=["None", "empty text", "empty bytes"])
def test_a_method_that_expects_a_body_says_that_there_is_none(method: str, body: str | None) -> None:
    assert written(method, "/", body) == request(method, "Content-Length: 0")


@pytest.mark.parametrize("method", EXPECTING_NONE)
def test_another_method_without_a_body_says_nothing(method: str) -> None:
    assert written(method, "/", None) == request(method)


@pytest.mark.parametrize("method", EXPECTING_NONE)
def test_another_method_with_an_empty_body_says_so(method: str) -> None:
    assert written(method, "/", "") == request(method, "Content-Length: 0")


@pytest.mark.parametrize("method", EXPECTING_A_BODY + EXPECTING_NONE)
def test_a_body_of_one_byte_has_length_one_for_every_method(method: str) -> None:
    assert written(method, "/", b"x") == request(method, "Content-Length: 1", body=b"x")


@pytest.mark.parametrize(
    ("body", "length", "content"),
    [
        pytest.param("text", 4, b"text", id="ASCII text"),
        pytest.param("caf\u00e9", 4, b"caf\xe9", id="Latin-1 text"),
        pytest.param(b"bytes", 5, b"bytes", id="bytes"),
        pytest.param(bytearray(b"array"), 5, b"array", id="bytearray"),
        pytest.param(memoryview(b"view"), 4, b"view", id="memoryview"),
        pytest.param(memoryview(b"a-b-c-")[::2].tobytes(), 3, b"abc", id="strided copy"),
        pytest.param(array("B", [65, 66]), 2, b"AB", id="array of bytes"),
        pytest.param(
            array("I", [1, 2]), array("I").itemsize * 2, array("I", [1, 2]).tobytes(), id="array of wide items"
        ),
    ],
)
def test_the_bytes_of_a_body_are_counted(body: Any, length: int, content: bytes) -> None:
    assert written("POST", "/", body) == request("POST", f"Content-Length: {length}", body=content)


def test_text_outside_latin_1_is_refused_and_the_remedy_named() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        written("POST", "/", "price: \u20ac 5")
    failure = caught.value
    assert (failure.encoding, failure.object, failure.start, failure.end, failure.reason) == (
        "latin-1",
        "price: \u20ac 5",
        7,
        8,
        "Body ('\u20ac') is not valid Latin-1. Use body.encode('utf-8') if you want to send it encoded in UTF-8.",
    )


def test_a_long_stretch_outside_latin_1_is_shown_in_part() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        written("POST", "/", "\u20ac" * 30)
    assert caught.value.reason.startswith(f"Body ('{'€' * 19}) is not valid Latin-1. Use")


@pytest.mark.parametrize("length", ["42", "1", "many"])
def test_a_length_that_the_caller_gives_is_sent_though_wrong(length: str) -> None:
    sent = written("POST", "/", b"body", {"Content-Length": length})
    assert sent == request("POST", f"Content-Length: {length}", body=b"body")


def test_a_generator_with_a_length_given_is_sent_as_it_is() -> None:
    sent = written("POST", "/", pieces(b"one", b"two"), {"Content-Length": "6"})
    assert sent == request("POST", "Content-Length: 6", body=b"onetwo")


def test_a_length_given_outweighs_encode_chunked() -> None:
    sent = written("POST", "/", pieces(b"one", b"two"), {"Content-Length": "6"}, encode_chunked=True)
    assert sent == request("POST", "Content-Length: 6", body=b"onetwo")


def test_head_and_body_are_sent_apart() -> None:
    connection, wire = wired()
    connection.request("POST", "/", b"body")
    assert wire.sends == [request("POST", "Content-Length: 4"), b"body"]


@pytest.mark.parametrize("body", [42, lambda: b"", 1.5], ids=["int", "callable", "float"])
def test_a_body_of_a_wrong_type_is_refused(body: Any) -> None:
    with pytest.raises(TypeError) as caught:
        written("POST", "/", body)
    assert str(caught.value) == f"message_body should be a bytes-like object or an iterable, got {type(body)!r}"


def test_text_in_an_iterable_is_refused() -> None:
    with pytest.raises(TypeError):
        written("POST", "/", ["text"], {"Content-Length": "4"})


def test_a_file_is_read_from_its_current_position() -> None:
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    assert written("POST", "/", file, {"Content-Length": "4"}) == request("POST", "Content-Length: 4", body=b"sent")


def test_a_text_file_is_encoded_in_latin_1() -> None:
    sent = written("POST", "/", io.StringIO("caf\u00e9"), {"Content-Length": "4"})
    assert sent == request("POST", "Content-Length: 4", body=b"caf\xe9")


def test_an_open_binary_file_has_no_length_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"from disk")
    with (tmp_path / "body").open("rb") as file:
        assert written("POST", "/", file) == request("POST", "Transfer-Encoding: chunked", body=chunks(b"from disk"))


def test_an_open_text_file_is_encoded_in_latin_1(tmp_path: Path) -> None:
    (tmp_path / "body").write_text("caf\u00e9", encoding="utf-8")
    with (tmp_path / "body").open(encoding="utf-8") as file:
        assert written("POST", "/", file) == request("POST", "Transfer-Encoding: chunked", body=chunks(b"caf\xe9"))


def test_a_text_that_grows_while_it_is_sent_is_sent_to_its_end() -> None:
    sent = written("POST", "/", Growing("a"), {"Content-Length": "3"})
    assert sent == request("POST", "Content-Length: 3", body=b"a\xe4\xf6")


def test_send_too_reads_a_growing_text_to_its_end() -> None:
    connection, wire = wired()
    connection.send(cast(Any, Growing("a")))
    assert wire.sends == [b"a", b"\xe4", b"\xf6"]


def test_request_reads_a_file_block_by_block() -> None:
    connection, wire = wired(connection=HTTPConnection("example.org", blocksize=4))
    connection.request("POST", "/", file := Sizes(b"0123456789"), {"Content-Length": "10"})
    assert (file.asked, wire.sends[1:]) == ([4, 4, 4, 4], [b"0123", b"4567", b"89"])


def test_send_reads_a_file_block_by_block() -> None:
    connection, wire = wired(connection=HTTPConnection("example.org", blocksize=4))
    connection.send(file := Sizes(b"0123456789"))
    assert (file.asked, wire.sends) == ([4, 4, 4, 4], [b"0123", b"4567", b"89"])


def test_a_block_is_8192_bytes_unless_told_otherwise(client_context: SSLContext) -> None:
    plain, secure = HTTPConnection("example.org"), HTTPSConnection("example.org", context=client_context)
    small = HTTPSConnection("example.org", context=client_context, blocksize=5)
    assert (plain.blocksize, secure.blocksize, small.blocksize) == (8192, 8192, 5)


@pytest.mark.parametrize(
    ("made", "sends"),
    [
        pytest.param(lambda: b"bytes", [b"bytes"], id="bytes"),
        pytest.param(lambda: memoryview(b"view"), [b"view"], id="memoryview"),
        pytest.param(lambda: array("H", [1, 2]), [array("H", [1, 2]).tobytes()], id="array"),
        pytest.param(lambda: io.BytesIO(b"file"), [b"file"], id="binary file"),
        pytest.param(lambda: io.StringIO("caf\u00e9"), [b"caf\xe9"], id="text file"),
        pytest.param(lambda: [b"one", b"two"], [b"one", b"two"], id="list"),
        pytest.param(lambda: (b"one", b"two"), [b"one", b"two"], id="tuple"),
        pytest.param(lambda: pieces(b"one", b"two"), [b"one", b"two"], id="generator"),
        pytest.param(list, [], id="nothing"),
    ],
)
def test_send_takes_bytes_files_and_iterables(made: Callable[[], Any], sends: list[bytes]) -> None:
    connection, wire = wired()
    connection.send(made())
    assert wire.sends == sends


def test_send_refuses_text() -> None:
    connection, _ = wired()
    with pytest.raises(TypeError, match="a bytes-like object is required"):
        connection.send("text")


def test_send_refuses_what_is_neither_bytes_nor_iterable() -> None:
    connection, _ = wired()
    with pytest.raises(TypeError) as caught:
        connection.send(42)  # type: ignore[arg-type]
    assert str(caught.value) == "data should be a bytes-like object or an iterable, got <class 'int'>"


def test_a_real_socket_takes_the_same_kinds_of_data() -> None:
    with canned(b"") as wire:
        connection = HTTPConnection("example.org")
        connection.sock = wire.client
        for data in (b"bytes ", array("B", b"array "), io.BytesIO(b"file "), [b"list ", b"of two"]):
            connection.send(data)
        assert wire.sent() == b"bytes array file list of two"


def test_a_body_arrives_whole_at_a_real_server(ip_family: int) -> None:
    heard: list[bytes] = []
    body = bytes(range(256)) * 80
    with listening(origin(message("HTTP/1.1 201 Created", "Content-Length: 0"), heard=heard), family=ip_family) as (
        host,
        port,
    ):
        connection = HTTPConnection(str(host), int(port))
        connection.request("PUT", "/", body, {"Host": "h"})
        with connection.getresponse() as response:
            assert response.status == 201
        connection.close()
    assert heard == [message("PUT / HTTP/1.1", IDENTITY, f"Content-Length: {len(body)}", "Host: h", body=body)]


def test_the_reply_of_a_server_that_hangs_up_on_a_body_can_still_be_read() -> None:
    refusal = message("HTTP/1.1 401 Authorization required", "Content-Length: 0")
    with canned(refusal) as wire:

        def cut_off() -> Iterator[bytes]:
            yield b"first"
            # From here on the socket answers EPIPE, as if the other side had stopped reading.
            wire.client.shutdown(socket.SHUT_WR)
            yield b"second"

        connection = HTTPConnection("example.org")
        connection.sock = wire.client
        with pytest.raises(BrokenPipeError):
            connection.request("PUT", "/", cut_off(), {"Content-Length": "100"})
        with connection.getresponse() as response:
            assert (response.status, response.reason) == (401, "Authorization required")
        assert wire.sent() == request("PUT", "Content-Length: 100", body=b"first")


def test_the_connection_can_be_used_again_after_a_body() -> None:
    replies = [message("HTTP/1.1 200 OK", "Content-Length: 1", body=body) for body in (b"a", b"b")]
    connection, wire = wired(*replies)
    connection.request("POST", "/", b"xyz", {"Host": "h"})
    with connection.getresponse() as response:
        assert response.read() == b"a"
    assert fetch(connection) == (200, b"b")
    assert wire.sent == message("POST / HTTP/1.1", IDENTITY, "Content-Length: 3", "Host: h", body=b"xyz") + message(
        "GET / HTTP/1.1", EXAMPLE_HOST, IDENTITY
    )
