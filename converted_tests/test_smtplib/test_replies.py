"""smtplib promises a reply as code and text, and SMTPServerDisconnected where no whole reply comes.

Replies are RFC 5321 section 4.2; that a client bounds a line is section 4.5.3.1.5 and common sense.
"""

from __future__ import annotations

import smtplib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import TIMEOUT_S, Peer, Reset, canned, listening
from converted_tests.strategies import pieces_of, wire_bytes

from .support import ME, offline, served

LINE_MAX = 8192


@pytest.mark.parametrize(
    ("server_half", "reply"),
    [
        pytest.param(b"250 fine\r\n", (250, b"fine"), id="one line"),
        pytest.param(b"250 fine\n", (250, b"fine"), id="a bare LF"),
        pytest.param(b"250 fine", (250, b"fine"), id="no ending before the end of file"),
        pytest.param(b"250\r\n", (250, b""), id="a code alone"),
        pytest.param(b"250 \r\n", (250, b""), id="a code and a blank"),
        pytest.param(b"250 \t fine \t\r\n", (250, b"fine"), id="blanks and tabs around the text"),
        pytest.param(b"250-a\r\n250-b\r\n250 c\r\n", (250, b"a\nb\nc"), id="three lines"),
        pytest.param(b"250-\r\n250 \r\n", (250, b"\n"), id="two empty lines"),
        pytest.param(b"250-a\r\n550 b\r\n", (550, b"a\nb"), id="the last line's code counts"),
        pytest.param(b"250\tfine\r\n250 more\r\n", (250, b"fine"), id="any fourth character but a hyphen ends it"),
        pytest.param(b"250fine\r\n", (250, b"ine"), id="the fourth character is never text"),
        pytest.param(b"2x0 what\r\n", (-1, b"what"), id="a code that is no number"),
        pytest.param(b"\r\n", (-1, b""), id="an empty line"),
        pytest.param(b"250-a\r\nxyz-b\r\n250 c\r\n", (-1, b"a\nb"), id="a bad code ends it in the middle"),
        pytest.param(b"250 \xff\0\r\n", (250, b"\xff\0"), id="bytes that are no text"),
    ],
)
def test_a_reply_is_its_code_and_its_text(server_half: bytes, reply: tuple[int, bytes]) -> None:
    client, wire = offline(server_half)
    assert client.getreply() == reply
    assert not wire.closed


def test_the_rest_of_the_stream_is_left_for_the_next_reply() -> None:
    client, _ = offline(b"250-a\r\nxyz-b\r\n250 c\r\n550-d\r\n550 e\r\n")
    assert [client.getreply() for _ in range(3)] == [(-1, b"a\nb"), (250, b"c"), (550, b"d\ne")]


@pytest.mark.parametrize("server_half", [b"", b"250-a\r\n", b"250-a\r\n250-"])
def test_an_end_of_file_where_a_line_is_due_disconnects(server_half: bytes) -> None:
    client, wire = offline(server_half)
    with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Connection unexpectedly closed$"):
        client.getreply()
    assert (wire.closed, client.sock, client.file) == (True, None, None)


def test_a_server_that_closes_in_mid_reply_disconnects() -> None:
    with served("S: 220 ready\nC: noop\nS: 250-one\nS: 250-two") as client:
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Connection unexpectedly closed$"):
            client.noop()
        assert client.sock is None
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^please run connect"):
            client.noop()


def test_a_reset_in_mid_reply_disconnects_and_says_why() -> None:
    def resetting() -> Peer:
        yield b"220 ready\r\n"
        yield Reset()

    with listening(resetting()) as (host, port):
        client = smtplib.SMTP(str(host), int(port), ME, timeout=TIMEOUT_S)
        with pytest.raises(smtplib.SMTPServerDisconnected) as disconnected:
            client.noop()
    assert str(disconnected.value).startswith("Connection unexpectedly closed: [Errno ")
    assert client.sock is None


def test_sending_into_a_closed_connection_disconnects() -> None:
    with canned(b"") as wire:
        client = smtplib.SMTP(local_hostname=ME)
        client.sock = wire.client
        wire.client.shutdown(socket.SHUT_WR)
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Server not connected$"):
            client.send("noop\r\n")
        assert client.sock is None
        assert wire.client.fileno() == -1


@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_a_line_of_the_longest_allowed_length_is_taken(ending: bytes) -> None:
    text = b"x" * (LINE_MAX - 4 - len(ending))
    client, _ = offline(b"250 " + text + ending)
    assert client.getreply() == (250, text)


@pytest.mark.parametrize("ending", [b"\r\n", b""], ids=["with an ending", "without an ending"])
def test_a_longer_line_is_refused_and_closes(ending: bytes) -> None:
    client, wire = offline(b"250 " + b"x" * (LINE_MAX - 3 - len(ending)) + ending)
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        client.getreply()
    assert refused.value.args == (500, "Line too long.")
    assert (wire.closed, client.sock) == (True, None)


def test_a_server_that_sends_64_kB_without_an_ending_is_refused() -> None:
    def endless() -> Peer:
        yield b"220 ready\r\n"
        yield b"250 " + b"x" * 65536

    with listening(endless()) as (host, port):
        client = smtplib.SMTP(str(host), int(port), ME, timeout=TIMEOUT_S)
        with pytest.raises(smtplib.SMTPResponseException, match="Line too long"):
            client.noop()


def test_getreply_makes_a_file_if_there_is_none() -> None:
    client, _ = offline(b"250 one\r\n250 two\r\n")
    assert client.getreply() == (250, b"one")
    assert client.file is not None
    assert client.file.read() == b"250 two\r\n"


REPLIES = b"220 ready\r\n250-a\r\n250-\r\n250 c\r\nbad\r\n550 no\r\n"


@given(pieces=pieces_of(REPLIES))
def test_where_the_network_cuts_replies_does_not_matter(pieces: list[bytes]) -> None:
    client, _ = offline(pieces)
    replies = [client.getreply() for _ in range(4)]
    assert replies == [(220, b"ready"), (250, b"a\n\nc"), (-1, b""), (550, b"no")]


@given(
    server_half=wire_bytes | st.lists(st.sampled_from([b"250-", b"250 ", b"x", b"\n", b"\r", b"-1"])).map(b"".join)
)
def test_any_bytes_give_a_reply_or_the_documented_error(server_half: bytes) -> None:
    client, _ = offline(server_half)
    try:
        code, text = client.getreply()
    except smtplib.SMTPException:
        assert client.sock is None
    else:
        assert isinstance(code, int)
        assert b"\r" not in text.split(b"\n")[-1][-1:]
