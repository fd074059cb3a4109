"""Two ends that speak several versions of TLS meet in the highest version of both, or not at all.

Source: RFC 8446 section 4.2.1 and appendix D, SSL_CTX_set_min_proto_version(3).
"""

from __future__ import annotations

import ssl

import pytest
import trustme

from converted_tests.test_ssl.support import (
    handshake,
    handshake_outcomes,
    serving,
    through_memory,
    tls_sockets,
    trusting,
)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
def test_a_context_of_either_side_talks_to_itself(server_identity: trustme.LeafCert) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    server_identity.configure_cert(context)
    pair = through_memory(context, context).shaken()
    assert (pair.client.version(), pair.server.version()) == ("TLSv1.3", "TLSv1.3")


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS:DeprecationWarning")
@pytest.mark.parametrize(
    ("clients", "servers", "version"),
    [
        pytest.param("TLS", "TLS", "TLSv1.3", id="anything with anything"),
        pytest.param("TLS", "TLSv1_2", "TLSv1.2", id="anything with 1.2"),
        pytest.param("TLSv1_2", "TLS", "TLSv1.2", id="1.2 with anything"),
        pytest.param("TLSv1_2", "TLSv1_2", "TLSv1.2", id="1.2 with 1.2"),
        pytest.param("TLS_CLIENT", "TLS_SERVER", "TLSv1.3", id="client with server"),
        pytest.param("TLSv1_2", "TLS_SERVER", "TLSv1.2", id="1.2 with server"),
        pytest.param("TLSv1_1", "TLSv1_2", None, id="1.1 with 1.2"),
        pytest.param("TLSv1_2", "TLSv1_1", None, id="1.2 with 1.1"),
    ],
)
def test_two_protocols_meet_in_a_version(
    clients: str, servers: str, version: str | None, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    for protocol in (clients, servers):
        if not getattr(ssl, f"HAS_{protocol}", True):
            pytest.skip(f"this OpenSSL is built without {protocol}")
    client = ssl.SSLContext(getattr(ssl, f"PROTOCOL_{clients}"))
    authority.configure_trust(client)
    server = ssl.SSLContext(getattr(ssl, f"PROTOCOL_{servers}"))
    server_identity.configure_cert(server)
    pair = through_memory(client, server)
    outcomes = handshake_outcomes(pair.client, pair.server)
    if version is None:
        assert all(isinstance(outcome, ssl.SSLError) for outcome in outcomes)
    else:
        assert outcomes == [None, None]
        assert (pair.client.version(), pair.server.version()) == (version, version)


TLSv1_2, TLSv1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("clients", "servers", "version"),
    [
        pytest.param((TLSv1_2, TLSv1_3), (TLSv1_2, TLSv1_3), "TLSv1.3", id="the highest of both"),
        pytest.param((TLSv1_2, TLSv1_3), (TLSv1_2, TLSv1_2), "TLSv1.2", id="the server's highest"),
        pytest.param((TLSv1_2, TLSv1_2), (TLSv1_2, TLSv1_3), "TLSv1.2", id="the client's highest"),
        pytest.param((TLSv1_3, TLSv1_3), (TLSv1_2, TLSv1_3), "TLSv1.3", id="the client's lowest"),
    ],
)
def test_version_limits_meet(
    clients: tuple[ssl.TLSVersion, ssl.TLSVersion],
    servers: tuple[ssl.TLSVersion, ssl.TLSVersion],
    version: str,
    authority: trustme.CA,
    server_identity: trustme.LeafCert,
) -> None:
    client = trusting(authority, minimum_version=clients[0], maximum_version=clients[1])
    server = serving(server_identity, minimum_version=servers[0], maximum_version=servers[1])
    with tls_sockets(client, server) as ends:
        assert [end.version() for end in ends] == [None, None]
        handshake(*ends)
        assert [end.version() for end in ends] == [version, version]


@pytest.mark.parametrize(
    ("clients", "servers"),
    [pytest.param(TLSv1_3, TLSv1_2, id="client newer"), pytest.param(TLSv1_2, TLSv1_3, id="server newer")],
)
def test_version_limits_that_do_not_meet_are_an_alert(
    clients: ssl.TLSVersion, servers: ssl.TLSVersion, authority: trustme.CA, server_identity: trustme.LeafCert
) -> None:
    client = trusting(authority, minimum_version=clients, maximum_version=clients)
    server = serving(server_identity, minimum_version=servers, maximum_version=servers)
    with tls_sockets(client, server) as ends:
        at_client, at_server = handshake_outcomes(*ends)
    assert isinstance(at_client, ssl.SSLError)
    assert isinstance(at_server, ssl.SSLError)
    assert (at_client.reason, at_server.reason) == ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


def test_the_version_is_gone_with_the_connection(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_sockets(client_context, server_context) as (client, server):
        assert client.version() is None
        handshake(client, server)
        assert client.version() == "TLSv1.3"
        client.close()
        assert client.version() is None
