"""Servers of the standard library speak TLS when their socket is wrapped, and clients fetch certificates from them.

Source: the ssl module's documentation, "Server-side operation" and get_server_certificate; RFC 2818, RFC 6066.
"""

from __future__ import annotations

import asyncore
import contextlib
import http.server
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from converted_tests.peers import SHORT_S, TIMEOUT_S, Peer, Silence, background, listening, open_listener
from converted_tests.test_ssl.certificates import der
from converted_tests.test_ssl.support import Refusal, echoing, serving
from netsupport import HOST

CertificateFiles = tuple[Path, Path, Path]


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


@contextlib.contextmanager
def https_server(context: ssl.SSLContext, folder: Path) -> Iterator[str]:
    """An HTTPS server of the standard library for one request, as the beginning of its URLs."""
    handler = partial(_QuietHandler, directory=str(folder))
    with http.server.HTTPServer((HOST, 0), handler) as server:
        server.timeout = TIMEOUT_S
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with background(server.handle_request):
            yield f"https://{HOST}:{server.server_port}"


def test_an_https_server_delivers_a_file(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(content)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=client_context)
    )
    with https_server(server_context, tmp_path) as address:
        with opener.open(f"{address}/file", timeout=TIMEOUT_S) as answer:
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.read() == content


class _TLSEcho(asyncore.dispatcher_with_send):
    """An asyncore channel that shakes hands without blocking, then sends back what it reads."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext, sockets: Any) -> None:
        plain.setblocking(False)
        self.tls = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.shaking = True
        super().__init__(self.tls, sockets)

    def handle_read(self) -> None:
        if self.shaking:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                self.shaking = False
            return
        with contextlib.suppress(ssl.SSLWantReadError):
            data = self.recv(1024)
            if data:
                self.send(data.upper())

    def handle_error(self) -> None:
        raise


def test_a_server_built_on_asyncore_answers(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    channels: dict[Any, Any] = {}
    with open_listener() as listener:
        address = listener.getsockname()

        def serve() -> None:
            plain, _ = listener.accept()
            _TLSEcho(plain, server_context, channels)
            asyncore.loop(timeout=TIMEOUT_S, map=channels)

        with background(serve), socket.create_connection(address, TIMEOUT_S) as plain:
            # The line must not wait for the acknowledgement of the handshake's last message.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(b"over and out")
                received = b""
                while len(received) < 12:
                    received += client.recv(12)
                assert received == b"OVER AND OUT"


@pytest.fixture
def authority_file(certificate_files: CertificateFiles) -> str:
    return str(certificate_files[0])


def test_a_servers_certificate_is_fetched(server_context: ssl.SSLContext, server_identity: trustme.LeafCert) -> None:
    with listening(echoing(), context=server_context) as server:
        pem = ssl.get_server_certificate((server.host, server.port))
    assert pem == ssl.DER_cert_to_PEM_cert(der(server_identity.cert_chain_pems[0].bytes()))


@pytest.mark.usefixtures("ipv6")
def test_a_servers_certificate_is_fetched_over_ipv6(
    server_context: ssl.SSLContext, server_identity: trustme.LeafCert
) -> None:
    with listening(echoing(), family=socket.AF_INET6, context=server_context) as server:
        pem = ssl.get_server_certificate((server.host, server.port))
    assert pem == ssl.DER_cert_to_PEM_cert(der(server_identity.cert_chain_pems[0].bytes()))


def test_a_servers_certificate_may_be_verified_meanwhile(server_context: ssl.SSLContext, authority_file: str) -> None:
    with listening(echoing(), context=server_context) as server:
        pem = ssl.get_server_certificate((server.host, server.port), ca_certs=authority_file, timeout=TIMEOUT_S)
    assert pem.startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_verifying_client_reads_nothing_from_a_server_of_an_unknown_authority(
    strange_authority: trustme.CA, authority_file: str
) -> None:
    refusal = Refusal()
    with listening(refusal.by(serving(strange_authority.issue_cert(HOST)))) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.get_server_certificate((server.host, server.port), ca_certs=authority_file)
    assert refusal.failure is not None
    assert refusal.failure.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_the_client_requests_the_server_by_its_name(
    server_identity: trustme.LeafCert, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str | None] = []
    context = serving(server_identity)
    context.set_servername_callback(lambda _end, name, _context: heard.append(name))
    with listening(echoing(), context=context) as server:

        def dial(asked: tuple[str, int], timeout: float) -> socket.socket:
            """The name leads to our listener without being looked up."""
            assert (asked, timeout) == (("fakehost.example.org", 443), TIMEOUT_S)
            return socket.create_connection((server.host, server.port), timeout)

        monkeypatch.setattr(ssl, "create_connection", dial)
        ssl.get_server_certificate(("fakehost.example.org", 443), timeout=TIMEOUT_S)
    assert heard == ["fakehost.example.org"]


def test_a_version_for_fetching_can_be_chosen(server_context: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match=r"^ssl.PROTOCOL_TLSv1_2 is deprecated$"):
        with listening(echoing(), context=server_context) as server:
            ssl.get_server_certificate((server.host, server.port), ssl_version=ssl.PROTOCOL_TLSv1_2)


def test_fetching_obeys_the_timeout() -> None:
    def silent() -> Peer:
        yield Silence()

    with listening(silent()) as server, pytest.raises(TimeoutError):
        ssl.get_server_certificate((server.host, server.port), timeout=SHORT_S)
