"""The notify descriptor of a filter: where trapped calls are received and replied to.

Source: seccomp_unotify(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from dataclasses import dataclass

_IOCTL_RECV, _IOCTL_SEND, _IOCTL_ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
_IOCTL_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1
_REPLY_CONTINUE = 1
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_REPLY = struct.Struct("=QqiI")
_ID = struct.Struct("=Q")
_ZEROES = bytes(_NOTIFICATION.size)
_IDS = 1 << 64  # The first is a random number, so they may wrap around.


@dataclass(slots=True)
class Notification:
    """One trapped call. Its thread *tid* waits until we reply. *arguments*: as in the registers."""

    id: int
    tid: int
    number: int
    arguments: tuple[int, ...]

    def int_argument(self, number: int) -> int:
        """An argument of the C type int."""
        value = self.arguments[number] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value


class NotifyChannel:
    """The notify descriptor of one filter; owns *fd*.

    *interrupted*: how many calls a signal ended before we received them, counted up to the last one received. Their
    callers were killed, made the call again (SA_RESTART), or got EINTR; we cannot see which. The kernel numbers the
    calls under a filter consecutively, so these are the gaps between the numbers that we received.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.interrupted = 0
        self._next_id: int | None = None
        self._buffer = bytearray(_NOTIFICATION.size)
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            # Wake the caller on this CPU, since this process is about to sleep: measured faster. Linux 6.6. Not if
            # this process has a real-time priority: the caller would wait for everything that it does first.
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, _IOCTL_SET_FLAGS, _SYNC_WAKE_UP)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def receive(self) -> Notification | None:
        """The next call; None if a signal has ended it. Blocks unless the descriptor polls readable."""
        buffer = self._buffer
        buffer[:] = _ZEROES  # The kernel requires it (EINVAL).
        try:
            fcntl.ioctl(self._fd, _IOCTL_RECV, buffer)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINTR):
                raise
            return None
        fields = _NOTIFICATION.unpack(buffer)
        if self._next_id is not None:
            self.interrupted += (fields[0] - self._next_id) % _IDS
        self._next_id = fields[0] + 1
        return Notification(fields[0], fields[1], fields[3], fields[6:])

    def is_valid(self, notification: Notification) -> bool:
        """Whether the thread still waits in that call. If not, its tid may be another thread's by now."""
        try:
            fcntl.ioctl(self._fd, _IOCTL_ID_VALID, _ID.pack(notification.id))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def continue_call(self, notification: Notification) -> None:
        """Let the kernel perform the call as if there were no filter."""
        self._send(_REPLY.pack(notification.id, 0, 0, _REPLY_CONTINUE))

    def reply(self, notification: Notification, failure: int) -> None:
        """End the call with 0, or with -1 and errno *failure*."""
        self._send(_REPLY.pack(notification.id, 0, -failure, 0))

    def _send(self, reply: bytes) -> None:
        try:
            fcntl.ioctl(self._fd, _IOCTL_SEND, reply)
        except OSError as error:
            # ENOENT: the caller has been killed, so nothing waits for the reply.
            if error.errno != errno.ENOENT:
                raise
