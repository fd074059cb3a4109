"""The eight ways to read from a telnet connection: up to a match, everything, something, more or less eagerly.

The library reference of telnetlib says for each of them what it waits for and what it does at the end of file.
"""

from __future__ import annotations

import selectors
import telnetlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.peers import SHORT_CONNECT_S, TIMEOUT_S, Peer, Silence, listening, transcript
from converted_tests.strategies import pieces_of, wire_bytes
from converted_tests.test_telnetlib.support import PACKET, Telnet, in_memory, telnet

LONG = b"".join(b"%04d " % number for number in range(40))
"""Four packets of text in which nothing repeats."""


# --- read_until ---------------------------------------------------------------------------------------


def test_read_until_gives_all_up_to_the_match_and_keeps_the_rest() -> None:
    with telnet(b"login: password: $ ") as (client, _):
        assert client.read_until(b": ") == b"login: "
        assert client.read_until(b": ") == b"password: "
        assert client.read_all() == b"$ "


@pytest.mark.parametrize(
    ("match", "text", "rest"),
    [(b"one", b"one", b" two three"), (b"two", b"one two", b" three"), (b"three", b"one two three", b"")],
    ids=["at the start", "inside", "at the end"],
)
def test_read_until_matches_what_is_there_already_without_reading(match: bytes, text: bytes, rest: bytes) -> None:
    with in_memory(b"one two three") as (client, _):
        client.fill_rawq()
        assert client.read_until(match) == text
        assert (client.cookedq, client.rawq) == (rest, b"")


def test_read_until_matches_at_the_very_start_of_a_packet() -> None:
    with telnet(b"$ ls", open_end=True) as (client, _):
        assert client.read_until(b"$ ") == b"$ "
        assert client.read_very_lazy() == b"ls"


@pytest.mark.parametrize("before", range(45, 51))
def test_read_until_matches_across_the_edge_of_a_packet(before: int) -> None:
    said = b"x" * before + b"login: " + b"y" * 20
    with telnet(said) as (client, _):
        assert client.read_until(b"login: ") == said[: before + 7]
        assert client.read_all() == b"y" * 20


def test_read_until_goes_on_over_packets() -> None:
    with telnet(LONG, open_end=True) as (client, _):
        assert client.read_until(b"0035", TIMEOUT_S) == LONG[: LONG.index(b"0035") + 4]


def test_read_until_takes_the_first_match_of_several() -> None:
    with telnet(b"a$b$c") as (client, _):
        assert client.read_until(b"$") == b"a$"
        assert client.read_until(b"$") == b"b$"


def test_read_until_gives_what_there_is_at_the_end_of_file_then_EOFError() -> None:
    with telnet(b"login") as (client, _):
        assert client.read_until(b": ") == b"login"
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            client.read_until(b": ")


def test_read_until_with_a_timeout_that_passes_gives_what_came() -> None:
    with telnet(b"login", open_end=True) as (client, _):
        assert client.read_until(b": ", 0.01) == b"login"
        assert client.read_until(b": ", 0.01) == b""


def test_read_until_with_no_time_at_all_takes_what_is_ready() -> None:
    with telnet(b"login: x", open_end=True) as (client, _):
        assert client.read_until(b": ", 0) == b"login: "
        assert client.read_until(b": ", 0) == b"x"


def test_read_until_waits_no_longer_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 105.0, 105.1])
    monkeypatch.setattr(telnetlib, "_time", lambda: next(ticks))
    with telnet(LONG, open_end=True) as (client, _):
        # 5 s of 5 s are over after the first packet, 5.1 s after the second; there is no third.
        assert client.read_until(b"none", 5) == LONG[: 2 * PACKET]


def test_read_until_over_a_real_listener() -> None:
    script = """
        S: login:
        C: me
        S: welcome, you
    """
    with listening(transcript(script)) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.read_until(b"login:\r\n") == b"login:\r\n"
        client.write(b"me\r\n")
        assert client.read_until(b"you") == b"welcome, you"
        assert client.read_all() == b"\r\n"


def silent() -> Peer:
    yield Silence(b"login: ")


def test_a_silent_server_does_not_hold_read_until_above_its_timeout() -> None:
    with listening(silent()) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.read_until(b"login: ") == b"login: "
        assert client.read_until(b"never", 0.01) == b""


def test_a_silent_server_times_out_with_the_connections_timeout() -> None:
    with listening(silent()) as (host, port), Telnet(str(host), int(port), SHORT_CONNECT_S) as client:
        with pytest.raises(TimeoutError):
            client.read_all()


# --- read_all, read_some ------------------------------------------------------------------------------


def test_read_all_reads_to_the_end_of_file() -> None:
    with telnet(LONG) as (client, _):
        assert client.read_all() == LONG
        assert (client.eof, client.read_all()) == (True, b"")


def test_read_all_begins_with_what_is_queued() -> None:
    with in_memory([b"raw", b"rest"]) as (client, _):
        client.fill_rawq()
        client.cookedq = b"cooked "
        assert client.read_all() == b"cooked rawrest"


def test_read_all_over_a_real_listener() -> None:
    with listening(transcript("S: one\nS: two")) as (host, port):
        with Telnet(str(host), int(port)) as client:
            assert client.read_all() == b"one\r\ntwo\r\n"


def test_read_some_gives_one_packet_at_a_time_then_nothing() -> None:
    with in_memory([b"one", b"two"]) as (client, _):
        assert [client.read_some() for _ in range(4)] == [b"one", b"two", b"", b""]


def test_read_some_reads_on_until_there_is_a_byte() -> None:
    with in_memory([telnetlib.IAC, telnetlib.NOP, b"x", b"y"]) as (client, _):
        assert client.read_some() == b"x"


def test_read_some_takes_what_is_queued_without_reading() -> None:
    with in_memory([b"raw", b"unread"]) as (client, _):
        client.fill_rawq()
        assert client.read_some() == b"raw"


# --- the eager and the lazy ones ----------------------------------------------------------------------

Read = Callable[[Any], bytes]
EAGER = [
    pytest.param(Telnet.read_eager, id="read_eager"),
    pytest.param(Telnet.read_very_eager, id="read_very_eager"),
]


@pytest.mark.parametrize("read", EAGER)
def test_eager_reading_gives_nothing_where_nothing_is_ready(read: Read) -> None:
    with telnet(open_end=True) as (client, wire):
        assert read(client) == b""
        wire.say(b"now")
        assert read(client) == b"now"
        assert read(client) == b""


@pytest.mark.parametrize("read", EAGER)
def test_eager_reading_gives_what_came_before_the_end_and_then_EOFError(read: Read) -> None:
    with telnet(b"last") as (client, _):
        assert read(client) == b"last"
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            read(client)


@pytest.mark.parametrize("read", EAGER)
def test_eager_reading_gives_what_was_cooked_before(read: Read) -> None:
    with telnet(open_end=True) as (client, _):
        client.cookedq = b"cooked"
        assert read(client) == b"cooked"


def test_read_eager_is_content_with_one_packet() -> None:
    with telnet(LONG, open_end=True) as (client, _):
        assert client.read_eager() == LONG[:PACKET]
        assert client.read_eager() == LONG[PACKET : 2 * PACKET]


def test_read_eager_takes_what_is_queued_before_it_looks_at_the_connection() -> None:
    with telnet(LONG, open_end=True) as (client, _):
        client.rawq = b"raw"
        assert client.read_eager() == b"raw"


@pytest.mark.parametrize("read", EAGER)
def test_eager_reading_takes_what_is_queued_where_nothing_is_ready(read: Read) -> None:
    with telnet(open_end=True) as (client, _):
        client.rawq = b"raw"
        assert read(client) == b"raw"


def test_read_very_eager_takes_all_that_is_ready() -> None:
    with telnet(LONG, open_end=True) as (client, _):
        assert client.read_very_eager() == LONG


def test_read_lazy_takes_what_is_queued_and_reads_nothing() -> None:
    with telnet(LONG) as (client, _):
        assert client.read_lazy() == b""
        client.fill_rawq()
        assert client.read_lazy() == LONG[:PACKET]
        assert client.read_lazy() == b""


def test_read_lazy_is_EOFError_at_the_end() -> None:
    with telnet(b"x") as (client, _):
        client.fill_rawq()
        client.fill_rawq()
        assert client.read_lazy() == b"x"
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            client.read_lazy()


def test_read_very_lazy_takes_cooked_data_alone() -> None:
    with telnet(b"one", open_end=True) as (client, _):
        client.fill_rawq()
        assert client.read_very_lazy() == b""
        client.process_rawq()
        assert client.read_very_lazy() == b"one"
        assert client.read_very_lazy() == b""


def test_read_very_lazy_is_EOFError_when_closed_and_empty_but_not_before() -> None:
    with telnet(b"one") as (client, _):
        client.fill_rawq()
        client.fill_rawq()
        assert (client.eof, client.read_very_lazy()) == (True, b"")
        assert client.read_lazy() == b"one"
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            client.read_very_lazy()


def test_a_client_that_never_connected_has_nothing_to_read_and_is_not_at_the_end() -> None:
    assert [Telnet().read_lazy(), Telnet().read_very_lazy(), Telnet().read_sb_data()] == [b"", b"", b""]


def test_sock_avail_says_whether_a_read_would_wait() -> None:
    with telnet(open_end=True) as (client, wire):
        assert client.sock_avail() is False
        wire.say(b"x")
        assert client.sock_avail() is True
        client.fill_rawq()
        assert client.sock_avail() is False
        wire.hang_up()
        assert client.sock_avail() is True


def test_sock_avail_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class Noting(selectors.SelectSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            waits.append(timeout)
            return super().select(0)

    monkeypatch.setattr(telnetlib, "_TelnetSelector", Noting)
    with telnet(open_end=True) as (client, _):
        assert client.sock_avail() is False
    assert waits == [0]


# --- the raw queue ------------------------------------------------------------------------------------


def test_a_packet_is_of_50_bytes_at_most() -> None:
    with in_memory(LONG) as (client, _):
        client.fill_rawq()
        assert (client.rawq, client.irawq, client.eof) == (LONG[:50], 0, False)


def test_the_raw_queue_gives_its_bytes_in_order_and_is_empty_after_the_last() -> None:
    with in_memory(b"abc") as (client, _):
        client.fill_rawq()
        states = [(client.rawq_getchar(), client.rawq, client.irawq) for _ in range(3)]
    assert states == [(b"a", b"abc", 1), (b"b", b"abc", 2), (b"c", b"", 0)]


def test_an_empty_raw_queue_is_filled_and_at_the_end_it_is_EOFError() -> None:
    with in_memory([b"a", b"b"]) as (client, _):
        assert [client.rawq_getchar(), client.rawq_getchar()] == [b"a", b"b"]
        with pytest.raises(EOFError):
            client.rawq_getchar()
        assert client.eof is True


def test_filling_goes_on_behind_what_is_not_taken_yet() -> None:
    with in_memory([b"ab", b"cd"]) as (client, _):
        assert client.rawq_getchar() == b"a"
        client.fill_rawq()
        assert (client.rawq, client.irawq) == (b"abcd", 1)
        assert b"".join(client.rawq_getchar() for _ in range(3)) == b"bcd"


@pytest.mark.parametrize(("taken", "queue"), [(1, b"abcd"), (2, b"cd"), (3, b"cd")])
def test_filling_drops_a_queue_that_is_taken_to_its_end(taken: int, queue: bytes) -> None:
    with in_memory(b"cd") as (client, _):
        client.rawq, client.irawq = b"ab", taken
        client.fill_rawq()
        assert (client.rawq, client.irawq) == (queue, 1 if taken == 1 else 0)


def test_processing_that_meets_the_end_of_file_keeps_what_it_has() -> None:
    class Short(telnetlib.Telnet):
        """A queue that claims to have more than it has; only a subclass can do that."""

        def rawq_getchar(self) -> bytes:
            if self.rawq == b"!":  # type: ignore[attr-defined]
                raise EOFError
            return super().rawq_getchar()

    client: Any = Short()
    client.rawq, client.iacseq, client.sb = b"!", telnetlib.IAC, 1
    client.process_rawq()
    assert (client.iacseq, client.sb, client.cookedq) == (b"", 0, b"")
    client.rawq = b""


# --- laws ---------------------------------------------------------------------------------------------


@given(pieces_of(b"one\xff\xfd\x01two\xff\xff\xff\xfa\x18\x00\xff\xf0three\r\n\xff\xf1four"))
def test_how_the_network_cuts_the_stream_changes_nothing(pieces: list[bytes]) -> None:
    commands: list[tuple[bytes, bytes]] = []
    with in_memory(pieces) as (client, _):
        client.set_option_negotiation_callback(lambda _sock, command, option: commands.append((command, option)))
        assert client.read_all() == b"onetwo\xffthree\r\nfour"
    assert commands == [(b"\xfd", b"\x01"), (b"\xfa", b"\x00"), (b"\xf0", b"\x00"), (b"\xf1", b"\x00")]


@given(st.binary(max_size=200))
def test_what_one_client_writes_another_reads(data: bytes) -> None:
    with in_memory() as (writer, wire):
        writer.write(data)
    with in_memory(wire.sent) as (reader, _):
        assert reader.read_all() == data.replace(b"\0", b"").replace(b"\x11", b"")


@given(wire_bytes)
def test_whatever_a_server_says_is_read_to_its_end(said: bytes) -> None:
    with in_memory(said) as (client, _):
        assert set(client.read_all()) <= set(said)
        assert client.eof is True


@pytest.mark.parametrize("data", [b"", b"plain", b"\xfe\x00\r\n"], ids=["nothing", "text", "other high bytes"])
def test_writing_changes_nothing_else(data: bytes) -> None:
    with in_memory() as (client, wire):
        client.write(data)
        assert wire.sent == data


def test_writing_doubles_every_IAC() -> None:
    with in_memory() as (client, wire):
        client.write(b"\xffa\xff\xffb\xff")
        assert wire.sent == b"\xff\xffa\xff\xff\xff\xffb\xff\xff"
