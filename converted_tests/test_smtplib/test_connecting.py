"""smtplib promises that an object given a host is connected and greeted, and LMTP's object just the same.

The greeting is RFC 5321 section 3.1, the arguments are those of the library reference, "SMTP Objects".
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import struct
import sys
from unittest import mock

import pytest

from converted_tests.peers import (
    SHORT_CONNECT_S,
    TIMEOUT_S,
    Dialled,
    Peer,
    Silence,
    listening,
    open_listener,
    transcript,
)
from netsupport import HOSTv4, bind_port

from .support import ME, answered, served

BOTH = pytest.mark.parametrize("kind", [smtplib.SMTP, smtplib.LMTP])


def silent(greeting: bytes = b"") -> Peer:
    """A server that says nothing but *greeting*."""
    yield Silence(greeting)


@BOTH
def test_an_object_given_host_and_port_is_connected_and_greeted(kind: type[smtplib.SMTP], ip_family: int) -> None:
    with served("S: 220 ready\nC: noop\nS: 250 fine", kind, family=ip_family) as client:
        assert client.sock is not None
        assert client.sock.getpeername()[1] > 0
        assert client.noop() == (250, b"fine")


@BOTH
def test_a_port_behind_the_host_is_used(kind: type[smtplib.SMTP]) -> None:
    with listening(transcript("S: 220 ready\nC: quit\nS: 221 bye")) as (host, port):
        client = kind(f"{host}:{port}", 0, local_hostname=ME, timeout=TIMEOUT_S)
        assert client.quit() == (221, b"bye")


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        pytest.param(("mail.test",), ("mail.test", 25), id="default port"),
        pytest.param(("mail.test", 587), ("mail.test", 587), id="a port of its own"),
        pytest.param(("mail.test:587",), ("mail.test", 587), id="a port in the host"),
        pytest.param((":587",), ("", 587), id="nothing but a port in the host"),
        pytest.param(("mail.test:0",), ("mail.test", 25), id="port 0 in the host"),
        pytest.param(("mail.test:587", 26), ("mail.test:587", 26), id="a port of its own leaves the host alone"),
        pytest.param(("fe80::1",), ("fe80::1", 25), id="two colons are no port"),
    ],
)
def test_what_is_dialled(arguments: tuple[str, int], address: tuple[str, int]) -> None:
    with answered() as (_, calls):
        smtplib.SMTP(*arguments, local_hostname=ME, timeout=7)
    assert calls == [Dialled(address, 7, None)]


def test_LMTP_dials_its_own_port_and_passes_the_source_address_on() -> None:
    with answered() as (_, first):
        client = smtplib.LMTP("mail.test", local_hostname=ME, source_address=("", 0), timeout=7)
    with answered() as (_, second):
        client.connect("other.test", 26, ("", 1))
    assert first + second == [Dialled(("mail.test", 2003), 7, ("", 0)), Dialled(("other.test", 26), 7, ("", 1))]


@BOTH
def test_connect_without_a_host_dials_this_one(kind: type[smtplib.SMTP]) -> None:
    client = kind(local_hostname=ME, timeout=7)
    with answered() as (_, calls):
        assert client.connect() == (220, b"mail.test ready")
    assert calls == [Dialled(("localhost", 25), 7, None)]


def test_an_object_without_a_host_does_not_connect() -> None:
    with answered() as (_, calls):
        client = smtplib.SMTP(local_hostname=ME)
    assert (calls, client.sock, client.file, client.esmtp_features) == ([], None, None, {})


@pytest.mark.parametrize("host", ["mail.test:smtp", "mail.test:"])
def test_a_port_that_is_not_a_number_is_an_OSError(host: str) -> None:
    with pytest.raises(OSError, match=r"^nonnumeric port$"):
        smtplib.SMTP(host, local_hostname=ME)


def test_a_port_argument_that_is_not_a_number_is_an_OSError() -> None:
    with pytest.raises(OSError):
        smtplib.SMTP(HOSTv4, "bogus", ME)  # type: ignore[arg-type]


def test_the_source_address_is_kept_and_passed_down() -> None:
    with answered() as (_, calls):
        client = smtplib.SMTP("mail.test", local_hostname=ME, timeout=7, source_address=("127.0.0.9", 8))
    assert client.source_address == ("127.0.0.9", 8)
    assert calls == [Dialled(("mail.test", 25), 7, ("127.0.0.9", 8))]


def test_connect_keeps_the_source_address_unless_it_is_given_another() -> None:
    client = smtplib.SMTP(local_hostname=ME, timeout=7, source_address=("127.0.0.9", 8))
    with answered() as (_, first):
        client.connect("mail.test")
    with answered() as (_, second):
        client.connect("mail.test", source_address=("127.0.0.10", 9))
    assert [call.source_address for call in first + second] == [("127.0.0.9", 8), ("127.0.0.10", 9)]
    assert client.source_address == ("127.0.0.10", 9)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux owns all of 127.0.0.0/8 without being asked")
def test_a_chosen_source_port_is_the_clients_end_of_the_connection() -> None:
    with socket.socket() as keeper, listening(silent(b"220 ready\r\n")) as server:
        # While this port is held on one loopback address, no other process is assigned it on another.
        chosen = ("127.0.0.2", bind_port(keeper))
        client = smtplib.SMTP(server.host, server.port, ME, timeout=TIMEOUT_S, source_address=chosen)
        assert client.sock is not None
        assert client.sock.getsockname() == chosen
        assert client.source_address == chosen
        # A reset leaves no TIME-WAIT, which would block the port for a later run for a minute.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


@BOTH
def test_the_callers_local_hostname_is_kept_as_it_is(kind: type[smtplib.SMTP]) -> None:
    with mock.patch("socket.getfqdn", side_effect=AssertionError("looked up")):
        assert kind(local_hostname="Any thing").local_hostname == "Any thing"


@pytest.mark.parametrize(
    ("fqdn", "address", "name"),
    [
        pytest.param("host.example", "10.1.2.3", "host.example", id="a full name"),
        pytest.param("host", "10.1.2.3", "[10.1.2.3]", id="no dot: the address as a literal"),
        pytest.param("host", None, "[127.0.0.1]", id="no address either: loopback"),
    ],
)
def test_without_a_local_hostname_the_best_known_name_is_used(fqdn: str, address: str | None, name: str) -> None:
    def resolve(host: str) -> str:
        assert host == "this-machine"
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return address

    with (
        mock.patch("socket.getfqdn", return_value=fqdn),
        mock.patch("socket.gethostname", return_value="this-machine"),
        mock.patch("socket.gethostbyname", resolve),
    ):
        assert smtplib.SMTP().local_hostname == name


# --- timeouts -----------------------------------------------------------------------------------------


@BOTH
def test_without_a_timeout_the_process_wide_default_applies(
    kind: type[smtplib.SMTP], process_timeout_s: float
) -> None:
    with listening(transcript("S: 220 ready")) as server:
        with contextlib.closing(kind(server.host, server.port, ME)) as client:
            assert client.sock is not None
            assert client.sock.gettimeout() == process_timeout_s


@BOTH
@pytest.mark.usefixtures("process_timeout_s")
def test_a_timeout_of_None_overrides_the_default_and_blocks(kind: type[smtplib.SMTP]) -> None:
    with listening(transcript("S: 220 ready")) as server:
        with contextlib.closing(kind(server.host, server.port, ME, timeout=None)) as client:  # type: ignore[arg-type]
            assert client.sock is not None
            assert client.sock.gettimeout() is None


@BOTH
def test_a_positive_timeout_ends_up_on_the_socket(kind: type[smtplib.SMTP]) -> None:
    with listening(transcript("S: 220 ready")) as server:
        with contextlib.closing(kind(server.host, server.port, ME, timeout=2 * TIMEOUT_S)) as client:
            assert client.sock is not None
            assert client.sock.gettimeout() == 2 * TIMEOUT_S


@BOTH
def test_a_timeout_of_0_is_refused_before_dialling(kind: type[smtplib.SMTP]) -> None:
    with answered() as (_, calls):
        with pytest.raises(ValueError, match=r"^Non-blocking socket \(timeout=0\) is not supported$"):
            kind("mail.test", local_hostname=ME, timeout=0)
    assert calls == []


def test_a_server_that_never_greets_is_given_up_after_the_timeout() -> None:
    with listening(silent()) as server:
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Connection unexpectedly closed: timed out$"):
            smtplib.SMTP(server.host, server.port, ME, timeout=SHORT_CONNECT_S)


# --- greetings ----------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("code", [221, 219, 421, 554])
def test_a_greeting_other_than_220_is_a_connect_error_and_closes(kind: type[smtplib.SMTP], code: int) -> None:
    with answered(b"%d go away\r\n" % code) as (wire, _):
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            kind("mail.test", local_hostname=ME)
    assert refused.value.args == (code, b"go away")
    assert wire.closed


def test_connect_itself_returns_any_greeting_and_stays_connected() -> None:
    client = smtplib.SMTP(local_hostname=ME)
    with answered(b"554 go away\r\n") as (wire, _):
        assert client.connect("mail.test") == (554, b"go away")
    assert not wire.closed


def test_a_server_that_hangs_up_in_place_of_a_greeting_is_disconnected() -> None:
    with listening(transcript("")) as server:
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^Connection unexpectedly closed$"):
            smtplib.SMTP(server.host, server.port, ME, timeout=TIMEOUT_S)


def test_a_refused_connection_is_the_sockets_own_error() -> None:
    with socket.socket() as bound_but_not_listening:
        port = bind_port(bound_but_not_listening)
        with pytest.raises(ConnectionRefusedError):
            smtplib.SMTP(HOSTv4, port, ME, timeout=TIMEOUT_S)


def test_a_second_connection_is_read_afresh() -> None:
    with listening(transcript("S: 220 one\nS: left over"), transcript("S: 220 two\nC: quit\nS: 221 bye")) as server:
        client = smtplib.SMTP(local_hostname=ME, timeout=TIMEOUT_S)
        assert client.connect(server.host, server.port) == (220, b"one")
        first = client.sock
        assert first is not None
        assert client.connect(server.host, server.port) == (220, b"two")
        first.close()
        assert client.quit() == (221, b"bye")


def test_two_clients_at_two_ports_do_not_meet() -> None:
    with served("S: 220 one\nC: noop\nS: 250 one") as one, served("S: 220 two\nC: noop\nS: 250 two") as two:
        assert (two.noop(), one.noop()) == ((250, b"two"), (250, b"one"))


def test_the_backlog_takes_a_client_whose_server_has_not_accepted_yet() -> None:
    with open_listener() as listener:
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            smtplib.SMTP(HOSTv4, listener.getsockname()[1], ME, timeout=SHORT_CONNECT_S)


# --- not connected, with an error ---------------------------------------------------------------------


def test_commands_before_connecting_say_what_to_do() -> None:
    client = smtplib.SMTP(local_hostname=ME)
    for command in (client.ehlo, client.noop, lambda: client.send("anything"), lambda: client.send(b"anything")):
        with pytest.raises(smtplib.SMTPServerDisconnected, match=r"^please run connect\(\) first$"):
            command()


@BOTH
def test_the_socket_exists_and_is_None_before_connecting(kind: type[smtplib.SMTP]) -> None:
    assert (kind.sock, kind(local_hostname=ME).sock) == (None, None)


def test_connecting_and_sending_are_audited() -> None:
    with mock.patch("sys.audit") as audit, answered():
        client = smtplib.SMTP("mail.test", 26, ME)
        client.send("noop\r\n")
    assert audit.call_args_list == [
        mock.call("smtplib.connect", client, "mail.test", 26),
        mock.call("smtplib.send", client, b"noop\r\n"),
    ]
