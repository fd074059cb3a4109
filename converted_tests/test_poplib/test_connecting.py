"""poplib promises that an object is connected and greeted when it is made, and can go over to TLS.

The ports are RFC 1939 section 3 and RFC 8314 section 7.3, STLS is RFC 2595 section 4.
"""

from __future__ import annotations

import contextlib
import poplib
import socket
import ssl
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest

from converted_tests.peers import (
    SHORT_S,
    TIMEOUT_S,
    Dialled,
    InMemory,
    Peer,
    Silence,
    StartTLS,
    connected,
    dialled,
    listening,
    transcript,
)
from netsupport import HOSTv4, bind_port

from .support import GREETING, HOST_NAME, UPGRADE, offline, served, served_after_STLS, served_by_SSL

needs_key_files = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python 3.12 took keyfile and certfile away from poplib"
)
EITHER_FILE = pytest.mark.parametrize("argument", ["keyfile", "certfile"])


def test_the_module_exports_its_two_classes_and_its_error() -> None:
    assert sorted(poplib.__all__) == ["POP3", "POP3_SSL", "error_proto"]


def test_the_ports_are_those_that_IANA_assigned() -> None:
    assert (poplib.POP3_PORT, poplib.POP3_SSL_PORT) == (110, 995)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        pytest.param({"host": "mail.test"}, ("mail.test", 110), id="default port"),
        pytest.param({"host": "mail.test", "port": 1110}, ("mail.test", 1110), id="a port of its own"),
    ],
)
def test_what_is_dialled(arguments: dict[str, Any], address: tuple[str, int]) -> None:
    with dialled(cast(socket.socket, InMemory(GREETING))) as calls:
        client = poplib.POP3(**arguments, timeout=7)
    assert calls == [Dialled(address, 7)]
    assert (client.host, client.port) == address


def test_a_refused_connection_is_the_sockets_own_error() -> None:
    with socket.socket() as bound_but_not_listening:
        port = bind_port(bound_but_not_listening)
        with pytest.raises(ConnectionRefusedError):
            poplib.POP3(HOSTv4, port, timeout=TIMEOUT_S)


def test_connecting_and_sending_are_audited() -> None:
    with mock.patch("sys.audit") as audit:
        client, _ = offline(b"+OK\r\n")
        client.noop()
    assert audit.call_args_list == [
        mock.call("poplib.connect", client, "mail.test", 110),
        mock.call("poplib.putline", client, b"NOOP"),
    ]


# --- timeouts -----------------------------------------------------------------------------------------


def test_without_a_timeout_the_process_wide_default_applies(process_timeout_s: float) -> None:
    with listening(transcript("S: +OK")) as server, contextlib.closing(poplib.POP3(*server.address)) as client:
        assert client.sock.gettimeout() == process_timeout_s


@pytest.mark.usefixtures("process_timeout_s")
def test_a_timeout_of_None_overrides_the_default_and_blocks() -> None:
    with listening(transcript("S: +OK")) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=None)) as client:  # type: ignore[arg-type]
            assert client.sock.gettimeout() is None


def test_a_positive_timeout_ends_up_on_the_socket() -> None:
    with listening(transcript("S: +OK")) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=2 * TIMEOUT_S)) as client:
            assert client.sock.gettimeout() == 2 * TIMEOUT_S


@pytest.mark.parametrize("kind", [poplib.POP3, poplib.POP3_SSL])
def test_a_timeout_of_0_is_refused_before_dialling(kind: type[poplib.POP3]) -> None:
    with dialled(cast(socket.socket, InMemory(GREETING))) as calls:
        with pytest.raises(ValueError, match=r"^Non-blocking socket \(timeout=0\) is not supported$"):
            kind("mail.test", timeout=0)
    assert calls == []


def test_a_server_that_falls_silent_is_given_up_after_the_timeout() -> None:
    def silent() -> Peer:
        yield b"+OK ready\r\n"
        yield Silence()

    with listening(silent()) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=TIMEOUT_S)) as client:
            client.sock.settimeout(SHORT_S)
            with pytest.raises(TimeoutError):
                client.noop()


# --- STLS ---------------------------------------------------------------------------------------------


def test_stls_wraps_the_socket_and_the_session_goes_on(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with listening(transcript(UPGRADE + "C: STAT\nS: +OK 2 320", server_context)) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=TIMEOUT_S)) as client:
            assert client.stls(client_context) == b"+OK go ahead"
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.context is client_context
            assert client.stat() == (2, 320)


def test_a_plain_server_says_that_it_can_start_TLS() -> None:
    with served("C: CAPA\nS: +OK\nS: STLS\nS: TOP\nS: .") as client:
        assert client.capa() == {"STLS": [], "TOP": []}


def test_stls_asks_for_the_host_that_was_dialled(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with connected(transcript(UPGRADE + "C: NOOP\nS: +OK", server_context)) as sock, dialled(sock):
        with contextlib.closing(poplib.POP3(HOST_NAME)) as client:
            client.stls(client_context)
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.server_hostname == HOST_NAME
            assert client.noop() == b"+OK"


def test_stls_breaks_off_when_the_certificate_is_for_another_host(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def another() -> Peer:
        assert (yield b"+OK ready\r\n") == b"CAPA"
        assert (yield b"+OK\r\nSTLS\r\n.\r\n") == b"STLS"
        with contextlib.suppress(ssl.SSLError):
            yield StartTLS(b"+OK go\r\n", server_context)

    with connected(another()) as sock, dialled(sock):
        client = poplib.POP3("mail.test")
        with pytest.raises(ssl.CertificateError):
            client.stls(client_context)
        client.file.close()


def test_stls_without_a_context_verifies_nothing(server_context: ssl.SSLContext) -> None:
    with listening(transcript(UPGRADE + "C: NOOP\nS: +OK", server_context)) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=TIMEOUT_S)) as client:
            client.stls()
            assert isinstance(client.sock, ssl.SSLSocket)
            assert client.sock.context.verify_mode == ssl.CERT_NONE
            client.noop()


def test_stls_that_is_not_offered_is_not_asked_for() -> None:
    client, wire = offline(b"+OK\r\nTOP\r\n.\r\n")
    with pytest.raises(poplib.error_proto) as unsupported:
        client.stls()
    assert unsupported.value.args == ("-ERR STLS not supported by server",)
    assert wire.sent == b"CAPA\r\n"


def test_stls_that_is_refused_leaves_the_session_in_the_clear() -> None:
    client, wire = offline(b"+OK\r\nSTLS\r\n.\r\n-ERR not now\r\n+OK\r\nSTLS\r\n.\r\n-ERR nor now\r\n")
    for said in (b"-ERR not now", b"-ERR nor now"):
        with pytest.raises(poplib.error_proto) as refused:
            client.stls()
        assert refused.value.args == (said,)
    assert wire.sent == b"CAPA\r\nSTLS\r\n" * 2


def test_stls_on_a_Python_without_ssl_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    client, wire = offline()
    monkeypatch.setattr("poplib.HAVE_SSL", False)
    with pytest.raises(poplib.error_proto) as missing:
        client.stls()
    assert (missing.value.args, wire.sent) == (("-ERR TLS support missing",), b"")


@pytest.mark.parametrize("secured", [served_by_SSL, served_after_STLS])
def test_inside_TLS_stls_is_neither_offered_nor_possible(
    secured: Any, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with secured("C: CAPA\nS: +OK\nS: TOP\nS: .", server_context, client_context) as client:
        assert "STLS" not in client.capa()
        with pytest.raises(poplib.error_proto) as established:
            client.stls()
    assert established.value.args == ("-ERR TLS session already established",)


# --- POP3_SSL -----------------------------------------------------------------------------------------


def test_POP3_SSL_dials_port_995_and_verifies_the_name(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with connected(transcript("S: +OK\nC: QUIT\nS: +OK bye"), server_context) as sock, dialled(sock) as calls:
        client = poplib.POP3_SSL(HOST_NAME, timeout=7, context=client_context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.server_hostname == HOST_NAME
        assert vars(client)["context"] is client.sock.context is client_context
        assert client.quit() == b"+OK bye"
    assert calls == [Dialled((HOST_NAME, 995), 7)]


def test_POP3_SSL_breaks_off_when_the_certificate_is_for_another_host(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def another() -> Peer:
        with contextlib.suppress(ssl.SSLError):
            yield StartTLS(b"", server_context)

    with connected(another()) as sock, dialled(sock):
        with pytest.raises(ssl.CertificateError):
            poplib.POP3_SSL("mail.test", context=client_context)


def test_POP3_SSL_without_a_context_verifies_nothing(server_context: ssl.SSLContext) -> None:
    with listening(transcript("S: +OK\nC: QUIT\nS: +OK bye"), context=server_context) as server:
        client = poplib.POP3_SSL(server.host, server.port, timeout=TIMEOUT_S)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.context.verify_mode == ssl.CERT_NONE
        client.quit()


@needs_key_files
@EITHER_FILE
def test_POP3_SSL_refuses_a_context_together_with_a_file(argument: str, client_context: ssl.SSLContext) -> None:
    arguments: dict[str, Any] = {"context": client_context, argument: "file"}
    with pytest.raises(ValueError, match=rf"^context and {argument} arguments are mutually exclusive$"):
        poplib.POP3_SSL("mail.test", **arguments)


@contextlib.contextmanager
def greeted_inside_TLS(context: ssl.SSLContext) -> Iterator[None]:
    with connected(transcript("S: +OK"), context) as sock, dialled(sock):
        yield


@needs_key_files
def test_POP3_SSL_with_files_warns_and_keeps_them(
    server_context: ssl.SSLContext, certificate_files: tuple[Path, Path, Path]
) -> None:
    files: dict[str, Any] = {"certfile": str(certificate_files[1]), "keyfile": str(certificate_files[2])}
    with greeted_inside_TLS(server_context), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with contextlib.closing(poplib.POP3_SSL("mail.test", **files)) as client:
            assert {name: vars(client)[name] for name in files} == files
    here = [str(one.message) for one in warned if (one.filename, one.category) == (__file__, DeprecationWarning)]
    assert here == ["keyfile and certfile are deprecated, use a custom context instead"]


@needs_key_files
@pytest.mark.parametrize(
    ("argument", "error"),
    [
        pytest.param({"keyfile": "/no/such/file"}, ValueError, id="a key needs a certificate"),
        pytest.param({"certfile": "/no/such/file"}, FileNotFoundError, id="a certificate that is not there"),
    ],
)
def test_POP3_SSL_warns_of_either_file_and_loads_it(argument: dict[str, Any], error: type[Exception]) -> None:
    with pytest.warns(DeprecationWarning, match="keyfile and certfile are deprecated"), pytest.raises(error):
        poplib.POP3_SSL("mail.test", **argument)
