"""The sensor that works everywhere: psutil's list of sockets, at most once a second.

It sees a TCP socket only while it listens and a UDP socket only while it is unconnected. A listener that lives for
less than the time between two samples is seen only by chance: on a quiet machine 20 % of those that live 200 ms, 1 %
of those that live 10 ms. Two sockets in one sample exist at the same time. That a socket is not in a sample proves
nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from parasuite.model.events import (
    Endpoint,
    Event,
    Holder,
    Orphaned,
    ProcessSeen,
    Seen,
    SensorState,
    StrangerSeen,
    Unseen,
)
from parasuite.model.overlap import canonical_address
from parasuite.model.party import Caller, Party, Process
from parasuite.model.sensors import SensorName
from parasuite.model.words import AttributedBy, Protocol, SensorStatus, SocketState
from parasuite.sensors import netlink, proc

if sys.platform == "linux":
    from parasuite.sensors.seccomp.owners import sockets_of
    from parasuite.sensors.socket_tables import reachable_sockets
    from parasuite.sensors.strangers import Strangers

_COMMAND_MAX = 500
NAME = SensorName.SAMPLER
_PERIOD_MIN_S = 1.0
# Shares of one CPU that sampling may use. A sample looks at every process of the host: 65 ms for two hundred.
_SHARE, _SHARE_BESIDE_EXACT = 0.1, 0.01


def period_s(spent_s: float, *, beside_exact: bool) -> float:
    """How long after the start of a sample that took *spent_s* of CPU the next one is due.

    *beside_exact*: another sensor sees every listener, so this one is only a fallback.
    """
    return max(_PERIOD_MIN_S, spent_s / (_SHARE_BESIDE_EXACT if beside_exact else _SHARE))


class Sampler:
    """Takes samples and returns what has changed, as events.

    *inits*: called at each sample, {pid of a copy's init: copy}; a process belongs to the copy whose init is one of
    its ancestors. *test_of*: the test that a copy runs now, "" if it is not exactly one. *with_strangers*: whether
    all listeners of processes outside the run are reported, too; else those on a port that a copy has as well.
    *has_own_networks*: each copy has a network of its own, that of its init.
    """

    def __init__(
        self,
        inits: Callable[[], dict[int, int]],
        test_of: Callable[[int], str],
        *,
        with_strangers: bool = False,
        has_own_networks: bool = False,
    ) -> None:
        self._has_own_networks = has_own_networks
        self._with_strangers = with_strangers
        self._runs = Strangers() if sys.platform == "linux" else None
        self._strangers: dict[tuple[str, Endpoint], StrangerSeen] = {}
        self._inits = inits
        self._test_of = test_of
        self._copy_of: dict[tuple[int, float], int | None] = {}
        self._known: dict[str, Seen] = {}
        self._introduced: set[Process] = set()
        self.samples = 0
        self.listeners = 0
        self.failure = ""

    def sample(self) -> list[Event]:
        """What has appeared and vanished since the last sample. An error is kept in `failure` and not raised."""
        try:
            rows = list(self._rows())
        except (OSError, psutil.Error) as error:
            # A sensor never breaks the run: the copies go on, and the report says that the run was blind.
            if not self.failure:
                self.failure = f"{type(error).__name__}: {error}"
                return [self._state(SensorStatus.BLIND, self.failure)]
            return []
        t_ns = time.monotonic_ns()
        self.samples += 1
        events: list[Event] = []
        now: dict[str, Seen] = {}
        strangers: dict[tuple[str, Endpoint], StrangerSeen] = {}
        for endpoint, socket_id, process, copy in rows:
            if copy is None:
                stranger = self._strangers.get((socket_id, endpoint))
                if stranger is None:
                    stranger = StrangerSeen(
                        t_ns=t_ns,
                        source=NAME,
                        endpoint=endpoint,
                        socket=socket_id,
                        holders=(self._holder(endpoint, process),),
                    )
                    events.append(stranger)
                strangers[socket_id, endpoint] = stranger
                continue
            known = self._known.get(socket_id)
            if known is None or known.endpoint != endpoint:
                test = self._test_of(copy)
                by = AttributedBy.FIRST_SAMPLE if test else AttributedBy.NONE
                caller = Caller(process, test=test, attribution=by)
                known = Seen(t_ns=t_ns, source=NAME, caller=caller, endpoint=endpoint, socket=socket_id)
                self.listeners += 1
                events += self._introduction(known)
                events.append(known)
            now[socket_id] = known
        events += [
            Unseen(t_ns=t_ns, source=NAME, caller=old.caller, endpoint=old.endpoint, socket=socket_id)
            for socket_id, old in self._known.items()
            if now.get(socket_id) is not old
        ]
        self._known = now
        events += [
            StrangerSeen(t_ns=t_ns, source=NAME, endpoint=old.endpoint, socket=old.socket, is_gone=True)
            for key, old in self._strangers.items()
            if key not in strangers
        ]
        self._strangers = strangers
        # In the order in which it happened: a socket leaves its endpoint before another one is seen there.
        return sorted(events, key=_appears)

    def orphans(self, copy: int) -> list[Event]:
        """Take a sample now; what it changed, and an Orphaned for each endpoint that *copy* still holds."""
        events = self.sample()
        t_ns = time.monotonic_ns()
        return events + [
            Orphaned(t_ns=t_ns, source=NAME, caller=seen.caller, endpoint=seen.endpoint, socket=seen.socket)
            for seen in self._known.values()
            if seen.party == Party(copy)
        ]

    def up(self) -> Event:
        return self._state(SensorStatus.UP, "")

    def down(self) -> Event:
        return self._state(SensorStatus.DOWN, "")

    def _state(self, state: SensorStatus, why: str) -> SensorState:
        return SensorState(
            t_ns=time.monotonic_ns(), source=NAME, sensor=NAME, state=state, why=why, samples=self.samples
        )

    def _holder(self, endpoint: Endpoint, process: Process) -> Holder:
        """The socket of a stranger. On Linux with the other run of parasuite that its process belongs to."""
        name, command, _ = _described(process.pid)
        stranger = self._runs.described(process.pid) if self._runs is not None else None
        return Holder(
            party=None,
            pid=process.pid,
            state=SocketState.LISTEN if endpoint.protocol == Protocol.TCP else SocketState.UNCONNECTED,
            command=command,
            name=name,
            start_s=process.start_s,
            other_run=stranger.other_run if stranger is not None else None,
        )

    def _introduction(self, seen: Seen) -> list[Event]:
        process = seen.caller.process
        if process in self._introduced:
            return []
        self._introduced.add(process)
        name, command, parent = _described(process.pid)
        return [
            ProcessSeen(
                t_ns=seen.t_ns,
                source=NAME,
                caller=Caller(process),
                name=name,
                command=command,
                parent=parent,
            )
        ]

    def _rows(self) -> Iterable[tuple[Endpoint, str, Process, int | None]]:
        """Every listener of a copy: (endpoint, socket id, process, copy). Those of strangers, too, of no copy.

        psutil reports an address and a descriptor. A moment later a busy process may have another socket at that
        descriptor, so the kernel's table decides which socket has which address.
        """
        if self._has_own_networks:
            yield from self._in_own_networks()
        found = list(self._candidates())
        places = _places()
        ports = {(row[0].protocol, row[0].port) for row in found if row[3] is not None}
        for row in found:
            if row[3] is None and not self._with_strangers and (row[0].protocol, row[0].port) not in ports:
                continue
            endpoint, socket_id = row[:2]
            if not places or not socket_id.startswith("inode:") or places.get(socket_id) == _place(endpoint):
                yield row

    def _in_own_networks(self) -> Iterable[tuple[Endpoint, str, Process, int | None]]:
        """The same, of copies that have a network each: read from the table of that network.

        A process that the copy has put into another network is left out, as it is in a network that copies share.
        """
        for init, copy in self._inits().items():
            network = _network_of(init)
            rows = {row.inode: row for row in reachable_sockets(init) if row.inode and not row.is_connected}
            if not rows:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(init).children(recursive=True):
                    if _network_of(process.pid) != network:
                        continue
                    for inode in rows.keys() & sockets_of([process.pid]).keys():
                        row = rows.pop(inode)
                        identity = Process(Party(copy), process.pid, process.create_time())
                        yield Endpoint(row.protocol, row.address, row.port), f"inode:{inode}", identity, copy

    def _candidates(self) -> Iterable[tuple[Endpoint, str, Process, int | None]]:
        inits = self._inits()
        for row in self._connections(inits):
            is_udp = row.type == socket.SOCK_DGRAM
            if not row.pid or not row.laddr or row.raddr or not (is_udp or row.status == psutil.CONN_LISTEN):
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(row.pid)
                process_start = process.create_time()
                copy = self._owner(process, process_start, inits)
                protocol = Protocol.UDP if is_udp else Protocol.TCP
                endpoint = Endpoint(protocol, row.laddr.ip, row.laddr.port)
                socket_id = _socket_id(row.pid, row.fd)
                if socket_id:
                    party = None if copy is None else Party(copy)
                    yield endpoint, socket_id, Process(party, row.pid, process_start), copy

    def _connections(self, inits: dict[int, int]) -> Iterable[Any]:
        if sys.platform != "darwin" or os.geteuid() == 0:
            return psutil.net_connections("inet")
        # macOS gives the list of the whole system to root alone, so the trees are asked one process at a time.
        found = []
        for pid in inits:
            with contextlib.suppress(psutil.Error):
                top = psutil.Process(pid)
                for process in (top, *top.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        found += [row._replace(pid=process.pid) for row in process.net_connections("inet")]
        return found

    def _owner(self, process: psutil.Process, process_start: float, inits: dict[int, int]) -> int | None:
        """The copy of a process, None outside the run. It never changes, since an orphan is reparented to the init of
        its own copy. Raises psutil.NoSuchProcess if a parent ends between two look-ups; the next sample tries again.
        """
        identity = (process.pid, process_start)
        if identity not in self._copy_of:
            line = [process.pid]
            while line[-1] not in inits and line[-1] > 1:
                line.append(psutil.Process(line[-1]).ppid())
            self._copy_of[identity] = inits.get(line[-1])
        return self._copy_of[identity]


def _appears(event: Event) -> bool:
    return isinstance(event, Seen | ProcessSeen) or (isinstance(event, StrangerSeen) and not event.is_gone)


def _described(pid: int) -> tuple[str, str, int]:
    """Name, command line and parent of *pid*; empty once it is gone."""
    try:
        if sys.platform == "linux":
            # psutil reads the whole command line, however long its process has made it.
            stat = proc.stat(pid)
            return stat.name, proc.command(pid, _COMMAND_MAX), stat.parent
        process = psutil.Process(pid)
        return process.name(), " ".join(process.cmdline())[:_COMMAND_MAX], process.ppid()
    except (psutil.Error, OSError):
        return "", "", 0


def _network_of(pid: int) -> int:
    """The inode of the network namespace of *pid*; 0 once it is gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _place(endpoint: Endpoint) -> tuple[str, str, int]:
    return endpoint.protocol, canonical_address(endpoint.address), endpoint.port


def _places() -> dict[str, tuple[str, str, int]]:
    """The endpoint of each listening TCP and unconnected UDP socket of this host, by socket id; empty if unknown."""
    places: dict[str, tuple[str, str, int]] = {}
    if sys.platform == "linux":
        with contextlib.suppress(OSError), netlink.Table() as table:
            for row in (
                *table.rows(Protocol.TCP, 1 << netlink.LISTEN),
                *table.rows(Protocol.UDP, 1 << netlink.CLOSE),
            ):
                places[f"inode:{row.inode}"] = _place(Endpoint(row.protocol, row.address, row.port))
    return places


def _socket_id(pid: int, descriptor: int) -> str:
    """A name of the socket that is the same in all processes that share it, if the OS has one; "" if it is closed.

    A sample of a busy machine takes a while. A socket that ended meanwhile must not be listed: its port may already
    belong to another copy.
    """
    try:
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except FileNotFoundError:
        return "" if sys.platform == "linux" else f"{pid}:{descriptor}"
    except OSError:
        return f"{pid}:{descriptor}"
    if not target.startswith("socket:["):
        return ""  # The descriptor belongs to another file already.
    return f"inode:{target.removeprefix('socket:[').removesuffix(']')}"
