"""How telnetlib removes commands from the text, and answers them or passes them to a callback.

RFC 854 gives the commands and the IAC that comes before them, RFC 855 the subnegotiation.
"""

from __future__ import annotations

import socket
import telnetlib
from collections.abc import Callable
from telnetlib import DO, DONT, ECHO, IAC, NAWS, NOOPT, SB, SE, SGA, TTYPE, WILL, WONT

import pytest

from converted_tests.peers import Peer, TakeAll, listening
from converted_tests.test_telnetlib.support import Telnet, in_memory, telnet

Commands = list[tuple[bytes, bytes]]

SIMPLE = {name: getattr(telnetlib, name) for name in ["AO", "AYT", "BRK", "EC", "EL", "GA", "IP", "NOP", "DM"]}


def noting(commands: Commands) -> Callable[[socket.socket, bytes, bytes], object]:
    return lambda _sock, command, option: commands.append((command, option))


def text_and_commands(*pieces: bytes) -> tuple[bytes, Commands]:
    """The text and the commands of *pieces*."""
    commands: Commands = []
    with in_memory(pieces) as (client, wire):
        client.set_option_negotiation_callback(noting(commands))
        text = client.read_all()
    assert wire.sent == b""
    return text, commands


# --- commands -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", SIMPLE.values(), ids=SIMPLE)
@pytest.mark.parametrize(("before", "behind"), [(b"", b""), (b"abc", b"def")], ids=["alone", "within text"])
def test_a_command_reaches_the_callback_and_leaves_the_text(command: bytes, before: bytes, behind: bytes) -> None:
    assert text_and_commands(before + IAC + command + behind) == (before + behind, [(command, NOOPT)])


def test_commands_in_a_row_reach_the_callback_in_order() -> None:
    stream = b"".join(IAC + command for command in SIMPLE.values())
    assert text_and_commands(b"a" + stream + b"b") == (b"ab", [(command, NOOPT) for command in SIMPLE.values()])


def test_a_doubled_IAC_is_a_byte_of_the_text() -> None:
    assert text_and_commands(b"a" + IAC + IAC + b"b") == (b"a" + IAC + b"b", [])


@pytest.mark.parametrize("verb", [DO, DONT, WILL, WONT], ids=["DO", "DONT", "WILL", "WONT"])
@pytest.mark.parametrize("option", [ECHO, b"\x00", b"\x11", IAC], ids=["ECHO", "BINARY", "0x11", "EXOPL"])
def test_an_option_reaches_the_callback_with_its_verb(verb: bytes, option: bytes) -> None:
    assert text_and_commands(b"a" + IAC + verb + option + b"b") == (b"ab", [(verb, option)])


def test_the_callback_gets_the_socket() -> None:
    sockets: list[object] = []
    with in_memory(IAC + WILL + ECHO + IAC + DO + ECHO + IAC + telnetlib.NOP) as (client, wire):
        client.set_option_negotiation_callback(lambda sock, _command, _option: sockets.append(sock))
        client.read_all()
    assert sockets == [wire] * 3


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        pytest.param(DO, WONT, id="DO"),
        pytest.param(DONT, WONT, id="DONT"),
        pytest.param(WILL, DONT, id="WILL"),
        pytest.param(WONT, DONT, id="WONT"),
    ],
)
def test_without_a_callback_every_option_is_declined(verb: bytes, answer: bytes) -> None:
    with telnet(b"a" + IAC + verb + NAWS + b"b") as (client, wire):
        assert client.read_all() == b"ab"
        client.close()
        assert wire.sent() == IAC + answer + NAWS


def test_options_are_declined_in_order_over_a_real_listener() -> None:
    heard: list[bytes] = []

    def negotiating() -> Peer:
        heard.append((yield TakeAll(IAC + DO + TTYPE + b"login: " + IAC + WILL + ECHO + IAC + WILL + SGA + b"$")))

    with listening(negotiating()) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.read_until(b"$") == b"login: $"
    assert heard == [IAC + WONT + TTYPE + IAC + DONT + ECHO + IAC + DONT + SGA]


def test_a_callback_may_answer_and_be_taken_away() -> None:
    with in_memory([IAC + WILL + ECHO, b"a", IAC + WILL + ECHO, b"b"]) as (client, wire):
        client.set_option_negotiation_callback(lambda sock, _command, option: sock.sendall(IAC + DO + option))
        assert client.read_some() == b"a"
        client.set_option_negotiation_callback(None)
        assert client.read_some() == b"b"
        assert wire.sent == IAC + DO + ECHO + IAC + DONT + ECHO


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"a" + IAC, telnetlib.NOP + b"b"], (b"ab", [(telnetlib.NOP, NOOPT)]), id="before a command"),
        pytest.param([b"a" + IAC, IAC + b"b"], (b"a\xffb", []), id="before another IAC"),
        pytest.param([b"a" + IAC, DO + ECHO + b"b"], (b"ab", [(DO, ECHO)]), id="before the verb"),
        pytest.param([b"a" + IAC + DO, ECHO + b"b"], (b"ab", [(DO, ECHO)]), id="before the option"),
        pytest.param([b"a" + IAC, DONT, ECHO, b"b"], (b"ab", [(DONT, ECHO)]), id="everywhere"),
    ],
)
def test_a_command_may_be_split_over_packets(pieces: list[bytes], expected: tuple[bytes, Commands]) -> None:
    assert text_and_commands(*pieces) == expected


@pytest.mark.parametrize("dropped", [b"\x00", b"\x11"], ids=["NUL", "XON"])
def test_NUL_and_XON_are_no_text(dropped: bytes) -> None:
    assert text_and_commands(dropped + b"a" + dropped * 2 + b"b\r" + dropped + b"\n") == (b"ab\r\n", [])


@pytest.mark.parametrize("kept", [b"\x01", b"\x10", b"\x12", b"\x13", b"\xf0", b"\xfe"], ids=repr)
def test_every_other_byte_is_text(kept: bytes) -> None:
    assert text_and_commands(b"a" + kept + b"b") == (b"a" + kept + b"b", [])


# --- subnegotiation -----------------------------------------------------------------------------------


class Subnegotiations:
    """What a callback finds in the queue of subnegotiated data at each command."""

    def __init__(self, *pieces: bytes) -> None:
        self.found: list[tuple[bytes, bytes]] = []
        with in_memory(pieces) as (client, _):
            self._client = client
            client.set_option_negotiation_callback(self._look)
            self.text = client.read_all()
            self.left = client.read_sb_data()

    def _look(self, _sock: socket.socket, command: bytes, option: bytes) -> None:
        assert option == NOOPT
        self.found.append((command, self._client.read_sb_data()))


@pytest.mark.parametrize(
    ("pieces", "data"),
    [
        pytest.param([b"data"], b"data", id="plain"),
        pytest.param([b"xx" + IAC + IAC + b"xx"], b"xx" + IAC + b"xx", id="doubled IAC"),
        pytest.param([IAC + IAC + b"x" + IAC + IAC], IAC + b"x" + IAC, id="doubled IAC at the ends"),
        pytest.param([IAC + IAC + DO], IAC + DO, id="doubled IAC before a verb"),
        pytest.param([IAC + IAC + SE], IAC + SE, id="doubled IAC before SE"),
        pytest.param([b"da", b"ta"], b"data", id="over two packets"),
        pytest.param([], b"", id="empty"),
    ],
)
def test_subnegotiated_data_is_there_at_SE_and_no_text(pieces: list[bytes], data: bytes) -> None:
    seen = Subnegotiations(b"before" + IAC + SB, *pieces, IAC + SE + b"behind")
    assert (seen.found, seen.text, seen.left) == ([(SB, b""), (SE, data)], b"beforebehind", b"")


def test_data_is_queued_until_it_is_read() -> None:
    with in_memory(IAC + SB + b"data" + IAC + SE) as (client, _):
        assert client.read_sb_data() == b""
        client.read_all()
        assert (client.read_sb_data(), client.read_sb_data()) == (b"data", b"")


def test_a_new_subnegotiation_drops_data_that_was_not_read() -> None:
    with in_memory(IAC + SB + b"old" + IAC + SE + IAC + SB + b"new" + IAC + SE) as (client, _):
        client.read_all()
        assert client.read_sb_data() == b"new"


def test_data_without_its_end_is_queued_too() -> None:
    with in_memory([b"text" + IAC + SB + b"da", b"ta"]) as (client, _):
        assert client.read_all() == b"text"
        assert client.read_sb_data() == b"data"


def test_closing_ends_a_subnegotiation() -> None:
    with telnet(IAC + SB + b"data" + IAC, open_end=True) as (client, _):
        client.fill_rawq()
        client.process_rawq()
        assert (client.sb, client.iacseq) == (1, IAC)
        client.close()
        assert (client.sb, client.iacseq, client.eof) == (0, b"", True)


# --- what is printed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        pytest.param(IAC + DO + ECHO, [r"recv b'\xff\xfd\x01'", "IAC DO 1", "recv b''"], id="DO"),
        pytest.param(IAC + DONT + SGA, [r"recv b'\xff\xfe\x03'", "IAC DONT 3", "recv b''"], id="DONT"),
        pytest.param(IAC + WILL + TTYPE, [r"recv b'\xff\xfb\x18'", "IAC WILL 24", "recv b''"], id="WILL"),
        pytest.param(IAC + WONT + NAWS, [r"recv b'\xff\xfc\x1f'", "IAC WONT 31", "recv b''"], id="WONT"),
        pytest.param(
            IAC + telnetlib.AYT, [r"recv b'\xff\xf6'", "IAC 246 not recognized", "recv b''"], id="another command"
        ),
        pytest.param(b"text", ["recv b'text'", "recv b''"], id="text"),
        pytest.param(b"100%s", ["recv b'100%s'", "recv b''"], id="text with a percent sign"),
    ],
)
def test_debug_level_1_prints_what_comes(said: bytes, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with in_memory(said) as (client, _):
        client.set_debuglevel(1)
        client.read_all()
    assert capsys.readouterr().out.splitlines() == [f"Telnet(telnet.example,2323): {line}" for line in lines]


def test_debug_level_1_prints_options_for_a_callback_too(capsys: pytest.CaptureFixture[str]) -> None:
    with in_memory(IAC + DO + ECHO + IAC + WILL + SGA + IAC + telnetlib.AYT) as (client, _):
        client.set_debuglevel(1)
        client.set_option_negotiation_callback(noting([]))
        client.read_all()
    printed = capsys.readouterr().out
    assert [line.partition(": ")[2] for line in printed.splitlines()][1:-1] == ["IAC DO 1", "IAC WILL 3"]


def test_debug_level_1_prints_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with in_memory() as (client, _):
        client.set_debuglevel(1)
        client.write(b"a\xff")
    assert capsys.readouterr().out == "Telnet(telnet.example,2323): send b'a\\xff\\xff'\n"


@pytest.mark.parametrize(
    ("level", "printed"), [(0, ""), (1, "Telnet(h,23): plain 100%\n"), (2, "Telnet(h,23): plain 100%\n")]
)
def test_a_message_without_arguments_is_printed_as_it_is(
    level: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Telnet()
    client.host, client.port = "h", 23
    client.set_debuglevel(level)
    client.msg("plain 100%")
    assert capsys.readouterr().out == printed


def test_a_message_names_a_port_given_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    client = Telnet()
    client.host, client.port = "h", "telnet"
    client.set_debuglevel(1)
    client.msg("%d and %r", 1, "two")
    assert capsys.readouterr().out == "Telnet(h,telnet): 1 and 'two'\n"


def test_nothing_is_printed_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    with in_memory(b"text" + IAC + DO + ECHO) as (client, _):
        client.write(b"text")
        client.read_all()
    assert capsys.readouterr().out == ""
