"""What the files on `socket` share: pairs, a handler in the middle of a call, the module as other systems have it."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from converted_tests.peers import TIMEOUT_S, Peer, open_listener
from netsupport import HOSTv4, HOSTv6, bind_port

Pair = tuple[socket.socket, socket.socket]

"""How long a call waits for something that never comes."""

HAS_IPV6_CONSTANTS = hasattr(socket, "IPV6_RECVHOPLIMIT")


@contextlib.contextmanager
def tcp_pair(family: int = socket.AF_INET) -> Iterator[Pair]:
    """The client's and the server's end of a TCP connection over the loop-back interface."""
    with contextlib.ExitStack() as cleanup:
        listener = cleanup.enter_context(open_listener(family))
        client = cleanup.enter_context(socket.socket(family, socket.SOCK_STREAM))
        client.settimeout(TIMEOUT_S)
        client.connect(listener.getsockname())
        server = cleanup.enter_context(listener.accept()[0])
        server.settimeout(TIMEOUT_S)
        yield client, server


@contextlib.contextmanager
def unix_pair(kind: int = socket.SOCK_STREAM) -> Iterator[Pair]:
    """Two ends of a Unix socket pair, with the safety net's timeout."""
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:
        left.settimeout(TIMEOUT_S)
        right.settimeout(TIMEOUT_S)
        yield left, right


@contextlib.contextmanager
def datagram_pair(family: int = socket.AF_INET, proto: int = 0) -> Iterator[Pair]:
    """Two datagram sockets, each bound to a port of its own; neither is connected."""
    host = HOSTv6 if family == socket.AF_INET6 else HOSTv4
    with (
        socket.socket(family, socket.SOCK_DGRAM, proto) as left,
        socket.socket(family, socket.SOCK_DGRAM, proto) as right,
    ):
        for sock in (left, right):
            sock.settimeout(TIMEOUT_S)
            bind_port(sock, host)
        yield left, right


@contextlib.contextmanager
def refusing(family: int = socket.AF_INET) -> Iterator[tuple[str, int]]:
    """An address that refuses connections for as long as the body runs: bound, and never listened on."""
    host = HOSTv6 if family == socket.AF_INET6 else HOSTv4
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        yield host, bind_port(bound, host)


def fill(sock: socket.socket) -> int:
    """Send until nothing more fits; how many bytes that took. The timeout of *sock* stays as it was."""
    before = sock.gettimeout()
    sock.setblocking(False)
    total = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            total += sock.send(bytes(65536))
    sock.settimeout(before)
    return total


def drain(sock: socket.socket) -> bytes:
    """Everything that has arrived at *sock* by now. The timeout of *sock* stays as it was."""
    before = sock.gettimeout()
    sock.setblocking(False)
    received = bytearray()
    with contextlib.suppress(BlockingIOError):
        while chunk := sock.recv(65536):
            received += chunk
    sock.settimeout(before)
    return bytes(received)


def echo() -> Peer:
    """A peer that sends every line back."""
    line = yield b""
    while True:
        line = yield line + b"\n"


@contextlib.contextmanager
def interrupted_by(handler: Callable[[], None], *, times: int = 1) -> Iterator[None]:
    """SIGALRM runs *handler* within the body, as a rule while it is blocked, *times* times or until it raises.

    The alarm comes again and again until then: one that arrives just before a call blocks only leaves a note for the
    interpreter, which reads it when the next alarm ends the wait. So no outcome depends on how long it takes.
    """
    left, running = times, False

    def run(*_arguments: object) -> None:
        nonlocal left, running
        # An alarm may come in the middle of this very function.
        if running or not left:
            return
        running = True
        left -= 1
        if not left:
            # Before the handler: a connect() in it that is interrupted before the kernel has begun, as a tracer's
            # trap can make happen, is taken by the module for one that is under way.
            signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            handler()
        except BaseException:
            left = 0
            raise
        finally:
            if not left:
                signal.setitimer(signal.ITIMER_REAL, 0)
            running = False

    before = signal.signal(signal.SIGALRM, run)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def loaded_again() -> ModuleType:
    """A second `socket` module, from the same file, without what a test took away from `_socket`, `os` or `sys`."""
    spec = importlib.util.spec_from_file_location("_socket_of_another_system", socket.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module
