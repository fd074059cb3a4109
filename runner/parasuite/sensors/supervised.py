"""The sensor that the supervisor runs: entered by a copy's main process, served by the supervisor.

Linux only, standard library only. The main process puts itself under observation and hands a descriptor over a Unix
socket to the supervisor, since only it can create that descriptor and only the supervisor may keep it.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from parasuite.sensors.seccomp import kernel
from parasuite.sensors.seccomp.sensor import SeccompSensor as SupervisedSensor

__all__ = ["SupervisedSensor", "Unobserved", "enter", "receive"]
_RESTART_SAFE, _INSTALLED = b"killable", b"installed"


@dataclass(frozen=True, slots=True)
class Unobserved:
    """Why a copy is not observed, for people."""

    why: str


def enter(supervisor: socket.socket) -> bool:
    """Have this process and all that it starts observed; whether they are. The result is sent to *supervisor*."""
    try:
        installed = kernel.install()
    except kernel.SeccompError as error:
        supervisor.send(f"{error.errno} {error.strerror}".encode())
        return False
    socket.send_fds(supervisor, [_RESTART_SAFE if installed.killable else _INSTALLED], [installed.fd])
    os.close(installed.fd)
    return True


def receive(main_process: socket.socket) -> kernel.Installed | Unobserved | None:
    """What `enter` has sent; None if the process ended before it was entered."""
    message, descriptors, _, _ = socket.recv_fds(main_process, 256, 1)
    if descriptors:
        return kernel.Installed(descriptors[0], killable=message == _RESTART_SAFE)
    if not message:
        return None
    code, _, words = message.decode().partition(" ")
    nested = "; a parasuite around this one watches already" if int(code) == errno.EBUSY else ""
    return Unobserved(f"no filter: {words}{nested}")
