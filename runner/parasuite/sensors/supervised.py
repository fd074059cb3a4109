"""The sensor that the supervisor runs: entered by a copy's main process, served by the supervisor.

Linux only, standard library only. The main process puts itself under observation and hands a descriptor over a Unix
socket to the supervisor, since only it can create that descriptor and only the supervisor may keep it.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from parasuite.sensors.seccomp import handover
from parasuite.sensors.seccomp.filter import Installed, SeccompError
from parasuite.sensors.seccomp.sensor import SeccompSensor as SupervisedSensor

__all__ = ["SupervisedSensor", "Unobserved", "enter", "receive"]


@dataclass(frozen=True, slots=True)
class Unobserved:
    """Why a copy is not observed, for people."""

    why: str


def enter(supervisor: socket.socket, *, has_own_network: bool = False) -> bool:
    """Have this process and all that it starts observed; whether they are. The result is sent to *supervisor*.

    *has_own_network*: this process is in another network than the supervisor.
    """
    try:
        handover.install_and_send(supervisor, with_network=has_own_network)
    except SeccompError:
        return False
    return True


def receive(main_process: socket.socket) -> Installed | Unobserved | None:
    """What `enter` has sent; None if the process ended before it was entered."""
    try:
        return handover.receive(main_process)
    except SeccompError as error:
        nested = "; a parasuite around this one watches already" if error.errno == errno.EBUSY else ""
        return Unobserved(f"no filter: {error.strerror}{nested}")
