"""With TLS 1.3 a server may ask for the client's certificate after the handshake, if the client agreed to that.

Source: RFC 8446 section 4.6.2, SSL_verify_client_post_handshake(3), the ssl documentation of post_handshake_auth.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trustme

from converted_tests.test_ssl.support import (
    Memory,
    handshake_outcomes,
    serving,
    through_memory,
    tls_connection,
    trusting,
)

NONE, OPTIONAL, REQUIRED = ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED


@pytest.fixture
def server(authority: trustme.CA, server_identity: trustme.LeafCert) -> ssl.SSLContext:
    """A server that may ask later and then wants a certificate."""
    context = serving(server_identity, post_handshake_auth=True, verify_mode=REQUIRED)
    authority.configure_trust(context)
    return context


@pytest.fixture
def without_certificate(authority: trustme.CA) -> ssl.SSLContext:
    """A client that agrees to be asked and has no certificate."""
    return trusting(authority, post_handshake_auth=True)


@pytest.fixture
def with_certificate(without_certificate: ssl.SSLContext, client_identity: trustme.LeafCert) -> ssl.SSLContext:
    """A client that agrees to be asked and has a certificate."""
    client_identity.configure_cert(without_certificate)
    return without_certificate


def asked(pair: Memory) -> Any:
    """The server's failure after it asked for the client's certificate, or None."""
    pair.server.verify_client_post_handshake()
    pair.server.write(b"who are you?")
    assert pair.client.read() == b"who are you?"
    try:
        pair.client.write(b"me")
        assert pair.server.read() == b"me"
    except ssl.SSLError as failure:
        return failure
    return None


@pytest.mark.parametrize("protocol", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER], ids=["client", "server"])
@pytest.mark.parametrize("mode", [NONE, OPTIONAL, REQUIRED], ids=lambda mode: mode.name)
def test_the_agreement_and_the_verify_mode_do_not_touch_each_other(protocol: Any, mode: ssl.VerifyMode) -> None:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    assert context.post_handshake_auth is False
    context.verify_mode = mode
    context.post_handshake_auth = True
    assert (context.verify_mode, context.post_handshake_auth) == (mode, True)
    context.verify_mode = REQUIRED
    assert (context.verify_mode, context.post_handshake_auth) == (REQUIRED, True)
    context.post_handshake_auth = False
    assert (context.verify_mode, context.post_handshake_auth) == (REQUIRED, False)


def test_a_certificate_comes_when_it_is_asked_for(server: ssl.SSLContext, with_certificate: ssl.SSLContext) -> None:
    pair = through_memory(with_certificate, server).shaken()
    assert pair.server.getpeercert() is None
    assert asked(pair) is None
    shown: Any = pair.server.getpeercert()
    assert (("commonName", "client"),) in shown["subject"]


def test_a_required_certificate_that_does_not_come_is_an_error(
    server: ssl.SSLContext, without_certificate: ssl.SSLContext
) -> None:
    pair = through_memory(without_certificate, server).shaken()
    assert asked(pair).reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    with pytest.raises(ssl.SSLError) as alert:
        pair.client.read()
    assert alert.value.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED"


def test_an_optional_certificate_need_not_come(server: ssl.SSLContext, without_certificate: ssl.SSLContext) -> None:
    server.verify_mode = OPTIONAL
    pair = through_memory(without_certificate, server).shaken()
    assert asked(pair) is None
    assert pair.server.getpeercert() is None


def test_an_optional_certificate_may_come(server: ssl.SSLContext, with_certificate: ssl.SSLContext) -> None:
    server.verify_mode = OPTIONAL
    pair = through_memory(with_certificate, server).shaken()
    assert asked(pair) is None
    assert pair.server.getpeercert()


def test_a_client_that_did_not_agree_is_not_asked(
    server: ssl.SSLContext, authority: trustme.CA, client_identity: trustme.LeafCert
) -> None:
    client = trusting(authority)
    client_identity.configure_cert(client)
    pair = through_memory(client, server).shaken()
    with pytest.raises(ssl.SSLError, match=r"extension not received|EXTENSION_NOT_RECEIVED"):
        pair.server.verify_client_post_handshake()


def test_a_server_that_does_not_ask_later_asks_in_the_handshake(
    server: ssl.SSLContext, with_certificate: ssl.SSLContext
) -> None:
    server.post_handshake_auth = False
    pair = through_memory(with_certificate, server).shaken()
    assert pair.server.getpeercert()


def test_a_server_without_the_setting_gets_no_answer_later(
    server: ssl.SSLContext, with_certificate: ssl.SSLContext
) -> None:
    server.post_handshake_auth = False
    server.verify_mode = NONE
    pair = through_memory(with_certificate, server).shaken()
    with pytest.raises(ssl.SSLError, match=r"invalid config|INVALID_CONFIG"):
        pair.server.verify_client_post_handshake()


def test_a_client_cannot_ask(server: ssl.SSLContext, with_certificate: ssl.SSLContext) -> None:
    pair = through_memory(with_certificate, server).shaken()
    with pytest.raises(ssl.SSLError, match=r"not server|NOT_SERVER"):
        pair.client.verify_client_post_handshake()


def test_no_certificate_is_requested_before_the_handshake(
    server: ssl.SSLContext, with_certificate: ssl.SSLContext
) -> None:
    pair = through_memory(with_certificate, server)
    with pytest.raises(ssl.SSLError):
        pair.server.verify_client_post_handshake()


def test_tls_1_2_knows_no_later_question(server: ssl.SSLContext, with_certificate: ssl.SSLContext) -> None:
    with_certificate.maximum_version = ssl.TLSVersion.TLSv1_2
    pair = through_memory(with_certificate, server).shaken()
    with pytest.raises(ssl.SSLError, match=r"wrong ssl version|WRONG_SSL_VERSION"):
        pair.server.verify_client_post_handshake()


def test_the_agreement_does_not_turn_verification_on(
    strange_authority: trustme.CA,
) -> None:
    client = trusting(check_hostname=False, verify_mode=NONE, post_handshake_auth=True)
    pair = through_memory(client, serving(strange_authority.issue_cert("elsewhere")))
    assert handshake_outcomes(pair.client, pair.server) == [None, None]
    assert client.verify_mode == NONE


def test_a_socket_requests_certificates_as_an_object_does(
    server: ssl.SSLContext, with_certificate: ssl.SSLContext
) -> None:
    with tls_connection(with_certificate, server) as (client, end):
        end.verify_client_post_handshake()
        end.sendall(b"who are you?")
        assert client.recv(100) == b"who are you?"
        client.sendall(b"me")
        assert end.recv(2) == b"me"
        shown: Any = end.getpeercert()
    assert (("commonName", "client"),) in shown["subject"]
