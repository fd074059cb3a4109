"""ssl.wrap_socket (removed in Python 3.12) makes a context from its arguments and wraps a socket with it.

Source: the ssl module's documentation of Python 3.11, "Socket creation".
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_ssl.support import handshake, plain_connection

pytestmark = [
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="ssl.wrap_socket is gone since Python 3.12"),
    pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning"),
]

CertificateFiles = tuple[Path, Path, Path]


@contextlib.contextmanager
def wrapped(plain: socket.socket, **named: Any) -> Iterator[Any]:
    with pytest.warns(DeprecationWarning) as caught:  # noqa: PT030 - the whole text is compared below
        sock = ssl.wrap_socket(plain, **named)
    ours = [warning for warning in caught if "wrap_socket" in str(warning.message)]
    assert [(str(warning.message), warning.filename) for warning in ours] == [
        ("ssl.wrap_socket() is deprecated, use SSLContext.wrap_socket()", __file__)
    ]
    with sock:
        yield sock


def refusal_of(**named: Any) -> str:
    with (
        socket.socket() as plain,
        pytest.warns(DeprecationWarning, match="wrap_socket"),
        pytest.raises(ValueError) as refusal,
    ):
        ssl.wrap_socket(plain, **named)
    return str(refusal.value)


def test_by_default_it_is_a_client_that_verifies_nothing() -> None:
    with socket.socket() as plain, wrapped(plain) as sock:
        assert (sock.server_side, sock.do_handshake_on_connect, sock.suppress_ragged_eofs) == (False, True, True)
        assert sock.context.protocol is ssl.PROTOCOL_TLS
        assert sock.context.verify_mode == ssl.CERT_NONE
        assert sock.context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}


def test_every_argument_finds_its_place(certificate_files: CertificateFiles) -> None:
    authority, chain, key = map(str, certificate_files)
    with (
        socket.socket() as plain,
        wrapped(
            plain,
            keyfile=key,
            certfile=chain,
            server_side=True,
            cert_reqs=ssl.CERT_REQUIRED,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            ca_certs=authority,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
            ciphers="ECDHE-ECDSA-AES128-GCM-SHA256",
        ) as sock,
    ):
        assert (sock.server_side, sock.do_handshake_on_connect, sock.suppress_ragged_eofs) == (True, False, False)
        assert sock.context.protocol is ssl.PROTOCOL_TLS_SERVER
        assert sock.context.verify_mode == ssl.CERT_REQUIRED
        assert sock.context.cert_store_stats()["x509_ca"] == 1
        old = [cipher["name"] for cipher in sock.context.get_ciphers() if cipher["protocol"] == "TLSv1.2"]
        assert old == ["ECDHE-ECDSA-AES128-GCM-SHA256"]


def test_a_server_needs_a_certificate() -> None:
    assert refusal_of(server_side=True) == "certfile must be specified for server-side operations"


def test_an_empty_name_is_no_certificate() -> None:
    assert refusal_of(server_side=True, certfile="") == "certfile must be specified for server-side operations"


def test_a_key_needs_a_certificate(certificate_files: CertificateFiles) -> None:
    assert refusal_of(keyfile=str(certificate_files[2])) == "certfile must be specified"


def test_a_server_does_not_connect(certificate_files: CertificateFiles) -> None:
    _, chain, key = map(str, certificate_files)
    with socket.socket() as plain, wrapped(plain, server_side=True, certfile=chain, keyfile=key) as sock:
        with pytest.raises(ValueError, match=r"^can't connect in server-side mode$"):
            sock.connect(("127.0.0.1", 1))


@pytest.mark.parametrize(
    "missing", [{"certfile"}, {"keyfile"}, {"certfile", "keyfile"}], ids=["certificate", "key", "both"]
)
def test_a_file_that_is_not_there_is_enoent(
    missing: set[str], certificate_files: CertificateFiles, tmp_path: Path
) -> None:
    files = {"certfile": certificate_files[1], "keyfile": certificate_files[2]}
    named = {name: str(tmp_path / "missing" if name in missing else path) for name, path in files.items()}
    with (
        socket.socket() as plain,
        pytest.warns(DeprecationWarning, match="wrap_socket"),
        pytest.raises(FileNotFoundError) as refusal,
    ):
        ssl.wrap_socket(plain, **named)  # type: ignore[arg-type]
    assert refusal.value.errno == errno.ENOENT


def test_two_ends_wrapped_by_the_function_talk(certificate_files: CertificateFiles) -> None:
    authority, chain, key = map(str, certificate_files)
    with plain_connection() as (plain_client, plain_server):
        plain_client.setblocking(False)
        plain_server.setblocking(False)
        with (
            wrapped(
                plain_client, cert_reqs=ssl.CERT_REQUIRED, ca_certs=authority, do_handshake_on_connect=False
            ) as client,
            wrapped(
                plain_server, server_side=True, certfile=chain, keyfile=key, do_handshake_on_connect=False
            ) as server,
        ):
            handshake(client, server)
            assert (client.version(), server.version()) == ("TLSv1.3", "TLSv1.3")
