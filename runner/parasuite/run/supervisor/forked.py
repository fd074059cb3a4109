"""Forks copies from the importer: a process of the user's, in which pytest has collected the tests.

This runs inside the user's Python, in modules that the user's code does not find (_parasuite_importer). For each copy
there are three forks:

    importer --> a process that ends at once --> init --> the copy's main process

Since the first one ends, the init becomes a child of the spawner, as every init is. It waits for orders like any
other. The main process waits until the init passes on what it is to be, leaves this module and runs the tests.

Theory of operation: how the init is made clean
- *Threads, locks.* The importer refuses to fork if it has another thread, so no lock is held by one that is gone.
- *Descriptors.* All are closed but those of the init; the standard streams lead to /dev/null. What the closed ones
  belonged to is never finalized: nothing that the user's code has made is released, and `os._exit` ends the init.
- *Signals.* Handlers are replaced (also C's, such as faulthandler's), INT, TERM and HUP are ignored, no signal is
  blocked, and the descriptor that signals are written to (signal.set_wakeup_fd) is reset. Timers and alarms do not
  survive a fork.
- *atexit, buffers.* `os._exit` neither runs what was registered nor writes what is buffered. The importer has emptied
  its buffers before.
- *Session.* A new one: a signal to the importer's process group does not reach it.
- *Warnings, tracing, profiling, garbage collection* are off, so that none of them runs the user's code.
- *Environment, current folder, umask, nice, limits* stay the user's. An init starts no program, opens one file
  with an absolute path, and needs a dozen descriptors.

The user's audit hooks cannot be removed, and see what an init does.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
import warnings
from dataclasses import dataclass
from typing import NoReturn

from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.init import Init
from parasuite.run.supervisor.main_process import enter_sensor
from parasuite.run.supervisor.messages import ForkInit, RunMainProcess, from_json, to_json
from parasuite.run.supervisor.process_tree import set_name
from parasuite.run.supervisor.spawner import PACKET_MAX

_FAILED = 1
_DESCRIPTORS_MAX = 3


@dataclass(frozen=True, slots=True)
class MainProcess:
    """A copy's main process, which has just been forked. *init*: a socket to its init. *sensor*: see Init."""

    order: RunMainProcess
    init: socket.socket
    sensor: socket.socket | None

    def enter_sensor(self) -> None:
        """Have this process and all that it starts observed."""
        if self.sensor is not None:
            enter_sensor(self.sensor, self.order)
            self.sensor.close()

    def begin(self) -> None:
        """Tell the init that the copy has started."""
        self.init.close()

    def has_failed(self, why: str) -> NoReturn:
        """Tell the init that it could not be started."""
        with contextlib.suppress(OSError):
            self.init.sendall(why.encode("utf-8", "backslashreplace"))
        os._exit(_FAILED)


def forked_copy(supervisor: socket.socket) -> MainProcess:
    """Fork a copy for each order that comes from *supervisor*. Returns only in the copies; this process ends."""
    while True:
        packet, descriptors, _, _ = socket.recv_fds(supervisor, PACKET_MAX, _DESCRIPTORS_MAX)
        if not packet:
            os._exit(0)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        order = from_json(packet)
        assert isinstance(order, ForkInit)
        main_process = _fork(order.copy, supervisor, descriptors)
        if main_process is not None:
            return main_process
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(copy: int, supervisor: socket.socket, descriptors: list[int]) -> MainProcess | None:
    """Fork the init of *copy*, and from it its main process; None in this process.

    If a fork is refused, the supervisor notices that no init has the other end of its channel.
    """
    lifeline, channel, *sensors = descriptors
    try:
        pid = os.fork()
    except OSError:
        return None
    if pid:
        with contextlib.suppress(ChildProcessError):  # A handler of the user's for SIGCHLD may have waited for it.
            os.waitpid(pid, 0)
        return None
    with contextlib.ExitStack() as leaving:
        leaving.callback(os._exit, _FAILED)
        if os.fork():
            os._exit(0)
        to_main, to_init = socket.socketpair()
        main = os.fork()
        if main:
            _clean({lifeline, channel, to_main.fileno()})
            _init(copy, channel, to_main, main).run()
            os._exit(0)
        leaving.pop_all()
    for descriptor in (lifeline, channel, to_main.detach(), supervisor.detach()):
        os.close(descriptor)
    return _await_order(to_init, socket.socket(fileno=sensors[0]) if sensors else None)


def _clean(kept: set[int]) -> None:
    """Leave nothing of the user's in this process that could act; see the module. *kept*: descriptors."""
    gc.disable()
    sys.settrace(None)
    sys.setprofile(None)
    warnings.simplefilter("ignore")
    os.setsid()
    faulthandler.disable()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not signal.SIG_IGN:
            # Also where Python says that it is: a C library (readline) may have set a handler.
            signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # That of the listing itself.
                os.close(int(name))
    for descriptor in range(3):
        if descriptor not in kept:
            # The lowest free number is taken.
            os.open(os.devnull, os.O_RDWR)
    set_name("parasuite-init")


def _init(copy: int, channel: int, to_main: socket.socket, main: int) -> Init:
    def start(order: RunMainProcess) -> tuple[int, int]:
        to_main.sendall(to_json(order) + b"\n")
        return main, to_main.detach()

    return Init(copy, Channel(socket.socket(fileno=channel)), None, start)


def _await_order(init: socket.socket, sensor: socket.socket | None) -> MainProcess:
    """Wait until *init* says what this process is to be; it ends with its init."""
    with init.makefile("rb") as stream:
        line = stream.readline()
    if not line:
        os._exit(_FAILED)
    order = from_json(line)
    assert isinstance(order, RunMainProcess)
    os.setsid()
    return MainProcess(order, init, sensor)
