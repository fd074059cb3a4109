"""The self-test at the start of each run: a planted collision proves that the sensors see collisions.

It runs in a separate process (`python -I -S`, like the supervisor), because a filter cannot be removed. It prints one
line of JSON for probe.py. There are two copies. The first, a recorded Python, binds a port that the kernel chose, and
listens. The second, a Python or a native program, binds the same port and is refused. A kind of program is proven
visible if judging these events finds exactly one `refused`, with both sides right.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from parasuite.judge.findings import find
from parasuite.model.causes import EffectKind
from parasuite.model.events import Bind, Event
from parasuite.model.party import Party
from parasuite.model.words import CopyVariable
from parasuite.model.workers import CURRENT_TEST
from parasuite.plan.recorder_variable import recorder_variable
from parasuite.probe import native
from parasuite.probe.self_test_result import SelfTestResult
from parasuite.record.recorder_files import FOLDERS, recorded
from parasuite.sensors.seccomp import foreign, handover
from parasuite.sensors.seccomp.filter import ARCHITECTURE, SeccompError, install
from parasuite.sensors.seccomp.watch import SyscallWatch

_PATIENCE_S = 20.0
_TEST = "parasuite::self-test"
_LISTEN = """
import socket
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
print(server.getsockname()[1], flush=True)
input()
"""
_COLLIDE = """
import socket, sys
try: socket.socket().bind(("127.0.0.1", int(sys.argv[1])))
except OSError as error: sys.exit(error.errno)
"""


class _Stage:
    """The two copies of one planted collision, and the sensor that watches them."""

    def __init__(self, folder: Path, recorder: str, mode: str) -> None:
        self.events: list[Event] = []
        self._folder = folder
        self._recorder = recorder
        self._mode = mode
        self.poll = select.poll()
        self.watch: SyscallWatch | None = None
        self._copies: dict[int, int] = {}
        for copy in (0, 1):
            for name in FOLDERS:
                (folder / str(copy) / name).mkdir(parents=True)

    def pages(self) -> dict[int, str]:
        return {copy: str(self._folder / str(copy) / "pages") for copy in (0, 1)} if self._recorder else {}

    def copy_of(self, pid: int) -> int | None:
        return self._copies.get(pid)

    def start(self, copy: int, body: Callable[[dict[str, str]], None]) -> tuple[int, int]:
        """Fork *body* as *copy*, under the filter if a sensor watches. Returns its pid and a pipe with its output."""
        here, there = socket.socketpair()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(write, 1)
                os.dup2(there.fileno(), 0)
                if self.watch is not None:
                    handover.install_and_send(there)
                body(self._environment(copy))
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.write(2, f"self-test: {error}\n".encode())
            finally:
                os._exit(127)
        os.close(write)
        there.close()
        self._copies[pid] = copy
        self._input = here
        if self.watch is not None:
            installed = handover.receive(here)
            if installed is None:
                raise SeccompError(0, "the filter could not be installed")
            self.watch.adopt(copy, installed)
        return pid, read

    def _environment(self, copy: int) -> dict[str, str]:
        if not self._recorder:
            return {}
        return {
            "PYTHONPATH": self._recorder,
            CopyVariable.RECORDER: recorder_variable(self._mode, copy, self._folder / str(copy)),
            CURRENT_TEST: f"{_TEST} (call)",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def until(self, fd: int) -> bytes:
        """Serve calls until *fd* is readable, and read it; b"" at its end, or if nothing came in time."""
        give_up_s = time.monotonic() + _PATIENCE_S
        self.poll.register(fd, select.POLLIN)
        try:
            while time.monotonic() < give_up_s:
                ready = self.poll.poll(50)
                if self.watch is not None:
                    self.watch.serve(ready)
                if any(fd == one for one, _ in ready):
                    return os.read(fd, 100)
            return b""
        finally:
            self.poll.unregister(fd)

    def scene(self, second: Callable[[str, dict[str, str]], None]) -> int:
        """Run the collision. Returns the exit status of the second copy, which is the errno of its bind."""
        first, output = self.start(0, lambda env: _python(env, _LISTEN))
        held = self._input
        try:
            port = self.until(output).strip().decode()
            if not port:
                return -1
            pid, ended = self.start(1, lambda env: second(port, env))
            self.until(ended)
            os.close(ended)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._input.close()
            # While the first copy still holds the port: an attempt's result is looked up a moment after the call.
            self._await_attempts()
            return status
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, signal.SIGKILL)
            os.waitpid(first, 0)
            os.close(output)
            held.close()
            self._collect()

    def _collect(self) -> None:
        if self.watch is None:
            for copy in (0, 1):
                self.events += recorded(self._folder / str(copy))
            return
        self._await_attempts()

    def _await_attempts(self) -> None:
        while self.watch is not None:
            self.watch.serve(self.poll.poll(0))
            timeout_s = self.watch.timeout_s()
            if timeout_s is None:
                break
            self.poll.poll(timeout_s * 1000)

    def proves(self, attributed: bool) -> bool:
        """Whether judging finds the planted collision and no other; if *attributed*, with the right test."""
        in_time = sorted(self.events, key=lambda event: event.t_ns)
        effects = [effect for finding in find(in_time).findings for effect in finding.effects]
        if [effect.kind for effect in effects] != [EffectKind.REFUSED]:
            return False
        wanted, held = effects[0].sides
        return {wanted.party, held.party} == {Party(0), Party(1)} and (not attributed or held.test == _TEST)


def _python(env: dict[str, str], code: str, *arguments: str) -> None:
    os.execve(sys.executable, [sys.executable, "-c", code, *arguments], env)


def _collide(port: str, env: dict[str, str]) -> None:
    _python(env, _COLLIDE, port)


def _native(port: str, env: dict[str, str]) -> None:
    del env
    program = native.image(int(port))
    assert program is not None
    native.become(program)


def run_self_test(use_seccomp: bool, recorder: str) -> SelfTestResult:
    """Run the self-test, with seccomp if *use_seccomp*. *recorder*: the recorder's folder, "" for no recorder."""
    result = SelfTestResult()
    folder = Path(tempfile.mkdtemp(prefix="ps-"))
    try:
        if use_seccomp:
            _test_seccomp(result, folder, recorder)
        if recorder and (not use_seccomp or result.seccomp or result.netlink or not result.performs):
            _test_recorder(result, folder / "recorder", recorder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _test_seccomp(result: SelfTestResult, folder: Path, recorder: str) -> None:
    if ARCHITECTURE is None:
        result.seccomp = "no system call numbers for this machine"
        return
    if not _can_install(result):
        return
    result.seccomp = _why_callers_are_unseen()
    if result.seccomp:
        return
    scenes: list[tuple[str, Callable[[str, dict[str, str]], None]]] = [("Python", _collide)]
    if native.image(1) is not None:
        scenes.append(("native code", _native))
    for name, second in scenes:
        stage = _Stage(folder / name.partition(" ")[0], recorder, "pages")
        try:
            stage.watch = SyscallWatch(stage.events.append, stage.copy_of, lambda _: True, stage.pages(), stage.poll)
        except OSError as error:
            result.netlink = result.seccomp = f"netlink: {error.strerror}"
            return
        try:
            status = stage.scene(second)
            result.performs = any(
                event.errno in ("", "EADDRINUSE") for event in stage.events if isinstance(event, Bind)
            )
            if stage.proves(attributed=bool(recorder)):
                result.proven.append(name)
            elif status != 127 or name == "Python":
                # 127: executing a program from memory is forbidden here, so the native program proves nothing.
                result.problem = f"a planted collision of {name} was not seen"
        except OSError as error:
            result.problem = f"{name}: {error.strerror}"
        finally:
            stage.watch.close()
    if not result.performs:
        result.reason = _why_not_performed()


def _test_recorder(result: SelfTestResult, folder: Path, recorder: str) -> None:
    stage = _Stage(folder, recorder, "events")
    stage.scene(_collide)
    if not stage.proves(attributed=True):
        result.problem = result.problem or "a planted collision of Python was not recorded"
    elif "Python" not in result.proven:
        result.proven.append("Python")


def _can_install(result: SelfTestResult) -> bool:
    """Whether a filter can be installed. Tried in a child, because it cannot be removed."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        had = _has_no_new_privs()
        try:
            install()
        except SeccompError as error:
            os.write(write, f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(_has_no_new_privs() and not had)
    os.close(write)
    with open(read, "rb") as stream:
        result.seccomp = stream.read().decode()
    _, status = os.waitpid(pid, 0)
    result.no_new_privs = os.waitstatus_to_exitcode(status) == 1
    return not result.seccomp


def _has_no_new_privs() -> bool:
    with open("/proc/self/status", "rb") as stream:
        return b"\nNoNewPrivs:\t1" in stream.read()


@contextlib.contextmanager
def _standing_child() -> Iterator[int]:
    """The pid of a child that does nothing; it is ended with the block."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _why_callers_are_unseen() -> str:
    """Why callers cannot be identified or the addresses of their calls cannot be read; "" if they can."""
    address = ctypes.create_string_buffer(16)
    with _standing_child() as pid:
        try:
            os.close(os.pidfd_open(pid))
        except OSError as error:
            return f"pidfd_open: {error.strerror}"
        if foreign.Memory().read(pid, ctypes.addressof(address), len(address)) is None:
            return f"process_vm_readv: {os.strerror(ctypes.get_errno())}"
    return ""


def _why_not_performed() -> str:
    """Why bind and listen cannot be performed for their callers."""
    with _standing_child() as pid:
        pidfd = os.pidfd_open(pid)
        try:
            os.close(foreign.duplicate(pidfd, 0))
        except OSError as error:
            return f"pidfd_getfd: {os.strerror(error.errno or 0)}"
        finally:
            os.close(pidfd)
    return "this kernel may repeat a call after a signal (before Linux 5.19)"


def main(use_seccomp: bool, recorder: str) -> None:
    """Run the self-test and print its result as JSON."""
    sys.stdout.write(json.dumps(asdict(run_self_test(use_seccomp, recorder))) + "\n")
