"""How telnetlib opens and closes a connection, and the constants that it defines.

RFC 854 gives the port and the commands; the options are those of the IANA registry "Telnet Options".
"""

from __future__ import annotations

import importlib.util
import socket
import sys
import telnetlib
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.peers import Dialled, InMemory, Peer, TakeAll, dialled, listening, transcript
from converted_tests.test_telnetlib.support import HOST, PORT, Telnet, in_memory, telnet
from netsupport import HOSTv4, bind_port

DEFAULT = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]


# --- opening ------------------------------------------------------------------------------------------


def test_the_constructor_connects() -> None:
    with listening(transcript("S: hello")) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.get_socket().getpeername() == (host, port)
        assert client.read_all() == b"hello\r\n"


@pytest.mark.usefixtures("ipv6")
def test_the_constructor_connects_over_IPv6() -> None:
    with listening(transcript("S: hello"), family=socket.AF_INET6) as (host, port):
        with Telnet(str(host), int(port)) as client:
            assert client.read_all() == b"hello\r\n"


def test_the_constructor_without_a_host_does_not_connect() -> None:
    client = Telnet(port=5, timeout=7.5)
    assert (client.sock, client.host, client.port, client.timeout) == (None, None, 5, 7.5)


def test_open_connects_later() -> None:
    with listening(transcript("S: hello")) as (host, port), Telnet() as client:
        client.open(str(host), int(port))
        assert (client.host, client.port) == (host, port)
        assert client.read_all() == b"hello\r\n"


@pytest.mark.parametrize(
    ("connect", "call"),
    [
        pytest.param(lambda: Telnet(HOST), Dialled((HOST, 23), DEFAULT), id="the standard port"),
        pytest.param(lambda: Telnet(HOST, 0), Dialled((HOST, 23), DEFAULT), id="port 0 is no port"),
        pytest.param(lambda: Telnet(HOST, 1), Dialled((HOST, 1), DEFAULT), id="a port"),
        pytest.param(lambda: Telnet(HOST, 1, 7.5), Dialled((HOST, 1), 7.5), id="a port and a timeout"),
        pytest.param(lambda: Telnet(HOST, timeout=None), Dialled((HOST, 23), None), id="no timeout at all"),
        pytest.param(lambda: Telnet().open(HOST), Dialled((HOST, 23), DEFAULT), id="open, standard port"),
        pytest.param(lambda: Telnet().open(HOST, 1), Dialled((HOST, 1), DEFAULT), id="open, a port"),
        pytest.param(lambda: Telnet().open(HOST, 1, 7.5), Dialled((HOST, 1), 7.5), id="open, a timeout"),
        pytest.param(lambda: Telnet(timeout=3).open(HOST), Dialled((HOST, 23), DEFAULT), id="open forgets a timeout"),
    ],
)
def test_connecting_dials_the_host_the_port_and_the_timeout(connect: Callable[[], object], call: Dialled) -> None:
    with dialled(InMemory()) as calls:  # type: ignore[arg-type]
        connect()
    assert calls == [call]


def test_the_client_remembers_what_it_opened() -> None:
    with dialled(InMemory()):  # type: ignore[arg-type]
        client = Telnet()
        client.open(HOST, timeout=7.5)
    assert (client.host, client.port, client.timeout) == (HOST, 23, 7.5)


def test_without_a_timeout_the_connection_has_the_processs_own(process_timeout_s: float) -> None:
    with listening(transcript("")) as (host, port), Telnet(str(host), int(port)) as client:
        assert client.get_socket().gettimeout() == process_timeout_s


@pytest.mark.parametrize("timeout_s", [None, 7.5])
def test_a_timeout_is_the_connections(timeout_s: Any, process_timeout_s: float) -> None:
    assert process_timeout_s != timeout_s
    with listening(transcript("")) as (host, port), Telnet(str(host), int(port), timeout_s) as client:
        assert client.get_socket().gettimeout() == timeout_s


def test_a_port_without_a_listener_refuses_the_connection() -> None:
    with socket.socket() as silent:
        port = bind_port(silent)
        with pytest.raises(ConnectionRefusedError):
            Telnet(HOSTv4, port)


def test_the_socket_and_its_descriptor_are_the_connections() -> None:
    with telnet() as (client, wire):
        assert client.get_socket() is client.sock is wire.client
        assert client.fileno() == wire.client.fileno()


def test_connecting_and_writing_are_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[object, ...]] = []
    monkeypatch.setattr(sys, "audit", lambda *event: events.append(event))
    with in_memory() as (client, _):
        client.write(b"a\xff")
        assert events == [
            ("telnetlib.Telnet.open", client, HOST, PORT),
            ("telnetlib.Telnet.write", client, b"a\xff\xff"),
        ]


# --- closing ------------------------------------------------------------------------------------------


def test_the_with_block_has_a_socket_inside_and_none_behind() -> None:
    with listening(transcript("")) as (host, port):
        with Telnet(str(host), int(port)) as client:
            sock = client.get_socket()
            assert sock.fileno() >= 0
        assert (client.sock, sock.fileno()) == (None, -1)


def test_a_failure_inside_the_with_block_passes_through() -> None:
    with pytest.raises(LookupError, match=r"^mine$"), in_memory() as (client, wire):
        raise LookupError("mine")
    assert (client.sock, wire.closed) == (None, True)


def test_closing_twice_is_closing_once() -> None:
    with telnet(open_end=True) as (client, wire):
        client.close()
        client.close()
        assert (client.sock, wire.client.fileno()) == (None, -1)


def test_a_client_that_is_forgotten_closes_its_socket() -> None:
    with dialled(wire := InMemory()):  # type: ignore[arg-type]
        client = Telnet(HOST)
        assert not wire.closed
        del client
    assert wire.closed


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda client: client.read_eager(), id="read_eager"),
        pytest.param(lambda client: client.read_very_eager(), id="read_very_eager"),
        pytest.param(lambda client: client.read_lazy(), id="read_lazy"),
        pytest.param(lambda client: client.read_very_lazy(), id="read_very_lazy"),
    ],
)
def test_reading_after_close_is_EOFError(read: Callable[[Any], bytes]) -> None:
    with telnet(b"unread", open_end=True) as (client, _):
        client.close()
        with pytest.raises(EOFError, match=r"^telnet connection closed$"):
            read(client)


def test_reading_all_or_some_after_close_is_empty() -> None:
    with telnet(b"unread", open_end=True) as (client, _):
        client.close()
        assert (client.read_all(), client.read_some()) == (b"", b"")


def test_what_was_read_before_close_may_be_taken_after_it() -> None:
    with telnet(b"one two", open_end=True) as (client, _):
        client.read_until(b"one")
        client.close()
        assert client.read_very_lazy() == b" two"


def test_a_client_may_be_opened_again_after_close() -> None:
    client = Telnet()
    for said in (b"first\xff\xfa\xff", b"second"):
        with dialled(InMemory(said)):  # type: ignore[arg-type]
            client.open(HOST)
            assert client.read_some() == said[:6].rstrip(b"\xff")
            client.close()
    assert client.read_sb_data() == b""


def test_writing_gives_the_server_the_bytes() -> None:
    heard: list[bytes] = []

    def hearing() -> Peer:
        heard.append((yield TakeAll()))

    with listening(hearing()) as (host, port), Telnet(str(host), int(port)) as client:
        client.write(b"ls\r\n")
        client.write(b"\xffx\xff\xff")
    assert heard == [b"ls\r\n\xff\xffx\xff\xff\xff\xff"]


# --- names --------------------------------------------------------------------------------------------

COMMANDS = {
    "SE": 240,
    "NOP": 241,
    "DM": 242,
    "BRK": 243,
    "IP": 244,
    "AO": 245,
    "AYT": 246,
    "EC": 247,
    "EL": 248,
    "GA": 249,
    "SB": 250,
    "WILL": 251,
    "WONT": 252,
    "DO": 253,
    "DONT": 254,
    "IAC": 255,
}
OPTION_NAMES = """
    BINARY ECHO RCP SGA NAMS STATUS TM RCTE NAOL NAOP NAOCRD NAOHTS NAOHTD NAOFFD NAOVTS NAOVTD NAOLFD XASCII
    LOGOUT BM DET SUPDUP SUPDUPOUTPUT SNDLOC TTYPE EOR TUID OUTMRK TTYLOC VT3270REGIME X3PAD NAWS TSPEED LFLOW
    LINEMODE XDISPLOC OLD_ENVIRON AUTHENTICATION ENCRYPT NEW_ENVIRON TN3270E XAUTH CHARSET RSP COM_PORT_OPTION
    SUPPRESS_LOCAL_ECHO TLS KERMIT SEND_URL FORWARD_X
"""
OPTIONS = {name: number for number, name in enumerate(OPTION_NAMES.split())}
OTHERS = {"PRAGMA_LOGON": 138, "SSPI_LOGON": 139, "PRAGMA_HEARTBEAT": 140, "EXOPL": 255, "NOOPT": 0, "theNULL": 0}


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(COMMANDS, id="commands of RFC 854"),
        pytest.param(OPTIONS, id="options in a row"),
        pytest.param(OTHERS, id="options further on"),
    ],
)
def test_a_name_is_one_byte(numbers: dict[str, int]) -> None:
    assert {name: getattr(telnetlib, name) for name in numbers} == {
        name: bytes([number]) for name, number in numbers.items()
    }


def test_the_module_offers_one_name_and_two_defaults() -> None:
    assert (telnetlib.__all__, telnetlib.TELNET_PORT, telnetlib.DEBUGLEVEL) == (["Telnet"], 23, 0)


def test_a_new_client_has_the_modules_debug_level(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Telnet().debuglevel == 0
    monkeypatch.setattr(telnetlib, "DEBUGLEVEL", 3)
    assert Telnet().debuglevel == 3


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the module left the standard library with Python 3.13")
def test_the_module_says_that_it_will_go() -> None:
    spec = importlib.util.spec_from_file_location("telnetlib", telnetlib.__file__)
    assert spec is not None
    assert spec.loader is not None
    with pytest.warns(
        DeprecationWarning, match=r"^'telnetlib' is deprecated and slated for removal in Python 3\.13$"
    ):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
