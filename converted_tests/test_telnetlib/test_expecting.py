"""Waiting for one of several patterns (expect), and the dumb terminal that telnetlib can be (interact).

The library reference of telnetlib promises the triple that expect gives, and what ends an interaction.
"""

from __future__ import annotations

import io
import os
import re
import sys
import telnetlib
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from converted_tests.peers import TIMEOUT_S, Canned, Peer, Silence, listening, transcript
from converted_tests.test_telnetlib.support import PACKET, Telnet, telnet

LONG = b"x" * 120 + b"login: "


# --- expect -------------------------------------------------------------------------------------------


def test_expect_gives_the_index_the_match_and_the_data_up_to_it() -> None:
    with telnet(b"first login: me", open_end=True) as (client, _):
        index, match, data = client.expect([b"password", b"log(in|out)"])
        assert match is not None
        assert (index, match.group(0), match.group(1), data) == (1, b"login", b"in", b"first login")
        assert client.read_very_lazy() == b": me"


def test_the_first_pattern_of_the_list_wins_and_not_the_first_in_the_data() -> None:
    with telnet(b"one two", open_end=True) as (client, _):
        index, match, data = client.expect([b"two", b"one"])
        assert match is not None
        assert (index, match.group(), data) == (0, b"two", b"one two")


def test_patterns_may_be_compiled_or_not() -> None:
    with telnet(b"One two", open_end=True) as (client, _):
        patterns = [re.compile(b"one", re.IGNORECASE), b"tw."]
        assert client.expect(patterns)[::2] == (0, b"One")
        assert client.expect(patterns)[::2] == (1, b" two")
        assert patterns == [re.compile(b"one", re.IGNORECASE), b"tw."]


@pytest.mark.parametrize("timeout_s", [None, TIMEOUT_S], ids=["no timeout", "a timeout"])
def test_expect_goes_on_over_packets(timeout_s: float | None) -> None:
    with telnet(LONG + b"rest", open_end=True) as (client, _):
        assert client.expect([b"none", b"login: "], timeout_s)[::2] == (1, LONG)


def test_expect_matches_what_is_queued_without_reading() -> None:
    with telnet(b"new", open_end=True) as (client, _):
        client.cookedq, client.rawq = b"cooked ", b"raw"
        assert client.expect([b"raw"])[::2] == (0, b"cooked raw")
        assert client.sock_avail()


def test_expect_with_a_timeout_that_passes_gives_what_came() -> None:
    with telnet(b"login", open_end=True) as (client, _):
        assert client.expect([b": "], 0.01) == (-1, None, b"login")
        assert client.expect([b": "], 0.01) == (-1, None, b"")


def test_expect_at_the_end_of_file_gives_what_there_is_then_EOFError() -> None:
    with telnet(b"login") as (client, _):
        assert client.expect([b": "]) == (-1, None, b"login")
        with pytest.raises(EOFError):
            client.expect([b": "])


def test_expect_of_a_server_that_hangs_up_at_once_is_EOFError() -> None:
    with telnet() as (client, _):
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            client.expect([b": "])


def test_expect_at_the_end_inside_a_command_is_EOFError_too() -> None:
    # Raw data is left, so an empty queue is not the end of file; expect itself notices that.
    with telnet() as (client, _):
        client.fill_rawq()
        client.rawq = b"x"
        with pytest.raises(EOFError, match=r"^$"):
            client.expect([b": "])


def test_expect_waits_on_while_its_time_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 100.0, 100.01, 100.02])
    monkeypatch.setattr(telnetlib, "_time", lambda: next(ticks))
    with telnet(open_end=True) as (client, _):
        # Three waits without data: before the 0.01 s have passed, exactly when they have, and after.
        assert client.expect([b"none"], 0.01) == (-1, None, b"")
    assert list(ticks) == []


def test_expect_reads_what_is_ready_even_when_its_time_is_over() -> None:
    with telnet(b"x" * PACKET + b"$", open_end=True) as (client, _):
        assert client.expect([b"[$]"], 0)[::2] == (0, b"x" * PACKET + b"$")


def test_expect_over_a_real_listener() -> None:
    script = """
        S: login:
        C: me
        S: sorry
    """
    with listening(transcript(script)) as (host, port), Telnet(str(host), int(port)) as client:
        client.expect([b"login:\r\n"])
        client.write(b"me\r\n")
        index, match, data = client.expect([b"welcome", b"sorry\r\n"])
        assert match is not None
        assert (index, match.span(), data) == (1, (0, 7), b"sorry\r\n")


def silent() -> Peer:
    yield Silence(b"login: ")


def test_a_silent_server_does_not_hold_expect_above_its_timeout() -> None:
    with listening(silent()) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.expect([b"login: "])[0] == 0
        assert client.expect([b"never"], 0.01) == (-1, None, b"")


# --- a dumb terminal ----------------------------------------------------------------------------------

CLOSED = "*** Connection closed by remote host ***\n"


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A file for the text that the user types; closing it ends the input."""
    reading, writing = os.pipe()
    with open(reading) as stdin, open(writing, "w") as typing:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield typing


def test_interact_shows_what_the_server_says_until_it_hangs_up(
    keyboard: TextIO, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not keyboard.closed
    with telnet(b"x" * 60 + telnetlib.IAC + telnetlib.NOP) as (client, _):
        client.interact()
    assert capsys.readouterr().out == "x" * 60 + CLOSED


def test_interact_sends_what_is_typed_until_its_end(keyboard: TextIO, capsys: pytest.CaptureFixture[str]) -> None:
    keyboard.write("ls\nexit\n")
    keyboard.close()
    with telnet(open_end=True) as (client, wire):
        client.interact()
        client.close()
        assert wire.sent() == b"ls\nexit\n"
    assert capsys.readouterr().out == ""


def test_interact_shows_nothing_for_a_command(keyboard: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Screen())
    with telnet(telnetlib.IAC + telnetlib.NOP, open_end=True) as (client, wire):
        client.set_option_negotiation_callback(lambda _sock, _command, _option: keyboard.close())
        client.interact()
        client.close()
        assert wire.sent() == b""
    assert written == []


def test_interact_flushes_what_it_shows(keyboard: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def flush(self) -> None:
            keyboard.close()

    monkeypatch.setattr(sys, "stdout", screen := Screen())
    with telnet(b"hello", open_end=True) as (client, _):
        client.interact()
    assert screen.getvalue() == "hello"


def test_interact_with_threads_shows_and_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            size = super().write(text)
            if self.getvalue().endswith(CLOSED):
                over.set()
            return size

    class Keyboard:
        def __init__(self, *lines: str) -> None:
            self._lines = [*lines]

        def readline(self) -> str:
            if self._lines:
                return self._lines.pop(0)
            assert over.wait(TIMEOUT_S)
            return ""

    monkeypatch.setattr(sys, "stdout", screen := Screen())
    monkeypatch.setattr(sys, "stdin", Keyboard("ls\n", "exit\n"))
    with telnet(b"hello") as (client, wire):
        client.mt_interact()
        client.close()
        assert wire.sent() == b"ls\nexit\n"
    assert screen.getvalue() == "hello" + CLOSED


def test_the_listener_flushes_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with telnet(b"hello", open_end=True) as (client, wire):
        monkeypatch.setattr(sys, "stdout", screen := Impatient(wire))
        client.listener()
    assert (screen.getvalue(), screen.flushes) == ("hello" + CLOSED, 1)


class Impatient(io.StringIO):
    """A screen that has the server hang up when it is flushed."""

    def __init__(self, wire: Canned) -> None:
        super().__init__()
        self._wire = wire
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        self._wire.hang_up()
