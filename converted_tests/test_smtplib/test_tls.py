"""smtplib promises TLS from the first byte (SMTP_SSL) or from STARTTLS on, and forgets what it received before.

STARTTLS is RFC 3207, implicit TLS RFC 8314 section 3.3.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from converted_tests.peers import TIMEOUT_S, Dialled, Peer, StartTLS, connected, dialled, listening, transcript
from netsupport import HOSTv4

from .support import ME, dialogue, hello, offline, served

GOODBYE = "C: quit\nS: 221 bye"
UPGRADE = hello("STARTTLS", "SIZE 1") + "C: STARTTLS\nS: 220 go ahead\nTLS\n"

needs_key_files = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python 3.12 took keyfile and certfile away from smtplib"
)

EITHER_FILE = pytest.mark.parametrize(
    ("argument", "error"),
    [
        pytest.param({"keyfile": "/no/such/file"}, ValueError, id="a key needs a certificate"),
        pytest.param({"certfile": "/no/such/file"}, FileNotFoundError, id="a certificate that is not there"),
    ],
)


def refused_handshake(context: ssl.SSLContext, *before: bytes) -> Peer:
    """A server that sends *before*, one by one, and then starts a handshake that its client breaks off."""
    for reply in before:
        _ = yield reply
    with contextlib.suppress(ssl.SSLError):
        yield StartTLS(b"220 go ahead\r\n", context)


# --- STARTTLS -----------------------------------------------------------------------------------------


def test_after_STARTTLS_the_session_goes_on_inside_TLS(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with served(UPGRADE + f"C: ehlo {ME}\nS: 250 secret\n" + GOODBYE, context=server_context) as client:
        assert client.starttls(context=client_context) == (220, b"go ahead")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.context is client_context
        assert client.ehlo() == (250, b"secret")
        assert client.quit() == (221, b"bye")


def test_STARTTLS_forgets_what_was_received_in_the_clear(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    script = UPGRADE.replace("C: STARTTLS", f"C: helo {ME}\nS: 250 hi\nC: STARTTLS") + GOODBYE
    with served(script, context=server_context) as client:
        client.ehlo()
        client.helo()
        client.starttls(context=client_context)
        known = (client.ehlo_resp, client.helo_resp, client.esmtp_features, client.does_esmtp, client.file)
        assert known == (None, None, {}, False, None)
        client.quit()


def test_STARTTLS_asks_for_the_host_that_was_dialled(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with connected(dialogue(UPGRADE + GOODBYE, server_context)) as sock, dialled(sock):
        client = smtplib.SMTP("localhost", 25, ME)
        client.starttls(context=client_context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.server_hostname == "localhost"
        client.quit()


def test_STARTTLS_breaks_off_when_the_certificate_is_for_another_host(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    peer = refused_handshake(server_context, b"220 ready\r\n", b"250-hi\r\n250 STARTTLS\r\n")
    with connected(peer) as sock, dialled(sock):
        with contextlib.closing(smtplib.SMTP("mail.test", 25, ME)) as client:
            with pytest.raises(ssl.SSLCertVerificationError):
                client.starttls(context=client_context)


def test_STARTTLS_without_a_context_verifies_nothing(server_context: ssl.SSLContext) -> None:
    with served(UPGRADE + GOODBYE, context=server_context) as client:
        client.starttls()
        assert isinstance(client.sock, ssl.SSLSocket)
        assert (client.sock.context.verify_mode, client.sock.context.check_hostname) == (ssl.CERT_NONE, False)
        client.quit()


def test_STARTTLS_that_is_not_offered_is_not_asked_for() -> None:
    with served(hello("SIZE 1") + GOODBYE) as client:
        with pytest.raises(smtplib.SMTPNotSupportedError, match=r"^STARTTLS extension not supported by server\.$"):
            client.starttls()
        client.quit()


@pytest.mark.parametrize("code", [219, 221, 454, 501])
def test_STARTTLS_that_is_refused_leaves_the_session_as_it_was(code: int) -> None:
    client, wire = offline(b"%d not now\r\n" % code, {"starttls": ""})
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        client.starttls()
    assert (type(refused.value), refused.value.args) == (smtplib.SMTPResponseException, (code, b"not now"))
    assert (wire.sent, client.esmtp_features, client.does_esmtp) == (b"STARTTLS\r\n", {"starttls": ""}, True)


def test_STARTTLS_on_a_Python_without_ssl_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = offline(b"220 go\r\n", {"starttls": ""})
    monkeypatch.setattr("smtplib._have_ssl", False)
    with pytest.raises(RuntimeError, match=r"^No SSL support included in this Python$"):
        client.starttls()


@needs_key_files
@pytest.mark.parametrize("argument", ["keyfile", "certfile"])
def test_STARTTLS_refuses_a_context_together_with_a_file(argument: str, client_context: ssl.SSLContext) -> None:
    client, _ = offline(b"220 go\r\n", {"starttls": ""})
    arguments: dict[str, Any] = {"context": client_context, argument: "file"}
    with pytest.raises(ValueError, match=rf"^context and {argument} arguments are mutually exclusive$"):
        client.starttls(**arguments)


@needs_key_files
def test_STARTTLS_with_files_warns_and_presents_the_certificate(
    server_context: ssl.SSLContext, certificate_files: tuple[Path, Path, Path]
) -> None:
    _, chain, key = certificate_files
    with served(UPGRADE + GOODBYE, context=server_context) as client:
        with warnings.catch_warnings(record=True) as warned, loaded_chains() as loaded:
            warnings.simplefilter("always")
            client.starttls(keyfile=str(key), certfile=str(chain))  # type: ignore[call-arg, unused-ignore]
        client.quit()
    assert deprecations_here(warned) == ["keyfile and certfile are deprecated, use a custom context instead"]
    assert loaded == [(str(chain), str(key))]


@needs_key_files
@EITHER_FILE
def test_STARTTLS_warns_of_either_file(argument: dict[str, Any], error: type[Exception]) -> None:
    client, _ = offline(b"220 go\r\n", {"starttls": ""})
    with pytest.warns(DeprecationWarning, match="keyfile and certfile are deprecated"), pytest.raises(error):
        client.starttls(**argument)


@contextlib.contextmanager
def loaded_chains() -> Iterator[list[tuple[object, object]]]:
    """Within the body, notes what certificates and keys are loaded, as (certfile, keyfile)."""
    loaded: list[tuple[object, object]] = []
    load = ssl.SSLContext.load_cert_chain

    def note(self: ssl.SSLContext, certfile: str, keyfile: str | None = None) -> None:
        loaded.append((certfile, keyfile))
        load(self, certfile, keyfile)

    with mock.patch("ssl.SSLContext.load_cert_chain", note):
        yield loaded


def deprecations_here(warned: list[warnings.WarningMessage]) -> list[str]:
    """The deprecations that were blamed on this file."""
    return [str(one.message) for one in warned if (one.filename, one.category) == (__file__, DeprecationWarning)]


# --- SMTP_SSL -----------------------------------------------------------------------------------------


def test_SMTP_SSL_speaks_TLS_from_the_first_byte(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, ip_family: int
) -> None:
    with listening(transcript("S: 220 ready\n" + GOODBYE), family=ip_family, context=server_context) as server:
        client = smtplib.SMTP_SSL(server.host, server.port, ME, timeout=TIMEOUT_S, context=client_context)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.context is client.sock.context is client_context
        assert client.quit() == (221, b"bye")


def test_SMTP_SSL_dials_port_465_and_verifies_the_name(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with connected(transcript("S: 220 ready\n" + GOODBYE), server_context) as sock, dialled(sock) as calls:
        client = smtplib.SMTP_SSL("localhost", 0, ME, timeout=7, context=client_context, source_address=("", 0))
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.server_hostname == "localhost"
        client.quit()
    assert calls == [Dialled(("localhost", 465), 7, ("", 0))]


def test_SMTP_SSL_breaks_off_when_the_certificate_is_for_another_host(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    def silent() -> Peer:
        with contextlib.suppress(ssl.SSLError):
            yield StartTLS(b"", server_context)

    with connected(silent()) as sock, dialled(sock):
        with pytest.raises(ssl.SSLCertVerificationError):
            smtplib.SMTP_SSL("mail.test", 465, ME, context=client_context)


def test_SMTP_SSL_without_a_context_verifies_nothing(server_context: ssl.SSLContext) -> None:
    with listening(transcript("S: 220 ready\n" + GOODBYE), context=server_context) as server:
        client = smtplib.SMTP_SSL(server.host, server.port, ME, timeout=TIMEOUT_S)
        assert client.context.verify_mode == ssl.CERT_NONE
        client.quit()


def test_SMTP_SSL_refuses_a_timeout_of_0(client_context: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match=r"^Non-blocking socket \(timeout=0\) is not supported$"):
        smtplib.SMTP_SSL(HOSTv4, 465, ME, timeout=0, context=client_context)


def test_SMTP_SSL_prints_where_it_connects_at_debug_level_1(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    client = smtplib.SMTP_SSL(local_hostname=ME, context=client_context, timeout=TIMEOUT_S)
    vars(client)["_host"] = "localhost"
    for level in (0, 1):
        client.set_debuglevel(level)
        with connected(transcript("S: 220 ready"), server_context) as sock, dialled(sock):
            client.connect("localhost")
            client.close()
    assert capsys.readouterr().err.splitlines() == [
        "connect: ('localhost', 465)",
        "connect: to ('localhost', 465) None",
        r"reply: b'220 ready\r\n'",
        "reply: retcode (220); Msg: b'ready'",
        "connect: b'ready'",
    ]


@needs_key_files
@pytest.mark.parametrize("argument", ["keyfile", "certfile"])
def test_SMTP_SSL_refuses_a_context_together_with_a_file(argument: str, client_context: ssl.SSLContext) -> None:
    arguments: dict[str, Any] = {"context": client_context, argument: "file"}
    with pytest.raises(ValueError, match=rf"^context and {argument} arguments are mutually exclusive$"):
        smtplib.SMTP_SSL(local_hostname=ME, **arguments)


@needs_key_files
def test_SMTP_SSL_with_files_warns_and_presents_the_certificate(certificate_files: tuple[Path, Path, Path]) -> None:
    _, chain, key = certificate_files
    with warnings.catch_warnings(record=True) as warned, loaded_chains() as loaded:
        warnings.simplefilter("always")
        files: dict[str, Any] = {"keyfile": str(key), "certfile": str(chain)}
        client = smtplib.SMTP_SSL(local_hostname=ME, **files)
    assert deprecations_here(warned) == ["keyfile and certfile are deprecated, use a custom context instead"]
    assert loaded == [(str(chain), str(key))]
    assert (client.keyfile, client.certfile) == (str(key), str(chain))  # type: ignore[attr-defined, unused-ignore]


@needs_key_files
@EITHER_FILE
def test_SMTP_SSL_warns_of_either_file(argument: dict[str, Any], error: type[Exception]) -> None:
    with pytest.warns(DeprecationWarning, match="keyfile and certfile are deprecated"), pytest.raises(error):
        smtplib.SMTP_SSL(local_hostname=ME, **argument)
