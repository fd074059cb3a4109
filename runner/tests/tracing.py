"""Runs a program under the exact sensors, in this process, and gives the events: for the tests of the sensors."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import socket
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from parasuite.model.events import Event
from parasuite.model.overlap import is_loopback, is_wildcard
from parasuite.sensors.seccomp import handover
from parasuite.sensors.seccomp.filter import Installed, SeccompError
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel
from parasuite.sensors.seccomp.watch import SyscallWatch

_DRAIN_S = 5.0
PATIENCE_S = 60  # A safety net only.


@dataclass
class Traced:
    """A child under a filter. *channel*: the notify descriptor at which its calls wait."""

    copy: int
    pid: int
    pidfd: int
    channel: int


@dataclass
class Tracer:
    """One SyscallWatch and the children under it."""

    events: list[Event] = field(default_factory=list)
    children: list[Traced] = field(default_factory=list)
    pages_folders: dict[int, str] = field(default_factory=dict)
    recorded: bool = False
    kernel: Kernel = THIS_KERNEL
    restart_safe: bool = True
    threads_max: int | None = None

    def __post_init__(self) -> None:
        for folder in self.pages_folders.values():
            os.makedirs(folder, exist_ok=True)  # A run makes it before its copies begin.
        self.poll = select.poll()
        self.watch = SyscallWatch(
            self.events.append,
            self._copy_of,
            lambda address: is_loopback(address) or is_wildcard(address),
            self.pages_folders,
            self.poll,
            self.recorded,
            kernel=self.kernel,
            threads_max=self.threads_max,
        )

    def _copy_of(self, pid: int) -> int | None:
        return next((child.copy for child in self.children if child.pid == pid), None)

    def start(
        self,
        argv: Sequence[str],
        copy: int = 0,
        env: Mapping[str, str] | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Traced:
        """Run *argv* under a filter as *copy*; *before* runs in the child before the filter is put on."""
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                before()
                handover.install_and_send(there)
                os.execvpe(argv[0], list(argv), dict(os.environ if env is None else env))
            except (OSError, SeccompError) as error:
                os.write(2, f"tracing: {error!r}\n".encode())
            finally:
                os._exit(127)
        there.close()
        with here:
            installed = handover.receive(here)
        assert installed is not None, "the child could not install its filter"
        child = Traced(copy, pid, os.pidfd_open(pid), installed.fd)
        self.children.append(child)
        self.watch.adopt(copy, Installed(installed.fd, installed.restart_safe and self.restart_safe))
        return child

    def run(self) -> list[int]:
        """Serve until every child has ended and been waited for; their exit codes, in the order of their start."""
        waiting = {child.pidfd: child for child in self.children}
        codes: dict[int, int] = {}
        give_up_s = time.monotonic() + PATIENCE_S
        for fd in waiting:
            self.poll.register(fd, select.POLLIN)
        while waiting and time.monotonic() < give_up_s:
            timeout_s = self.watch.timeout_s()
            ready = self.poll.poll(1000 if timeout_s is None else timeout_s * 1000)
            for fd, _ in ready:
                if fd in waiting:
                    child = waiting.pop(fd)
                    self.poll.unregister(fd)
                    _, status = os.waitpid(child.pid, 0)
                    codes[child.pid] = os.waitstatus_to_exitcode(status)
            self.watch.serve(ready)
        for child in waiting.values():
            os.kill(child.pid, 9)
            os.waitpid(child.pid, 0)
        self._drain()
        return [codes.get(child.pid, -1) for child in self.children]

    def _drain(self) -> None:
        # The kernel tells of the last sockets a moment after the process is gone. It tells of others' sockets
        # as well, so beside a busy one there would be no end.
        give_up_s = time.monotonic() + _DRAIN_S
        while time.monotonic() < give_up_s and (ready := self.poll.poll(200)):
            self.watch.serve(ready)
        while (due_s := self.watch.timeout_s()) is not None:
            # An attempt that no next call or end of its socket follows is looked up when it is due.
            self.watch.serve(self.poll.poll(due_s * 1000))

    def close(self) -> None:
        for child in self.children:
            os.close(child.pidfd)
        self.watch.close()


@contextlib.contextmanager
def tracer(
    pages_folders: dict[int, str] | None = None,
    recorded: bool = False,
    *,
    kernel: Kernel = THIS_KERNEL,
    restart_safe: bool = True,
    threads_max: int | None = None,
) -> Iterator[Tracer]:
    """A Tracer that is closed at the end."""
    made = Tracer(
        pages_folders=pages_folders or {},
        recorded=recorded,
        kernel=kernel,
        restart_safe=restart_safe,
        threads_max=threads_max,
    )
    try:
        yield made
    finally:
        made.close()


def python(code: str) -> list[str]:
    """The command that runs *code* in another Python."""
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]


SOCKETS = "import os, socket\n"
ON_THE_LOOPBACK_DEVICE = """
    for device in (b"lo", b""):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        s.bind(("", 0)); s.listen(); s.close()
"""


def _refuse(*_: int) -> int:
    raise PermissionError(errno.EPERM, "refused as a container profile does")


WITHOUT_DUPLICATES = Kernel(duplicate=_refuse)


def trace(
    code: str, *, expected: int = 0, kernel: Kernel = THIS_KERNEL, threads_max: int | None = None
) -> list[Event]:
    """The events of one traced Python that runs *code*."""
    with tracer(kernel=kernel, threads_max=threads_max) as made:
        made.start(python(SOCKETS + textwrap.dedent(code)))
        assert made.run() == [expected]
        return made.events


Made = TypeVar("Made", bound=Event)


def only(events: list[Event], kind: type[Made]) -> list[Made]:
    return [event for event in events if isinstance(event, kind)]


@contextlib.contextmanager
def room_for_descriptors(count: int) -> Iterator[None]:
    """This process may open *count* more descriptors, and no others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    last = max(map(int, os.listdir("/proc/self/fd")))
    with contextlib.ExitStack() as filled:
        # The numbers below the last one that are free.
        while (filler := os.open(os.devnull, os.O_RDONLY)) < last:
            filled.callback(os.close, filler)
        os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (filler + count, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
