"""makefile returns a raw, buffered or text file over a socket; file and socket both keep the connection open.

Source: the library reference, socket.makefile; the io module's "Raw I/O" and "Buffered Streams".
"""

from __future__ import annotations

import io
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, Peer, Reset, canned, connected, listening
from converted_tests.strategies import pieces_of
from converted_tests.test_socket.support import Pair, drain, echo, fill, unix_pair

LINES = b"first line\nsecond line\nthe rest"


class Watched(socket.socket):
    """Records how much a file over it requested and how it was written to."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.asked: list[int] = []
        self.written: list[bytes] = []

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.asked.append(memoryview(buffer).nbytes)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        self.written.append(bytes(data))
        return super().send(data, flags)


def _watched(sock: socket.socket) -> Watched:
    return Watched(sock.family, sock.type, sock.proto, fileno=sock.detach())


@pytest.mark.parametrize(
    ("mode", "kind", "readable", "writable"),
    [
        pytest.param("r", io.TextIOWrapper, True, False, id="r"),
        pytest.param("w", io.TextIOWrapper, False, True, id="w"),
        pytest.param("rw", io.TextIOWrapper, True, True, id="rw"),
        pytest.param("wr", io.TextIOWrapper, True, True, id="wr"),
        pytest.param("", io.TextIOWrapper, True, False, id="no letter"),
        pytest.param("rb", io.BufferedReader, True, False, id="rb"),
        pytest.param("br", io.BufferedReader, True, False, id="br"),
        pytest.param("b", io.BufferedReader, True, False, id="b"),
        pytest.param("wb", io.BufferedWriter, False, True, id="wb"),
        pytest.param("rwb", io.BufferedRWPair, True, True, id="rwb"),
    ],
)
def test_the_mode_says_which_file_it_is(mode: Any, kind: type[io.IOBase], readable: bool, writable: bool) -> None:
    with canned(LINES) as server, server.client.makefile(mode) as file:
        assert type(file) is kind
        assert (file.readable(), file.writable(), file.seekable()) == (readable, writable, False)


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("r", "r"), ("w", "w"), ("rw", "rw"), ("rb", "rb"), ("wb", "wb")],
)
def test_a_file_keeps_its_mode(mode: Any, kept: str) -> None:
    with canned(LINES) as server, server.client.makefile(mode) as file:
        assert file.mode == kept


def test_the_default_file_is_text_for_reading() -> None:
    with canned(LINES) as server, server.client.makefile() as file:
        assert (type(file), file.mode, file.readline()) == (io.TextIOWrapper, "r", "first line\n")


@pytest.mark.parametrize("mode", ["rt", "w+", "a", "x", "U", "rb+", " r", "R"])
def test_another_letter_in_the_mode_is_refused(mode: Any) -> None:
    with canned(LINES) as server:
        with pytest.raises(ValueError) as caught:
            server.client.makefile(mode)
        assert str(caught.value) == f"invalid mode {mode!r} (only r, w, b allowed)"
        server.client.close()
        assert server.client.fileno() == -1


@pytest.mark.parametrize("mode", ["r", "w", "rw"])
def test_text_cannot_be_unbuffered(mode: Any) -> None:
    with canned(LINES) as server, pytest.raises(ValueError, match=r"^unbuffered streams must be binary$"):
        server.client.makefile(mode, buffering=0)


@pytest.mark.parametrize(
    ("buffering", "asked"),
    [
        pytest.param(None, io.DEFAULT_BUFFER_SIZE, id="default"),
        pytest.param(-1, io.DEFAULT_BUFFER_SIZE, id="minus one"),
        pytest.param(1, 1, id="one"),
        pytest.param(100, 100, id="a hundred"),
    ],
)
@pytest.mark.parametrize("mode", ["rb", "rwb"])
def test_the_buffer_is_as_large_as_it_was_asked_for(mode: Any, buffering: int | None, asked: int) -> None:
    with canned(LINES) as server, _watched(server.client) as sock:
        file: Any
        with sock.makefile(mode, buffering) as file:
            assert file.readline() == b"first line\n"
        assert set(sock.asked) == {asked}


@pytest.mark.parametrize("mode", ["wb", "rwb"])
def test_a_writers_buffer_is_as_large_as_it_was_asked_for(mode: Any) -> None:
    with canned(b"") as server, _watched(server.client) as sock:
        with sock.makefile(mode, 8) as file:
            file.write(b"1234")
            file.write(b"567")
            assert sock.written == []
            file.write(b"89")
            assert sock.written == [b"1234567"]
            file.flush()
            assert sock.written == [b"1234567", b"89"]


def test_an_unbuffered_file_is_the_raw_one() -> None:
    with canned(LINES) as server, server.client.makefile("rwb", buffering=0) as file:
        assert type(file) is socket.SocketIO
        assert (file.mode, file.readable(), file.writable()) == ("rwb", True, True)
        assert file.read(5) == LINES[:5]


@pytest.mark.parametrize("buffering", [None, 0, 1, 2, 100])
def test_reading_whole_piecewise_and_by_line_is_the_same(buffering: int | None) -> None:
    def whole(file: Any) -> bytes:
        return bytes(file.read())

    def by_three(file: Any) -> bytes:
        return b"".join(iter(lambda: file.read(3), b""))

    def by_one(file: Any) -> bytes:
        return b"".join(iter(lambda: file.read(1), b""))

    def by_line(file: Any) -> bytes:
        return b"".join(iter(file.readline, b""))

    for read in (whole, by_three, by_one, by_line):
        with canned(LINES) as server, server.client.makefile("rb", buffering) as file:
            assert read(file) == LINES


@pytest.mark.parametrize("buffering", [None, 0, 1, 2])
def test_a_line_is_read_before_the_stream_ends(buffering: int | None) -> None:
    with canned(LINES, open_end=True) as server, server.client.makefile("rb", buffering) as file:
        assert [file.readline(), file.readline()] == [b"first line\n", b"second line\n"]
        assert file.readline(3) == b"the"


@pytest.mark.parametrize("buffering", [None, 0, 2])
def test_what_is_written_is_sent(buffering: int | None) -> None:
    with canned(b"") as server:
        with server.client.makefile("wb", buffering) as file:
            assert file.write(LINES) == len(LINES)
            file.flush()
        assert server.sent() == LINES


def test_text_is_decoded_as_it_was_asked_for() -> None:
    data = "gr\u00fc\u00dfe\r\nzwei".encode("utf-16-le")
    with canned(data) as server, server.client.makefile("r", encoding="utf-16-le", newline="") as file:
        assert file.encoding == "utf-16-le"
        assert file.read() == "gr\u00fc\u00dfe\r\nzwei"


@pytest.mark.parametrize(
    ("errors", "text"), [("replace", "a\ufffdb"), ("ignore", "ab"), ("surrogateescape", "a\udcffb")]
)
def test_what_cannot_be_decoded_goes_by_errors(errors: str, text: str) -> None:
    with canned(b"a\xffb") as server, server.client.makefile("r", encoding="utf-8", errors=errors) as file:
        assert (file.errors, file.read()) == (errors, text)


@pytest.mark.parametrize(("newline", "text"), [(None, "1\n2\n3"), ("", "1\r\n2\r3"), ("\r\n", "1\r\n2\r3")])
def test_line_ends_go_by_newline(newline: str | None, text: str) -> None:
    with canned(b"1\r\n2\r3") as server, server.client.makefile("r", encoding="ascii", newline=newline) as file:
        assert file.read() == text


def test_the_default_encoding_is_that_of_any_text_file() -> None:
    usual = io.TextIOWrapper(io.BytesIO(), io.text_encoding(None)).encoding
    with canned(LINES) as server, server.client.makefile("r") as file:
        assert (file.encoding, file.errors, file.newlines) == (usual, "strict", None)
        assert file.read() == LINES.decode()


def test_text_is_encoded_and_sent() -> None:
    with canned(b"") as server:
        with server.client.makefile("w", encoding="utf-8", newline="\r\n") as file:
            file.write("gr\u00fc\u00dfe\n")
        assert server.sent() == "gr\u00fc\u00dfe\r\n".encode()


def test_one_text_file_talks_both_ways() -> None:
    with connected(echo()) as client, client.makefile("rw", encoding="ascii", newline="\n") as file:
        for text in ("there\n", "and back\n"):
            file.write(text)
            file.flush()
            assert file.readline() == text


def test_a_file_talks_over_a_listener() -> None:
    with listening(echo()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        with client.makefile("rwb") as file:
            file.write(b"over the loop\n")
            file.flush()
            assert file.readline() == b"over the loop\n"


def test_a_file_keeps_the_connection_when_the_socket_is_closed() -> None:
    with unix_pair() as (left, right):
        with left.makefile("rb", 0) as file:
            left.close()
            assert left.fileno() != -1
            assert repr(left).startswith("<socket.socket [closed] fd=")
            right.sendall(b"still here")
            assert file.read(100) == b"still here"
        assert left.fileno() == -1
        assert right.recv(1) == b""


def test_a_file_that_is_closed_leaves_an_open_socket_alone() -> None:
    with unix_pair() as (left, right):
        with left.makefile("rb"):
            pass
        left.sendall(b"text")
        assert right.recv(100) == b"text"
        with left.makefile("wb") as second:
            second.write(b"more")
        assert right.recv(100) == b"more"
        left.close()
        assert left.fileno() == -1


def test_only_the_last_of_two_files_ends_the_connection() -> None:
    with unix_pair() as (left, right):
        first, second = left.makefile("rb", 0), left.makefile("wb", 0)
        left.close()
        first.close()
        first.close()
        second.write(b"by the second")
        assert right.recv(100) == b"by the second"
        second.close()
        assert (left.fileno(), right.recv(100)) == (-1, b"")


def test_closing_a_file_twice_gives_up_its_share_once() -> None:
    with unix_pair() as (left, right):
        first, second = left.makefile("wb", 0), left.makefile("wb", 0)
        first.close()
        first.close()
        left.close()
        second.write(b"by the second")
        second.close()
        assert (right.recv(100), right.recv(100)) == (b"by the second", b"")


def test_a_second_unbuffered_file_sees_the_next_line(stream_pair: Pair) -> None:
    client, server = stream_pair
    client.sendall(LINES)
    with server.makefile("rb", 0) as first:
        assert first.readline() == b"first line\n"
    with server.makefile("rb", 0) as second:
        assert second.readline() == b"second line\n"
    assert server.recv(100) == b"the rest"


def test_a_file_releases_its_socket_when_it_is_closed() -> None:
    closes = []

    class Telling(socket.socket):
        def _real_close(self, *_arguments: Any) -> None:
            closes.append(self.fileno())
            super()._real_close()  # type: ignore[misc]

    with unix_pair() as (left, _):
        sock = Telling(left.family, left.type, fileno=left.detach())
        descriptor = sock.fileno()
        file = sock.makefile("rb", 0)
        sock.close()
        assert closes == []
        file.close()
        assert closes == [descriptor]


def test_closed_mode_and_name_of_a_raw_file() -> None:
    with unix_pair() as (left, _):
        file = left.makefile("rb", 0)
        assert (file.closed, file.mode, file.name, file.fileno()) == (False, "rb", left.fileno(), left.fileno())
        file.close()
        assert (file.closed, file.mode, file.name) == (True, "rb", -1)


@pytest.mark.parametrize("buffering", [None, 1, 100])
def test_closed_mode_and_name_of_a_buffered_file(buffering: int | None) -> None:
    file: Any
    with unix_pair() as (left, _):
        with left.makefile("rb", buffering) as file:
            assert (file.closed, file.mode, file.name) == (False, "rb", left.fileno())
        assert file.closed


def test_a_read_after_a_timed_out_read_is_refused() -> None:
    with unix_pair() as (left, right):
        left.settimeout(0.001)
        with left.makefile("rb") as file:
            right.sendall(b"part of a li")
            with pytest.raises(TimeoutError, match="timed out"):
                file.readline()
            right.sendall(b"ne\n")
            with pytest.raises(OSError, match=r"^cannot read from timed out object$") as caught:
                file.read()
            assert type(caught.value) is OSError


def test_a_file_over_a_reset_connection_passes_the_error_on() -> None:
    def aborting() -> Peer:
        yield b""
        yield Reset()

    with listening(aborting()) as server, socket.create_connection((server.host, server.port), TIMEOUT_S) as client:
        with client.makefile("rb") as file:
            client.sendall(b"go away\n")
            with pytest.raises(ConnectionResetError):
                file.read()


def test_a_non_blocking_file_reads_nothing_as_none(stream_pair: Pair) -> None:
    client, server = stream_pair
    server.setblocking(False)
    with server.makefile("rb", 0) as file:
        assert file.read(10) is None
        assert file.readinto(bytearray(10)) is None
        client.sendall(b"there")
        server.settimeout(TIMEOUT_S)
        assert file.read(10) == b"there"
        client.close()
        assert file.read(10) == b""


def test_a_non_blocking_file_writes_what_fits_and_then_none() -> None:
    with unix_pair() as (left, right):
        left.setblocking(False)
        with left.makefile("wb", 0) as file:
            assert file.write(b"there") == 5
            fill(left)
            assert file.write(b"no room") is None
        assert drain(right)[:5] == b"there"


@settings(max_examples=25)
@given(data=st.lists(st.binary(max_size=20), max_size=8).map(b"\n".join), draw=st.data())
def test_however_a_stream_is_cut_its_lines_are_the_same(data: bytes, draw: st.DataObject) -> None:
    buffering = draw.draw(st.sampled_from([-1, 1, 3]))
    with unix_pair() as (left, right):
        for piece in draw.draw(pieces_of(data)):
            left.sendall(piece)
        left.close()
        with right.makefile("rb", buffering) as file:
            assert file.readlines() == io.BytesIO(data).readlines()
