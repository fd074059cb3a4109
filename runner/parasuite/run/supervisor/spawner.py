"""Forks an init per copy, and kills what an init that died leaves behind.

It ends in one of two ways. When the supervisor has gone, each init has lost it too and kills its own tree: the
spawner waits for the inits, and kills what is left after a while. When only the orchestrator has gone (end of file on
the lifeline), the supervisor should end on its own. If it does not, it is stopped or blocked, and the spawner kills
it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time

from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.child_wakeup import ChildWakeup
from parasuite.run.supervisor.init import Init
from parasuite.run.supervisor.main_process import become_importer
from parasuite.run.supervisor.messages import (
    AdoptInit,
    ImporterEnded,
    InitLost,
    KillImporter,
    KillInit,
    Message,
    Ping,
    Pong,
    SpawnImporter,
    SpawnInit,
    StartFailed,
    from_json,
    to_json,
)
from parasuite.run.supervisor.process_tree import become_subreaper, kill_tree, send_signal, set_name

_END_GRACE_S = 3.0
_POLL_S = 0.05
PACKET_MAX = 4096


class Spawner:
    """*supervisor*: a socket of packets, a message each; SpawnInit brings descriptors. *lifeline*: see package."""

    def __init__(self, supervisor: socket.socket, lifeline: socket.socket) -> None:
        self._supervisor = supervisor
        self._supervisor.setblocking(False)
        self._supervisor_pid = os.getppid()
        self._lifeline = lifeline
        self._inits: dict[int, int] = {}  # pid -> copy
        self._importer = 0  # Its pid; 0 before it is started, -1 once it has ended.
        self._unknown_ended: dict[int, int] = {}  # pid -> status, of children that may be inits, as AdoptInit says.
        self._ended: list[tuple[int, int]] = []  # (copy, status of its init)
        self._wakeup = ChildWakeup()

    def run(self) -> None:
        """Serve until the supervisor has gone, then until every init has."""
        become_subreaper()
        with selectors.DefaultSelector() as selector:
            for waited_for in (self._supervisor, self._lifeline, self._wakeup):
                selector.register(waited_for, selectors.EVENT_READ)
            give_up_s = None
            while True:
                ready = [key.fileobj for key, _ in selector.select(None if give_up_s is None else _POLL_S)]
                self._wakeup.drain()
                self._reap()
                if self._supervisor in ready and not self._carry_out():
                    break
                if self._lifeline in ready:
                    selector.unregister(self._lifeline)
                    give_up_s = time.monotonic() + _END_GRACE_S
                if give_up_s is not None and time.monotonic() > give_up_s:
                    # The supervisor should have noticed as well; it is stopped, or blocked in a system call.
                    if os.getppid() == self._supervisor_pid:
                        send_signal(self._supervisor_pid, signal.SIGKILL)
                    break
            give_up_s = time.monotonic() + _END_GRACE_S
            while self._inits and time.monotonic() < give_up_s:
                selector.select(_POLL_S)
                self._wakeup.drain()
                self._reap()
        kill_tree()

    def _carry_out(self) -> bool:
        """Receive one order and carry it out; False if the supervisor has gone."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._supervisor, PACKET_MAX, 2)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not packet:
            return False
        for descriptor in descriptors:
            # Received as inheritable: a main process would keep them open, and the end of its init go unnoticed.
            os.set_inheritable(descriptor, False)
        match from_json(packet):
            case Ping():
                self._send(Pong())
            case SpawnInit(copy=copy):
                self._spawn(copy, [socket.socket(fileno=descriptor) for descriptor in descriptors])
            case SpawnImporter():
                self._spawn_importer([socket.socket(fileno=descriptor) for descriptor in descriptors])
            case AdoptInit(copy=copy, pid=pid):
                self._inits[pid] = copy
                if (status := self._unknown_ended.pop(pid, None)) is not None:
                    del self._inits[pid]
                    self._ended.append((copy, status))
            case KillImporter():
                # Every tree here that is not an init's is the importer's: no copy has been forked from it yet.
                kill_tree(spare=frozenset(self._inits), collect=self._collect)
            case KillInit(copy=copy):
                for pid, of_copy in self._inits.items():
                    if of_copy == copy:
                        send_signal(pid, signal.SIGKILL)
        return True

    def _spawn(self, copy: int, sockets: list[socket.socket]) -> None:
        """Fork the init of *copy*. *sockets*: its end of the channel and, if observed, of the sensor's socket."""
        try:
            pid = os.fork()
        except OSError as error:
            t_ns = time.monotonic_ns()
            Channel(sockets[0]).send(StartFailed(copy=copy, t_ns=t_ns, why=f"fork: {error.strerror}"))
            pid = -1
        if pid == 0:
            status = 1
            try:
                self._supervisor.close()
                self._wakeup.close()
                set_name("parasuite-init")
                Init(copy, Channel(sockets[0]), sockets[1] if len(sockets) > 1 else None).run()
                status = 0
            finally:
                os._exit(status)
        if pid > 0:
            self._inits[pid] = copy
        # If the spawner kept these ends, the supervisor would not see end of file when the init dies.
        for sock in sockets:
            sock.close()

    def _spawn_importer(self, sockets: list[socket.socket]) -> None:
        """Fork what becomes the importer. *sockets*: its end of a channel, and the one that it keeps."""
        channel, orders = sockets
        try:
            pid = os.fork()
        except OSError:
            pid = -1
            self._send(ImporterEnded())
        if pid == 0:
            self._supervisor.close()
            self._wakeup.close()
            become_importer(channel, orders)
        self._importer = pid
        for sock in sockets:
            sock.close()

    def _collect(self) -> bool:
        """Collect every child that has ended, and note which of them were inits; whether there are other children."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._importer:
                self._importer = -1
                self._send(ImporterEnded())
            elif (copy := self._inits.pop(pid, None)) is not None:
                self._ended.append((copy, status))
            elif self._importer != 0:
                self._unknown_ended[pid] = status

    def _reap(self) -> None:
        """Collect what has ended; if an init died before its tree, kill that tree, which is ours now."""
        self._collect()
        while self._ended:
            copy, status = self._ended.pop(0)
            if status != 0:
                spare = frozenset(self._inits) | ({self._importer} if self._importer > 0 else frozenset())
                left = kill_tree(spare=spare, collect=self._collect).left
                self._send(InitLost(copy=copy, t_ns=time.monotonic_ns(), left=left))

    def _send(self, message: Message) -> None:
        with contextlib.suppress(OSError):
            self._supervisor.send(to_json(message))
