"""What the sensors saw and what became of the copies: the records that every room understands.

An event is not changed once it is made. (They are not frozen: the supervisor makes one for each call that it traps,
and a frozen dataclass takes three times as long to make.) Times are CLOCK_MONOTONIC nanoseconds, one clock for all
processes of a host (not across time namespaces). `lines` turns events into text and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.party import UNKNOWN_CALLER, Caller, Party
from parasuite.model.words import CopyPhase, NetworkMode, Protocol, SensorStatus, SocketOption, SocketState

ATTEMPTED = "?"
"""In place of an errno: the call was seen, and its result was not."""
FAILED = "failed"
"""In place of an errno: the call failed, and why was not seen; not because another socket was in the way."""


class Endpoint(NamedTuple):
    """Where a socket can be reached.

    *address*: numeric text as inet_ntop(3) writes it, a Unix path, or "@name" for an abstract name. *port*: 0 where
    the protocol has none. *v6only*: of an AF_INET6 socket; None where the sensor cannot tell.
    """

    protocol: Protocol
    address: str
    port: int = 0
    network: Network = OUR_NETWORK
    v6only: bool | None = None

    @property
    def is_internet(self) -> bool:
        """Whether it has a port of TCP or UDP."""
        return self.protocol in (Protocol.TCP, Protocol.UDP)

    def __str__(self) -> str:
        if self.protocol in (Protocol.UNIX, Protocol.VSOCK):
            return f"{self.protocol}:{self.address}" + (f":{self.port}" if self.port else "")
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" + ("/udp" if self.protocol == Protocol.UDP else "")


@dataclass(frozen=True, slots=True)
class OtherRun:
    """The run of another parasuite on this host to which a process belongs, as its environment says.

    *copy*: the number of the copy in that run. *folder*: that run's folder. *test*: the test that the process runs or
    that started it; "" where that is not known.
    """

    run_id: str
    copy: int
    folder: str
    test: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """A socket that had the endpoint when a bind or listen failed, or that a client was about to reach.

    *party*: None outside the run. What follows *command* is known of sockets outside the run only. *name*, *start_s*:
    of the process, as in ProcessSeen and Process. *uid*: the user that the socket belongs to, None where that is not
    known. *peer*: of a connection. *other_run*: None for a process of no parasuite.

    A process of another user cannot be found without root: then *pid* is 0, and *command* and *name* are "".
    """

    party: Party | None
    pid: int
    state: SocketState
    cookie: int = 0
    command: str = ""
    name: str = ""
    start_s: float = 0.0
    uid: int | None = None
    peer: Endpoint | None = None
    other_run: OtherRun | None = None


class Ancestor(NamedTuple):
    """What a process' parent, or a parent's parent, is; fields as in ProcessSeen and Process."""

    pid: int
    start_s: float = 0.0
    name: str = ""
    command: str = ""
    environment: tuple[str, ...] = ()
    xdist_worker: str = ""


@dataclass(slots=True, kw_only=True)
class Event:
    """What every line carries: when, and *source*, the name of the sensor or process that wrote it."""

    kind: ClassVar[str] = ""

    t_ns: int
    source: str = ""


@dataclass(slots=True, kw_only=True)
class ProcessEvent(Event):
    """Something that a process did, or was seen to have."""

    caller: Caller = UNKNOWN_CALLER

    @property
    def party(self) -> Party | None:
        """Whose process it is; None outside the run, and where that is not known."""
        return self.caller.process.party


@dataclass(slots=True, kw_only=True)
class RunStarted(Event):
    """The clocks and the host's facts that judging needs, first in every run.

    *wall_ns*: time since the epoch at *t_ns*. *ephemeral_first*, *ephemeral_last*: the range that the kernel draws
    port 0 from, both ends included. *addresses*: this host's own; () where they are not known. *scratch*: the folder
    in which each copy has its temporary one, named by its number. *proxies*: the ports of the proxies on this host
    that the environment names (http_proxy and the like). *network_mode*: which network the copies use.
    """

    kind = "run"

    wall_ns: int
    ephemeral_first: int = 0
    ephemeral_last: int = 0
    addresses: tuple[str, ...] = ()
    scratch: str = ""
    proxies: tuple[int, ...] = ()
    network_mode: NetworkMode = NetworkMode.HOST


@dataclass(slots=True, kw_only=True)
class CopyState(Event):
    """What became of a copy, one event a change.

    *pid*, *status*: of its main process; the status as subprocess gives it, or as a shell does if it FAILED to start.
    *processes*: how many were left behind, or could not be ended. *why*: for people.
    """

    kind = "copy"

    copy: int
    state: CopyPhase
    pid: int = 0
    status: int | None = None
    processes: int = 0
    why: str = ""


@dataclass(slots=True, kw_only=True)
class ProcessSeen(ProcessEvent):
    """What a process is: written when one of its sockets is first seen, and again once it runs another program.

    *environment*: "NAME=value" of the variables in `workers.VARIABLES` that it was started with. *xdist_worker*: as
    a recorder saw it, since pytest-xdist sets the variable in a process that runs already. *ancestors*: up to the
    copy's main process or its init, the nearest first; () where the sensor does not look for them.
    """

    kind = "process"

    name: str = ""
    command: str = ""
    parent: int = 0
    environment: tuple[str, ...] = ()
    xdist_worker: str = ""
    ancestors: tuple[Ancestor, ...] = ()


@dataclass(slots=True, kw_only=True)
class SocketCall(ProcessEvent):
    """A call on one socket.

    *cookie* (SO_COOKIE) names the socket within its namespace, over dup, fork and SCM_RIGHTS. *socket*: names it
    where the OS has no cookies (the recorder's own numbering).
    """

    cookie: int = 0
    network: Network = OUR_NETWORK
    inode: int = 0
    socket: str = ""


@dataclass(slots=True, kw_only=True)
class Bind(SocketCall):
    """A bind(2). *asked*: the address of the call. *got*: what the socket has now; None when refused or unknown.

    *errno*: its name ("EADDRINUSE"); "" when it succeeded; ATTEMPTED where only the attempt was seen, FAILED where
    only that it failed. *holders*: the sockets that had it, after EADDRINUSE; after a success, those of processes
    outside the run that share it.
    """

    kind = "bind"

    asked: Endpoint
    got: Endpoint | None = None
    errno: str = ""
    options: tuple[SocketOption, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Listen(SocketCall):
    """A listen(2); fields as in Bind. On an unbound socket the kernel picks the port here (autobind)."""

    kind = "listen"

    got: Endpoint | None = None
    errno: str = ""
    options: tuple[SocketOption, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Connect(SocketCall):
    """A connect(2) towards *destination*; it was tried, its result is not known.

    *holders*: if only other parties were known to have sockets there, those that listened at that instant. If no
    party was, the sockets of processes outside the run, as of that instant or up to a second before.
    """

    kind = "connect"

    destination: Endpoint
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Send(SocketCall):
    """A sendto(2) with an address; *holders* as in Connect."""

    kind = "send"

    destination: Endpoint
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Release(SocketCall):
    """The last reference to a socket is gone.

    *is_timed*: False where the sensor only found the socket gone, at *t_ns*, and does not know since when.
    """

    kind = "release"

    is_timed: bool = True


@dataclass(slots=True, kw_only=True)
class Seen(ProcessEvent):
    """A listener (UDP: an unconnected socket) that the sampler sees for the first time.

    *socket*: names it: "inode:N" where the OS tells the inode, else "pid:fd".
    """

    kind = "seen"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class Unseen(ProcessEvent):
    """The first sample in which that socket is missing."""

    kind = "unseen"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class StrangerSeen(Event):
    """A listener of a process outside the run that the sampler sees for the first time, or (*is_gone*) misses.

    *socket*: as in Seen. *holders*: the process, one; () when it is gone.
    """

    kind = "stranger"

    endpoint: Endpoint
    socket: str
    holders: tuple[Holder, ...] = ()
    is_gone: bool = False


@dataclass(slots=True, kw_only=True)
class Orphaned(ProcessEvent):
    """An endpoint still held when its copy's main process had ended and the grace time was over."""

    kind = "orphaned"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class PortTaken(ProcessEvent):
    """parasuite took *endpoint* itself, to provoke what a finding says: before, or after, the call of *caller*.

    *errno*: why it could not be taken: a name, or FAILED where the sensor had no means to; "" if it was.
    """

    kind = "taken"

    endpoint: Endpoint
    errno: str = ""


@dataclass(slots=True, kw_only=True)
class PortVisited(Event):
    """How many clients came to a port that parasuite had taken: *visits* connections, or datagrams of UDP."""

    kind = "visited"

    endpoint: Endpoint
    visits: int = 0


@dataclass(slots=True, kw_only=True)
class SensorState(Event):
    """How *sensor* is; *why* for people. *samples* of the sampler; *calls* of the exact sensor, with its *cpu_s*."""

    kind = "sensor"

    sensor: str
    state: SensorStatus
    why: str = ""
    samples: int = 0
    calls: int = 0
    cpu_s: float = 0.0
