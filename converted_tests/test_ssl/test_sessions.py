"""A client that shows a session of an earlier connection saves the certificates of the next handshake.

Source: RFC 5246 section 7.3, RFC 5077 (session tickets), SSL_SESSION_get_time(3), the ssl documentation.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

import pytest
import trustme

from converted_tests.peers import TIMEOUT_S, listening
from converted_tests.test_ssl.support import (
    echoing,
    handshake,
    serving,
    through_memory,
    tls_connection,
    tls_sockets,
    trusting,
)


@pytest.fixture
def client(authority: trustme.CA) -> ssl.SSLContext:
    return trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2)


@pytest.fixture
def server(server_identity: trustme.LeafCert) -> ssl.SSLContext:
    return serving(server_identity)


def session_of(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLSession:
    session = through_memory(client, server).shaken().client.session
    assert session is not None
    return session


def counts(context: ssl.SSLContext) -> tuple[int, int]:
    statistics = context.session_stats()
    return statistics["accept"], statistics["hits"]


def test_a_session_shows_its_id_its_age_and_its_ticket(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    # OpenSSL reads a clock that may lag behind this one by a tick of the kernel, over the edge of a second.
    before_s = int(time.time()) - 1
    session = session_of(client, server)
    assert isinstance(session, ssl.SSLSession)
    assert len(session.id) == 32
    assert session.time >= before_s
    assert session.timeout > 0
    assert session.has_ticket is True
    assert session.ticket_lifetime_hint > 0


def test_without_tickets_a_session_is_kept_by_its_id(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    server.options |= ssl.OP_NO_TICKET
    session = session_of(client, server)
    assert (session.has_ticket, session.ticket_lifetime_hint, len(session.id)) == (False, 0, 32)


def test_a_first_handshake_reuses_nothing(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    pair = through_memory(client, server).shaken()
    assert (pair.client.session_reused, pair.server.session_reused) == (False, False)
    assert counts(server) == (1, 0)


def test_a_session_given_to_an_object_is_reused(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    session = session_of(client, server)
    pair = through_memory(client, server, session=session).shaken()
    assert (pair.client.session_reused, pair.server.session_reused) == (True, True)
    again = pair.client.session
    assert again is not None
    assert (again == session, again is session, again.id) == (True, False, session.id)
    assert (again.time >= session.time, again.timeout >= session.timeout) == (True, True)
    assert counts(server) == (2, 1)


def test_a_session_set_before_the_handshake_is_reused(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    session = session_of(client, server)
    pair = through_memory(client, server)
    pair.client.session = session
    assert pair.client.session == session
    assert pair.shaken().client.session_reused is True


def test_a_connection_without_the_session_is_a_new_one(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    session = session_of(client, server)
    other = session_of(client, server)
    assert (other == session, other.id == session.id) == (False, False)
    assert counts(server) == (2, 0)


def test_sessions_are_equal_by_their_id(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    session: Any = session_of(client, server)
    with pytest.raises(TypeError):
        _ = session < session
    assert session != session.id


def test_a_session_given_to_a_socket_is_reused(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    with tls_connection(client, server) as (end, other):
        session = end.session
        assert session is not None
        assert (end.session_reused, other.session_reused) == (False, False)
    with tls_connection(client, server, session=session) as (end, other):
        assert (end.session_reused, other.session_reused) == (True, True)
        assert end.session == session
    assert counts(server) == (2, 1)


def test_a_session_set_on_an_unconnected_socket_is_used_when_it_connects(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    session = session_of(client, server)
    for set_later in (False, True):
        with listening(echoing(), context=server) as address, socket.socket() as plain:
            plain.settimeout(TIMEOUT_S)
            given = None if set_later else session
            with client.wrap_socket(plain, server_hostname="localhost", session=given) as end:
                if set_later:
                    end.session = session
                assert end.session is None
                end.connect(address.address)
                assert end.session_reused is True


def test_a_session_set_on_a_connected_socket_is_used_in_its_handshake(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    session = session_of(client, server)
    with tls_sockets(client, server) as (end, other):
        end.session = session
        assert end.session == session
        handshake(end, other)
        assert end.session_reused is True


def _of_a_socket(client: ssl.SSLContext, server: ssl.SSLContext, session: Any) -> None:
    with tls_connection(client, server) as (end, _):
        end.session = session


def _of_an_object(client: ssl.SSLContext, server: ssl.SSLContext, session: Any) -> None:
    through_memory(client, server).shaken().client.session = session


@pytest.mark.parametrize("set_late", [_of_a_socket, _of_an_object], ids=["socket", "object"])
def test_a_session_cannot_be_set_after_the_handshake(
    set_late: Any, client: ssl.SSLContext, server: ssl.SSLContext
) -> None:
    session = session_of(client, server)
    with pytest.raises(ValueError, match=r"^Cannot set session after handshake\.$"):
        set_late(client, server, session)


def test_a_session_belongs_to_its_context(
    client: ssl.SSLContext, server: ssl.SSLContext, authority: trustme.CA
) -> None:
    session = session_of(client, server)
    other = trusting(authority, maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ValueError, match=r"^Session refers to a different SSLContext\.$"):
        through_memory(other, server, session=session)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
def test_a_session_is_a_clients_affair(server_identity: trustme.LeafCert) -> None:
    both = ssl.SSLContext(ssl.PROTOCOL_TLS)
    server_identity.configure_cert(both)
    session = session_of(both, both)
    pair = through_memory(both, both)
    with pytest.raises(ValueError, match=r"^Cannot set session for server-side SSLSocket\.$"):
        pair.server.session = session


@pytest.mark.parametrize("wrong", [object(), "session"], ids=["object", "text"])
def test_a_session_is_a_session(wrong: Any, client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    pair = through_memory(client, server)
    with pytest.raises(TypeError, match=r"^Value is not a SSLSession\.$"):
        pair.client.session = wrong
    with pytest.raises(TypeError, match=r"^Value is not a SSLSession\.$"):
        through_memory(client, server, session=wrong)


def test_with_tls_1_3_a_session_comes_after_the_handshake(authority: trustme.CA, server: ssl.SSLContext) -> None:
    client = trusting(authority)
    pair = through_memory(client, server).shaken()
    pair.server.write(b"x")
    assert pair.client.read() == b"x"
    again = through_memory(client, server, session=pair.client.session).shaken()
    assert (again.client.session_reused, again.client.version()) == (True, "TLSv1.3")
