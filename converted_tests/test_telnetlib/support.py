"""The two ways in which these tests meet a telnet server without a thread."""

from __future__ import annotations

import contextlib
import telnetlib
from collections.abc import Iterable, Iterator
from typing import Any

from converted_tests.peers import Canned, InMemory, canned, dialled

Telnet: Any = telnetlib.Telnet
"""Untyped: the stubs know nothing of its queues, and take a list of patterns for one of compiled ones."""

HOST, PORT = "telnet.example", 2323

PACKET = 50
"""The client reads at most so many bytes at once."""


@contextlib.contextmanager
def telnet(server_half: bytes = b"", *, open_end: bool = False) -> Iterator[tuple[Any, Canned]]:
    """A client and its socket pair, on which the server has sent *server_half* and, unless *open_end*, hung up."""
    with canned(server_half, open_end=open_end) as wire, dialled(wire.client), Telnet(HOST, PORT) as client:
        yield client, wire


@contextlib.contextmanager
def in_memory(pieces: bytes | Iterable[bytes] = b"") -> Iterator[tuple[Any, InMemory]]:
    """A client that receives exactly *pieces*; only for methods that use no selector."""
    wire = InMemory(pieces)
    with dialled(wire), Telnet(HOST, PORT) as client:  # type: ignore[arg-type]
        yield client, wire
