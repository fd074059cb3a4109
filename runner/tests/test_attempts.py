"""Calls that the kernel performs itself: what is reported of them, however late their thread gets a CPU."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from parasuite.model.events import ATTEMPTED, Bind, Listen
from parasuite.sensors.seccomp import attempts
from parasuite.sensors.seccomp.filter import ARCHITECTURE
from parasuite.sensors.seccomp.foreign import Kernel, duplicate

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.tracing import PATIENCE_S, WITHOUT_DUPLICATES, python, tracer

# Ten times as long as a look-up waits if nothing keeps the caller from running.
BUSY_S = 0.03
BINDS = 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); s.getsockname()\n'


class BusyCPU:
    """Keeps every ordinary thread off *cpu* for BUSY_S, each time it is asked to."""

    def __init__(self, cpu: int) -> None:
        self._here, there = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                self._here.close()
                os.sched_setaffinity(0, {cpu})
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
                there.send(b"+")
                while there.recv(1):
                    end_s = time.monotonic() + BUSY_S
                    there.send(b"+")
                    while time.monotonic() < end_s:
                        pass
                status = 0
            finally:
                os._exit(status)
        there.close()
        self.is_permitted = self._here.recv(1) == b"+"

    def start(self) -> None:
        """Return when the CPU is taken."""
        self._here.send(b"+")
        self._here.recv(1)

    def close(self) -> None:
        self._here.close()
        os.waitpid(self._pid, 0)


@pytest.fixture
def cpus() -> Iterator[tuple[int, int]]:
    """Two CPUs; this process runs on the first one only."""
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two CPUs")
    first, second = sorted(before)[:2]
    os.sched_setaffinity(0, {first})
    try:
        yield first, second
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture
def busy(cpus: tuple[int, int]) -> Iterator[BusyCPU]:
    made = BusyCPU(cpus[1])
    try:
        if not made.is_permitted:
            pytest.skip("a real-time priority is not permitted here")
        yield made
    finally:
        made.close()


def test_a_call_whose_thread_waits_for_a_cpu_is_looked_up_when_it_has_been_made(
    cpus: tuple[int, int], busy: BusyCPU
) -> None:
    def refuse(*_: int) -> int:
        busy.start()  # From here on, the caller gets no CPU although it is answered.
        raise PermissionError(errno.EPERM, "refused as a container profile does")

    with tracer(kernel=Kernel(duplicate=refuse)) as made:
        made.start(python(BINDS), before=lambda: os.sched_setaffinity(0, {cpus[1]}))
        assert made.run() == [0]
    (bind,) = [event for event in made.events if isinstance(event, Bind)]
    (listen,) = [event for event in made.events if isinstance(event, Listen)]
    assert bind.got is not None
    assert bind.got == listen.got


def test_nothing_is_claimed_of_a_bind_that_is_given_up_before_its_thread_got_a_cpu(
    cpus: tuple[int, int], busy: BusyCPU, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attempts, "_POSTPONED_MAX_NS", 0)

    def late(pidfd: int, fd: int) -> int:
        busy.start()
        return duplicate(pidfd, fd)

    code = "import os, socket; s = socket.socket(socket.AF_UNIX); s.bind('s'); s.close(); os.unlink('s')"

    def prepare() -> None:
        os.sched_setaffinity(0, {cpus[1]})
        os.chdir(tmp_path)

    with tracer(kernel=Kernel(duplicate=late)) as made:
        made.start(python(code), before=prepare)
        assert made.run() == [0]
    (bind,) = [event for event in made.events if isinstance(event, Bind)]
    # On a machine so busy that this process, too, was kept waiting, the call has been made and its result is known.
    assert bind.errno == ATTEMPTED or (bind.errno == "" and bind.got is not None)


def test_an_attempt_that_is_pending_when_a_run_ends_is_reported() -> None:
    code = 'import signal, socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); signal.pause()'
    with tracer(kernel=WITHOUT_DUPLICATES) as made:
        child = made.start(python(code))
        while made.watch.calls < 1:
            made.watch.serve(made.poll.poll(PATIENCE_S * 1000))
        made.watch.finish()
        assert len([event for event in made.events if isinstance(event, Bind)]) == 1
        os.kill(child.pid, signal.SIGKILL)
        assert made.run() == [-signal.SIGKILL]
