"""What orchestrator, supervisor and inits say to each other, as JSON lines over a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any


class Channel:
    """JSON lines over a stream socket. Neither `receive` nor `send` ever blocks: the peer may be stopped.

    What could not be sent at once is kept for the next `send` or `flush`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at_end = False
        self._unread = b""
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, **message: object) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what is waiting to be sent, as far as the peer has room for it."""
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError:
            # A vanished peer is noticed by the end of file on the way in, which is the one place that acts on it.
            self._unsent.clear()

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
