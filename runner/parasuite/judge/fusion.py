"""One account of each socket: joins what two sensors saw of the same one, between the sensors and the ledger.

Theory of operation. Sockets are matched by network and inode, the only name that all sensors share. An *exact*
account (binds, listens and releases, from the seccomp sensor or the recorder) outranks the sampler's (seen, unseen):

- a sample of a socket that has an exact account adds nothing, except that a TCP socket listens;
- a sample of a socket whose exact account has just ended was taken while the socket ended, and is dropped;
- an exact account that begins after the sampler saw the socket ends the sampled one at that moment;
- a sensor inside the processes cannot see native code close a socket: the first sample without the socket ends its
  account.

A sample reads address and inode at two instants, so an inode may belong to another socket by then: a sample whose
address differs from the exact account's says nothing of either socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from parasuite.model.events import (
    ATTEMPTED,
    Bind,
    CopyState,
    Endpoint,
    Event,
    Listen,
    Release,
    Seen,
    SocketCall,
    Unseen,
)
from parasuite.model.network import Network
from parasuite.model.overlap import canonical
from parasuite.model.sensors import is_inside
from parasuite.model.words import CopyPhase, Protocol

_ENDED_MAX = 20_000  # More than end while a sample is taken.
_Inode: TypeAlias = tuple[Network, int]


@dataclass(slots=True)
class _Exact:
    """An exact account that has not ended. *opened*: the call by which it began."""

    opened: Bind | Listen
    endpoint: Endpoint
    listening: bool


class _Fusion:
    def __init__(self) -> None:
        self._exact: dict[_Inode, _Exact] = {}
        self._inodes: dict[tuple[Network, str], _Inode] = {}
        self._sampled: dict[_Inode, Seen] = {}
        self._ended: dict[_Inode, None] = {}

    def through(self, event: Event) -> Iterator[Event]:
        """*event*, what it becomes, or nothing where another sensor knows better."""
        match event:
            case Seen():
                yield from self._seen(event)
            case Unseen():
                yield from self._unseen(event)
            case Bind() | Listen():
                yield from self._called(event)
                yield event
            case Release():
                self._released(event)
                yield event
            case CopyState(state=CopyPhase.GONE):
                self._forget_copy(event.copy)
                yield event
            case _:
                yield event

    def _seen(self, event: Seen) -> Iterator[Event]:
        inode = _inode(event)
        if inode in self._ended:
            return
        exact = self._exact.get(inode) if inode else None
        if exact is None:
            if inode:
                self._sampled[inode] = event
            yield event
            return
        there = canonical(event.endpoint)
        is_same = (exact.endpoint.address, exact.endpoint.port) == (there.address, there.port)
        if is_same and not exact.listening and exact.endpoint.protocol == Protocol.TCP:
            exact.listening = True
            opened = exact.opened
            yield Listen(
                t_ns=event.t_ns,
                source=event.source,
                caller=opened.caller,
                cookie=opened.cookie,
                network=opened.network,
                inode=opened.inode,
                socket=opened.socket,
                got=exact.endpoint,
                errno=ATTEMPTED,
            )

    def _unseen(self, event: Unseen) -> Iterator[Event]:
        inode = _inode(event)
        exact = self._exact.get(inode) if inode else None
        if exact is not None and is_inside(exact.opened.source):
            opened = exact.opened
            release = Release(
                t_ns=event.t_ns,
                source=event.source,
                cookie=opened.cookie,
                network=opened.network,
                inode=opened.inode,
                socket=opened.socket,
                is_timed=False,
            )
            self._released(release)
            yield release
        elif not inode or self._sampled.pop(inode, None) is not None:
            yield event

    def _called(self, event: Bind | Listen) -> Iterator[Event]:
        """End the sampled account of a socket whose exact one begins with *event*."""
        endpoint = event.got
        if not event.inode or endpoint is None or not endpoint.port or not endpoint.is_internet:
            return
        if event.errno not in ("", ATTEMPTED):
            return
        inode = (event.network, event.inode)
        exact = self._exact.get(inode)
        if isinstance(event, Listen) and exact is not None and _name(exact.opened) == _name(event):
            exact.listening = True
            return
        seen = self._sampled.pop(inode, None)
        if seen is not None:
            sampler, ended = seen.source, seen.socket
            yield Unseen(t_ns=event.t_ns, source=sampler, caller=seen.caller, endpoint=seen.endpoint, socket=ended)
        listening = isinstance(event, Listen) or endpoint.protocol == Protocol.UDP
        self._exact[inode] = _Exact(event, canonical(endpoint), listening)
        self._inodes[event.network, _name(event)] = inode
        self._ended.pop(inode, None)

    def _released(self, event: Release) -> None:
        inode = self._inodes.pop((event.network, _name(event)), None)
        if inode is not None:
            self._end(inode)

    def _forget_copy(self, copy: int) -> None:
        for inode, exact in list(self._exact.items()):
            party = exact.opened.party
            if party is not None and party.is_of(copy):
                self._inodes.pop((exact.opened.network, _name(exact.opened)), None)
                self._end(inode)

    def _end(self, inode: _Inode) -> None:
        self._exact.pop(inode, None)
        self._ended[inode] = None
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]


def _name(event: SocketCall) -> str:
    return f"cookie:{event.cookie}" if event.cookie else event.socket or f"inode:{event.inode}"


def _inode(event: Seen | Unseen) -> _Inode | None:
    kind, _, number = event.socket.partition(":")
    return (event.endpoint.network, int(number)) if kind == "inode" and number.isdigit() and int(number) else None


def fuse(events: Iterable[Event]) -> Iterator[Event]:
    """*events*, in order of time, with one account of each socket; in order of time, too."""
    fusion = _Fusion()
    for event in events:
        yield from fusion.through(event)
