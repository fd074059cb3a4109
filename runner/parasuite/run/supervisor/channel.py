"""Messages over a stream socket, one line of JSON each."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from parasuite.run.supervisor.messages import Message, from_json, to_json


class Channel:
    """One end of a stream socket. Neither `receive` nor `send` ever blocks, since the peer may be stopped.

    What cannot be sent at once is kept for the next `send` or `flush`.
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

    def send(self, message: Message) -> None:
        self._unsent += to_json(message) + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what has been kept, as far as the peer has room for it."""
        try:
            while self._unsent:
                del self._unsent[: self.sock.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            return
        except OSError:
            # The peer has gone. Its end of file on the way in is the one place that acts on that.
            self._unsent.clear()

    def receive(self) -> Iterator[Message]:
        """The messages that have arrived; sets `at_end` once the peer has gone."""
        try:
            chunk = self.sock.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self.at_end = not chunk
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for line in lines:
            yield from_json(line)

    def close(self) -> None:
        self.sock.close()
