"""The process that owns the copies: small, single-threaded, Linux only, standard library only.

Three kinds of process, each the parent of the next:

    orchestrator --socket--> supervisor --socket--> init (one per copy) --> the copy's main process, and its tree

Every socket is a Channel, and its end of file is an order. An init that loses its supervisor kills
its copy's tree and ends; a supervisor that loses its orchestrator lets go of its inits and ends when they have.
So nothing outlives a run, whichever of the three is killed.

An init is a child subreaper (prctl(2)): a daemon that forked twice and called setsid is reparented to it, so the
tree of an init is exactly what its copy started. The supervisor is one as well: if an init is killed, what
it leaves comes here and is ended here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import select
import selectors
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from parasuite import proc
from parasuite.channel import Channel
from parasuite.sensors import seccomp
from parasuite.sensors.exact import Exact

_PR_SET_CHILD_SUBREAPER = 36
_KILL_TIMEOUT_S = 5.0
_EXEC_FAILED = 127


def become_subreaper() -> None:
    """Make this process the parent of every orphan below it. Raises OSError. Source: prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


_HAS_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def children_of(pid: int) -> list[int]:
    """The children of *pid*, of all its threads; [] once it is gone.

    Source: proc_pid_task(5) where the kernel has CONFIG_PROC_CHILDREN, else a scan by proc_pid_stat(5).
    """
    if not _HAS_CHILDREN_FILES:
        return [other for other in proc.pids() if _stat(other)[1] == pid]
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{pid}/task/{thread}/children", "rb") as stream:
                    found += map(int, stream.read().split())
    return found


def _stat(pid: int) -> tuple[str, int]:
    """(state letter, parent) of *pid*; ("X", 0) once it is gone. One that is hidden is alive, and nobody's child."""
    try:
        stat = proc.stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    except PermissionError:
        return "?", 0
    return stat.state, stat.parent


def tree_of(root: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """Every living descendant of *root* outside the trees of *spare*, nearest first, without *root*."""
    found: list[int] = []
    pending = children_of(root)
    seen = {root, *spare}
    while pending:
        pid = pending.pop(0)
        if pid not in seen:
            seen.add(pid)
            found.append(pid)
            pending += children_of(pid)
    return [pid for pid in found if _stat(pid)[0] not in "ZX"]


def _signal(pid: int, number: int) -> bool:
    """Whether *number* could be sent: not to one that is gone, nor to one of another user (a setuid program)."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_tree(root: int, spare: frozenset[int] = frozenset()) -> list[int]:
    """End every descendant of *root* outside the trees of *spare*; the pids that could not be ended are returned.

    All are stopped first, so that none forks while the rest is being found, then killed; again, until a walk finds
    nobody alive: two or three rounds in practice. Zombies are left to their parents.
    """
    give_up_s = time.monotonic() + _KILL_TIMEOUT_S
    while found := tree_of(root, spare):
        stopped = [pid for pid in found if _signal(pid, signal.SIGSTOP)]
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        if not stopped or time.monotonic() > give_up_s:
            break
        # A killed process needs a moment to die; asking again at once would only keep it from the processor.
        time.sleep(0.002)
    return found


def reap() -> None:
    """Collect every child that has ended; none is waited for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _is_python(pid: int) -> bool:
    try:
        return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Start:
    """What one copy is to run; crosses the process border as JSON.

    *watched*: by the exact sensor. *descriptors*: how many it may open, as setrlimit(2) has it. The supervisor adds
    these two.
    """

    copy: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    output: str
    watched: bool
    descriptors: tuple[int, int]


def _put_under_watch(start: _Start, sensor: socket.socket) -> None:
    """Put the filter on this process and send its listener to the supervisor; or why that cannot be."""
    try:
        installed = seccomp.install()
    except seccomp.SeccompError as error:
        if "PARASUITE_RECORDER" in start.env:
            start.env["PARASUITE_RECORDER"] = "events"
        sensor.send(f"{error.errno} {error.strerror}".encode())
        return
    socket.send_fds(sensor, [b"killable" if installed.killable else b"installed"], [installed.fd])
    os.close(installed.fd)


def _exec(start: _Start, error_fd: int, sensor: socket.socket | None) -> NoReturn:
    """Become the copy's main process: own session, output to a file, no input, default signals."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        output = os.open(start.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(start.cwd)
        if sensor is not None:
            _put_under_watch(start, sensor)
        with contextlib.suppress(ValueError):
            # Refused only where raising it was refused too.
            resource.setrlimit(resource.RLIMIT_NOFILE, start.descriptors)
        os.execvpe(start.argv[0], start.argv, start.env)
    except OSError as error:
        what = error.filename or start.argv[0]
        os.write(error_fd, f"{what}: {error.strerror}".encode())
    finally:
        os._exit(_EXEC_FAILED)


class _Init:
    """One copy's init: starts the main process, reaps the tree, relays, obeys."""

    def __init__(self, start: _Start, channel: Channel, sensor: socket.socket | None) -> None:
        self._start = start
        self._channel = channel
        self._sensor = sensor
        self._main = 0
        self._wake, wake_writer = socket.socketpair()
        for end in (self._wake, wake_writer):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        self._wake_writer = wake_writer

    def run(self) -> None:
        become_subreaper()
        if not self._launch():
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while self._reap():
                selector.select()
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(4096)
                for message in self._channel.receive():
                    self._obey(message)
                if self._channel.at_end:
                    kill_tree(os.getpid())
                    reap()
                    return
        self._channel.send(event="gone", t_ns=time.monotonic_ns())

    def _launch(self) -> bool:
        read_fd, write_fd = os.pipe()
        t_ns = time.monotonic_ns()
        try:
            self._main = os.fork()
        except OSError as error:
            self._channel.send(event="failed", why=f"fork: {error.strerror}", t_ns=t_ns)
            return False
        if self._main == 0:
            os.close(read_fd)
            _exec(self._start, write_fd, self._sensor)
        os.close(write_fd)
        if self._sensor is not None:
            self._sensor.close()
        with open(read_fd, "rb") as stream:
            failure = stream.read()
        if failure:
            self._channel.send(event="failed", why=failure.decode(), t_ns=t_ns)
            os.waitpid(self._main, 0)
            return False
        self._channel.send(event="started", pid=self._main, init=os.getpid(), t_ns=t_ns)
        return True

    def _reap(self) -> bool:
        """Collect who ended; False once nobody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self._channel.send(event="exited", status=code, t_ns=time.monotonic_ns())

    def _obey(self, message: dict[str, Any]) -> None:
        here = os.getpid()
        match message["do"]:
            case "signal":
                for pid in tree_of(here):
                    _signal(pid, message["number"])
            case "stacks":
                for pid in tree_of(here):
                    if _is_python(pid):
                        _signal(pid, signal.SIGABRT)
            case "kill":
                if left := kill_tree(here):
                    self._channel.send(event="unkillable", pids=left, t_ns=time.monotonic_ns())


class _Supervisor:
    def __init__(self, orchestrator: Channel, descriptors: tuple[int, int]) -> None:
        self._orchestrator = orchestrator
        self._descriptors = descriptors
        self._poll = select.poll()
        # Descriptor to the copy whose init, or whose sensor's socket, is at its other end.
        self._on: dict[int, int | tuple[int, socket.socket]] = {}
        self._poll.register(orchestrator, select.POLLIN)
        self._inits: dict[int, tuple[int, Channel]] = {}  # copy -> (pid of its init, channel)
        self._finished: set[int] = set()
        self._exact: Exact | None = None

    def run(self) -> None:
        """Serve until the orchestrator is gone, then until every init is."""
        while not self._orchestrator.at_end:
            exact = self._exact
            timeout_s = exact.timeout_s() if exact else None
            ready = self._poll.poll(None if timeout_s is None else timeout_s * 1000)
            # Looked up first: what is closed below gives its number to what is opened below.
            heard = [self._on.get(fd) for fd, _ in ready]
            if exact:
                exact.serve(ready)
            if any(fd == self._orchestrator.fileno() for fd, _ in ready):
                for message in self._orchestrator.receive():
                    self._obey(message)
            for on in heard:
                match on:
                    case int() as copy:
                        self._relay(copy)
                    case (int() as copy, socket.socket() as sensor):
                        self._adopt(copy, sensor)
        for copy in list(self._inits):
            self._inits[copy][1].close()
        for pid, _ in list(self._inits.values()):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        kill_tree(os.getpid())
        reap()
        if self._exact:
            self._exact.serve(self._poll.poll(0))
            self._exact.end()

    def _await(self, sock: socket.socket, on: int | tuple[int, socket.socket]) -> None:
        self._poll.register(sock, select.POLLIN)
        self._on[sock.fileno()] = on

    def _forget(self, sock: socket.socket) -> None:
        self._poll.unregister(sock)
        del self._on[sock.fileno()]

    def _obey(self, message: dict[str, Any]) -> None:
        if message["do"] == "watch":
            self._exact = Exact(message, self._copy_of, self._poll)
        elif message["do"] == "start":
            told = {name: message[name] for name in ("copy", "argv", "env", "cwd", "output")}
            self._fork_init(_Start(**told, watched=self._exact is not None, descriptors=self._descriptors))
        elif message["copy"] in self._inits:
            self._inits[message["copy"]][1].send(**message)

    def _copy_of(self, pid: int) -> int | None:
        """The copy whose init is among the ancestors of *pid*."""
        copies = {init: copy for copy, (init, _) in self._inits.items()}
        while pid > 1:
            if pid in copies:
                return copies[pid]
            pid = _stat(pid)[1]
        return None

    def _adopt(self, copy: int, sensor: socket.socket) -> None:
        """Take the listener that the copy's first process sends, or its word that there is none."""
        self._forget(sensor)
        message, fds, _, _ = socket.recv_fds(sensor, 256, 1)
        sensor.close()
        assert self._exact is not None
        if fds:
            self._exact.adopt(copy, seccomp.Installed(fds[0], killable=message == b"killable"))
        elif message:
            code, _, words = message.decode().partition(" ")
            nested = "; a parasuite around this one watches already" if int(code) == errno.EBUSY else ""
            self._exact.say("blind", f"copy {copy}: no filter: {words}{nested}")

    def _fork_init(self, start: _Start) -> None:
        here, there = socket.socketpair()
        sensor_here, sensor_there = socket.socketpair() if start.watched else (None, None)
        try:
            pid = os.fork()
        except OSError as error:
            for end in (here, there, sensor_here, sensor_there):
                if end is not None:
                    end.close()
            self._orchestrator.send(
                copy=start.copy, event="failed", why=f"fork: {error.strerror}", t_ns=time.monotonic_ns()
            )
            return
        if pid == 0:
            # An init that kept another's descriptors would keep that one from seeing its end of file.
            here.close()
            if sensor_here is not None:
                sensor_here.close()
            if self._exact:
                self._exact.close()
            for waiting in self._on.values():
                if isinstance(waiting, tuple):
                    waiting[1].close()
            self._orchestrator.close()
            for _, channel in self._inits.values():
                channel.close()
            status = 1
            try:
                _Init(start, Channel(there), sensor_there).run()
                status = 0
            finally:
                os._exit(status)
        there.close()
        if sensor_here is not None and sensor_there is not None:
            sensor_there.close()
            self._await(sensor_here, (start.copy, sensor_here))
        self._inits[start.copy] = (pid, Channel(here))
        self._await(here, start.copy)

    def _relay(self, copy: int) -> None:
        pid, channel = self._inits[copy]
        for message in channel.receive():
            self._orchestrator.send(copy=copy, **message)
            if message["event"] in ("gone", "failed"):
                self._finished.add(copy)
        if channel.at_end:
            self._forget(channel.sock)
            channel.close()
            del self._inits[copy]
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            if copy not in self._finished:
                # Its init died before its tree: the tree is ours now, and nobody else's is touched.
                kill_tree(os.getpid(), spare=frozenset(pid for pid, _ in self._inits.values()))
                self._orchestrator.send(copy=copy, event="lost", t_ns=time.monotonic_ns())


def _raise_descriptors() -> tuple[int, int]:
    """Let this process open as many descriptors as it may ever; what it might until now, as setrlimit(2) has it.

    The exact sensor holds some for each thread that it remembers, and each copy takes three.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        # Refused where the whole system's bound (fs.nr_open) lies below by now.
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def main(descriptor: int) -> None:
    """Run the supervisor over the socket *descriptor*, deaf to INT and TERM: the orchestrator decides."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    become_subreaper()
    os.set_inheritable(descriptor, False)
    _Supervisor(Channel(socket.socket(fileno=descriptor)), _raise_descriptors()).run()
