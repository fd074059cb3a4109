"""HTTPSConnection starts with TLS and sends nothing to a server whose certificate it cannot verify.
RFC 9110 section 4.3.4 says what is verified; the manual page of http.client describes the default context."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from converted_tests.peers import Peer, dialled, listening
from converted_tests.test_http_client.support import Wire, fetch, message, origin, refused_handshake

if TYPE_CHECKING:
    import trustme

NOT_FOUND = message("HTTP/1.1 404 Not Found", "Content-Length: 4", body=b"gone")
NAME = "www.example.org"

# VERIFY codes of OpenSSL: x509_vfy.h.
UNKNOWN_ISSUER, WRONG_NAME, WRONG_ADDRESS = 20, 62, 64

deprecated_arguments = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="key_file, cert_file and check_hostname are gone since 3.12"
)


@pytest.fixture(scope="module")
def stranger_context(authority: trustme.CA) -> ssl.SSLContext:
    """A server that has the right authority's certificate, for another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("stranger.example").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def named_context(authority: trustme.CA) -> ssl.SSLContext:
    """A server whose certificate is for NAME alone; it offers to speak HTTP/2 as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert(NAME).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client context of this test's own, which it may change."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *peers: Peer, context: ssl.SSLContext | None) -> Iterator[int]:
    """A listener that every host name leads to; gives its port. No name is looked up."""
    with listening(*peers, context=context) as (host, port):

        def look_up(_name: str, port: int, *_rest: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        yield int(port)


def refusal_of(host: str, port: int, **arguments: Any) -> ssl.SSLCertVerificationError:
    """Why the client at *host* and *port* will not speak with the server."""
    with closing(HTTPSConnection(host, port, **arguments)) as connection:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            connection.request("GET", "/")
    assert caught.value.reason == "CERTIFICATE_VERIFY_FAILED"
    return caught.value


def test_a_server_with_the_right_name_is_believed(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with listening(origin(NOT_FOUND), context=server_context) as (host, port):
        with closing(HTTPSConnection(str(host), int(port), context=client_context)) as connection:
            assert fetch(connection) == (404, b"gone")
            assert isinstance(connection.sock, ssl.SSLSocket)


@pytest.mark.usefixtures("ipv6")
def test_a_server_is_believed_over_ipv6(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    heard: list[bytes] = []
    with listening(origin(NOT_FOUND, heard=heard), family=socket.AF_INET6, context=server_context) as (_, port):
        with closing(HTTPSConnection(f"[::1]:{port}", context=client_context)) as connection:
            assert fetch(connection) == (404, b"gone")
    assert heard == [message("GET / HTTP/1.1", f"Host: [::1]:{port}", "Accept-Encoding: identity")]


def test_a_connection_is_kept_over_tls_too(
    ip_family: int, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with listening(origin(NOT_FOUND, NOT_FOUND), context=server_context, family=ip_family) as (host, port):
        with closing(HTTPSConnection(str(host), int(port), context=client_context)) as connection:
            assert [fetch(connection), fetch(connection)] == [(404, b"gone")] * 2


def test_a_body_up_to_the_end_of_file_arrives_over_tls(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    body = b"to the end " * 3000
    with listening(origin(message("HTTP/1.1 200 OK", body=body)), context=server_context) as (host, port):
        connection = HTTPSConnection(str(host), int(port), context=client_context)
        assert fetch(connection) == (200, body)
        assert connection.sock is None


def test_a_server_of_an_unknown_authority_is_refused_by_default(server_context: ssl.SSLContext) -> None:
    with listening(refused_handshake(server_context)) as (host, port):
        failure = refusal_of(str(host), int(port))
    assert failure.verify_code == UNKNOWN_ISSUER


def test_a_server_with_another_name_is_refused(
    stranger_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with listening(refused_handshake(stranger_context)) as (host, port):
        failure = refusal_of(str(host), int(port), context=client_context)
    assert isinstance(failure, ssl.CertificateError)
    assert failure.verify_code == WRONG_ADDRESS


def test_a_context_that_checks_no_names_believes_another_name(
    stranger_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    trusting.check_hostname = False
    with listening(origin(NOT_FOUND), context=stranger_context) as (host, port):
        with closing(HTTPSConnection(str(host), int(port), context=trusting)) as connection:
            assert fetch(connection) == (404, b"gone")
    assert trusting.check_hostname is False


@deprecated_arguments
def test_the_argument_check_hostname_outweighs_a_strict_context(
    stranger_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    with listening(origin(NOT_FOUND), context=stranger_context) as (host, port):
        with pytest.deprecated_call():
            connection = HTTPSConnection(str(host), int(port), context=trusting, check_hostname=False)
        with closing(connection):
            assert fetch(connection) == (404, b"gone")


@deprecated_arguments
def test_the_argument_check_hostname_outweighs_a_lenient_context(
    stranger_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    trusting.check_hostname = False
    with listening(refused_handshake(stranger_context)) as (host, port):
        with pytest.deprecated_call():
            failure = refusal_of(str(host), int(port), context=trusting, check_hostname=True)
    assert failure.verify_code == WRONG_ADDRESS


@deprecated_arguments
@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_checking_names_goes_with_any_verification(trusting: ssl.SSLContext, mode: ssl.VerifyMode) -> None:
    trusting.check_hostname = False
    trusting.verify_mode = mode
    with pytest.deprecated_call():
        HTTPSConnection("example.org", context=trusting, check_hostname=True)
    assert trusting.check_hostname is True


@deprecated_arguments
def test_checking_names_without_verification_is_refused(trusting: ssl.SSLContext) -> None:
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    with pytest.deprecated_call(), pytest.raises(ValueError) as caught:
        HTTPSConnection("example.org", context=trusting, check_hostname=True)
    assert str(caught.value) == "check_hostname needs a SSL context with either CERT_OPTIONAL or CERT_REQUIRED"


@deprecated_arguments
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"key_file": ""}, id="key_file"),
        pytest.param({"cert_file": ""}, id="cert_file"),
        pytest.param({"check_hostname": False}, id="check_hostname"),
    ],
)
def test_an_outdated_argument_warns_its_caller(trusting: ssl.SSLContext, arguments: dict[str, Any]) -> None:
    with pytest.deprecated_call() as warned:
        HTTPSConnection("example.org", context=trusting, **arguments)
    assert [(str(warning.message), warning.filename) for warning in warned] == [
        ("key_file, cert_file and check_hostname are deprecated, use a custom context instead.", __file__)
    ]


@deprecated_arguments
def test_a_certificate_given_is_presented_to_the_server(
    server_identity: trustme.LeafCert,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    certificate_files: tuple[Path, Path, Path],
) -> None:
    demanding = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_identity.configure_cert(demanding)
    authority.configure_trust(demanding)
    demanding.verify_mode = ssl.CERT_REQUIRED
    _, chain, key = certificate_files
    with listening(origin(NOT_FOUND), context=demanding) as (host, port):
        with pytest.deprecated_call():
            connection = HTTPSConnection(str(host), int(port), key, chain, context=trusting)
        assert (connection.key_file, connection.cert_file) == (key, chain)
        with closing(connection):
            assert fetch(connection) == (404, b"gone")


@deprecated_arguments
def test_a_certificate_file_may_hold_the_key_too(
    trusting: ssl.SSLContext, certificate_files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, chain, key = certificate_files
    (tmp_path / "both.pem").write_bytes(key.read_bytes() + chain.read_bytes())
    assert trusting.post_handshake_auth is False
    with pytest.deprecated_call():
        HTTPSConnection("example.org", cert_file=tmp_path / "both.pem", context=trusting)
    assert trusting.post_handshake_auth is True


@deprecated_arguments
def test_a_key_without_a_certificate_is_refused(
    trusting: ssl.SSLContext, certificate_files: tuple[Path, Path, Path]
) -> None:
    with pytest.deprecated_call(), pytest.raises(TypeError, match="certfile"):
        HTTPSConnection("example.org", key_file=certificate_files[2], context=trusting)


def test_a_context_given_is_used_as_it_is(trusting: ssl.SSLContext) -> None:
    connection = HTTPSConnection("example.org", context=trusting)
    assert vars(connection)["_context"] is trusting
    assert (trusting.post_handshake_auth, trusting.check_hostname) == (False, True)


def test_no_certificate_is_presented_unless_given(trusting: ssl.SSLContext) -> None:
    connection = HTTPSConnection("example.org", context=trusting)
    assert (getattr(connection, "key_file", None), getattr(connection, "cert_file", None)) == (None, None)


def test_the_default_context_allows_authentication_after_the_handshake(
    monkeypatch: pytest.MonkeyPatch, trusting: ssl.SSLContext
) -> None:
    monkeypatch.setattr(ssl, "_create_default_https_context", lambda: trusting)
    HTTPSConnection("example.org")
    assert (trusting.post_handshake_auth, trusting.check_hostname) == (True, True)


class WithoutTLS13(ssl.SSLContext):
    """A context of an OpenSSL that knows no authentication after the handshake."""

    @property
    def post_handshake_auth(self) -> None:  # type: ignore[override]
        return None

    def load_cert_chain(self, *_files: object, **_named: object) -> None:
        """Accepted."""


def test_the_default_context_may_lack_authentication_after_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    context = WithoutTLS13(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(ssl, "_create_default_https_context", lambda: context)
    connection = HTTPSConnection("example.org")
    assert vars(connection)["_context"] is context


@deprecated_arguments
def test_a_certificate_may_be_given_without_authentication_after_the_handshake() -> None:
    context = WithoutTLS13(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.deprecated_call():
        connection = HTTPSConnection("example.org", cert_file="chain.pem", context=context)
    assert connection.cert_file == "chain.pem"


def test_tls_requests_the_name_of_the_host() -> None:
    asked: list[dict[str, object]] = []

    class Noted(ssl.SSLContext):
        def wrap_socket(self, sock: Any, **named: object) -> Any:  # type: ignore[override]
            asked.append(named)
            return sock

    with dialled((wire := Wire(NOT_FOUND)).sock):
        connection = HTTPSConnection("example.org", context=Noted(ssl.PROTOCOL_TLS_CLIENT))
        assert fetch(connection) == (404, b"gone")
        assert connection.sock is wire
    assert asked == [{"server_hostname": "example.org"}]


# In place of hosts on the internet these tests use listeners on this machine: the resolver is replaced, and the
# certificates name the host.


def test_a_host_of_the_internet_is_reached_without_verification(
    monkeypatch: pytest.MonkeyPatch, stranger_context: ssl.SSLContext
) -> None:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with resolving(monkeypatch, origin(NOT_FOUND), context=stranger_context) as port:
        with closing(HTTPSConnection(NAME, port, context=unverified)) as connection:
            assert fetch(connection) == (404, b"gone")


def test_a_host_of_the_internet_is_refused_if_no_authority_vouches_for_it(
    monkeypatch: pytest.MonkeyPatch, named_context: ssl.SSLContext
) -> None:
    with resolving(monkeypatch, refused_handshake(named_context), context=None) as port:
        assert refusal_of(NAME, port).verify_code == UNKNOWN_ISSUER


@pytest.mark.parametrize(("version", "protocol"), [(11, "http/1.1"), (10, None)], ids=["HTTP/1.1", "HTTP/1.0"])
def test_a_host_of_the_internet_is_believed_if_the_system_knows_its_authority(
    monkeypatch: pytest.MonkeyPatch,
    named_context: ssl.SSLContext,
    certificate_files: tuple[Path, Path, Path],
    version: int,
    protocol: str | None,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files[0]))
    monkeypatch.setattr(HTTPSConnection, "_http_vsn", version)
    with resolving(monkeypatch, origin(NOT_FOUND), context=named_context) as port:
        with closing(HTTPSConnection(NAME, port)) as connection:
            assert fetch(connection) == (404, b"gone")
            assert connection.sock.selected_alpn_protocol() == protocol


def test_a_host_of_the_internet_is_believed_if_the_context_knows_its_authority(
    monkeypatch: pytest.MonkeyPatch, named_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with resolving(monkeypatch, origin(NOT_FOUND), context=named_context) as port:
        with closing(HTTPSConnection(f"{NAME}:{port}", context=client_context)) as connection:
            assert fetch(connection) == (404, b"gone")
            assert connection.sock.selected_alpn_protocol() is None


def test_a_host_of_the_internet_is_refused_under_another_name(
    monkeypatch: pytest.MonkeyPatch, stranger_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with resolving(monkeypatch, refused_handshake(stranger_context), context=None) as port:
        assert refusal_of(NAME, port, context=client_context).verify_code == WRONG_NAME


def test_a_server_that_speaks_no_tls_is_refused(client_context: ssl.SSLContext) -> None:
    def in_the_clear() -> Peer:
        yield NOT_FOUND

    with listening(in_the_clear()) as (host, port):
        with closing(HTTPSConnection(str(host), int(port), context=client_context)) as connection:
            with pytest.raises(ssl.SSLError):
                connection.request("GET", "/")
