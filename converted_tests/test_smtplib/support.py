"""What the tests of smtplib share: dialogues of RFC 5321 and clients that are connected to them."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import cast

from converted_tests.peers import TIMEOUT_S, Dialled, InMemory, Peer, dialled, listening, transcript

ME = "me.test"
"""What every client here calls itself, so that no name of this machine is looked up."""


def folded(lines: bytes) -> bytes:
    """*lines* with `FROM:` and `TO:` in capitals.

    CPython 3.13.0 writes them small and others do not; RFC 5321 section 2.4 makes both the same.
    """
    capitals = re.compile(rb"^(mail from:|rcpt to:)", re.MULTILINE)
    return capitals.sub(lambda match: match[0][:5] + match[0][5:].upper(), lines)


def dialogue(script: str, context: ssl.SSLContext | None = None) -> Peer:
    """`transcript`, to which the case of `FROM:` and `TO:` does not matter."""
    with contextlib.closing(transcript(script, context)) as peer, contextlib.suppress(StopIteration):
        reply = next(peer)
        while True:
            reply = peer.send(folded((yield reply)))


def hello(*features: str) -> str:
    """Script of a greeting and of an EHLO that is answered with *features*."""
    lines = ["mail.test", *features]
    answers = [f"S: 250-{line}" for line in lines[:-1]] + [f"S: 250 {lines[-1]}"]
    return "\n".join(["S: 220 mail.test ready", f"C: ehlo {ME}", *answers, ""])


@contextlib.contextmanager
def served(
    script: str,
    kind: type[smtplib.SMTP] = smtplib.SMTP,
    context: ssl.SSLContext | None = None,
    family: int = socket.AF_INET,
) -> Iterator[smtplib.SMTP]:
    """A client that is connected to a real listener which plays *script*; closed at the end without a QUIT."""
    with listening(dialogue(script, context), family=family) as server:
        with contextlib.closing(kind(server.host, server.port, ME, timeout=TIMEOUT_S)) as client:
            yield client


def offline(
    server_half: bytes | Iterable[bytes] = b"",
    esmtp: dict[str, str] | None = None,
    kind: type[smtplib.SMTP] = smtplib.SMTP,
) -> tuple[smtplib.SMTP, InMemory]:
    """A client after a greeting, and after EHLO if *esmtp* gives its features; no kernel is involved."""
    client, wire = kind(local_hostname=ME), InMemory(server_half)
    client.sock = cast(socket.socket, wire)
    if esmtp is not None:
        client.ehlo_resp = b"mail.test"
        client.does_esmtp = True
        client.esmtp_features = dict(esmtp)
    return client, wire


@contextlib.contextmanager
def answered(server_half: bytes = b"220 mail.test ready\r\n") -> Iterator[tuple[InMemory, list[Dialled]]]:
    """Within the body, every new connection receives *server_half*. Yields the wire and the list of requests."""
    wire = InMemory(server_half)
    with dialled(cast(socket.socket, wire)) as calls:
        yield wire, calls
