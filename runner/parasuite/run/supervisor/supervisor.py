"""The supervisor: passes orders and reports on, and serves the exact sensor.

Serving a trapped call comes before everything else, since its caller waits. So one poll covers the sensor's
descriptors, the orchestrator, the spawner and all inits, and nothing in the loop blocks.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from typing import TypeAlias

from parasuite.model.causes import Cause
from parasuite.model.suspect import Suspect
from parasuite.model.words import Protocol, SensorStatus
from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.messages import (
    DumpStacks,
    EnableSensor,
    InitLost,
    InitReady,
    KillInit,
    KillTree,
    Message,
    NoSubreaper,
    NoteCpuTime,
    Ping,
    Pong,
    Provoke,
    RunMainProcess,
    SignalMain,
    SignalTree,
    SpawnInit,
    StartCopy,
    StartFailed,
    TreeGone,
    from_json,
    to_json,
)
from parasuite.run.supervisor.process_tree import kill_tree, state_of
from parasuite.run.supervisor.scheduling import run_at_once
from parasuite.run.supervisor.spawner import PACKET_MAX
from parasuite.sensors import supervised

SPAWNER_GRACE_S = 5.0
_FLUSH_S = 0.05
_END_POLL_S = 0.005
_PINGS_MAX = 30  # One a second. The spawner is busy for up to 5 s while it kills a tree.

_Source: TypeAlias = int | tuple[int, socket.socket]
"""Who is at the other end of a descriptor: the init of a copy, or a copy's main process on its sensor socket."""


class Supervisor:
    """*spawner*: the socket to the spawner, whose pid is *spawner_pid*. *descriptors*: see RunMainProcess."""

    def __init__(
        self, orchestrator: Channel, spawner: socket.socket, spawner_pid: int, descriptors: tuple[int, int]
    ) -> None:
        self._orchestrator = orchestrator
        self._spawner = spawner
        self._spawner_pid = spawner_pid
        self._spawner_has_gone = False
        self._unanswered_pings = 0
        self._descriptors = descriptors
        self._poll = select.poll()
        self._sources: dict[int, _Source] = {}  # By descriptor.
        self._poll.register(orchestrator, select.POLLIN)
        self._poll.register(spawner, select.POLLIN)
        self._inits: dict[int, Channel] = {}  # copy -> channel to its init
        self._init_pids: dict[int, int] = {}  # pid -> copy
        self._finished: set[int] = set()
        self._sensor: supervised.SupervisedSensor | None = None

    def run(self) -> None:
        """Serve until the orchestrator or the spawner has gone, then until every process below has."""
        while not self._orchestrator.at_end and not self._spawner_has_gone:
            sensor = self._sensor
            ready = self._poll.poll(self._timeout_ms())
            # Looked up before anything is served: a descriptor closed below may be used again for one opened below.
            sources = [self._sources.get(fd) for fd, _ in ready]
            if sensor:
                sensor.serve(ready)
            for fd, _ in ready:
                if fd == self._orchestrator.fileno():
                    for message in self._orchestrator.receive():
                        self._carry_out(message)
                elif fd == self._spawner.fileno():
                    self._receive_from_spawner()
            for source in sources:
                match source:
                    case int() as copy:
                        self._relay(copy)
                    case (int() as copy, socket.socket() as sensor_socket):
                        self._adopt(copy, sensor_socket)
            for channel in (self._orchestrator, *self._inits.values()):
                channel.flush()
        self._end()
        if self._sensor:
            self._sensor.serve(self._poll.poll(0))
            self._sensor.end()

    def _timeout_ms(self) -> float | None:
        due_s = [] if self._sensor is None else [self._sensor.timeout_s()]
        if any(channel.has_unsent for channel in (self._orchestrator, *self._inits.values())):
            due_s.append(_FLUSH_S)
        timeout_s = min((due for due in due_s if due is not None), default=None)
        return None if timeout_s is None else timeout_s * 1000

    def _end(self) -> None:
        """Close the sockets to the inits and the spawner, which makes them end; kill what is left after a while."""
        for channel in self._inits.values():
            channel.close()
        self._spawner.close()
        give_up_s = time.monotonic() + 2 * SPAWNER_GRACE_S
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self._spawner_pid, os.WNOHANG)[0] and time.monotonic() < give_up_s:
                time.sleep(_END_POLL_S)
        kill_tree()

    def _add_source(self, sock: socket.socket, source: _Source) -> None:
        self._poll.register(sock, select.POLLIN)
        self._sources[sock.fileno()] = source

    def _remove_source(self, sock: socket.socket) -> None:
        self._poll.unregister(sock)
        del self._sources[sock.fileno()]

    # --- orders, from the orchestrator down ---

    def _carry_out(self, order: Message) -> None:
        match order:
            case EnableSensor():
                self._enable_sensor(order)
            case Provoke() if self._sensor is not None:
                self._sensor.provoke(
                    Suspect(
                        cause=Cause(order.cause),
                        protocol=Protocol(order.protocol),
                        port=order.port,
                        places=order.places,
                        programs=order.programs,
                    )
                )
            case StartCopy():
                self._start(order)
            case KillInit():
                self._send_to_spawner(order)
            case Ping():
                self._orchestrator.send(Pong())
                self._ping_spawner()
            case SignalTree() | SignalMain() | NoteCpuTime() | DumpStacks() | KillTree() if order.copy in self._inits:
                self._inits[order.copy].send(order)

    def _enable_sensor(self, order: EnableSensor) -> None:
        # Until a call is received, a signal can interrupt it; so receiving must not wait for a processor.
        run_at_once()
        self._sensor = supervised.SupervisedSensor(
            events_path=order.events_path,
            addresses=order.addresses,
            page_folders=order.page_folders,
            is_recorded=order.is_recorded,
            events_bytes_max=order.events_bytes_max,
            copy_of=self._copy_of,
            poll=self._poll,
        )

    def _start(self, order: StartCopy) -> None:
        """Have the spawner fork an init, and tell the init what its copy runs."""
        copy = order.copy
        here, there = socket.socketpair()
        sensor_here, sensor_there = socket.socketpair() if self._sensor else (None, None)
        self._send_to_spawner(SpawnInit(copy), [there] if sensor_there is None else [there, sensor_there])
        there.close()
        if sensor_here is not None and sensor_there is not None:
            sensor_there.close()
            self._add_source(sensor_here, (copy, sensor_here))
        self._inits[copy] = Channel(here)
        self._add_source(here, copy)
        self._inits[copy].send(
            RunMainProcess(
                argv=order.argv,
                env=order.env,
                cwd=order.cwd,
                output=order.output,
                ignored=order.ignored,
                descriptors=self._descriptors,
                network=order.network,
            )
        )

    def _send_to_spawner(self, order: Message, sockets: list[socket.socket] | None = None) -> None:
        descriptors = [sock.fileno() for sock in sockets or []]
        try:
            socket.send_fds(self._spawner, [to_json(order)], descriptors)
        except OSError:
            self._spawner_has_gone = True

    def _ping_spawner(self) -> None:
        """Ask the spawner for an answer whenever the orchestrator asks us; without a spawner no tree can be ended."""
        if self._unanswered_pings == 0:
            self._send_to_spawner(Ping())
        self._unanswered_pings += 1
        if self._unanswered_pings > _PINGS_MAX:
            self._spawner_has_gone = True

    # --- reports, on the way up ---

    def _receive_from_spawner(self) -> None:
        try:
            packet = self._spawner.recv(PACKET_MAX, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._spawner_has_gone = True
            return
        match from_json(packet):
            case Pong():
                self._unanswered_pings = 0
            case InitLost(copy=copy) as report:
                # What the init itself reported last comes first.
                self._relay(copy)
                if copy not in self._finished:
                    self._finished.add(copy)
                    self._orchestrator.send(report)

    def _relay(self, copy: int) -> None:
        """Pass on what the init of *copy* has reported."""
        if copy not in self._inits:
            return
        channel = self._inits[copy]
        for message in channel.receive():
            match message:
                case InitReady():
                    self._init_pids[message.pid] = copy
                    if message.no_subreaper:
                        self._orchestrator.send(NoSubreaper(message.no_subreaper))
                case _:
                    self._orchestrator.send(message)
                    if isinstance(message, TreeGone | StartFailed):
                        self._finished.add(copy)
        if channel.at_end:
            # If the init ended before its tree, the spawner kills that tree and then reports it.
            self._remove_source(channel.sock)
            channel.close()
            del self._inits[copy]

    # --- the sensor ---

    def _copy_of(self, pid: int) -> int | None:
        """The copy whose init is among the ancestors of *pid*."""
        while pid > 1:
            if pid in self._init_pids:
                return self._init_pids[pid]
            pid = state_of(pid)[1]
        return None

    def _adopt(self, copy: int, sensor_socket: socket.socket) -> None:
        """Receive the sensor's descriptor from the copy's main process, or the reason why there is none."""
        self._remove_source(sensor_socket)
        # The init reported its pid before, and callers are attributed to a copy by that pid.
        self._relay(copy)
        entered = supervised.receive(sensor_socket)
        sensor_socket.close()
        assert self._sensor is not None
        match entered:
            case None:
                pass
            case supervised.Unobserved(why=why):
                self._sensor.record_state(SensorStatus.BLIND, f"copy {copy}: {why}")
            case _:
                self._sensor.adopt(copy, entered)
