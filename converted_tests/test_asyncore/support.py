"""Channels that record their events, loops that end on a condition or a count (never on a clock), and scenarios."""

from __future__ import annotations

import asyncore
import contextlib
import errno
import select
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S
from netsupport import HOSTv4, HOSTv6

Channels = dict[int, Any]
"""asyncore's map: descriptor -> the channel that has it."""

ROUNDS_MAX = 2000
"""Where a loop gives up. Each round waits for an event, so a dialogue needs tens of them."""


@contextlib.contextmanager
def channel_map() -> Iterator[Channels]:
    """A map of the test's own, whose channels are closed at the end, whatever the test left open."""
    channels: Channels = {}
    try:
        yield channels
    finally:
        for channel in list(channels.values()):
            if channel.socket is not None:
                channel.socket.close()


def run_until(reached: Callable[[], object], channels: Channels, use_poll: bool = False) -> None:
    """Run the loop over *channels* until *reached* holds. Raises AssertionError after ROUNDS_MAX rounds."""
    for _ in range(ROUNDS_MAX):
        if reached():
            return
        asyncore.loop(TIMEOUT_S, use_poll, channels, count=1)
    raise AssertionError(f"not reached in {ROUNDS_MAX} rounds over {list(channels.values())}")


class Recorder(asyncore.dispatcher):
    """A channel that records each event in `events`, keeps what it reads and writes what is in `outgoing`.

    It waits for writability only while it connects or has something to write, so that a loop over it waits
    for events. poll(2) may show several signs of one end, each of which calls handle_close: `closes` counts
    the calls, `events` has the first. An exception in a handler is not swallowed: it fails the test.
    """

    addr: Any
    socket: Any

    def __init__(self, sock: socket.socket | None = None, map: Channels | None = None) -> None:
        self.events: list[str] = []
        self.outgoing = b""
        self.received = b""
        self.closes = 0
        super().__init__(sock, map)

    @property
    def flags(self) -> dict[str, bool]:
        return {"connected": self.connected, "accepting": self.accepting, "connecting": self.connecting}

    def writable(self) -> bool:
        return self.connecting or bool(self.outgoing)

    def handle_connect(self) -> None:
        self.events.append("connect")

    def handle_read(self) -> None:
        if data := self.recv(65536):
            self.events.append("read")
            self.received += data

    def handle_write(self) -> None:
        if self.outgoing and (sent := self.send(self.outgoing)):
            self.events.append("write")
            self.outgoing = self.outgoing[sent:]

    def handle_expt(self) -> None:
        self.events.append("expt")

    def handle_close(self) -> None:
        self.closes += 1
        if self.closes == 1:
            self.events.append("close")
        self.close()

    def handle_error(self) -> None:
        raise


class Listener(Recorder):
    """A listening channel that makes a Recorder of every connection and keeps it in `accepted`."""

    def __init__(self, family: int, address: Any, channels: Channels) -> None:
        super().__init__(map=channels)
        self.accepted: list[Recorder] = []
        self._channels = channels
        self.create_socket(family)
        self.bind(address)
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, address: Any) -> None:
        self.events.append(f"accepted {address!r}")
        self.accepted.append(Recorder(sock, self._channels))


PASSED_ON = [asyncore.ExitNow, KeyboardInterrupt, SystemExit]


class Events:
    """What asyncore's functions need of a channel; `calls` lists the handlers called, each raises `failure`."""

    def __init__(
        self,
        failure: BaseException | None = None,
        *,
        readable: bool = True,
        writable: bool = True,
        accepting: bool = False,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.calls: list[str] = []
        self.caught: list[BaseException | None] = []
        self.accepting = accepting
        self.failure = failure
        self.readable = lambda: readable
        self.writable = lambda: writable
        self.then = then

    def _happens(self, name: str) -> None:
        self.calls.append(name)
        self.then()
        if self.failure is not None:
            raise self.failure

    def handle_read_event(self) -> None:
        self._happens("read")

    def handle_write_event(self) -> None:
        self._happens("write")

    def handle_expt_event(self) -> None:
        self._happens("expt")

    def handle_close(self) -> None:
        self.calls.append("close")

    def handle_error(self) -> None:
        self.calls.append("error")
        self.caught.append(sys.exc_info()[1])


class StubSocket:
    """A socket with prepared results: an exception is raised, anything else returned; `calls` has each call."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls.append((name, *args))
            answer = self.answers[name]
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


class SlowSocket:
    """A socket that takes at most `sizes[n]` bytes in its nth send (0: its buffer is full), and later takes all."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)[::-1]
        self.sent = b""

    def send(self, data: bytes) -> int:
        size = self.sizes.pop() if self.sizes else len(data)
        if size == 0 and data:
            raise BlockingIOError(errno.EWOULDBLOCK, "full")
        self.sent += data[:size]
        return len(data[:size])


def channel_over(sock: Any, kind: type[Recorder] = Recorder, **flags: bool) -> Recorder:
    """A channel that talks to *sock*, outside any map, with *flags* (connected, accepting, ...) set on it."""
    channel = kind(map={})
    channel.socket = sock
    for name, value in flags.items():
        setattr(channel, name, value)
    return channel


needs_poll = pytest.mark.skipif(not hasattr(select, "poll"), reason="select.poll is missing on this platform")


@dataclass(frozen=True)
class Scenario:
    """A family of addresses and a way to wait for events."""

    family: int
    path: Path
    use_poll: bool

    @property
    def address(self) -> Any:
        """Where to bind: a port of the kernel's choice, or the path."""
        match self.family:
            case socket.AF_INET:
                return (HOSTv4, 0)
            case socket.AF_INET6:
                return (HOSTv6, 0)
            case _:
                return str(self.path)

    def run(self, reached: Callable[[], object], channels: Channels) -> None:
        run_until(reached, channels, self.use_poll)

    def listen(self, channels: Channels) -> Listener:
        return Listener(self.family, self.address, channels)

    def dial(self, address: Any, channels: Channels, kind: Callable[[None, Channels], Any] = Recorder) -> Any:
        client = kind(None, channels)
        client.create_socket(self.family)
        client.connect(address)
        return client

    def connect(self, channels: Channels) -> tuple[Recorder, Recorder]:
        """A client's channel and the server's, with the connection made and its events forgotten."""
        listener = self.listen(channels)
        client = self.dial(listener.socket.getsockname(), channels)
        self.run(lambda: client.connected and listener.accepted, channels)
        listener.close()
        server = listener.accepted[0]
        client.events.clear()
        return client, server


FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6, "unix": getattr(socket, "AF_UNIX", None)}

OVER_TCP = [(family, waiting) for family in ("ipv4", "ipv6") for waiting in ("select", "poll")]

SCENARIOS = [*OVER_TCP, ("unix", "select"), ("unix", "poll")]


def scenarios(pairs: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scenario", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


in_every_scenario = scenarios(SCENARIOS)

over_tcp = scenarios(OVER_TCP)

with_select = scenarios([(family, waiting) for family, waiting in SCENARIOS if waiting == "select"])
