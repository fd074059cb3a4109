"""What a test over real connections runs in: a family of addresses and a way to wait for events."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converted_tests.test_asyncore.loops import Channels, Listener, Recorder, run_until
from netsupport import HOSTv4, HOSTv6


@dataclass(frozen=True)
class World:
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
        door = self.listen(channels)
        client = self.dial(door.socket.getsockname(), channels)
        self.run(lambda: client.connected and door.accepted, channels)
        door.close()
        server = door.accepted[0]
        client.events.clear()
        return client, server


FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6, "unix": getattr(socket, "AF_UNIX", None)}

INTERNET = [(family, waiting) for family in ("ipv4", "ipv6") for waiting in ("select", "poll")]

EVERYWHERE = [*INTERNET, ("unix", "select"), ("unix", "poll")]


def worlds(pairs: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("world", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


everywhere = worlds(EVERYWHERE)

over_internet = worlds(INTERNET)

by_select = worlds([(family, waiting) for family, waiting in EVERYWHERE if waiting == "select"])
