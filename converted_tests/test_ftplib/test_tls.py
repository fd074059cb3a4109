"""FTP_TLS: AUTH protects the control connection, PROT the data connections, until another command ends it.

RFC 4217 gives the commands and their order; the library reference of ftplib gives the defaults of the context.
"""

from __future__ import annotations

import contextlib
import ftplib
import ssl
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import Dialled, InMemory, dialled, listening
from converted_tests.test_ftplib.support import WELCOME, FileServer, dialogue, visit
from netsupport import HOSTv4

KEYFILE_IS_GONE = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="keyfile, certfile and ssl_version went with Python 3.12"
)


@pytest.fixture
def server(server_context: ssl.SSLContext) -> FileServer:
    return FileServer({b"RETR notes": b"secret"}, context=server_context)


@contextlib.contextmanager
def meeting(server: FileServer, context: ssl.SSLContext) -> Iterator[ftplib.FTP_TLS]:
    """A client with *context*, connected to *server* in the clear."""
    client = ftplib.FTP_TLS(context=context)
    with visit(server, client):
        yield client


def retrieved(ftp: ftplib.FTP) -> bytes:
    blocks: list[bytes] = []
    ftp.retrbinary("RETR notes", blocks.append)
    return b"".join(blocks)


def is_secured(ftp: ftplib.FTP) -> bool:
    return isinstance(ftp.sock, ssl.SSLSocket) and ftp.sock.version() is not None


# --- the control connection ----------------------------------------------------------------------------


def test_a_session_begins_in_the_clear(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        assert ftp.sock is not None
        assert not isinstance(ftp.sock, ssl.SSLSocket)
        assert ftp.voidcmd("NOOP") == "200 done"


def test_auth_secures_the_control_connection(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        assert ftp.auth() == "234 go ahead"
        assert is_secured(ftp)
        assert isinstance(ftp.sock, ssl.SSLSocket)
        assert (ftp.sock.context, ftp.sock.server_hostname) == (client_context, HOSTv4)
        assert ftp.voidcmd("NOOP") == "200 done"
    assert server.heard == [b"AUTH TLS", b"NOOP", b"QUIT"]
    assert server.tls_errors == []


def test_auth_keeps_the_encoding(server: FileServer, client_context: ssl.SSLContext) -> None:
    server.replies = {b"NOOP": "200 Grüße\r\n".encode("latin-1")}
    client = ftplib.FTP_TLS(context=client_context, encoding="latin-1")
    with visit(server, client):
        client.auth()
        assert client.sendcmd("NOOP") == "200 Grüße"


def test_auth_a_second_time_is_ValueError(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        with pytest.raises(ValueError, match=r"^Already using TLS$"):
            ftp.auth()
    assert server.heard == [b"AUTH TLS", b"QUIT"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"502 no TLS here\r\n", ftplib.error_perm), (b"334 hm\r\n", ftplib.error_reply)],
    ids=["refused", "not 2xx"],
)
def test_auth_that_is_refused_leaves_the_connection_in_the_clear(
    reply: bytes, expected: type[Exception], client_context: ssl.SSLContext
) -> None:
    server = FileServer(replies={b"AUTH": reply})
    with meeting(server, client_context) as ftp:
        with pytest.raises(expected):
            ftp.auth()
        assert not is_secured(ftp)
    assert server.heard == [b"AUTH TLS", b"QUIT"]


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        pytest.param(1, b"AUTH SSL\r\n", id="older than TLS"),
        pytest.param(2, b"AUTH TLS\r\n", id="whatever both know"),
        pytest.param(16, b"AUTH TLS\r\n", id="client"),
    ],
)
def test_auth_asks_for_what_the_protocol_is_called(protocol: int, said: bytes) -> None:
    client: Any = ftplib.FTP_TLS()
    client.ssl_version, client.context = protocol, types.SimpleNamespace(protocol=protocol)
    with dialogue(b"504 no\r\n", client) as talk:
        with pytest.raises(ftplib.error_perm):
            client.auth()
        assert talk.said() == said


def test_login_secures_first(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        assert ftp.login("bob", "secret") == "230 logged in"
        assert is_secured(ftp)
    assert server.heard == [b"AUTH TLS", b"USER bob", b"PASS secret", b"QUIT"]


def test_login_secures_no_second_time(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        ftp.login()
        ftp.login("bob")
    assert [line for line in server.heard if line.startswith(b"AUTH")] == [b"AUTH TLS"]
    assert server.heard[1:] == [b"USER anonymous", b"PASS anonymous@", b"USER bob", b"PASS ", b"QUIT"]


def test_login_may_be_told_not_to_secure(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        assert ftp.login("bob", "secret", secure=False) == "230 logged in"
        assert not is_secured(ftp)
    assert server.heard == [b"USER bob", b"PASS secret", b"QUIT"]


@pytest.mark.parametrize("credentials", [("bob", "secret", "sales"), ("bob", "secret"), ("bob",)], ids=len)
def test_login_passes_on_what_it_is_given(credentials: tuple[str, ...], client_context: ssl.SSLContext) -> None:
    user, password, account = (*credentials, *[""] * (3 - len(credentials)))
    with dialogue(b"331 p\r\n332 a\r\n230 in\r\n", client := ftplib.FTP_TLS(context=client_context)) as talk:
        login: Callable[..., str] = client.login
        assert login(*credentials, secure=False) == "230 in"
        assert talk.said() == f"USER {user}\r\nPASS {password}\r\nACCT {account}\r\n".encode()


@pytest.mark.parametrize("arguments", [("bob",), ("bob", "secret", "sales")], ids=["a user alone", "all"])
def test_the_constructor_passes_on_what_it_is_given(
    arguments: tuple[str, ...], client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, ...]] = []
    monkeypatch.setattr(ftplib.FTP_TLS, "login", lambda _self, *credentials: given.append(credentials))
    with dialled(InMemory(WELCOME)) as calls:  # type: ignore[arg-type]
        make: Callable[..., ftplib.FTP_TLS] = ftplib.FTP_TLS
        make("ftp.example", *arguments, context=client_context, timeout=7.5, source_address=(HOSTv4, 0))
    assert given == [(*arguments, *[""] * (3 - len(arguments)))]
    assert calls == [Dialled(("ftp.example", 21), 7.5, (HOSTv4, 0))]


def test_the_constructor_logs_in_securely(
    server: FileServer, client_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(server.peer()) as (host, port):
        monkeypatch.setattr(ftplib.FTP, "port", port)
        with ftplib.FTP_TLS(str(host), "bob", "secret", context=client_context, timeout=7.5) as ftp:
            assert is_secured(ftp)
            assert (ftp.timeout, ftp.source_address) == (7.5, None)
    assert server.heard == [b"AUTH TLS", b"USER bob", b"PASS secret", b"QUIT"]


# --- back to clear text ---------------------------------------------------------------------------------


def test_ccc_goes_back_to_clear_text(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        assert ftp.ccc() == "200 in the clear from here"
        assert not is_secured(ftp)
        assert ftp.voidcmd("NOOP") == "200 done"
    assert server.heard == [b"AUTH TLS", b"CCC", b"NOOP", b"QUIT"]


def test_ccc_in_the_clear_is_ValueError(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp, pytest.raises(ValueError, match=r"^not using TLS$"):
        ftp.ccc()
    assert server.heard == [b"QUIT"]


def test_ccc_that_is_refused_stays_secured(server: FileServer, client_context: ssl.SSLContext) -> None:
    server.replies = {b"CCC": b"533 no\r\n"}
    with meeting(server, client_context) as ftp:
        ftp.auth()
        with pytest.raises(ftplib.error_perm, match=r"^533 no$"):
            ftp.ccc()
        assert is_secured(ftp)


# --- the data connections ------------------------------------------------------------------------------


def test_the_data_connection_is_protected_between_prot_p_and_prot_c(
    server: FileServer, client_context: ssl.SSLContext
) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        got = [retrieved(ftp)]
        assert ftp.prot_p() == "200 done"
        got.append(retrieved(ftp))
        assert ftp.prot_c() == "200 done"
        got.append(retrieved(ftp))
    assert got == [b"secret"] * 3
    assert [version is not None for version in server.protected] == [False, True, False]
    assert [line for line in server.heard if line[:4] in (b"PBSZ", b"PROT")] == [b"PBSZ 0", b"PROT P", b"PROT C"]
    assert server.tls_errors == []


def test_a_protected_data_connection_uses_the_clients_context(
    server: FileServer, client_context: ssl.SSLContext
) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        ftp.prot_p()
        connection, size = ftp.ntransfercmd("RETR notes")
        assert isinstance(connection, ssl.SSLSocket)
        with connection:
            assert (connection.context, connection.server_hostname, size) == (client_context, HOSTv4, 6)
            assert connection.recv(100) == b"secret"
            connection.unwrap()
        ftp.voidresp()


def test_a_restart_marker_passes_through(server: FileServer, client_context: ssl.SSLContext) -> None:
    blocks: list[bytes] = []
    with meeting(server, client_context) as ftp:
        ftp.auth()
        ftp.prot_p()
        ftp.retrbinary("RETR notes", blocks.append, rest=2)
    assert b"".join(blocks) == b"cret"


@pytest.mark.parametrize("refused", [b"PBSZ", b"PROT"])
def test_protection_that_is_refused_is_not_used(
    refused: bytes, server: FileServer, client_context: ssl.SSLContext
) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        server.replies = {refused: b"504 no\r\n"}
        with pytest.raises(ftplib.error_perm, match=r"^504 no$"):
            ftp.prot_p()
        assert retrieved(ftp) == b"secret"
    assert server.protected == [None]


def test_protection_that_may_not_be_given_up_stays(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        ftp.prot_p()
        server.replies = {b"PROT": b"534 no\r\n"}
        with pytest.raises(ftplib.error_perm, match=r"^534 no$"):
            ftp.prot_c()
        assert retrieved(ftp) == b"secret"
    assert [version is not None for version in server.protected] == [True]


@pytest.mark.parametrize("reply", ["225 nothing to abort", "226 aborted", "426 cut"], ids=lambda reply: reply[:3])
def test_abort_is_no_urgent_data_over_TLS(reply: str, server: FileServer, client_context: ssl.SSLContext) -> None:
    server.replies = {b"ABOR": reply.encode() + b"\r\n"}
    with meeting(server, client_context) as ftp:
        ftp.auth()
        assert ftp.abort() == reply
    assert server.heard == [b"AUTH TLS", b"ABOR", b"QUIT"]


@pytest.mark.parametrize("reply", ["200 what?", "500 what?"], ids=lambda reply: reply[:3])
def test_abort_answered_by_another_code_is_error_proto(reply: str, client_context: ssl.SSLContext) -> None:
    with dialogue(reply.encode() + b"\r\n", ftplib.FTP_TLS(context=client_context)) as talk:
        with pytest.raises(ftplib.error_proto) as caught:
            talk.ftp.abort()
        assert caught.value.args == (reply,)
        assert talk.said() == b"ABOR\r\n"


# --- whom the client trusts -----------------------------------------------------------------------------


def test_the_control_connection_of_another_host_is_refused(
    server: FileServer, client_context: ssl.SSLContext
) -> None:
    with meeting(server, client_context) as ftp:
        ftp.host = "ftp.example"
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            ftp.auth()
        ftp.close()
    assert [type(error) for error in server.tls_errors] == [ssl.SSLError]


def test_the_data_connection_of_another_host_is_refused(server: FileServer, client_context: ssl.SSLContext) -> None:
    with meeting(server, client_context) as ftp:
        ftp.auth()
        ftp.prot_p()
        ftp.host = "ftp.example"
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            ftp.retrbinary("RETR notes", bytes)
        assert ftp.voidresp() == "226 done"
    assert [type(error) for error in server.tls_errors] == [ssl.SSLError]


def test_a_certificate_of_an_unknown_authority_is_refused(server: FileServer) -> None:
    with meeting(server, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as ftp:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
            ftp.auth()
        ftp.close()
    assert [type(error) for error in server.tls_errors] == [ssl.SSLError]


def test_without_a_context_nothing_is_verified(server: FileServer) -> None:
    client = ftplib.FTP_TLS()
    with visit(server, client):
        client.auth()
        client.prot_p()
        assert retrieved(client) == b"secret"
        assert (client.context.check_hostname, client.context.verify_mode) == (False, ssl.CERT_NONE)


def test_a_client_certificate_in_the_context_is_presented(
    certificate_files: tuple[Path, Path, Path],
) -> None:
    authority, chain, key = certificate_files
    client_context = ssl.create_default_context(cafile=authority)
    client_context.load_cert_chain(chain, key)
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(chain, key)
    strict.load_verify_locations(authority)
    strict.verify_mode = ssl.CERT_REQUIRED
    with meeting(FileServer({b"RETR notes": b"secret"}, context=strict), client_context) as ftp:
        ftp.auth()
        ftp.prot_p()
        assert retrieved(ftp) == b"secret"


# --- what the constructor takes -------------------------------------------------------------------------


@KEYFILE_IS_GONE
@pytest.mark.parametrize("argument", ["keyfile", "certfile"])
def test_a_context_excludes_a_key_and_a_certificate(argument: str, client_context: ssl.SSLContext) -> None:
    arguments: Any = {"context": client_context, argument: "unread.pem"}
    with pytest.raises(ValueError, match=rf"^context and {argument} arguments are mutually exclusive$"):
        ftplib.FTP_TLS(**arguments)


@KEYFILE_IS_GONE
def test_a_certificate_by_file_is_deprecated_and_presented(certificate_files: tuple[Path, Path, Path]) -> None:
    authority, chain, key = certificate_files
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(chain, key)
    strict.load_verify_locations(authority)
    strict.verify_mode = ssl.CERT_REQUIRED
    arguments: Any = {"certfile": str(chain), "keyfile": str(key)}
    with pytest.warns(DeprecationWarning, match="keyfile") as warned:
        client: Any = ftplib.FTP_TLS(**arguments)
    assert [(str(warning.message), warning.filename) for warning in warned] == [
        ("keyfile and certfile are deprecated, use a custom context instead", __file__)
    ]
    assert (client.certfile, client.keyfile) == (str(chain), str(key))
    server = FileServer(context=strict)
    with visit(server, client):
        client.auth()
        assert client.voidcmd("NOOP") == "200 done"


@KEYFILE_IS_GONE
@pytest.mark.parametrize(("argument", "refusal"), [("keyfile", ValueError), ("certfile", ssl.SSLError)])
def test_a_key_and_a_certificate_need_each_other(
    argument: str, refusal: type[Exception], certificate_files: tuple[Path, Path, Path]
) -> None:
    _, chain, key = certificate_files
    arguments: Any = {argument: str(chain if argument == "certfile" else key)}
    with pytest.warns(DeprecationWarning, match=r"^keyfile and certfile are deprecated"), pytest.raises(refusal):
        ftplib.FTP_TLS(**arguments)


def test_the_constructor_needs_no_arguments() -> None:
    client = ftplib.FTP_TLS()
    assert (client.host, client.sock, client.encoding, client.source_address) == ("", None, "utf-8", None)
