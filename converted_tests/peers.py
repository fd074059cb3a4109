"""The corpus's servers: a *peer* decides what to answer, a *driver* decides how much of the connection is real.

A *peer* is a generator. It yields what to send and receives, at that yield, the next line that the client
sent, without its line ending; it ends the connection by returning. A peer holds no socket, so it can be
driven by hand (`next(peer)`, `peer.send(line)`) and any driver can carry it:

    canned(server_half)    a socket pair whose server half has been written in advance; no thread
    connected(peer)        a socket pair and a thread
    listening(peer, ...)   a listener on a netsupport port, bound before its thread starts
    InMemory(pieces)       no kernel at all: a socket look-alike that receives exactly these pieces

Use the first one in this list that can show the fault that the test is for. A peer may yield plain bytes or one of
the `Action`s below. At the end of input the peer is closed (GeneratorExit). Any other exception of a peer fails the
test that opened the driver.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, BinaryIO, Self, TextIO
from unittest import mock

from netsupport import HOSTv4, HOSTv6, bind_port, bind_unix_socket

TIMEOUT_S = 10.0 * float(os.environ.get("CORPUS_TIMEOUT_SCALE", "1"))
"""The one safety net, on every socket and every join. No test asserts on it: a client of a peer that is silent on
purpose sets its own timeout. CORPUS_TIMEOUT_SCALE stretches it when many copies share a machine."""

SHORT_S = 0.005
"""A timeout that is meant to expire, in a test in which nothing has to happen before."""

SHORT_CONNECT_S = 0.02
"""The same, in a test in which a connection to this host has to be made before."""

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Action:
    """What a peer may yield in place of bytes: send *reply*, then do as the subclass says."""

    reply: bytes = b""


class Say(Action):
    """Send *reply* and continue without reading; the yield gives b""."""


class Silence(Action):
    """Send *reply*, then nothing until the client hangs up; what it sends meanwhile is dropped."""


class Reset(Action):
    """Send *reply*, then abort the connection: over TCP the client sees ECONNRESET, not an end of file.

    Read a line first: if the connection is aborted at once, the client's connect() may fail (measured).
    """


class TakeAll(Action):
    """Send *reply*; the yield gives every byte up to the end of input."""


@dataclass(frozen=True, slots=True)
class Take(Action):
    """Send *reply*; the yield gives exactly *size* bytes (fewer only at the end of input)."""

    size: int = 1


@dataclass(frozen=True, slots=True)
class StartTLS(Action):
    """Send *reply* in the clear, do the server's half of a TLS handshake, then read a line through it.

    A handshake that fails is raised inside the peer, at the yield, as ssl.SSLError or OSError.
    """

    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class StopTLS(Action):
    """Send *reply* through TLS, end it (close_notify both ways), then read a line in the clear."""


Reply = bytes | Action
Peer = Generator[Reply, bytes, None]


class ScriptError(AssertionError):
    """A client sent something other than its peer's script expects."""


def transcript(script: str, context: ssl.SSLContext | None = None) -> Peer:
    """A peer that plays *script*, in the notation of the RFCs.

    `S: text` is sent followed by CRLF, `C: text` must match the line that arrives (`*` matches anything), and a
    line `TLS` starts TLS with *context*. All other lines are comments. A client that sends something else, or
    hangs up while a `C:` line is due, fails the test (ScriptError). After the last line the connection ends.
    """
    lines = [line.strip() for line in script.splitlines()]
    steps = [line for line in lines if line.startswith(("S:", "C:")) or line == "TLS"]
    pending: Reply = b""
    for step, following in zip(steps, [*steps, ""][1:], strict=True):
        text = step[2:].removeprefix(" ")
        if step.startswith("S:"):
            assert isinstance(pending, bytes), "a client speaks first after TLS"
            pending += text.encode() + b"\r\n"
            continue
        if step == "TLS":
            assert isinstance(pending, bytes), "TLS inside TLS"
            assert following.startswith("C:"), "a client speaks first after TLS"
            pending = StartTLS(pending, context)
            continue
        try:
            line = yield pending
        except GeneratorExit:
            raise ScriptError(f"script expected {text!r}, client hung up") from None
        pending = b""
        if not fnmatchcase(line.decode("utf-8", "backslashreplace"), text.replace("[", "[[]")):
            raise ScriptError(f"script expected {text.encode()!r}, client sent {line!r}")
    if pending:
        assert isinstance(pending, bytes)
        yield Say(pending)


class _Stream:
    """One connection, read line by line, by a number of bytes, or to its end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._unread = bytearray()

    def _more(self) -> bool:
        try:
            chunk = self.sock.recv(_CHUNK_BYTES)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return False
        self._unread += chunk
        return bool(chunk)

    def _cut(self, size: int) -> bytes:
        head = bytes(self._unread[:size])
        del self._unread[:size]
        return head

    def line(self) -> bytes | None:
        """The next line without its ending; None at the end of input, even in the middle of a line."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            if not self._more():
                return None
        return self._cut(end + 1).removesuffix(b"\n").removesuffix(b"\r")

    def take(self, size: int) -> bytes:
        while len(self._unread) < size and self._more():
            pass
        return self._cut(size)

    def rest(self) -> bytes:
        while self._more():
            pass
        return self._cut(len(self._unread))

    def answer(self, reply: Reply) -> bytes | None:
        """Do what the peer yielded. Returns what the client sent next, or None at the end of input."""
        data = reply if isinstance(reply, bytes) else reply.reply
        if data:
            self.sock.sendall(data)
        match reply:
            case Say():
                return b""
            case Take(size=size):
                return self.take(size)
            case TakeAll():
                return self.rest()
            case Silence():
                self.rest()
                return None
            case Reset():
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None
            case StartTLS(context=context):
                if context is None or self._unread:
                    raise ScriptError(f"STARTTLS needs a context and an empty buffer, which holds {self._unread!r}")
                self.sock = context.wrap_socket(self.sock, server_side=True)
            case StopTLS():
                assert isinstance(self.sock, ssl.SSLSocket)
                self.sock = self.sock.unwrap()
        return self.line()


def serve(peer: Peer, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Carry *peer* over the connected *sock* until one side ends, then close *sock*.

    With *context*, TLS begins before the first byte. Raises what the peer raises.
    """
    sock.settimeout(TIMEOUT_S)
    if sock.family != getattr(socket, "AF_UNIX", None) and sock.type == socket.SOCK_STREAM:
        # Otherwise a second small write would wait 40 ms for the client's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    stream = _Stream(sock)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(lambda: stream.sock.close())
        cleanup.callback(peer.close)
        if context is not None:
            stream.sock = context.wrap_socket(sock, server_side=True)
        with contextlib.suppress(StopIteration):
            reply = next(peer)
            while True:
                try:
                    heard = stream.answer(reply)
                except ConnectionError:
                    return
                except ssl.SSLError as failure:
                    reply = peer.throw(failure)
                    continue
                if heard is None:
                    return
                reply = peer.send(heard)


@contextlib.contextmanager
def background(work: Callable[[], None], name: str = "peer") -> Iterator[threading.Thread]:
    """Run *work* in a thread while the body runs; its failure is the test's failure.

    At the end of the body the thread is joined. Raises what *work* raised, or TimeoutError if it does not
    end within TIMEOUT_S, most often because the test left its client open.
    """
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - handed over to the test's thread, below
            failures.append(failure)

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(TIMEOUT_S)
        if failures:
            raise failures[0]
        if thread.is_alive():
            raise TimeoutError(f"the {name}'s thread did not end in {TIMEOUT_S:g} s: is its client closed?")


@dataclass(slots=True)
class Canned:
    """A client's socket, connected to a server that has already sent everything."""

    client: socket.socket
    _server: socket.socket

    def sent(self) -> bytes:
        """Everything that the client wrote. Call it once, after the last write; it closes the client."""
        self.client.close()
        self._server.settimeout(TIMEOUT_S)
        return _Stream(self._server).rest()

    def say(self, more: bytes) -> None:
        """Let the server send *more*; only if *open_end* was true."""
        self._server.sendall(more)

    def hang_up(self) -> None:
        """End the server's half: the client reads an end of file."""
        self._server.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def canned(server_half: bytes, *, open_end: bool = False) -> Iterator[Canned]:
    """A socket pair whose server half is *server_half*, then an end of file (unless *open_end*).

    *server_half* must fit into a socket buffer (64 kB is safe), since no thread could write the rest.
    """
    client, server = socket.socketpair()
    with client, server:
        client.settimeout(TIMEOUT_S)
        server.setblocking(False)
        server.sendall(server_half)
        if not open_end:
            server.shutdown(socket.SHUT_WR)
        yield Canned(client, server)


@contextlib.contextmanager
def connected(peer: Peer, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A client's socket whose other end is *peer*, in a thread, over a socket pair."""
    client, server = socket.socketpair()
    with background(lambda: serve(peer, server, context)), client:
        client.settimeout(TIMEOUT_S)
        yield client


@dataclass(frozen=True, slots=True)
class Dialled:
    """The arguments of one call of `socket.create_connection`; *timeout* is `...` if none was given."""

    address: object
    timeout: object = ...
    source_address: object = None


@contextlib.contextmanager
def dialled(client: socket.socket) -> Iterator[list[Dialled]]:
    """Within the body, `socket.create_connection` returns *client*: for modules that insist on connecting themselves.

    The requested timeout is applied to *client*, as by the real function. Yields the list of requests.
    """
    calls: list[Dialled] = []

    def connect(
        address: object, timeout: object = ..., source_address: object = None, **_named: object
    ) -> socket.socket:
        calls.append(Dialled(address, timeout, source_address))
        if isinstance(timeout, int | float):
            client.settimeout(timeout)
        return client

    with mock.patch("socket.create_connection", connect):
        yield calls


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a listener; unpacks as `(host, port)`. For a Unix socket *host* is the path and *port* 0."""

    host: str
    port: int

    def __iter__(self) -> Iterator[str | int]:
        return iter((self.host, self.port))

    @property
    def address(self) -> tuple[str, int] | str:
        """What `socket.connect` takes."""
        return (self.host, self.port) if self.port else self.host


class OfThisHost(socket.socket):
    """A socket that other hosts cannot reach, whatever address it is bound to.

    On Linux it is also bound to the loopback device. On other systems, and where that is not permitted (before
    Linux 5.7 without CAP_NET_RAW), it is an ordinary socket: bound to a wildcard, it can be reached by other hosts.
    """

    def bind(self, address: Any, /) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                # Not self.setsockopt: a subclass may record its calls.
                socket.SocketType.setsockopt(self, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        super().bind(address)


def open_listener(family: int = socket.AF_INET, path: str | os.PathLike[str] = "", backlog: int = 8) -> socket.socket:
    """A bound and listening stream socket: on HOSTv4, on HOSTv6, or, for AF_UNIX, at *path*."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(TIMEOUT_S)
        if family in (socket.AF_INET, socket.AF_INET6):
            bind_port(sock, HOSTv6 if family == socket.AF_INET6 else HOSTv4)
        else:
            bind_unix_socket(sock, path)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def listening(
    *peers: Peer,
    family: int = socket.AF_INET,
    path: str | os.PathLike[str] = "",
    context: ssl.SSLContext | None = None,
) -> Iterator[Server]:
    """A real listener. The first of *peers* serves the first connection, then the second the next, and so on.

    The listener is bound and listens before its thread starts, so a client may connect at once. With *context*
    each connection begins with TLS. A peer to which no client connected fails the test (ScriptError).
    """
    with open_listener(family, path) as listener, contextlib.ExitStack() as cleanup:
        stop_reader, stop_writer = socket.socketpair()
        cleanup.enter_context(stop_reader)
        cleanup.enter_context(background(lambda: _accept_each(listener, stop_reader, peers, context)))
        # Closed first: a body that ends early, by a failure or on purpose, wakes the thread in accept.
        cleanup.enter_context(stop_writer)
        name = listener.getsockname()
        yield Server(name, 0) if isinstance(name, str) else Server(name[0], name[1])


def _accept_each(
    listener: socket.socket, stop: socket.socket, peers: Iterable[Peer], context: ssl.SSLContext | None
) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(stop, selectors.EVENT_READ)
        for peer in peers:
            ready = {key.fileobj for key, _ in selector.select(TIMEOUT_S)}
            if listener not in ready:
                raise ScriptError(f"no client came for {peer!r}")
            connection, _ = listener.accept()
            if connection.family != socket.AF_UNIX:
                # Two replies in a row would wait 40 ms for the client's delayed acknowledgement of the first.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(peer, connection, context)


class _Pieces(io.RawIOBase):
    """A raw stream of which each read returns at most one piece."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece][::-1]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._pieces:
            return 0
        piece = self._pieces.pop()
        size = min(len(buffer), len(piece))
        buffer[:size] = piece[:size]
        if piece[size:]:
            self._pieces.append(piece[size:])
        return size


class InMemory:
    """A socket look-alike: recv() gives *pieces* one by one, then the end of file; `sent` is what was written.

    For parsers and laws. It has no descriptor, timeout or thread, so it can never block.
    """

    family = socket.AF_UNSPEC

    def __init__(self, pieces: bytes | Iterable[bytes] = b"") -> None:
        self._incoming = _Pieces([pieces] if isinstance(pieces, bytes) else pieces)
        self._sent = bytearray()
        self.closed = False

    @property
    def sent(self) -> bytes:
        return bytes(self._sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def recv(self, size: int) -> bytes:
        return self._incoming.read(size) or b""

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def send(self, data: bytes) -> int:
        self._sent += data
        return len(data)

    def makefile(
        self, mode: str = "rb", *_args: object, encoding: str | None = None, **_named: object
    ) -> BinaryIO | TextIO:
        reader: BinaryIO = io.BufferedReader(self._incoming)
        if mode == "r":
            return io.TextIOWrapper(reader, encoding=encoding)
        assert mode == "rb", mode
        return reader

    def settimeout(self, timeout: float | None) -> None:
        """Ignored: nothing here ever waits."""

    def shutdown(self, how: int) -> None:
        """Ignored: the end of file is where the pieces end."""

    def close(self) -> None:
        self.closed = True
