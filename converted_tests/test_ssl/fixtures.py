"""Certificates that several files of the ssl corpus share; each is made once in a run."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme

from converted_tests.test_ssl.support import Ends, Memory, serving, through_memory, tls_connection


@pytest.fixture(scope="session")
def rsa_identity(authority: trustme.CA) -> trustme.LeafCert:
    """An RSA certificate for localhost; the others are of elliptic curves."""
    return authority.issue_cert("localhost", key_type=trustme.KeyType.RSA)


@pytest.fixture(scope="session")
def client_identity(authority: trustme.CA) -> trustme.LeafCert:
    """What a client presents when it is asked for a certificate."""
    return authority.issue_cert("client.example.org", common_name="client")


@pytest.fixture(scope="session")
def strange_authority() -> trustme.CA:
    """An authority that no context trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls12_server_context(server_identity: trustme.LeafCert) -> ssl.SSLContext:
    """A server that speaks TLS 1.2 and nothing newer. Shared by all tests."""
    return serving(server_identity, maximum_version=ssl.TLSVersion.TLSv1_2)


@pytest.fixture
def memory(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> Memory:
    """A client and a server through memory, before their handshake."""
    return through_memory(client_context, server_context)


@pytest.fixture
def ends(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> Iterator[Ends]:
    """A client and a server over a real connection, after their handshake."""
    with tls_connection(client_context, server_context) as both:
        yield both
