"""A client and the peers that several files of this folder need."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from converted_tests.peers import (
    TIMEOUT_S,
    Peer,
    Say,
    Server,
    StartTLS,
)
from netsupport import RunningServer

NAME = "localhost"


@contextlib.contextmanager
def wrapped(
    server: Server | RunningServer, context: ssl.SSLContext, server_hostname: str = NAME, timeout_s: float = TIMEOUT_S
) -> Iterator[ssl.SSLSocket]:
    """A socket that was connected to *server* first and wrapped then."""
    with socket.create_connection((server.host, server.port), timeout_s) as plain:
        with context.wrap_socket(plain, server_hostname=server_hostname) as sock:
            yield sock


def echoing() -> Peer:
    line = yield b""
    while True:
        line = yield line + b"\n"


def saying(data: bytes) -> Peer:
    yield Say(data)


def refusing(refused: list[ssl.SSLError], context: ssl.SSLContext) -> Peer:
    """A peer whose handshake the client breaks off."""
    try:
        yield StartTLS(context=context)
    except ssl.SSLError as failure:
        refused.append(failure)


def one_line(name: object) -> str:
    """A name of `getpeercert()` as `/organizationName=.../commonName=...`."""
    assert isinstance(name, tuple)
    return "".join(f"/{key}={value}" for relative in name for key, value in relative)
