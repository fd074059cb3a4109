"""What the tests of http.client share: messages as bytes, a wire that records, an origin server.

Tests of what is written or parsed use `Wire`, which needs no kernel. Tests of connecting, keeping and closing use
`origin` with a listener.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse
from typing import Any, cast

import pytest

from converted_tests.peers import InMemory, Peer, Reply, Say, StartTLS, Take

EXAMPLE_HOST = "Host: example.org"
IDENTITY = "Accept-Encoding: identity"

LIMIT_BYTES = 65536
"""The longest line that http.client reads, its ending included."""

FIELDS_MAX = 100
"""How many lines a head may have after its first one, including the blank one."""


def message(*lines: str, body: bytes = b"") -> bytes:
    """A request or a response: the start line, the fields, a blank line, the body."""
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1") + body


def chunks(*parts: bytes, trailer: bytes = b"") -> bytes:
    """*parts* in chunked transfer coding, the last chunk included."""
    coded = [b"%X\r\n%b\r\n" % (len(part), part) for part in (*parts, b"")]
    return b"".join(coded).removesuffix(b"\r\n") + trailer + b"\r\n"


class Stream(io.BufferedReader):
    """A response's file that can still be read after its close: what the response left unread is in it."""

    hung_up = False

    def close(self) -> None:
        self.hung_up = True

    def flush(self) -> None:
        # Nothing to write. A response that was never closed flushes it when it is collected, and the collector
        # may have closed the raw file below by then; Python 3.13 reports such an error in whichever test runs then.
        pass


class Wire(InMemory):
    """A connection without a kernel: each response reads the next of *replies*; `sends` has what each call sent."""

    def __init__(self, *replies: bytes | Sequence[bytes]) -> None:
        super().__init__()
        self._replies = list(replies)
        self.sends: list[bytes] = []
        self.options: list[tuple[int, int, int]] = []
        self.files: list[Stream] = []

    def sendall(self, data: bytes) -> None:
        # A socket refuses what is no buffer with TypeError, before it sends any of it.
        self.sends.append(bytes(memoryview(data)))
        super().sendall(self.sends[-1])

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))

    def makefile(self, mode: str = "rb", *_args: object, **_named: object) -> Stream:
        reply = self._replies.pop(0) if self._replies else b""
        reader = cast(io.BufferedReader, InMemory(reply).makefile(mode))
        self.files.append(Stream(reader.detach()))
        return self.files[-1]

    @property
    def sock(self) -> socket.socket:
        """Itself: it stands in for a socket and for its file."""
        return cast(socket.socket, self)


class Old(HTTPConnection):
    """A client of HTTP/1.0, the documented way of the past: RFC 1945 knows neither Host nor chunks."""

    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"


def pieces(*parts: bytes) -> Iterator[bytes]:
    """*parts*, one by one and only once."""
    yield from parts


def wired(*replies: bytes, connection: HTTPConnection | None = None) -> tuple[HTTPConnection, Wire]:
    """A connection, to example.org unless given, that is established already, and its wire."""
    connection = connection or HTTPConnection("example.org")
    wire = Wire(*replies)
    connection.sock = wire.sock
    return connection, wire


def written(*request: Any, **named: Any) -> bytes:
    """What `HTTPConnection.request` writes to example.org."""
    connection, wire = wired()
    connection.request(*request, **named)
    return wire.sent


def begun(wire: Wire, method: str | None = None) -> HTTPResponse:
    """The next response on *wire*, read up to its body."""
    response = HTTPResponse(wire.sock, method=method)
    response.begin()
    return response


def response_of(reply: bytes | Sequence[bytes], method: str | None = None) -> HTTPResponse:
    """The response in *reply*, read up to its body."""
    return begun(Wire(reply), method)


def fetch(connection: HTTPConnection, method: str = "GET", url: str = "/") -> tuple[int, bytes]:
    """One exchange: the status and the whole body."""
    connection.request(method, url)
    with connection.getresponse() as response:
        return response.status, response.read()


Reading = Callable[[HTTPResponse, int], bytes]


def by_read(response: HTTPResponse, size: int) -> bytes:
    return response.read(size)


def by_readinto(response: HTTPResponse, size: int) -> bytes:
    """Like `by_read`; the buffer after the bytes that were read must stay unchanged."""
    buffer = bytearray(b"-" * size)
    count = response.readinto(buffer)
    assert buffer[count:] == b"-" * (size - count)
    return bytes(buffer[:count])


read_or_readinto = pytest.mark.parametrize("reading", [by_read, by_readinto], ids=["read", "readinto"])


def origin(*replies: Reply, heard: list[bytes] | None = None) -> Peer:
    """An HTTP server: each request, its body included, gets the next of *replies*; after the last it hangs up.

    The requests are collected in *heard*, in the order of arrival.
    """
    pending: Reply = b""
    for reply in replies:
        request = (yield pending) + b"\r\n"
        while not request.endswith(b"\r\n\r\n"):
            request += (yield b"") + b"\r\n"
        if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", request):
            request += yield Take(b"", int(length[1]))
        elif re.search(rb"(?i)\r\ntransfer-encoding: chunked", request):
            while not request.endswith(b"\r\n0\r\n"):
                request += (yield b"") + b"\r\n"
            request += (yield b"") + b"\r\n"
        if heard is not None:
            heard.append(request)
        pending = reply
    yield Say(pending) if isinstance(pending, bytes) else pending


def refused_handshake(context: ssl.SSLContext) -> Peer:
    """A TLS server whose client breaks off the handshake."""
    with contextlib.suppress(ssl.SSLError):
        yield StartTLS(b"", context)
