"""From events to holds: which copy owned which endpoint, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from parasuite.judge.fusion import fuse
from parasuite.model.events import (
    ATTEMPTED,
    Bind,
    Connect,
    CopyState,
    Endpoint,
    Event,
    Listen,
    ProcessSeen,
    Release,
    RunStarted,
    Seen,
    SocketCall,
    StrangerSeen,
    Unseen,
)
from parasuite.model.network import Network
from parasuite.model.overlap import canonical, may_coexist, overlaps
from parasuite.model.party import Caller, Party
from parasuite.model.sensors import is_inside
from parasuite.model.words import CopyPhase, Evidence, Protocol, SocketOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One party owning one endpoint, half-open `[start_ns, end_ns)`.

    *caller*: who bound it; its party is None for a process outside the run. *socket*: equal for one socket in many
    processes (fork, dup, SCM_RIGHTS). *asked_port*: the port that the program asked for; 0 if the kernel chose, None
    where that is not known. *listening*: whether it accepts (UDP: is unconnected).
    """

    endpoint: Endpoint
    caller: Caller
    socket: str
    start_ns: int
    end_ns: int
    evidence: Evidence
    asked_port: int | None = None
    options: tuple[SocketOption, ...] = ()
    listening: bool = True


@dataclass(slots=True, kw_only=True, eq=False)
class OpenHold:
    """A hold that has no end yet: the fields of Hold, *source* (the sensor), and *released_ns* once it ended."""

    endpoint: Endpoint
    caller: Caller
    socket: str
    start_ns: int
    evidence: Evidence
    inode: int = 0
    asked_port: int | None = None
    options: tuple[SocketOption, ...] = ()
    listening: bool = True
    source: str = ""
    released_ns: int | None = None
    release_is_timed: bool = True

    @property
    def party(self) -> Party | None:
        """Whose it is; None outside the run."""
        return self.caller.process.party

    def ended(self, end_ns: int) -> Hold:
        """The hold that ended at *end_ns*."""
        return Hold(
            endpoint=self.endpoint,
            caller=self.caller,
            socket=self.socket,
            start_ns=self.start_ns,
            end_ns=end_ns,
            evidence=self.evidence,
            asked_port=self.asked_port,
            options=self.options,
            listening=self.listening,
        )


@dataclass(slots=True)
class Changes:
    """What one event did: holds that opened, that began to accept (opened at once with it, or later), that ended.

    *taken_over*: of those that ended, the Unix sockets that are still open, and whose path another one has now.
    """

    opened: list[OpenHold] = field(default_factory=list)
    listening: list[OpenHold] = field(default_factory=list)
    closed: list[OpenHold] = field(default_factory=list)
    taken_over: list[OpenHold] = field(default_factory=list)


_Key: TypeAlias = tuple[int | None, Network, str]  # A copy, where it is needed to name the socket.
_Slot: TypeAlias = tuple[Protocol, int | str]


def _slot(endpoint: Endpoint) -> _Slot:
    """Under what the holds that may overlap *endpoint* are found: its port; of a Unix socket, its name."""
    return (endpoint.protocol, endpoint.address if endpoint.protocol == Protocol.UNIX else endpoint.port)


class Ledger:
    """The holds that are open now, by socket and by port: what judging asks while it reads the events once.

    Each socket has one account among the events (fusion.py).
    """

    def __init__(self) -> None:
        self._live: dict[_Slot, dict[_Key, OpenHold]] = {}
        self._last: dict[_Slot, OpenHold] = {}
        self._holds: dict[_Key, OpenHold] = {}
        self._by_inode: dict[tuple[Network, int], _Key] = {}
        self._keys_of_copy: dict[int, dict[_Key, None]] = {}

    def at(self, endpoint: Endpoint) -> Iterable[OpenHold]:
        """The holds open now at the port, or Unix name, of *endpoint*, in the order in which they began."""
        return self._live.get(_slot(endpoint), {}).values()

    def last_at(self, endpoint: Endpoint) -> OpenHold | None:
        """The hold that ended last at the port, or Unix name, of *endpoint*."""
        return self._last.get(_slot(endpoint))

    def by_inode(self, network: Network, inode: int) -> OpenHold | None:
        """The open hold of the socket with *inode*, whichever sensor reported it; None for inode 0."""
        key = self._by_inode.get((network, inode))
        return None if key is None else self._holds.get(key)

    def of(self, event: SocketCall) -> OpenHold | None:
        """The open hold of the socket that *event* is about."""
        return self._holds.get(_key(event))

    def open_holds(self) -> list[OpenHold]:
        """All that are open now."""
        return list(self._holds.values())

    def apply(self, event: Event) -> Changes:
        """Bring the ledger up to *event*; events come in the order of `in_order`."""
        changes = Changes()
        match event:
            case Seen():
                self._seen(event, changes)
            case Unseen():
                self._close(_sampled_key(event), event.t_ns, changes)
            case Bind():
                self._bound(event, changes)
            case Listen():
                self._listened(event, changes)
            case Connect():
                hold = self.of(event)
                if hold is not None and hold.endpoint.protocol == Protocol.UDP:
                    hold.listening = False  # A connected datagram socket hears its peer only: a client.
            case Release():
                self._close(_key(event), event.t_ns, changes, is_timed=event.is_timed)
            case CopyState(state=CopyPhase.GONE):
                for key in list(self._keys_of_copy.get(event.copy, ())):
                    self._close(key, event.t_ns, changes)
        return changes

    def _seen(self, event: Seen, changes: Changes) -> None:
        key = _sampled_key(event)
        if key not in self._holds:
            hold = OpenHold(
                endpoint=canonical(event.endpoint),
                caller=event.caller,
                socket=event.socket,
                start_ns=event.t_ns,
                evidence=Evidence.SAMPLED,
                inode=inode_of(event.socket),
            )
            self._open(key, hold, changes)
            changes.listening.append(hold)

    def _bound(self, event: Bind, changes: Changes) -> None:
        attempted = event.errno == ATTEMPTED
        if event.errno and not attempted:
            return
        endpoint = event.got
        is_unix = endpoint is not None and endpoint.protocol == Protocol.UNIX
        if endpoint is None or not (endpoint.is_internet or is_unix):
            return  # An attempt whose result is not known; the sampler may show it.
        self._close(_key(event), event.t_ns, changes)
        hold = OpenHold(
            endpoint=canonical(endpoint),
            caller=event.caller,
            socket=_socket(event),
            start_ns=event.t_ns,
            evidence=Evidence.ATTEMPTED if attempted else Evidence.EXACT,
            inode=event.inode,
            asked_port=None if is_unix else event.asked.port,
            options=event.options,
            listening=is_unix or endpoint.protocol == Protocol.UDP,
            source=event.source,
        )
        self._end_impossible(hold, changes)
        if is_unix:
            self._take_over(hold, changes)
        self._open(_key(event), hold, changes)
        if hold.listening:
            changes.listening.append(hold)

    def _listened(self, event: Listen, changes: Changes) -> None:
        if event.errno and event.errno != ATTEMPTED:
            return
        hold = self.of(event)
        if hold is None:
            if event.got is None or event.got.port == 0:
                return
            hold = OpenHold(
                endpoint=canonical(event.got),
                caller=event.caller,
                socket=_socket(event),
                start_ns=event.t_ns,
                evidence=Evidence.ATTEMPTED if event.errno == ATTEMPTED else Evidence.EXACT,
                inode=event.inode,
                asked_port=0,
                options=event.options,
                listening=False,
                source=event.source,
            )
            self._open(_key(event), hold, changes)
        if event.options:
            hold.options = event.options
        if hold.evidence == Evidence.ATTEMPTED and event.got is not None and not event.errno:
            hold.evidence = Evidence.EXACT
        if not hold.listening:
            hold.listening = True
            changes.listening.append(hold)

    def _end_impossible(self, hold: OpenHold, changes: Changes) -> None:
        """The recorder does not learn when a process dies, but a bind that succeeded proves that a holder that would
        have refused it is gone. Within one process releases are reported, so there it proves that options were set
        after the bind.
        """
        for key, other in list(self._live.get(_slot(hold.endpoint), {}).items()):
            is_elsewhere = other.caller.process.pid != hold.caller.process.pid
            if not is_inside(other.source) or not is_elsewhere or not overlaps(other.endpoint, hold.endpoint):
                continue
            if not may_coexist(other.endpoint, other.options, other.listening, hold.endpoint, hold.options):
                self._close(key, hold.start_ns, changes)

    def _take_over(self, hold: OpenHold, changes: Changes) -> None:
        """A Unix name has one socket at a time. The one that had it is still open, and no client finds it now."""
        for key, other in list(self._live.get(_slot(hold.endpoint), {}).items()):
            if overlaps(other.endpoint, hold.endpoint):
                self._close(key, hold.start_ns, changes)
                changes.taken_over.append(other)

    def _open(self, key: _Key, hold: OpenHold, changes: Changes) -> None:
        self._holds[key] = hold
        self._live.setdefault(_slot(hold.endpoint), {})[key] = hold
        if hold.party is not None:
            self._keys_of_copy.setdefault(hold.party.copy, {})[key] = None
        if hold.inode:
            self._by_inode[hold.endpoint.network, hold.inode] = key
        changes.opened.append(hold)

    def _close(self, key: _Key, end_ns: int, changes: Changes, *, is_timed: bool = True) -> None:
        hold = self._holds.pop(key, None)
        if hold is None:
            return
        hold.released_ns, hold.release_is_timed = end_ns, is_timed
        slot = _slot(hold.endpoint)
        there = self._live[slot]
        del there[key]
        if not there:
            del self._live[slot]
        self._last[slot] = hold
        if hold.party is not None:
            self._keys_of_copy[hold.party.copy].pop(key, None)
        if hold.inode and self._by_inode.get((hold.endpoint.network, hold.inode)) == key:
            del self._by_inode[hold.endpoint.network, hold.inode]
        changes.closed.append(hold)


def inode_of(socket: str) -> int:
    """The inode in a sampled socket's name; 0 where it is named otherwise."""
    kind, _, number = socket.partition(":")
    return int(number) if kind == "inode" and number.isdigit() else 0


def _socket(event: SocketCall) -> str:
    if event.cookie:
        return f"cookie:{event.cookie}"
    return event.socket or f"inode:{event.inode}"


def _sampled_key(event: Seen | Unseen) -> _Key:
    # Not by worker: which one it is may become known while the socket is open.
    return (None if event.party is None else event.party.copy, event.endpoint.network, event.socket)


def _key(event: SocketCall) -> _Key:
    # Not by copy: a socket passed to another copy is the same socket, and its release names no copy.
    return (None, event.network, _socket(event))


_RANK: dict[type[Event], int] = {RunStarted: 0, ProcessSeen: 0, Release: 1, Unseen: 1}
_LAST = 3


def _rank(event: Event) -> tuple[int, str, str]:
    rank = _RANK.get(type(event), 2)
    if isinstance(event, StrangerSeen) and event.is_gone:
        rank = 1
    elif isinstance(event, CopyState):
        rank = 1 if event.state == CopyPhase.GONE else _LAST
    return (rank, event.kind, repr(event))


def in_order(events: Iterable[Event]) -> Iterator[Event]:
    """*events*, sorted by time, with those of one instant in an order that depends on what they say alone.

    Ends come before beginnings, so that half-open holds that only touch do not overlap, and what a process is before
    what it does. Raises ValueError for events that are not sorted: what they would prove depends on the order in
    which processes wrote.
    """
    last_ns = None
    for t_ns, instant in groupby(events, key=lambda event: event.t_ns):
        if last_ns is not None and t_ns < last_ns:
            raise ValueError(f"events are not sorted by time: {t_ns} comes after {last_ns}")
        last_ns = t_ns
        together = list(instant)
        yield from together if len(together) == 1 else sorted(together, key=_rank)


def holds(events: Iterable[Event]) -> list[Hold]:
    """The holds in *events*, which are sorted by time; sorted by start.

    A sampled hold begins with the first sample that shows it and ends with the first that does not, so two of them
    overlap exactly when both were in one sample. A hold whose end was not seen ends with its copy's
    tree, or just after the last event. Linear in the number of events.
    """
    ledger = Ledger()
    ended: list[Hold] = []
    last_ns = 0
    for event in fuse(in_order(events)):
        last_ns = max(last_ns, event.t_ns)
        for hold in ledger.apply(event).closed:
            assert hold.released_ns is not None
            ended.append(hold.ended(hold.released_ns))
    ended.extend(hold.ended(last_ns + 1) for hold in ledger.open_holds())
    return sorted(ended, key=lambda hold: (hold.start_ns, hold.end_ns, hold.endpoint.port, repr(hold)))
