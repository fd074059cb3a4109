"""What the tests of poplib share: dialogues of RFC 1939 and clients that are connected to them."""

from __future__ import annotations

import contextlib
import poplib
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import cast

from converted_tests.peers import TIMEOUT_S, InMemory, dialled, listening, transcript

GREETING = b"+OK mailbox ready\r\n"
HOST_NAME = "localhost"

UPGRADE = """
    S: +OK mailbox ready
    C: CAPA
    S: +OK these
    S: STLS
    S: .
    C: STLS
    S: +OK go ahead
    TLS
"""


def offline(server_half: bytes | Iterable[bytes] = b"", greeting: bytes = GREETING) -> tuple[poplib.POP3, InMemory]:
    """A client that was greeted and then receives *server_half*; no kernel is involved."""
    wire = InMemory([greeting, *([server_half] if isinstance(server_half, bytes) else server_half)])
    with dialled(cast(socket.socket, wire)):
        return poplib.POP3("mail.test"), wire


def left_of(client: poplib.POP3) -> dict[str, object]:
    """The client's socket and file; both are None after its end, whatever the type stubs say."""
    return {name: vars(client)[name] for name in ("sock", "file")}


@contextlib.contextmanager
def served(script: str, family: int = socket.AF_INET) -> Iterator[poplib.POP3]:
    """A client that is connected to a real listener, which greets it and then plays *script*."""
    with listening(transcript("S: +OK mailbox ready\n" + script), family=family) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=TIMEOUT_S)) as client:
            yield client


@contextlib.contextmanager
def served_by_SSL(
    script: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Iterator[poplib.POP3]:
    """`served`, inside TLS from the first byte."""
    with listening(transcript("S: +OK mailbox ready\n" + script), context=server_context) as server:
        with contextlib.closing(
            poplib.POP3_SSL(server.host, server.port, timeout=TIMEOUT_S, context=client_context)
        ) as client:
            yield client


@contextlib.contextmanager
def served_after_STLS(
    script: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Iterator[poplib.POP3]:
    """`served`, inside TLS from STLS on."""
    with listening(transcript(UPGRADE + script, server_context)) as server:
        with contextlib.closing(poplib.POP3(server.host, server.port, timeout=TIMEOUT_S)) as client:
            client.stls(client_context)
            yield client
