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
from parasuite.run.supervisor.importer import Importer
from parasuite.run.supervisor.messages import (
    AdoptInit,
    DumpStacks,
    EnableSensor,
    EndImporter,
    ImporterEnded,
    ImporterReady,
    InitLost,
    InitReady,
    KillImporter,
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
    SpawnImporter,
    SpawnInit,
    StartCopy,
    StartFailed,
    StartImporter,
    TreeGone,
    from_json,
    to_json,
)
from parasuite.run.supervisor.process_tree import kill_tree, state_of
from parasuite.run.supervisor.scheduling import run_at_once
from parasuite.run.supervisor.spawner import PACKET_MAX
from parasuite.sensors import supervised

SPAWNER_GRACE_S = 5.0
IMPORTER_HAS_ENDED = "the process that had imported the tests ended"
_FLUSH_S = 0.05
_END_POLL_S = 0.005
_PINGS_MAX = 30  # One a second. The spawner is busy for up to 5 s while it kills a tree.

_Source: TypeAlias = int | tuple[int, socket.socket] | Importer
"""Who is at the other end of a descriptor: the init of a copy, a copy's main process on its sensor socket, or the
importer.
"""


class Supervisor:
    """*spawner*: the socket to the spawner, whose pid is *spawner_pid*. *lifeline*: see package.

    *descriptors*: see RunMainProcess.
    """

    def __init__(
        self,
        orchestrator: Channel,
        spawner: socket.socket,
        spawner_pid: int,
        lifeline: socket.socket,
        descriptors: tuple[int, int],
    ) -> None:
        self._orchestrator = orchestrator
        self._spawner = spawner
        self._spawner_pid = spawner_pid
        self._spawner_has_gone = False
        self._unanswered_pings = 0
        self._lifeline = lifeline
        self._descriptors = descriptors
        self._poll = select.poll()
        self._sources: dict[int, _Source] = {}  # By descriptor.
        self._poll.register(orchestrator, select.POLLIN)
        self._poll.register(spawner, select.POLLIN)
        self._inits: dict[int, Channel] = {}  # copy -> channel to its init
        self._init_pids: dict[int, int] = {}  # pid -> copy
        self._importer: Importer | None = None
        self._forked: set[int] = set()  # Copies whose init is to come from the importer, and has not reported yet.
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
                    case Importer() if source is self._importer:
                        self._hear_importer(source)
                    case (int() as copy, socket.socket() as sensor_socket):
                        self._adopt(copy, sensor_socket)
            for channel in self._channels():
                channel.flush()
        self._end()
        if self._sensor:
            self._sensor.serve(self._poll.poll(0))
            self._sensor.end()

    def _channels(self) -> list[Channel]:
        importers = [self._importer.channel] if self._importer else []
        return [self._orchestrator, *importers, *self._inits.values()]

    def _timeout_ms(self) -> float | None:
        due_s = [] if self._sensor is None else [self._sensor.timeout_s()]
        if any(channel.has_unsent for channel in self._channels()):
            due_s.append(_FLUSH_S)
        timeout_s = min((due for due in due_s if due is not None), default=None)
        return None if timeout_s is None else timeout_s * 1000

    def _end(self) -> None:
        """Close the sockets to the inits and the spawner, which makes them end; kill what is left after a while."""
        for channel in self._inits.values():
            channel.close()
        if self._importer is not None:
            self._importer.close()
        self._spawner.close()
        give_up_s = time.monotonic() + 2 * SPAWNER_GRACE_S
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self._spawner_pid, os.WNOHANG)[0] and time.monotonic() < give_up_s:
                time.sleep(_END_POLL_S)
        kill_tree()

    def _add_source(self, sock: socket.socket | Importer, source: _Source) -> None:
        self._poll.register(sock, select.POLLIN)
        self._sources[sock.fileno()] = source

    def _remove_source(self, sock: socket.socket | Importer) -> None:
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
            case StartImporter():
                self._start_importer(order)
            case EndImporter():
                self._end_importer(is_at_once=order.is_at_once)
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
        """Have the spawner or the importer fork an init, and tell the init what its copy runs."""
        copy = order.copy
        here, there = socket.socketpair()
        sensor_here, sensor_there = socket.socketpair() if self._sensor else (None, None)
        sockets = [there] if sensor_there is None else [there, sensor_there]
        if not order.is_forked:
            self._send_to_spawner(SpawnInit(copy), sockets)
        elif self._importer is None or not self._importer.fork(copy, [self._lifeline, *sockets]):
            self._orchestrator.send(StartFailed(copy=copy, t_ns=time.monotonic_ns(), why=IMPORTER_HAS_ENDED))
            return
        else:
            self._forked.add(copy)
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

    def _start_importer(self, order: StartImporter) -> None:
        """Have the spawner fork the importer, and tell it what to execute."""
        channel, channel_there = socket.socketpair()
        self._importer = Importer(Channel(channel))
        with channel_there, self._importer.there as orders_there:
            self._send_to_spawner(SpawnImporter(), [channel_there, orders_there])
        self._importer.execute(order, self._descriptors)
        self._add_source(self._importer, self._importer)

    def _end_importer(self, *, is_at_once: bool) -> None:
        """Let the importer carry out what it was ordered, and end; or have it killed, with all that it started."""
        if self._importer is None:
            return
        if self._importer.fileno() in self._sources:
            self._remove_source(self._importer)
        self._importer.close()
        self._importer = None
        if is_at_once:
            self._send_to_spawner(KillImporter())

    def _hear_importer(self, importer: Importer) -> None:
        """Pass it on if copies can be forked from it. If they cannot, it is going to end."""
        self._remove_source(importer)
        importer.receive()
        if importer.is_ready:
            self._orchestrator.send(ImporterReady(""))

    def _importer_has_ended(self) -> None:
        """Pass on why it could not be used, once nothing is left of what it started."""
        importer = self._importer
        if importer is None or importer.is_ready:
            return
        if importer.fileno() in self._sources:
            importer.receive()
        self._end_importer(is_at_once=True)
        self._orchestrator.send(ImporterReady(importer.why_unfit))

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
            case ImporterEnded():
                self._importer_has_ended()
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
                    if copy in self._forked:
                        self._forked.remove(copy)
                        self._send_to_spawner(AdoptInit(copy, message.pid))
                    if message.no_subreaper:
                        self._orchestrator.send(NoSubreaper(message.no_subreaper))
                case _:
                    self._orchestrator.send(message)
                    if isinstance(message, TreeGone | StartFailed):
                        self._finished.add(copy)
        if channel.at_end:
            # If the init ended before its tree, the spawner kills that tree and then reports it. But it does not know
            # the init that the importer was to fork.
            if copy in self._forked:
                self._forked.remove(copy)
                self._finished.add(copy)
                self._orchestrator.send(StartFailed(copy=copy, t_ns=time.monotonic_ns(), why=IMPORTER_HAS_ENDED))
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
