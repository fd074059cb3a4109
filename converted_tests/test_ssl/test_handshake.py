"""A TLS socket performs the handshake when it is wrapped, when it connects, or on request, over any stream socket.

Source: the ssl module's documentation of SSLSocket, "Notes on non-blocking sockets"; RFC 8446 section 2, connect(2).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import sys
from typing import Any

import pytest
import trustme

from converted_tests.peers import (
    SHORT_S,
    TIMEOUT_S,
    Peer,
    Say,
    Silence,
    StopTLS,
    background,
    connected,
    listening,
    open_listener,
)
from converted_tests.test_ssl.support import (
    Refusal,
    echo_of,
    echoing,
    plain_connection,
    tls_connection,
    tls_dialled,
    trusting,
    unverified,
)


def saying_goodbye() -> Peer:
    """A peer that answers one line and ends TLS."""
    yield b""
    yield StopTLS(b"bye\n")


@pytest.fixture(params=["IPv4", "IPv6", "Unix"])
def family(request: pytest.FixtureRequest) -> int:
    if request.param == "IPv6":
        request.getfixturevalue("ipv6")
    return {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6, "Unix": socket.AF_UNIX}[request.param]


def test_a_client_wraps_a_connected_socket(
    family: int, client_context: ssl.SSLContext, server_context: ssl.SSLContext, tmp_path: Any
) -> None:
    with listening(echoing(), family=family, path=tmp_path / "socket", context=server_context) as server:
        with socket.socket(family) as plain:
            plain.settimeout(TIMEOUT_S)
            plain.connect(server.address)
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                assert echo_of(client) == b"FOO\n"


def test_a_client_connects_a_wrapped_socket(
    family: int, client_context: ssl.SSLContext, server_context: ssl.SSLContext, tmp_path: Any
) -> None:
    with listening(echoing(), family=family, path=tmp_path / "socket", context=server_context) as server:
        with socket.socket(family) as plain:
            plain.settimeout(TIMEOUT_S)
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                assert client.connect(server.address) is None  # type: ignore[func-returns-value]
                assert echo_of(client) == b"FOO\n"


def test_both_ends_may_live_in_one_thread(
    family: int, client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context, family=family) as (client, server):
        client.sendall(b"there")
        assert server.recv(5) == b"there"
        server.sendall(b"back")
        assert client.recv(4) == b"back"


def test_connect_ex_gives_zero_and_shakes_hands(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, socket.socket() as plain:
        plain.settimeout(TIMEOUT_S)
        with client_context.wrap_socket(plain, server_hostname="localhost") as client:
            assert client.connect_ex(server.address) == 0
            assert client.getpeercert()
            assert echo_of(client) == b"FOO\n"


def test_connect_ex_of_a_non_blocking_socket_is_in_progress(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, socket.socket() as plain:
        plain.setblocking(False)
        with client_context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as client:
            assert client.connect_ex(server.address) in {0, errno.EINPROGRESS, errno.EWOULDBLOCK}
            select.select([], [client], [], TIMEOUT_S)
            waits = []
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError as waiting:
                    waits.append(waiting.errno)
                    select.select([client], [], [], TIMEOUT_S)
            # None at all where the server was faster.
            assert set(waits) <= {ssl.SSL_ERROR_WANT_READ}
            # `_connected` is unset still; that there is a peer is enough.
            assert client.getpeercert()
            client.settimeout(TIMEOUT_S)
            assert echo_of(client) == b"FOO\n"


def test_without_a_handshake_on_connect_there_is_none(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server:
        with tls_dialled(server, client_context, do_handshake_on_connect=False) as client:
            assert client.version() is None
            with pytest.raises(ValueError, match=r"^handshake not done yet$"):
                client.getpeercert()
            client.do_handshake()
            assert client.version() == "TLSv1.3"
            assert client.getpeercert()


def test_a_connected_socket_does_not_connect_again(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(echoing(), context=server_context) as server, tls_dialled(server, client_context) as client:
        for again in (client.connect, client.connect_ex):
            with pytest.raises(ValueError, match=r"^attempt to connect already-connected SSLSocket!$"):
                again(server.address)
        assert echo_of(client) == b"FOO\n"


def test_a_connected_socket_does_not_connect_again_even_after_tls(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with listening(saying_goodbye(), context=server_context) as server, tls_dialled(server, client_context) as client:
        client.sendall(b"QUIT\n")
        assert client.recv(4) == b"bye\n"
        client.unwrap()
        with pytest.raises(ValueError, match=r"^attempt to connect already-connected SSLSocket!$"):
            client.connect(server.address)


def test_a_socket_wrapped_after_connecting_does_not_connect_again(client_context: ssl.SSLContext) -> None:
    with plain_connection() as (plain, _):
        address = plain.getpeername()
        with client_context.wrap_socket(plain, server_hostname="x", do_handshake_on_connect=False) as client:
            with pytest.raises(ValueError, match=r"^attempt to connect already-connected SSLSocket!$"):
                client.connect(address)


def test_a_socket_with_a_pending_connect_does_not_connect_again(client_context: ssl.SSLContext) -> None:
    with open_listener() as listener, socket.socket() as plain:
        plain.setblocking(False)
        with client_context.wrap_socket(plain, server_hostname="x", do_handshake_on_connect=False) as client:
            client.connect_ex(listener.getsockname())
            with pytest.raises(ValueError, match=r"^attempt to connect already-connected SSLSocket!$"):
                client.connect_ex(listener.getsockname())


def test_a_handshake_that_fails_while_connecting_leaves_no_tls_behind(
    strange_authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    refusal = Refusal()
    with listening(refusal.by(server_context)) as server, socket.socket() as plain:
        plain.settimeout(TIMEOUT_S)
        with trusting(strange_authority).wrap_socket(plain, server_hostname="localhost") as client:
            with pytest.raises(ssl.SSLCertVerificationError):
                client.connect(server.address)
            assert client.version() is None
            with pytest.raises(ValueError, match="closed or unwrapped"):
                client.read()
    assert refusal.failure is not None
    assert refusal.failure.reason == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_handshake_that_fails_while_wrapping_closes_the_descriptor(
    strange_authority: trustme.CA, server_context: ssl.SSLContext
) -> None:
    refusal = Refusal()
    with connected(refusal.by(server_context)) as plain:
        descriptor = plain.fileno()
        with pytest.raises(ssl.SSLCertVerificationError):
            trusting(strange_authority).wrap_socket(plain, server_hostname="localhost")
        with pytest.raises(OSError):
            os.fstat(descriptor)


def test_a_server_that_hangs_up_in_the_handshake_is_an_error(client_context: ssl.SSLContext) -> None:
    def rude() -> Peer:
        yield Say()

    with listening(rude()) as server, pytest.raises(OSError), tls_dialled(server, client_context):
        pass


def test_a_client_that_hangs_up_in_the_handshake_is_an_error(server_context: ssl.SSLContext) -> None:
    with plain_connection() as (client, server):
        client.close()
        with pytest.raises(OSError) as failure:
            server_context.wrap_socket(server, server_side=True)
        assert isinstance(failure.value, ssl.SSLEOFError | ConnectionError)


def test_wrapping_obeys_the_timeout(client_context: ssl.SSLContext) -> None:
    def silent() -> Peer:
        yield Silence()

    with connected(silent()) as plain:
        plain.settimeout(SHORT_S)
        with pytest.raises(TimeoutError, match="timed out"):
            client_context.wrap_socket(plain, server_hostname="localhost")


def test_connecting_obeys_the_timeout(client_context: ssl.SSLContext) -> None:
    def silent() -> Peer:
        yield Silence()

    with listening(silent()) as server, socket.socket() as plain:
        plain.settimeout(SHORT_S)
        with client_context.wrap_socket(plain, server_hostname="localhost") as client:
            with pytest.raises(TimeoutError, match="timed out"):
                client.connect(server.address)
            assert client.gettimeout() == SHORT_S


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a full queue of connections wait in silence")
def test_connect_ex_reports_a_timeout(client_context: ssl.SSLContext) -> None:
    with open_listener(backlog=0) as listener, contextlib.ExitStack() as cleanup:
        for _ in range(3):
            filler = cleanup.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        plain = cleanup.enter_context(socket.socket())
        plain.settimeout(SHORT_S)
        client = cleanup.enter_context(client_context.wrap_socket(plain, server_hostname="localhost"))
        assert client.connect_ex(listener.getsockname()) == errno.EAGAIN
        assert client.version() is None


def test_a_blocking_handshake_of_a_non_blocking_socket_waits(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with connected(echoing(), server_context) as plain:
        plain.setblocking(False)
        with client_context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as client:
            client.do_handshake(block=True)
            assert client.version() == "TLSv1.3"
            assert client.gettimeout() == 0.0


def test_a_blocking_handshake_keeps_a_timeout(client_context: ssl.SSLContext) -> None:
    def silent() -> Peer:
        yield Silence()

    with connected(silent()) as plain:
        plain.settimeout(SHORT_S)
        with client_context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as client:
            with pytest.raises(TimeoutError):
                client.do_handshake(block=True)
            assert client.gettimeout() == SHORT_S


def test_a_handshake_without_blocking_gives_the_timeout_back(client_context: ssl.SSLContext) -> None:
    with plain_connection() as (plain, _):
        plain.setblocking(False)
        with client_context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as client:
            with pytest.raises(ssl.SSLWantReadError) as waiting:
                client.do_handshake()
            assert waiting.value.args[0] == ssl.SSL_ERROR_WANT_READ
            assert str(waiting.value).startswith("The operation did not complete (read)")
            assert client.gettimeout() == 0.0


def test_an_accepting_tls_socket_gives_tls_sockets(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with open_listener() as plain_listener, server_context.wrap_socket(plain_listener, server_side=True) as listener:
        address = listener.getsockname()
        seen: list[Any] = []

        def accept() -> None:
            connection, peer = listener.accept()
            with connection:
                seen.append(
                    (type(connection), connection.server_side, connection.context, connection.version(), peer)
                )
                connection.sendall(connection.recv(3))

        with background(accept), socket.create_connection(address, TIMEOUT_S) as plain:
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                own = client.getsockname()
                client.sendall(b"hey")
                assert client.recv(3) == b"hey"
    assert seen == [(ssl.SSLSocket, True, server_context, "TLSv1.3", own)]


def test_an_accepted_socket_is_wrapped_as_its_listener_was(server_context: ssl.SSLContext) -> None:
    with open_listener() as plain_listener:
        with server_context.wrap_socket(
            plain_listener, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        ) as listener:
            with socket.create_connection(listener.getsockname(), TIMEOUT_S):
                accepted: Any = listener.accept()[0]
                with accepted:
                    assert (accepted.do_handshake_on_connect, accepted.suppress_ragged_eofs) == (False, False)
                    assert accepted.server_side is True


def test_a_clients_context_does_not_accept() -> None:
    context = unverified()
    with (
        open_listener() as plain_listener,
        context.wrap_socket(plain_listener, do_handshake_on_connect=False) as listener,
    ):
        with socket.create_connection(listener.getsockname(), TIMEOUT_S):
            with pytest.raises(ssl.SSLError, match="a server socket with a PROTOCOL_TLS_CLIENT context"):
                listener.accept()


def test_a_servers_context_is_no_clients(server_context: ssl.SSLContext) -> None:
    with plain_connection() as (client, _):
        with pytest.raises(ssl.SSLError, match="a client socket with a PROTOCOL_TLS_SERVER context"):
            server_context.wrap_socket(client)


def test_a_clients_context_is_no_servers() -> None:
    with plain_connection() as (_, server):
        with pytest.raises(ssl.SSLError, match="a server socket with a PROTOCOL_TLS_CLIENT context"):
            unverified().wrap_socket(server, server_side=True)


def test_the_context_of_a_live_socket_can_be_replaced(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    with tls_connection(client_context, server_context) as (client, _):
        low_level: Any = client
        assert client.context is client_context
        assert low_level._sslobj.context is client_context
        other = unverified()
        client.context = other
        assert client.context is other
        assert low_level._sslobj.context is other


@pytest.mark.parametrize("failing", ["getpeername", "recv"])
def test_an_unexpected_error_of_the_plain_socket_is_passed_on(failing: str) -> None:
    class Failing(ssl.SSLSocket):
        pass

    def broken(sock: ssl.SSLSocket, *_: object) -> bytes:
        # Before Python 3.12 nothing else would close the descriptor, which no longer belongs to the plain socket.
        sock.close()
        raise OSError(errno.EIO, "broken on purpose")

    setattr(Failing, failing, broken)
    context = unverified()
    context.sslsocket_class = Failing
    with socket.socket() as plain:
        with pytest.raises(OSError, match="broken on purpose") as failure:
            context.wrap_socket(plain)
        assert failure.value.errno == errno.EIO
