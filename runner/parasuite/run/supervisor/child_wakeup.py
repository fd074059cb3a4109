"""A descriptor that becomes readable when a child of this process ends."""

from __future__ import annotations

import contextlib
import signal
import socket


class ChildWakeup:
    """To be waited for beside sockets. A process can have one of these; a forked child makes another for itself."""

    def __init__(self) -> None:
        self._wake, self._writer = socket.socketpair()
        for end in (self._wake, self._writer):
            end.setblocking(False)
        # The handler does nothing; having one makes Python write a byte to the wake-up descriptor.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # exec keeps blocked signals, so parasuite's parent may have blocked it: then no end would be noticed.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._wake.fileno()

    def drain(self) -> None:
        """Forget the ends so far: the caller is about to collect all children that have ended."""
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)

    def close(self) -> None:
        self._wake.close()
        self._writer.close()
