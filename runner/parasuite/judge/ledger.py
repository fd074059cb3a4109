"""From events to holds: which copy owned which endpoint, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from parasuite.model.events import (
    Bind,
    Connect,
    CopyState,
    Endpoint,
    Event,
    Listen,
    Release,
    RunStarted,
    Seen,
    SocketCall,
    Unseen,
)
from parasuite.model.overlap import canonical, may_coexist, overlaps

EVIDENCE = ("sampled", "attempted", "exact")
ATTEMPTED = "?"
RECORDER = "recorder"
_GONE_MAX = 20_000  # More than end while a sample is taken.


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One copy owning one endpoint, half-open `[start_ns, end_ns)`.

    *copy*: None for a process outside the run. *socket*: equal for one socket in many processes (fork, dup,
    SCM_RIGHTS). *evidence*: "exact", "attempted" or "sampled". *asked_port*: the number the program asked for; 0 if
    the kernel chose, None where that is not known. *listening*: whether it accepts (UDP: is unconnected).
    """

    endpoint: Endpoint
    copy: int | None
    socket: str
    start_ns: int
    end_ns: int
    evidence: str
    pid: int = 0
    test: str = ""
    source_line: str = ""
    attribution: str = ""
    asked_port: int | None = None
    options: tuple[str, ...] = ()
    listening: bool = True


@dataclass(slots=True, kw_only=True, eq=False)
class OpenHold:
    """A hold that has no end yet: the fields of Hold, the sensor that told it, and *released_ns* once it ended."""

    endpoint: Endpoint
    copy: int | None
    socket: str
    start_ns: int
    evidence: str
    pid: int = 0
    inode: int = 0
    test: str = ""
    source_line: str = ""
    attribution: str = ""
    asked_port: int | None = None
    options: tuple[str, ...] = ()
    listening: bool = True
    source: str = ""
    released_ns: int | None = None

    def ended(self, end_ns: int) -> Hold:
        """The hold that ended at *end_ns*."""
        return Hold(
            endpoint=self.endpoint,
            copy=self.copy,
            socket=self.socket,
            start_ns=self.start_ns,
            end_ns=end_ns,
            evidence=self.evidence,
            pid=self.pid,
            test=self.test,
            source_line=self.source_line,
            attribution=self.attribution,
            asked_port=self.asked_port,
            options=self.options,
            listening=self.listening,
        )


@dataclass(slots=True)
class Changes:
    """What one event did: holds that opened, that began to accept (opened at once with it, or later), that ended."""

    opened: list[OpenHold] = field(default_factory=list)
    listening: list[OpenHold] = field(default_factory=list)
    closed: list[OpenHold] = field(default_factory=list)


_Key: TypeAlias = tuple[int | None, int, str]
_Port: TypeAlias = tuple[str, int]


class Ledger:
    """The holds that are open now, by socket and by port: what judging asks while it reads the events once.

    *live*: (protocol, port) to the open holds there. *last*: (protocol, port) to the hold that ended last.
    An exact hold stands for the sampled one of the same inode, so that one socket is judged once.
    """

    def __init__(self) -> None:
        self.live: dict[_Port, dict[_Key, OpenHold]] = {}
        self.last: dict[_Port, OpenHold] = {}
        self._holds: dict[_Key, OpenHold] = {}
        self._by_inode: dict[tuple[int, int], _Key] = {}
        self._gone: dict[tuple[int, int], None] = {}
        self._keys_of_copy: dict[int | None, dict[_Key, None]] = {}

    def at(self, protocol: str, port: int) -> Iterable[OpenHold]:
        """The holds open at *port* now, in the order in which they began."""
        return self.live.get((protocol, port), {}).values()

    def by_inode(self, netns: int, inode: int) -> OpenHold | None:
        """The open hold of the socket with *inode*, whichever sensor told it."""
        key = self._by_inode.get((netns, inode))
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
                self._unseen(event, changes)
            case Bind():
                self._bound(event, changes)
            case Listen():
                self._listened(event, changes)
            case Connect():
                hold = self.of(event)
                if hold is not None and hold.endpoint.protocol == "udp":
                    hold.listening = False  # A connected datagram socket hears its peer only: a client.
            case Release():
                self._close(_key(event), event.t_ns, changes)
            case CopyState(state="gone"):
                for key in list(self._keys_of_copy.get(event.copy, ())):
                    self._close(key, event.t_ns, changes)
        return changes

    def _seen(self, event: Seen, changes: Changes) -> None:
        inode = _inode(event.socket)
        if (event.endpoint.netns, inode) in self._gone:
            return  # A sample takes a while; this socket ended while it was taken, as an exact sensor has told.
        exact = self.by_inode(event.endpoint.netns, inode) if inode else None
        if exact is not None and exact.evidence != "sampled":
            # A sample takes address and inode at two instants: the descriptor may be another socket's by then.
            there = canonical(event.endpoint)
            if (exact.endpoint.address, exact.endpoint.port) == (there.address, there.port):
                self._confirm(exact, changes)
            return
        key = (event.copy, event.endpoint.netns, event.socket)
        if key not in self._holds:
            hold = OpenHold(
                endpoint=canonical(event.endpoint),
                copy=event.copy,
                socket=event.socket,
                start_ns=event.t_ns,
                evidence="sampled",
                pid=event.pid,
                inode=inode,
                test=event.test,
                source_line=event.source_line,
                attribution=event.attribution,
            )
            self._open(key, hold, changes)
            changes.listening.append(hold)

    def _unseen(self, event: Unseen, changes: Changes) -> None:
        self._close((event.copy, event.endpoint.netns, event.socket), event.t_ns, changes)
        inode = _inode(event.socket)
        hold = self.by_inode(event.endpoint.netns, inode) if inode else None
        if hold is not None and hold.source == RECORDER:
            # A program's native code may let go of a socket behind Python's back: the recorder cannot tell.
            self._close(self._by_inode[event.endpoint.netns, inode], event.t_ns, changes)

    def _confirm(self, hold: OpenHold, changes: Changes) -> None:
        """The sampler shows what no other sensor could: that it listens."""
        if not hold.listening and hold.endpoint.protocol == "tcp":
            hold.listening = True
            changes.listening.append(hold)

    def _bound(self, event: Bind, changes: Changes) -> None:
        attempted = event.errno == ATTEMPTED
        if event.errno and not attempted:
            return
        endpoint = event.got
        if endpoint is None or endpoint.protocol not in ("tcp", "udp"):
            return  # An attempt of which nobody knows what became of it; the sampler may show it.
        self._replace(event, changes)
        hold = OpenHold(
            endpoint=canonical(endpoint),
            copy=event.copy,
            socket=_socket(event),
            start_ns=event.t_ns,
            evidence="attempted" if attempted else "exact",
            pid=event.pid,
            inode=event.inode,
            test=event.test,
            source_line=event.source_line,
            attribution=event.attribution,
            asked_port=event.asked.port,
            options=event.options,
            listening=endpoint.protocol == "udp",
            source=event.source,
        )
        self._end_impossible(hold, changes)
        self._open(_key(event), hold, changes)
        if hold.listening:
            changes.listening.append(hold)

    def _listened(self, event: Listen, changes: Changes) -> None:
        if event.errno and event.errno != ATTEMPTED:
            return
        hold = self.of(event)
        if hold is None or hold.evidence == "sampled":
            if event.got is None or event.got.port == 0:
                return
            self._replace(event, changes)
            hold = OpenHold(
                endpoint=canonical(event.got),
                copy=event.copy,
                socket=_socket(event),
                start_ns=event.t_ns,
                evidence="attempted" if event.errno == ATTEMPTED else "exact",
                pid=event.pid,
                inode=event.inode,
                test=event.test,
                source_line=event.source_line,
                attribution=event.attribution,
                asked_port=0,
                options=event.options,
                listening=False,
                source=event.source,
            )
            self._open(_key(event), hold, changes)
        if event.options:
            hold.options = event.options
        if hold.evidence == "attempted" and event.got is not None and not event.errno:
            hold.evidence = "exact"
        if not hold.listening:
            hold.listening = True
            changes.listening.append(hold)

    def _end_impossible(self, hold: OpenHold, changes: Changes) -> None:
        """The recorder hears of no process' death: a bind that succeeded proves that who would have refused it is
        gone. Not so in one process, whose releases are told: there it proves that options were set after the bind.
        """
        slot = (hold.endpoint.protocol, hold.endpoint.port)
        for key, other in list(self.live.get(slot, {}).items()):
            if other.source != RECORDER or other.pid == hold.pid or not overlaps(other.endpoint, hold.endpoint):
                continue
            if not may_coexist(other.endpoint, other.options, other.listening, hold.endpoint, hold.options):
                self._close(key, hold.start_ns, changes)

    def _replace(self, event: SocketCall, changes: Changes) -> None:
        """Make room: an exact event takes the place of what the sampler saw of its socket, and of its own past."""
        earlier = self._by_inode.get((event.netns, event.inode)) if event.inode else None
        for key in (earlier, _key(event)):
            if key is not None:
                self._close(key, event.t_ns, changes)

    def _open(self, key: _Key, hold: OpenHold, changes: Changes) -> None:
        self._holds[key] = hold
        self.live.setdefault((hold.endpoint.protocol, hold.endpoint.port), {})[key] = hold
        self._keys_of_copy.setdefault(hold.copy, {})[key] = None
        if hold.inode:
            self._gone.pop((hold.endpoint.netns, hold.inode), None)
            self._by_inode[hold.endpoint.netns, hold.inode] = key
        changes.opened.append(hold)

    def _close(self, key: _Key, end_ns: int, changes: Changes) -> None:
        hold = self._holds.pop(key, None)
        if hold is None:
            return
        hold.released_ns = end_ns
        port = (hold.endpoint.protocol, hold.endpoint.port)
        there = self.live[port]
        del there[key]
        if not there:
            del self.live[port]
        self.last[port] = hold
        self._keys_of_copy[hold.copy].pop(key, None)
        if hold.inode and hold.evidence != "sampled":
            self._gone[hold.endpoint.netns, hold.inode] = None
            if len(self._gone) > _GONE_MAX:
                del self._gone[next(iter(self._gone))]
        if hold.inode and self._by_inode.get((hold.endpoint.netns, hold.inode)) == key:
            del self._by_inode[hold.endpoint.netns, hold.inode]
        changes.closed.append(hold)


def _inode(socket: str) -> int:
    kind, _, number = socket.partition(":")
    return int(number) if kind == "inode" and number.isdigit() else 0


def _socket(event: SocketCall) -> str:
    if event.cookie:
        return f"cookie:{event.cookie}"
    return event.socket or f"inode:{event.inode}"


def _key(event: SocketCall) -> _Key:
    # Not by copy: a socket passed to another copy is the same socket, and its release names no copy.
    return (None, event.netns, _socket(event))


_RANK: dict[type[Event], int] = {RunStarted: 0, Release: 1, Unseen: 1}
_LAST = 3


def _rank(event: Event) -> tuple[int, str, str]:
    rank = _RANK.get(type(event), 2)
    if isinstance(event, CopyState):
        rank = 1 if event.state == "gone" else _LAST
    return (rank, event.kind, repr(event))


def in_order(events: Iterable[Event]) -> Iterator[Event]:
    """*events*, sorted by time, with those of one instant in an order that depends on what they say alone.

    Ends come before beginnings, so that half-open holds that only touch do not overlap. Raises ValueError for events
    that are not sorted: what they would prove depends on the order in which processes wrote.
    """
    last_ns = None
    for t_ns, instant in groupby(events, key=lambda event: event.t_ns):
        if last_ns is not None and t_ns < last_ns:
            raise ValueError(f"events are not sorted by time: {t_ns} comes after {last_ns}")
        last_ns = t_ns
        together = list(instant)
        yield from together if len(together) == 1 else sorted(together, key=_rank)


def holds(events: Iterable[Event]) -> list[Hold]:
    """The holds that *events*, sorted by time, tell of; sorted by start.

    A sampled hold begins with the first sample that shows it and ends with the first that does not, so two of them
    overlap exactly when both were in one sample. A hold nobody saw end ends with its copy's tree, or just after the
    last event. Linear in the number of events.
    """
    ledger = Ledger()
    ended: list[Hold] = []
    last_ns = 0
    for event in in_order(events):
        last_ns = max(last_ns, event.t_ns)
        for hold in ledger.apply(event).closed:
            assert hold.released_ns is not None
            ended.append(hold.ended(hold.released_ns))
    ended.extend(hold.ended(last_ns + 1) for hold in ledger.open_holds())
    return sorted(ended, key=lambda hold: (hold.start_ns, hold.end_ns, hold.endpoint.port, repr(hold)))
