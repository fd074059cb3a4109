"""poplib promises replies cut at any line ending, dots unstuffed, octets counted, and error_proto for the rest.

Replies are RFC 1939 section 3; that LF and LF CR end a line too is poplib's own kindness.
"""

from __future__ import annotations

import errno
import poplib
import socket
from typing import cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, InMemory, Peer, Reset, listening
from converted_tests.strategies import pieces_of, wire_bytes

from .support import left_of, offline, served

LINE_MAX = 2048


def stuffed(lines: list[bytes]) -> bytes:
    """*lines* as a server sends them: RFC 1939 section 3, with the line that ends them."""
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def test_a_reply_that_does_not_begin_with_a_plus_is_an_error() -> None:
    client, _ = offline(b"-ERR no\r\nOK yes\r\n+ yes\r\n\r\n")
    refusals = []
    for _ in range(2):
        with pytest.raises(poplib.error_proto) as refused:
            client.noop()
        refusals.append(refused.value.args)
    assert refusals == [(b"-ERR no",), (b"OK yes",)]
    assert client.noop() == b"+ yes"
    with pytest.raises(poplib.error_proto):
        client.noop()


def test_an_unfriendly_greeting_is_an_error() -> None:
    with pytest.raises(poplib.error_proto) as refused:
        offline(greeting=b"-ERR too busy\r\n")
    assert refused.value.args == (b"-ERR too busy",)


def test_error_proto_is_an_exception_of_its_own() -> None:
    assert poplib.error_proto.__bases__ == (Exception,)


@pytest.mark.parametrize(
    ("server_half", "lines", "octets"),
    [
        pytest.param(b"a\r\nbc\r\n.\r\n", [b"a", b"bc"], 7, id="CRLF"),
        pytest.param(b"a\nbc\n.\n", [b"a", b"bc"], 5, id="LF"),
        pytest.param(b"\ra\n\rbc\n\r.\n", [b"a", b"bc"], 7, id="LF CR"),
        pytest.param(b"\r\n\n.\r\n", [b"", b""], 3, id="empty lines"),
        pytest.param(b"a\rb\r\r\n.\r\n", [b"a\rb\r"], 6, id="a CR inside a line stays"),
        pytest.param(b"..\r\n...\r\n..a\r\n.\r\n", [b".", b"..", b".a"], 11, id="stuffed dots do not count"),
        pytest.param(b".a\r\n.\r\n", [b".a"], 4, id="a dot that was not stuffed stays"),
        pytest.param(b"a.\r\n . \r\n.\r\n", [b"a.", b" . "], 9, id="dots elsewhere stay"),
        pytest.param(b"\0\xff\r\n.\r\n", [b"\0\xff"], 4, id="bytes that are no text"),
    ],
)
def test_the_lines_of_a_long_reply_and_their_octets(server_half: bytes, lines: list[bytes], octets: int) -> None:
    client, _ = offline(b"+OK\r\n" + server_half + b"+OK next\r\n")
    assert client.retr(1) == (b"+OK", lines, octets)
    assert client.noop() == b"+OK next"


@pytest.mark.parametrize("server_half", [b"", b"+OK\r\n", b"+OK\r\nhalf\r\n"])
def test_an_end_of_file_inside_a_reply_is_an_error(server_half: bytes) -> None:
    client, _ = offline(server_half)
    with pytest.raises(poplib.error_proto) as ended:
        client.retr(1)
    assert ended.value.args == ("-ERR EOF",)


def test_a_server_that_hangs_up_inside_a_reply_is_an_error() -> None:
    with served("C: RETR 1\nS: +OK\nS: half") as client:
        with pytest.raises(poplib.error_proto) as ended:
            client.retr(1)
    assert ended.value.args == ("-ERR EOF",)


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_a_line_of_the_longest_allowed_length_is_taken(ending: bytes) -> None:
    line = b"+OK " + b"x" * (LINE_MAX - 4 - len(ending))
    client, _ = offline(line + ending)
    assert client.noop() == line


@pytest.mark.parametrize("size", [LINE_MAX + 1, 65536])
def test_a_longer_line_is_an_error(size: int) -> None:
    client, _ = offline(b"+OK " + b"x" * (size - 5) + b"\n")
    with pytest.raises(poplib.error_proto) as refused:
        client.noop()
    assert refused.value.args == ("line too long",)


def test_a_longer_line_inside_a_message_is_an_error_over_a_connection() -> None:
    with served("C: RETR 1\nS: +OK\nS: " + "y" * LINE_MAX + "\nS: .") as client:
        with pytest.raises(poplib.error_proto) as refused:
            client.retr(1)
    assert refused.value.args == ("line too long",)


MESSAGE = [b"Subject: x", b"", b".", b"..", b".dotted", b"end."]


@given(pieces=pieces_of(b"+OK\r\n" + stuffed(MESSAGE)))
def test_where_the_network_cuts_a_reply_does_not_matter(pieces: list[bytes]) -> None:
    client, _ = offline(pieces)
    assert client.retr(1) == (b"+OK", MESSAGE, sum(len(line) + 2 for line in MESSAGE))


@given(lines=st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a.", b"\xff\0"]), max_size=8))
def test_any_message_comes_through_stuffing_unchanged(lines: list[bytes]) -> None:
    client, _ = offline(b"+OK\r\n" + stuffed(lines))
    assert client.retr(1) == (b"+OK", lines, sum(len(line) + 2 for line in lines))


@given(server_half=wire_bytes | st.lists(st.sampled_from([b"+OK", b"-ERR", b".", b"\n", b"\r", b"x"])).map(b"".join))
def test_any_bytes_give_a_reply_or_the_documented_error(server_half: bytes) -> None:
    for command in ("retr", "dele"):
        client, _ = offline(server_half)
        try:
            reply = getattr(client, command)(1)
        except poplib.error_proto:
            continue
        assert (reply[0] if command == "retr" else reply).startswith(b"+")


# --- CAPA ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_half", [b"-ERR what?\r\n", b"+OK\r\nTOP\r\n"], ids=["refused", "cut off"])
def test_a_server_that_does_not_know_CAPA_is_an_error(server_half: bytes) -> None:
    client, wire = offline(server_half)
    with pytest.raises(poplib.error_proto) as unsupported:
        client.capa()
    assert unsupported.value.args == ("-ERR CAPA not supported by server",)
    assert wire.sent == b"CAPA\r\n"


# --- the end ------------------------------------------------------------------------------------------


class Unwilling(InMemory):
    """A socket whose shutdown fails."""

    def __init__(self, error: OSError) -> None:
        super().__init__(b"+OK ready\r\n")
        self._error = error

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR
        raise self._error


def closing(wire: InMemory) -> poplib.POP3:
    """A client at the end of its session over *wire*."""
    with mock.patch("socket.create_connection", return_value=cast(socket.socket, wire)):
        return poplib.POP3("mail.test")


def test_close_shuts_down_and_closes_file_and_socket() -> None:
    wire = InMemory(b"+OK ready\r\n")
    client = closing(wire)
    replies = client.file
    with mock.patch.object(wire, "shutdown") as shutdown:
        client.close()
    assert shutdown.call_args_list == [mock.call(socket.SHUT_RDWR)]
    assert (left_of(client), replies.closed, wire.closed) == ({"sock": None, "file": None}, True, True)


def test_closing_twice_is_closing_once() -> None:
    with served("") as client:
        client.close()
        client.close()
        assert left_of(client) == {"sock": None, "file": None}


def test_close_survives_a_connection_that_has_gone() -> None:
    wire = Unwilling(OSError(errno.ENOTCONN, "not connected"))
    closing(wire).close()
    assert wire.closed


def test_close_survives_what_Windows_reports_for_a_connection_that_has_gone() -> None:
    error = OSError(errno.EINVAL, "invalid")
    vars(error)["winerror"] = 10022
    wire = Unwilling(error)
    closing(wire).close()
    assert wire.closed


@pytest.mark.parametrize("winerror", [None, 10021, 0], ids=["elsewhere", "on Windows", "no number"])
def test_close_passes_other_errors_on_and_closes_all_the_same(winerror: int | None) -> None:
    error = OSError(errno.EBADF, "bad descriptor")
    if winerror is not None:
        vars(error)["winerror"] = winerror
    wire = Unwilling(error)
    client = closing(wire)
    with pytest.raises(OSError, match="bad descriptor"):
        client.close()
    assert (wire.closed, left_of(client)) == (True, {"sock": None, "file": None})


def test_close_gives_up_the_socket_even_if_the_file_fails_to_close() -> None:
    wire = InMemory(b"+OK ready\r\n")
    client = closing(wire)
    client.file = mock.Mock(close=mock.Mock(side_effect=OSError("no")))
    with pytest.raises(OSError, match=r"^no$"):
        client.close()
    assert (wire.closed, left_of(client)) == (True, {"sock": None, "file": None})


def test_close_after_a_reset_finds_a_connection_that_has_really_gone() -> None:
    def resetting() -> Peer:
        yield b"+OK ready\r\n"
        yield Reset()

    with listening(resetting()) as (host, port):
        client = poplib.POP3(str(host), int(port), timeout=TIMEOUT_S)
        with pytest.raises(ConnectionResetError):
            client.noop()
        client.close()
    assert client.sock is None


# --- debug output -------------------------------------------------------------------------------------


def test_debug_level_1_shows_commands_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    client, _ = offline(b"+OK 2 320\r\n")
    client.set_debuglevel(1)
    client.stat()
    assert capsys.readouterr() == ("*cmd* 'STAT'\n*stat* [b'+OK', b'2', b'320']\n", "")


def test_debug_level_2_shows_what_is_put_and_got_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    client, _ = offline(b"+OK 2 320\r\n")
    client.set_debuglevel(2)
    client.stat()
    assert capsys.readouterr().out.splitlines() == [
        "*cmd* 'STAT'",
        "*put* b'STAT'",
        r"*get* b'+OK 2 320\r\n'",
        "*resp* b'+OK 2 320'",
        "*stat* [b'+OK', b'2', b'320']",
    ]


@pytest.mark.parametrize("levels", [(), (2, 0)], ids=["never set", "set back to 0"])
def test_without_a_debug_level_nothing_is_shown(levels: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    client, _ = offline(b"+OK 2 320\r\n")
    for level in levels:
        client.set_debuglevel(level)
    client.stat()
    assert capsys.readouterr() == ("", "")
