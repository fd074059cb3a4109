"""A filter's notify descriptor goes from the process that installs the filter to the one that serves it."""

from __future__ import annotations

import os
import socket

from parasuite.sensors.seccomp.filter import Installed, SeccompError, install

_RESTART_SAFE, _NOT_RESTART_SAFE = b"restart-safe", b"not-restart-safe"
_MESSAGE_MAX = 256


def install_and_send(channel: socket.socket) -> None:
    """Install the filter on this thread and send its notify descriptor over *channel*.

    Raises SeccompError if the filter cannot be installed; the other side is sent the reason.
    """
    try:
        installed = install()
    except SeccompError as error:
        channel.send(f"{error.errno} {error.strerror}".encode())
        raise
    message = _RESTART_SAFE if installed.restart_safe else _NOT_RESTART_SAFE
    socket.send_fds(channel, [message], [installed.fd])
    os.close(installed.fd)


def receive(channel: socket.socket) -> Installed | None:
    """What `install_and_send` sends; None if the other side ended before it did. Waits for it.

    Raises SeccompError if the filter could not be installed.
    """
    message, fds, _, _ = socket.recv_fds(channel, _MESSAGE_MAX, 1)
    if fds:
        return Installed(fds[0], restart_safe=message == _RESTART_SAFE)
    if not message:
        return None
    code, _, words = message.decode().partition(" ")
    raise SeccompError(int(code), words)
