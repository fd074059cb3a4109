"""Calls that the kernel carried out by itself: what came of them, looked up in its table as soon as they are over.

A call is over when its thread makes the next one, when its socket ends, or a moment later. A socket that is found
bound was bound; one that is not found was refused, or is gone again, and then nobody can tell: the event says "?".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from parasuite.model.events import ATTEMPTED, Bind, Endpoint, Event, Holder, Listen
from parasuite.model.network import OUR_NETWORK
from parasuite.model.overlap import canonical
from parasuite.model.party import Caller
from parasuite.model.sensors import SensorName
from parasuite.model.words import Protocol, SocketOption
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.owners import Owner, Owners
from parasuite.sensors.seccomp.socket_info import interface_option

SOURCE = SensorName.SECCOMP
_SETTLE_AFTER_NS = 3_000_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call. *proven*: whether a result that is found is as good as known (a duplicate named the socket).

    *inode*: 0 where the socket could not be identified at all. *result_from_recorder*: the recorder reports this
    call's result; we look only for a holder outside the run.
    """

    t_ns: int
    tid: int
    inode: int
    proven: bool
    caller: Caller
    asked: Endpoint | None = None
    is_listen: bool = False
    result_from_recorder: bool = False


class Attempts:
    """The attempts whose result is still to be looked up, at most one for each thread."""

    def __init__(self, owners: Owners, emit: Callable[[Event], None]) -> None:
        self._owners = owners
        self._emit = emit
        self._pending: dict[int, Attempt] = {}

    def timeout_s(self) -> float | None:
        """When the next is due; None if none waits."""
        if not self._pending:
            return None
        first = min(attempt.t_ns for attempt in self._pending.values())
        return max(0.0, (first + _SETTLE_AFTER_NS - time.monotonic_ns()) / 1e9)

    def add(self, attempt: Attempt) -> None:
        """Its call goes on now. Unix and VSOCK sockets are in no table that is read here: that is told at once."""
        if attempt.asked is not None and attempt.asked.protocol in (Protocol.UNIX, Protocol.VSOCK):
            self._emit(
                Bind(
                    t_ns=attempt.t_ns,
                    inode=attempt.inode,
                    asked=attempt.asked,
                    errno=ATTEMPTED,
                    source=SOURCE,
                    caller=attempt.caller,
                )
            )
        else:
            self._pending[attempt.tid] = attempt

    def settle_thread(self, tid: int) -> None:
        """The thread makes its next call, so its last one is over."""
        attempt = self._pending.pop(tid, None)
        if attempt is not None:
            self._settle(attempt)

    def settle_socket(self, inode: int) -> None:
        """The socket has ended; what was attempted with it is told before its end is."""
        if not self._pending:
            return
        for tid in [tid for tid, attempt in self._pending.items() if attempt.inode == inode]:
            self.settle_thread(tid)

    def settle_due(self) -> None:
        """Look up those that have had their moment."""
        if not self._pending:
            return
        due_ns = time.monotonic_ns() - _SETTLE_AFTER_NS
        for tid in [tid for tid, attempt in self._pending.items() if attempt.t_ns <= due_ns]:
            self.settle_thread(tid)

    def _settle(self, attempt: Attempt) -> None:
        if attempt.is_listen:
            self._settle_listen(attempt)
        else:
            self._settle_bind(attempt)

    def _settle_bind(self, attempt: Attempt) -> None:
        asked = attempt.asked
        assert asked is not None
        protocols = (asked.protocol,) if asked.protocol else (Protocol.TCP, Protocol.UDP)
        for protocol in protocols:
            row = self._owners.row_of(attempt.inode, protocol, asked.port) if attempt.inode else None
            if row is not None and attempt.result_from_recorder:
                return
            if row is not None:
                got = Endpoint(protocol, row.address, row.port, asked.network, row.v6only)
                self._own(attempt, row, got)
                asked = asked._replace(protocol=protocol)
                self._emit_bind(attempt, asked, got, "" if attempt.proven else ATTEMPTED, row)
                return
        asked = asked._replace(protocol=asked.protocol or Protocol.TCP)
        holders: tuple[Holder, ...] = ()
        for protocol in reversed(protocols):
            in_the_way = self._in_the_way(attempt, asked._replace(protocol=protocol))
            if in_the_way:
                asked, holders = asked._replace(protocol=protocol), in_the_way
        if attempt.result_from_recorder and (not holders or any(holder.party is not None for holder in holders)):
            return
        self._emit(
            Bind(
                t_ns=attempt.t_ns,
                inode=attempt.inode,
                asked=asked,
                errno=ATTEMPTED,
                holders=holders,
                source=SOURCE,
                caller=attempt.caller,
            )
        )

    def _in_the_way(self, attempt: Attempt, asked: Endpoint) -> tuple[Holder, ...]:
        """Who stands where *attempt* wanted to be; nobody if its own copy does."""
        if not asked.port or not asked.network.is_ours:
            return ()  # Of another namespace than our own the table says nothing.
        holders = self._owners.holders(asked, owning=True)
        return () if any(holder.party == attempt.caller.process.party for holder in holders) else holders

    def _settle_listen(self, attempt: Attempt) -> None:
        known = self._owners.of_inode(attempt.inode)
        port = known[1].endpoint.port if known is not None else 0
        row = self._owners.row_of(attempt.inode, Protocol.TCP, port) if attempt.inode else None
        if row is None:
            if known is not None:
                self._emit_listen(attempt, known[1].endpoint, ATTEMPTED, known[0], ())
            return
        got = Endpoint(Protocol.TCP, row.address, row.port, OUR_NETWORK, row.v6only)
        options: tuple[SocketOption, ...] = ()  # Those of its bind stand, of which more may be known.
        if known is None:
            self._own(attempt, row, got)
            options = interface_option(row.interface)
        listens = row.state == netlink.LISTEN and attempt.proven
        self._emit_listen(attempt, got, "" if listens else ATTEMPTED, row.cookie, options)

    def _own(self, attempt: Attempt, row: netlink.Row, got: Endpoint) -> None:
        self._owners.add(row.cookie, Owner(attempt.caller.process, canonical(got), attempt.inode))

    def _emit_bind(self, attempt: Attempt, asked: Endpoint, got: Endpoint, failure: str, row: netlink.Row) -> None:
        self._emit(
            Bind(
                t_ns=attempt.t_ns,
                inode=attempt.inode,
                asked=asked,
                got=got,
                errno=failure,
                options=interface_option(row.interface),
                cookie=row.cookie,
                source=SOURCE,
                caller=attempt.caller,
            )
        )

    def _emit_listen(
        self, attempt: Attempt, got: Endpoint, failure: str, cookie: int, options: tuple[SocketOption, ...]
    ) -> None:
        self._emit(
            Listen(
                t_ns=attempt.t_ns,
                inode=attempt.inode,
                got=got,
                errno=failure,
                options=options,
                cookie=cookie,
                source=SOURCE,
                caller=attempt.caller,
            )
        )
