"""Both ends of a TLS connection in one thread, through memory or over a real listener, without waiting."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import trustme

from converted_tests.peers import TIMEOUT_S, Peer, Server, StartTLS, open_listener

End = ssl.SSLObject | ssl.SSLSocket
Ends = tuple[ssl.SSLSocket, ssl.SSLSocket]

# Each round carries a flight of at least one end; TLS needs five with a HelloRetryRequest. Over TCP a
# flight may come in pieces.
_ROUNDS_MAX = 50


def serving(*identities: trustme.LeafCert, **attributes: Any) -> ssl.SSLContext:
    """A server's context that presents *identities*, with *attributes* set on it in the given order."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for identity in identities:
        identity.configure_cert(context)
    return _with(context, attributes)


def trusting(*authorities: trustme.CA, **attributes: Any) -> ssl.SSLContext:
    """A client's context that verifies names and trusts *authorities*, with *attributes* set on it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in authorities:
        authority.configure_trust(context)
    return _with(context, attributes)


def unverified(**attributes: Any) -> ssl.SSLContext:
    """A client's context that takes any certificate."""
    return _with(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), {"check_hostname": False, "verify_mode": 0, **attributes})


def _with(context: ssl.SSLContext, attributes: dict[str, Any]) -> ssl.SSLContext:
    for name, value in attributes.items():
        setattr(context, name, value)
    return context


@dataclass(frozen=True, slots=True)
class Memory:
    """A client and a server whose network is two MemoryBIOs."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    to_client: ssl.MemoryBIO
    to_server: ssl.MemoryBIO

    def shaken(self) -> Memory:
        """The same pair after its handshake."""
        handshake(self.client, self.server)
        return self


def through_memory(
    client_context: ssl.SSLContext,
    server_context: ssl.SSLContext,
    server_hostname: str | bytes | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Memory:
    """A client and a server before their handshake."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    return Memory(
        client_context.wrap_bio(to_client, to_server, server_hostname=server_hostname, session=session),
        server_context.wrap_bio(to_server, to_client, server_side=True),
        to_client,
        to_server,
    )


def handshake_outcomes(*ends: End) -> list[Exception | None]:
    """How the handshake ended at each of *ends*: None where it succeeded, SSLWantReadError where it is stuck."""
    outcomes: dict[End, Exception | None] = {}
    stuck: dict[End, Exception | None] = {}
    for _ in range(_ROUNDS_MAX):
        for end in ends:
            if end in outcomes:
                continue
            try:
                end.do_handshake()
            except ssl.SSLWantReadError as waiting:
                # With its traceback it would be part of a cycle through this frame, and keep the ends alive.
                stuck[end] = waiting.with_traceback(None)
            except (OSError, ValueError, TypeError) as failure:
                outcomes[end] = failure.with_traceback(None)
            else:
                outcomes[end] = None
        if len(outcomes) == len(ends):
            break
        sockets = [end for end in ends if end not in outcomes and isinstance(end, ssl.SSLSocket)]
        if sockets and not select.select(sockets, [], [], TIMEOUT_S)[0]:
            break
    return [outcomes.get(end, stuck.get(end)) for end in ends]


def handshake(*ends: End) -> None:
    """Bring the handshake of *ends* to its end; raises the first failure, client before server."""
    for outcome in handshake_outcomes(*ends):
        if outcome is not None:
            raise outcome


@contextlib.contextmanager
def plain_connection(family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's and the server's socket of a connection: accepted by a real listener, or a pair for AF_UNIX."""
    with contextlib.ExitStack() as cleanup:
        if family == socket.AF_UNIX:
            client, server = socket.socketpair()
            cleanup.enter_context(client)
        else:
            client = cleanup.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener = cleanup.enter_context(open_listener(family))
            client.connect(listener.getsockname())
            server, _ = listener.accept()
            # A flight of the handshake must not wait for the acknowledgement of the one before.
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.close()
        cleanup.enter_context(server)
        client.settimeout(TIMEOUT_S)
        server.settimeout(TIMEOUT_S)
        yield client, server


@contextlib.contextmanager
def tls_sockets(
    client_context: ssl.SSLContext,
    server_context: ssl.SSLContext,
    server_hostname: str | None = "localhost",
    family: int = socket.AF_INET,
    **named: Any,
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Both ends as non-blocking sockets before their handshake; *named* goes to the client's wrap_socket."""
    with plain_connection(family) as (plain_client, plain_server):
        plain_client.setblocking(False)
        plain_server.setblocking(False)
        with (
            client_context.wrap_socket(
                plain_client, server_hostname=server_hostname, do_handshake_on_connect=False, **named
            ) as client,
            server_context.wrap_socket(plain_server, server_side=True, do_handshake_on_connect=False) as server,
        ):
            yield client, server


@contextlib.contextmanager
def tls_connection(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, **named: Any
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """As `tls_sockets`, after the handshake, with TIMEOUT_S on both ends."""
    with tls_sockets(client_context, server_context, **named) as (client, server):
        handshake(client, server)
        client.settimeout(TIMEOUT_S)
        server.settimeout(TIMEOUT_S)
        yield client, server


@contextlib.contextmanager
def tls_dialled(server: Server, context: ssl.SSLContext, **named: Any) -> Iterator[ssl.SSLSocket]:
    """A client that wraps first and connects then."""
    with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET) as plain:
        plain.settimeout(TIMEOUT_S)
        with context.wrap_socket(plain, **{"server_hostname": "localhost", **named}) as client:
            client.connect(server.address)
            yield client


def echo_of(client: ssl.SSLSocket, line: bytes = b"FOO\n") -> bytes:
    """What comes back for *line*, as many bytes as it has."""
    client.sendall(line)
    return exactly(client, len(line))


def exactly(sock: ssl.SSLSocket, size: int) -> bytes:
    """The next *size* bytes; fewer only at the end of input."""
    received = b""
    while len(received) < size and (piece := sock.recv(size - len(received))):
        received += piece
    return received


def unwrap(client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
    """End TLS at both ends, in one thread; what is sent from now on is in the clear."""
    client.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.unwrap()
    server.unwrap()
    client.settimeout(TIMEOUT_S)
    client.unwrap()


def echoing() -> Peer:
    """A peer that sends every line back."""
    line = yield b""
    while True:
        line = yield line + b"\n"


@dataclass(slots=True)
class Refusal:
    """What a server saw of a handshake that failed."""

    failure: ssl.SSLError | None = None
    heard: list[bytes] = field(default_factory=list)

    def by(self, context: ssl.SSLContext) -> Peer:
        """A peer that begins with TLS and keeps the failure; after a success it keeps what it receives."""
        try:
            line = yield StartTLS(context=context)
            while True:
                self.heard.append(line)
                line = yield b""
        except ssl.SSLError as failure:
            self.failure = failure
