"""The processes that own the copies: small, Linux only, standard library only.

Four kinds of process, each the parent of the next:

    orchestrator --> supervisor --> spawner --> init (one per copy) --> the copy's main process, and its tree

The supervisor passes orders on and runs the exact sensor. The spawner forks the inits; it has no threads and none of
the sensor's descriptors, whatever the supervisor does. An init starts its copy's main process, collects what ends and
carries out orders.

Sockets lead from the supervisor to each of the others, and their end of file is an order: an init that loses its
supervisor kills its copy's tree and ends; the spawner ends when its inits have; a supervisor that loses its
orchestrator closes its sockets and ends when the spawner has.

All three are child subreapers (prctl(2)): a daemon that forked twice and called setsid is reparented to its init, so
the tree of an init is exactly what its copy started. What a killed init leaves comes to the spawner and is ended
there, or by the supervisor if the spawner was killed too. So nothing outlives a run, whichever two are killed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import selectors
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from parasuite.model.words import SensorStatus
from parasuite.run.channel import Channel
from parasuite.run.process_list import cpu_ticks, doing, process_list
from parasuite.run.process_tree import (
    become_subreaper,
    continue_when_parent_dies,
    is_python,
    kill_tree,
    send_signal,
    set_name,
    state_of,
    tree_of,
)
from parasuite.run.scheduling import run_at_once
from parasuite.sensors.seccomp import kernel
from parasuite.sensors.seccomp.sensor import Exact

_EXEC_FAILED = 127
_SPAWNER_GRACE_S = 5.0
_END_GRACE_S = 3.0
_FLUSH_S = 0.05
_LIST_S = 2.0
_PINGS_MAX = 30  # One a second. The spawner is busy for up to 5 s while it ends a tree.


@dataclass(frozen=True, slots=True)
class _Start:
    """What one copy is to run; crosses the process border as JSON.

    *watched*: by the exact sensor. *descriptors*: how many it may open, as setrlimit(2) has it. The supervisor adds
    these two.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    output: str
    watched: bool
    descriptors: tuple[int, int]


def _put_under_watch(start: _Start, sensor: socket.socket) -> None:
    """Put the filter on this process and send its listener to the supervisor; or why that cannot be."""
    try:
        installed = kernel.install()
    except kernel.SeccompError as error:
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
        # Python ignores the last two.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
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
        what = os.fsencode(error.filename or start.argv[0])
        os.write(error_fd, what + f": {error.strerror}".encode())
    finally:
        os._exit(_EXEC_FAILED)


def _child_wakeup() -> tuple[socket.socket, socket.socket]:
    """A socket that becomes readable when a child ends, and its other end, which must be kept."""
    wake, writer = socket.socketpair()
    for end in (wake, writer):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    return wake, writer


def _drain(wake: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        wake.recv(4096)


class _Init:
    """One copy's init: starts the main process, reaps the tree, relays, obeys."""

    def __init__(self, channel: Channel, sensor: socket.socket | None) -> None:
        self._channel = channel
        self._sensor = sensor
        self._main = 0
        self._marked: tuple[float, int] | None = None  # When, and the CPU time of the tree until then.
        self._wake, self._wake_writer = _child_wakeup()

    def run(self) -> None:
        refused = become_subreaper()
        self._channel.send(event="init", pid=os.getpid(), refused=refused)
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            is_started = False
            while not is_started or self._reap():
                selector.select()
                _drain(self._wake)
                for message in self._channel.receive():
                    if is_started:
                        self._obey(message)
                    elif self._launch(_Start(**message)):
                        is_started = True
                    else:
                        return
                if self._channel.at_end:
                    kill_tree()
                    return
        self._channel.send(event="gone", t_ns=time.monotonic_ns())

    def _launch(self, start: _Start) -> bool:
        read_fd, write_fd = os.pipe()
        t_ns = time.monotonic_ns()
        try:
            self._main = os.fork()
        except OSError as error:
            self._channel.send(event="failed", why=f"fork: {error.strerror}", t_ns=t_ns)
            return False
        if self._main == 0:
            os.close(read_fd)
            _exec(start, write_fd, self._sensor)
        os.close(write_fd)
        if self._sensor is not None:
            self._sensor.close()
        with open(read_fd, "rb") as stream:
            failure = stream.read()
        if failure:
            self._channel.send(event="failed", why=failure.decode("utf-8", "backslashreplace"), t_ns=t_ns)
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
                self._main = 0  # Its number may be another's from now on.
                code = os.waitstatus_to_exitcode(status)
                self._channel.send(event="exited", status=code, t_ns=time.monotonic_ns())

    def _obey(self, message: dict[str, Any]) -> None:
        here = os.getpid()
        match message["do"]:
            case "signal":
                for pid in tree_of(here):
                    send_signal(pid, message["number"])
            case "mark":
                self._marked = (time.monotonic(), cpu_ticks(tree_of(here), here))
            case "stacks":
                self._describe(message["list"])
                for pid in tree_of(here):
                    if is_python(pid):
                        send_signal(pid, signal.SIGABRT)
            case "kill":
                killed = kill_tree(collect=self._reap)
                self._channel.send(event="killed", count=killed.count, left=killed.left, t_ns=time.monotonic_ns())

    def _describe(self, path: str) -> None:
        """Write down what the copy is doing, before it is ended, and say whether it was busy of late."""
        tree = tree_of(os.getpid())
        why = ""
        if self._marked is not None:
            marked_s, ticks = self._marked
            why = doing(cpu_ticks(tree, os.getpid()) - ticks, time.monotonic() - marked_s)
        pid = -1
        with contextlib.suppress(OSError):
            pid = os.fork()
        if pid == 0:
            try:
                with open(path, "w", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.writelines(line + "\n" for line in process_list(tree))
            finally:
                os._exit(0)
        # One that waits for ever is killed with the tree.
        give_up_s = time.monotonic() + _LIST_S
        while pid > 0 and state_of(pid)[0] not in "ZX" and time.monotonic() < give_up_s:
            time.sleep(_FLUSH_S / 10)
        self._channel.send(event="described", why=why, t_ns=time.monotonic_ns())


class _Spawner:
    """Forks an init per copy, and ends what an init that was killed leaves behind.

    *supervisor*: a socket of packets: an order is a JSON object, "spawn" with the descriptors of the new init's
    channel and, if the copy is watched, of the socket for its filter's listener. The answer to an order, if there is
    one, is a JSON object too. *lifeline*: its end of file says that the orchestrator is gone.
    """

    def __init__(self, supervisor: socket.socket, lifeline: socket.socket) -> None:
        self._supervisor = supervisor
        self._supervisor.setblocking(False)
        self._supervisor_pid = os.getppid()
        self._lifeline = lifeline
        self._inits: dict[int, int] = {}  # pid -> copy
        self._ended: list[tuple[int, int]] = []  # (copy, status of its init)
        self._wake, self._wake_writer = _child_wakeup()

    def run(self) -> None:
        """Serve until the supervisor is gone, then until every init is."""
        become_subreaper()
        with selectors.DefaultSelector() as selector:
            for waited_for in (self._supervisor, self._lifeline, self._wake):
                selector.register(waited_for, selectors.EVENT_READ)
            give_up_s = None
            while True:
                ready = [key.fileobj for key, _ in selector.select(None if give_up_s is None else _FLUSH_S)]
                _drain(self._wake)
                self._reap()
                if self._supervisor in ready and not self._obey():
                    break
                if self._lifeline in ready:
                    selector.unregister(self._lifeline)
                    give_up_s = time.monotonic() + _END_GRACE_S
                if give_up_s is not None and time.monotonic() > give_up_s:
                    # It should have noticed as well, and is stopped, or blocked in a system call.
                    if os.getppid() == self._supervisor_pid:
                        send_signal(self._supervisor_pid, signal.SIGKILL)
                    break
            # Each init has lost its supervisor too, and ends its own tree.
            give_up_s = time.monotonic() + _END_GRACE_S
            while self._inits and time.monotonic() < give_up_s:
                selector.select(_FLUSH_S)
                _drain(self._wake)
                self._reap()
        kill_tree()

    def _obey(self) -> bool:
        """Carry out one order; False if there is none to come."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._supervisor, 4096, 2)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not packet:
            return False
        for descriptor in descriptors:
            # As they came, a main process would inherit them, and the end of its init would go unnoticed.
            os.set_inheritable(descriptor, False)
        order = json.loads(packet)
        match order["do"]:
            case "ping":
                self._tell(event="pong")
            case "spawn":
                self._spawn(order["copy"], [socket.socket(fileno=descriptor) for descriptor in descriptors])
            case "end":
                for pid, copy in self._inits.items():
                    if copy == order["copy"]:
                        send_signal(pid, signal.SIGKILL)
        return True

    def _spawn(self, copy: int, sockets: list[socket.socket]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            Channel(sockets[0]).send(event="failed", why=f"fork: {error.strerror}", t_ns=time.monotonic_ns())
            pid = -1
        if pid == 0:
            status = 1
            try:
                self._supervisor.close()
                self._wake.close()
                self._wake_writer.close()
                set_name("parasuite-init")
                _Init(Channel(sockets[0]), sockets[1] if len(sockets) > 1 else None).run()
                status = 0
            finally:
                os._exit(status)
        if pid > 0:
            self._inits[pid] = copy
        # An end that is kept here would keep the supervisor from seeing its end of file.
        for sock in sockets:
            sock.close()

    def _collect(self) -> bool:
        """Note which inits have ended, and collect everything else; whether there are other children."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if (copy := self._inits.pop(pid, None)) is not None:
                self._ended.append((copy, status))

    def _reap(self) -> None:
        self._collect()
        while self._ended:
            copy, status = self._ended.pop(0)
            if status != 0:
                # It died before its tree, which is ours now. No other init's is touched.
                left = kill_tree(spare=frozenset(self._inits), collect=self._collect).left
                self._tell(copy=copy, event="lost", left=left, t_ns=time.monotonic_ns())

    def _tell(self, **message: object) -> None:
        with contextlib.suppress(OSError):
            self._supervisor.send(json.dumps(message).encode())


class _Supervisor:
    """*spawner*: the socket to the spawner, whose pid is *spawner_pid*."""

    def __init__(
        self, orchestrator: Channel, spawner: socket.socket, spawner_pid: int, descriptors: tuple[int, int]
    ) -> None:
        self._orchestrator = orchestrator
        self._spawner = spawner
        self._spawner_pid = spawner_pid
        self._spawner_is_gone = False
        self._unanswered_pings = 0
        self._descriptors = descriptors
        self._poll = select.poll()
        # Descriptor to the copy whose init, or whose sensor's socket, is at its other end.
        self._on: dict[int, int | tuple[int, socket.socket]] = {}
        self._poll.register(orchestrator, select.POLLIN)
        self._poll.register(spawner, select.POLLIN)
        self._inits: dict[int, Channel] = {}  # copy -> channel to its init
        self._init_pids: dict[int, int] = {}  # pid -> copy
        self._finished: set[int] = set()
        self._exact: Exact | None = None

    def run(self) -> None:
        """Serve until the orchestrator or the spawner is gone, then until all below is."""
        while not self._orchestrator.at_end and not self._spawner_is_gone:
            exact = self._exact
            ready = self._poll.poll(self._timeout_ms())
            # Looked up first: what is closed below gives its number to what is opened below.
            heard = [self._on.get(fd) for fd, _ in ready]
            if exact:
                exact.serve(ready)
            for fd, _ in ready:
                if fd == self._orchestrator.fileno():
                    for message in self._orchestrator.receive():
                        self._obey(message)
                elif fd == self._spawner.fileno():
                    self._hear_spawner()
            for on in heard:
                match on:
                    case int() as copy:
                        self._relay(copy)
                    case (int() as copy, socket.socket() as sensor):
                        self._adopt(copy, sensor)
            for channel in (self._orchestrator, *self._inits.values()):
                channel.flush()
        self._end()
        if self._exact:
            self._exact.serve(self._poll.poll(0))
            self._exact.end()

    def _timeout_ms(self) -> float | None:
        due_s = [] if self._exact is None else [self._exact.timeout_s()]
        if any(channel.has_unsent for channel in (self._orchestrator, *self._inits.values())):
            due_s.append(_FLUSH_S)
        timeout_s = min((due for due in due_s if due is not None), default=None)
        return None if timeout_s is None else timeout_s * 1000

    def _end(self) -> None:
        """Close what leads to the inits and the spawner, which end by it; and end what did not."""
        for channel in self._inits.values():
            channel.close()
        self._spawner.close()
        give_up_s = time.monotonic() + 2 * _SPAWNER_GRACE_S
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self._spawner_pid, os.WNOHANG)[0] and time.monotonic() < give_up_s:
                time.sleep(_FLUSH_S / 10)
        kill_tree()

    def _await(self, sock: socket.socket, on: int | tuple[int, socket.socket]) -> None:
        self._poll.register(sock, select.POLLIN)
        self._on[sock.fileno()] = on

    def _forget(self, sock: socket.socket) -> None:
        self._poll.unregister(sock)
        del self._on[sock.fileno()]

    def _obey(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "watch":
                # A call can be interrupted by a signal until it is received, so that must not wait for the processor.
                run_at_once()
                self._exact = Exact(message, self._copy_of, self._poll)
            case "start":
                self._start(message)
            case "end":
                self._order_spawner(message)
            case "ping":
                self._orchestrator.send(event="pong")
                self._ping_spawner()
            case _ if message["copy"] in self._inits:
                self._inits[message["copy"]].send(**message)

    def _order_spawner(self, order: dict[str, Any], sockets: list[socket.socket] | None = None) -> None:
        descriptors = [sock.fileno() for sock in sockets or []]
        try:
            socket.send_fds(self._spawner, [json.dumps(order).encode()], descriptors)
        except OSError:
            self._spawner_is_gone = True

    def _ping_spawner(self) -> None:
        """Ask the spawner for a sign of life, as the orchestrator asks for ours; without it nothing can be ended."""
        if self._unanswered_pings == 0:
            self._order_spawner({"do": "ping"})
        self._unanswered_pings += 1
        if self._unanswered_pings > _PINGS_MAX:
            self._spawner_is_gone = True

    def _hear_spawner(self) -> None:
        try:
            packet = self._spawner.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._spawner_is_gone = True
            return
        message = json.loads(packet)
        if message["event"] == "pong":
            self._unanswered_pings = 0
            return
        copy = message["copy"]
        # What its init said last comes first.
        self._relay(copy)
        if copy not in self._finished:
            self._finished.add(copy)
            self._orchestrator.send(**message)

    def _copy_of(self, pid: int) -> int | None:
        """The copy whose init is among the ancestors of *pid*."""
        while pid > 1:
            if pid in self._init_pids:
                return self._init_pids[pid]
            pid = state_of(pid)[1]
        return None

    def _adopt(self, copy: int, sensor: socket.socket) -> None:
        """Take the listener that the copy's first process sends, or its word that there is none."""
        self._forget(sensor)
        # Its init gave its pid before: callers are found by it.
        self._relay(copy)
        message, fds, _, _ = socket.recv_fds(sensor, 256, 1)
        sensor.close()
        assert self._exact is not None
        if fds:
            self._exact.adopt(copy, kernel.Installed(fds[0], killable=message == b"killable"))
        elif message:
            code, _, words = message.decode().partition(" ")
            nested = "; a parasuite around this one watches already" if int(code) == errno.EBUSY else ""
            self._exact.say(SensorStatus.BLIND, f"copy {copy}: no filter: {words}{nested}")

    def _start(self, message: dict[str, Any]) -> None:
        """Have the spawner fork an init, and give that one what its copy runs."""
        copy = message["copy"]
        here, there = socket.socketpair()
        sensor_here, sensor_there = socket.socketpair() if self._exact else (None, None)
        self._order_spawner({"do": "spawn", "copy": copy}, [there] if sensor_there is None else [there, sensor_there])
        there.close()
        if sensor_here is not None and sensor_there is not None:
            sensor_there.close()
            self._await(sensor_here, (copy, sensor_here))
        self._inits[copy] = Channel(here)
        self._await(here, copy)
        what = {name: message[name] for name in ("argv", "env", "cwd", "output")}
        self._inits[copy].send(**what, watched=self._exact is not None, descriptors=self._descriptors)

    def _relay(self, copy: int) -> None:
        if copy not in self._inits:
            return
        channel = self._inits[copy]
        for message in channel.receive():
            if message["event"] == "init":
                self._init_pids[message["pid"]] = copy
                if message["refused"]:
                    self._orchestrator.send(event="no-subreaper", why=message["refused"])
                continue
            self._orchestrator.send(copy=copy, **message)
            if message["event"] in ("gone", "failed"):
                self._finished.add(copy)
        if channel.at_end:
            # If its tree has not ended before it, the spawner says so when it has ended that.
            self._forget(channel.sock)
            channel.close()
            del self._inits[copy]


def _raise_descriptors() -> tuple[int, int]:
    """Let this process open as many descriptors as it may ever; what it might until now, as setrlimit(2) has it.

    The exact sensor holds some for each thread that it remembers, and each copy takes three.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        # Refused where the whole system's bound (fs.nr_open) lies below by now.
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def _fork_spawner(orchestrator: socket.socket, lifeline: socket.socket) -> tuple[socket.socket, int]:
    """Start the spawner, while there are no threads here; the socket to it, and its pid. Raises OSError."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        there.close()
        here.settimeout(_SPAWNER_GRACE_S)
        return here, pid
    status = 1
    try:
        here.close()
        orchestrator.close()
        set_name("parasuite-spawn")
        # If it is stopped when the supervisor is killed, nobody else would have it go on.
        continue_when_parent_dies()
        _Spawner(there, lifeline).run()
        status = 0
    finally:
        os._exit(status)


def _start_none(orchestrator: Channel, why: str) -> None:
    """Answer each order to start a copy with *why* that cannot be, until the orchestrator is gone."""
    while not orchestrator.at_end:
        select.select([orchestrator], [], [])
        for message in orchestrator.receive():
            match message["do"]:
                case "start":
                    orchestrator.send(copy=message["copy"], event="failed", why=why, t_ns=time.monotonic_ns())
                case "ping":
                    orchestrator.send(event="pong")


def main(descriptor: int, lifeline_descriptor: int) -> None:
    """Run the supervisor over the socket *descriptor*, ignoring INT and TERM: the orchestrator decides.

    The other end of *lifeline_descriptor* sees its end of file when supervisor, spawner and all inits are gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    set_name("parasuite-super")
    orchestrator, lifeline = socket.socket(fileno=descriptor), socket.socket(fileno=lifeline_descriptor)
    for sock in (orchestrator, lifeline):
        sock.set_inheritable(False)
    descriptors = _raise_descriptors()
    try:
        spawner, spawner_pid = _fork_spawner(orchestrator, lifeline)
    except OSError as error:
        _start_none(Channel(orchestrator), f"fork: {error.strerror}")
        return
    become_subreaper()
    _Supervisor(Channel(orchestrator), spawner, spawner_pid, descriptors).run()
