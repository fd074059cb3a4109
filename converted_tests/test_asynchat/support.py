"""Channels of asynchat that keep what they receive, and an echo server for them."""

from __future__ import annotations

import asynchat
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

import pytest

from converted_tests.peers import InMemory, Peer, Say, Take
from converted_tests.test_asyncore.support import Channels, StubSocket, needs_poll

Terminator = bytes | int | None


class Chat(asynchat.async_chat):
    """A channel that keeps what came before each terminator in `messages`, and what came since in `collected`."""

    incoming: list[bytes]
    ac_in_buffer: bytes
    producer_fifo: deque[Any]
    socket: Any
    use_encoding: Any
    encoding: str

    def __init__(
        self, sock: socket.socket | None = None, map: Channels | None = None, terminator: Terminator = b"\n"
    ) -> None:
        super().__init__(sock, map)
        self.collected: list[bytes] = []
        self.messages: list[bytes] = []
        self.set_terminator(terminator)

    def handle_connect(self) -> None:
        """Nothing to do."""

    def collect_incoming_data(self, data: bytes) -> None:
        assert data, "an empty piece is never handed over"
        self.collected.append(data)

    def found_terminator(self) -> None:
        self.messages.append(b"".join(self.collected))
        self.collected.clear()

    def handle_error(self) -> None:
        raise


def chat_over(sock: Any, terminator: Terminator = b"\n") -> Chat:
    """A connected channel over *sock*, outside any map."""
    chat = Chat(map={}, terminator=terminator)
    chat.socket = sock
    chat.connected = True
    return chat


def chat_after(pieces: Iterable[bytes], terminator: Terminator) -> Chat:
    """A channel that has read these *pieces*, one at a time."""
    cut = list(pieces)
    chat = chat_over(InMemory(cut), terminator)
    for _ in cut:
        chat.handle_read()
    return chat


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


waiting = pytest.mark.parametrize(
    "use_poll", [pytest.param(False, id="select"), pytest.param(True, id="poll", marks=needs_poll)]
)


def echo(size: int, in_chunks_of: int) -> Peer:
    """Reads *size* bytes and sends them back in pieces."""
    heard = yield Take(b"", size)
    for chunk in chunks(heard, in_chunks_of):
        yield Say(chunk)


def dial(server: Iterable[str | int], channels: Channels, terminator: Terminator = b"\n") -> Chat:
    chat = Chat(map=channels, terminator=terminator)
    chat.create_socket()
    chat.connect(tuple(server))
    return chat


class Faulty(Chat):
    """Keeps its errors."""

    def handle_error(self) -> None:
        self.messages.append(repr(sys.exc_info()[1]).encode())


def faulty_over(**answers: Any) -> Faulty:
    chat = Faulty(map={})
    chat.socket = StubSocket(**answers)
    chat.connected = True
    return chat
