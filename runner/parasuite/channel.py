"""What orchestrator, supervisor and inits say to each other, as JSON lines over a socket."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any


class Channel:
    """JSON lines over a stream socket. `receive` never blocks; `send` gives up silently on a peer that is gone."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at_end = False
        self._unread = b""

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, **message: object) -> None:
        # A vanished peer is noticed by the end of file on the way in, which is the one place that acts on it.
        with contextlib.suppress(OSError):
            self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> Iterator[dict[str, Any]]:
        """The messages that have arrived; sets `at_end` once the peer is gone."""
        try:
            chunk = self.sock.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.at_end = not chunk
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        self.sock.close()
