"""Calls that the kernel performs itself: their results, looked up in its socket table once they are over.

Theory of operation. seccomp reports a call before it is made and never its result. Where we cannot perform a bind or
listen for its caller (calls.py says when), we let the kernel perform it and keep an *attempt*: at most one pending
attempt for each thread, because a thread makes one call at a time. It is looked up, and reported, at the first of:

- the thread's next trapped call: its last one is over;
- the end of the socket: the attempt is reported before the release;
- 3 ms after the call, unless the call may not have been made yet. On a busy machine, a thread that we have replied to
  can wait longer than that for a CPU. While it does, its socket is not in the table, which would look like a refusal.
  So if the socket is not there, and the thread has not run, the look-up is postponed, for a minute at most. What
  comes of a call that is given up then is not known, and the event's errno is "?".

Whether the thread has run: the kernel makes it runnable while we reply. A thread that is in any other state has run
since then, and so has one whose use of the CPU changes between two look-ups. Where the kernel does not count that
use (no CONFIG_SCHED_INFO), or hides it, we do not postpone.

What a look-up shows: a socket in the table has been bound. One that is not there was refused, or has been closed
again: that cannot be known, and the event's errno is "?".

Unix sockets are in the kernel's table from the start, and have a name there once they have been bound. (The thread's
next call on the same socket shows the name, too, in any network.) So a socket without a name was refused, if its
thread has run. The file at the path says why: if there is one, it was in the way. If the socket has been closed by
then, that file is all there is: one that is older than the call was in the way, and a newer one was made by the call.
Which socket had the name is looked up as soon as the call has been continued: later it may have been closed.
"""

from __future__ import annotations

import _socket
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from parasuite.model.events import ATTEMPTED, FAILED, Bind, Endpoint, Event, Holder, Listen, Release
from parasuite.model.network import OUR_NETWORK
from parasuite.model.overlap import canonical
from parasuite.model.party import Caller
from parasuite.model.sensors import SensorName
from parasuite.model.words import Protocol, SocketOption
from parasuite.sensors import netlink, proc
from parasuite.sensors.seccomp.addresses import unix_name
from parasuite.sensors.seccomp.owners import Owner, Owners
from parasuite.sensors.seccomp.socket_info import cookie_of, interface_option
from parasuite.sensors.seccomp.unix_sockets import BoundSocket, UnixSockets

SOURCE = SensorName.SECCOMP
_DUE_AFTER_NS = 3_000_000
_POSTPONED_MAX_NS = 60_000_000_000
_POSTPONED_BY_MAX_NS = 20_000_000
_LATE_AFTER_NS = 1_000_000_000  # From then on, the next look-up is put off for a fiftieth of the time since the call.


@dataclass(frozen=True, slots=True)
class Attempt:
    """One bind or listen. *proven*: a duplicate identified the socket, so a result that is found is certain.

    *inode*: 0 if the socket could not be identified. *asked*: None for a listen. *result_from_recorder*: the recorder
    reports this call's result; we look only for a holder outside the run. *name*: of a Unix socket, as its caller
    wrote it.
    """

    t_ns: int
    tid: int
    inode: int
    proven: bool
    caller: Caller
    asked: Endpoint | None = None
    result_from_recorder: bool = False
    name: str = ""

    @property
    def copy(self) -> int:
        """Whose attempt it is."""
        party = self.caller.process.party
        assert party is not None  # The filter's channel names the copy.
        return party.copy

    @property
    def is_unix(self) -> bool:
        """Whether it is the bind of a Unix socket."""
        return self.asked is not None and self.asked.protocol == Protocol.UNIX


@dataclass(slots=True)
class _Pending:
    """An attempt whose result is not known yet. *cpu_use*: of its thread when it was last looked up, if it was.

    For a Unix socket: *holders*, the socket that had the name when the call was continued; *wall_ns*, the time of the
    call since the epoch.
    """

    attempt: Attempt
    due_ns: int
    cpu_use: bytes = b""
    holders: tuple[Holder, ...] = ()
    wall_ns: int = 0


class _Result(NamedTuple):
    """The row of an attempt's socket."""

    protocol: Protocol
    row: netlink.Row


class _UnixResult(NamedTuple):
    """The name that an attempt's Unix socket has, "" if it has none, and its cookie."""

    name: str
    cookie: int


class FoundAttempt(NamedTuple):
    """An attempt on a Unix socket, and what has become of that socket."""

    pending: _Pending
    result: _Result | _UnixResult | None


class Attempts:
    """The attempts whose result is still to be looked up, at most one for each thread.

    *owners_of*: the Owners of the network that a copy uses.
    """

    def __init__(self, owners_of: Callable[[int], Owners], unix: UnixSockets, emit: Callable[[Event], None]) -> None:
        self._owners_of = owners_of
        self._unix = unix
        self._emit = emit
        self._pending: dict[int, _Pending] = {}

    def timeout_s(self) -> float | None:
        """The time until the next look-up is due; None if no attempt is pending."""
        if not self._pending:
            return None
        first_ns = min(pending.due_ns for pending in self._pending.values())
        return max(0.0, (first_ns - time.monotonic_ns()) / 1e9)

    def add(self, attempt: Attempt) -> None:
        """The kernel performs the call now. VSOCK sockets are reported at once: they are in no table that we read."""
        asked = attempt.asked
        if asked is not None and asked.protocol == Protocol.VSOCK:
            self._emit_named(attempt, asked, errno=ATTEMPTED)
            return
        pending = _Pending(attempt, attempt.t_ns + _DUE_AFTER_NS)
        if asked is not None and attempt.is_unix:
            pending.wall_ns = time.time_ns() - (time.monotonic_ns() - attempt.t_ns)
            self._look_up_bound_at(asked)
            pending.holders = self._unix.holder_of(asked, attempt.copy, attempt.t_ns, attempt.inode)
        self._pending[attempt.tid] = pending

    def look_up_thread(self, tid: int, sock: _socket.socket | None = None) -> FoundAttempt | None:
        """The thread makes its next call, on *sock* if that is known, so its last one is over.

        An attempt on a Unix socket is returned, not reported. Give it to `report` once the thread has its reply,
        because finding out why the bind failed may take long.
        """
        pending = self._pending.pop(tid, None)
        if pending is None:
            return None
        result = self._result(pending.attempt, sock)
        if pending.attempt.is_unix:
            return FoundAttempt(pending, result)
        self._report(pending, result)
        return None

    def report(self, found: FoundAttempt) -> None:
        """Report an attempt that `look_up_thread` returned."""
        self._report(*found)

    def _look_up_bound_at(self, asked: Endpoint) -> None:
        """Report the attempts at the name of *asked* that have succeeded by now."""
        for tid, pending in list(self._pending.items()):
            there = pending.attempt.asked
            if there is not None and pending.attempt.is_unix and there.address == asked.address:
                result = self._result(pending.attempt)
                if _is_final(pending.attempt, result):
                    del self._pending[tid]
                    self._report(pending, result)

    def look_up_socket(self, inode: int) -> None:
        """The socket has ended; its attempt is reported before its release is."""
        if not self._pending:
            return
        for tid in [tid for tid, pending in self._pending.items() if pending.attempt.inode == inode]:
            self._look_up_now(tid)

    def look_up_due(self) -> None:
        """Look up the attempts that are due; those whose call may not have been made yet are postponed."""
        if not self._pending:
            return
        now_ns = time.monotonic_ns()
        for tid in [tid for tid, pending in self._pending.items() if pending.due_ns <= now_ns]:
            pending = self._pending.pop(tid)  # If the look-up fails, it is not tried again.
            # In this order: the thread may run in between.
            may_be_early = _awaits_cpu(pending)
            result = self._result(pending.attempt)
            waited_ns = now_ns - pending.attempt.t_ns
            if _is_final(pending.attempt, result) or not may_be_early:
                self._report(pending, result)
            elif waited_ns >= _POSTPONED_MAX_NS:
                self._give_up(pending, result)
            else:
                by_ns = min(waited_ns, _POSTPONED_BY_MAX_NS)
                pending.due_ns = now_ns + (by_ns if waited_ns < _LATE_AFTER_NS else waited_ns // 50)
                self._pending[tid] = pending

    def look_up_all(self) -> None:
        """The run is over: look up every attempt, due or not."""
        for tid, pending in list(self._pending.items()):
            if _awaits_cpu(pending) and not _is_final(pending.attempt, self._result(pending.attempt)):
                del self._pending[tid]
                self._give_up(pending, None)
            else:
                self._look_up_now(tid)

    def _look_up_now(self, tid: int) -> None:
        found = self.look_up_thread(tid)
        if found is not None:
            self.report(found)

    def _result(self, attempt: Attempt, sock: _socket.socket | None = None) -> _Result | _UnixResult | None:
        """The row of the socket, as far as it is in the table. *sock*: one of the same thread, often the same one."""
        if not attempt.inode:
            return None
        if attempt.asked is not None and attempt.is_unix:
            if sock is not None and os.fstat(sock.fileno()).st_ino == attempt.inode:
                return _UnixResult(unix_name(os.fsencode(sock.getsockname())), cookie_of(sock))
            found = self._unix.row_of(attempt.inode, attempt.asked.network, attempt.copy)
            return None if found is None else _UnixResult(*found)
        owners = self._owners_of(attempt.copy)
        if attempt.asked is None:
            known = owners.of_inode(attempt.inode)
            protocols: tuple[Protocol, ...] = (Protocol.TCP,)
            port = known[1].endpoint.port if known is not None else 0
        else:
            protocols = _protocols(attempt.asked)
            port = attempt.asked.port
        for protocol in protocols:
            row = owners.row_of(attempt.inode, protocol, port)
            if row is not None:
                return _Result(protocol, row)
        return None

    def _report(self, pending: _Pending, found: _Result | _UnixResult | None) -> None:
        attempt = pending.attempt
        if attempt.asked is not None and attempt.is_unix:
            self._report_unix(pending, attempt.asked, found if isinstance(found, _UnixResult) else None)
            return
        result = found if isinstance(found, _Result) else None
        if attempt.asked is None:
            self._report_listen(attempt, result)
        elif result is None:
            self._report_without_result(attempt, attempt.asked)
        elif not attempt.result_from_recorder:
            self._report_bind(attempt, attempt.asked, result)

    def _give_up(self, pending: _Pending, found: _Result | _UnixResult | None) -> None:
        """Report an attempt that may not have been made yet."""
        attempt = pending.attempt
        if attempt.asked is not None and attempt.is_unix:
            self._emit_named(attempt, attempt.asked, errno=ATTEMPTED)
        else:
            self._report(pending, found)

    def _report_bind(self, attempt: Attempt, asked: Endpoint, result: _Result) -> None:
        protocol, row = result
        got = Endpoint(protocol, row.address, row.port, asked.network, row.v6only)
        self._own(attempt, row, got)
        self._emit(
            Bind(
                t_ns=attempt.t_ns,
                inode=attempt.inode,
                asked=asked._replace(protocol=protocol),
                got=got,
                errno="" if attempt.proven else ATTEMPTED,
                options=interface_option(row.interface),
                cookie=row.cookie,
                source=SOURCE,
                caller=attempt.caller,
            )
        )

    def _report_unix(self, pending: _Pending, asked: Endpoint, result: _UnixResult | None) -> None:
        attempt = pending.attempt
        if result is not None and result.name and _is_name_of(result.name, attempt):
            got = asked if attempt.name else asked._replace(address=result.name)
            self._unix.add(BoundSocket(attempt.caller.process, got, attempt.inode, result.cookie), attempt.t_ns)
            failure = "" if attempt.proven else ATTEMPTED
            self._emit_named(attempt, asked, got=got, errno=failure, cookie=result.cookie)
            return
        if result is not None and result.name:
            self._emit_named(attempt, asked, errno=FAILED)  # It had a name already.
            return
        holders = pending.holders or self._unix.holder_of(asked, attempt.copy, time.monotonic_ns(), attempt.inode)
        is_new = self._unix.is_file_new(asked, attempt.caller.process.pid, pending.wall_ns)
        if is_new is False or (is_new and result is not None):
            self._emit_named(
                attempt, asked, errno="EADDRINUSE", holders=holders or self._unix.others_at(asked, attempt.copy)
            )
        elif not holders and (is_new or self._may_have_been_bound(pending, asked, result)):
            # It was bound and closed at once.
            self._emit_named(attempt, asked, got=asked, errno="" if attempt.proven else ATTEMPTED)
            self._emit(
                Release(
                    t_ns=attempt.t_ns + 1,
                    source=SOURCE,
                    caller=attempt.caller,
                    inode=attempt.inode,
                    network=asked.network,
                    is_timed=False,
                )
            )
        elif holders or result is None:
            self._emit_named(attempt, asked, errno=ATTEMPTED, holders=holders)
        else:
            self._emit_named(attempt, asked, errno=FAILED)

    def _may_have_been_bound(self, pending: _Pending, asked: Endpoint, result: _UnixResult | None) -> bool:
        """Whether a socket that is gone may have been bound to a path whose file is gone, too: the folder exists."""
        return result is None and self._unix.has_folder(asked, pending.attempt.caller.process.pid)

    def _emit_named(
        self,
        attempt: Attempt,
        asked: Endpoint,
        *,
        errno: str,
        got: Endpoint | None = None,
        holders: tuple[Holder, ...] = (),
        cookie: int = 0,
    ) -> None:
        self._emit(
            Bind(
                t_ns=attempt.t_ns,
                inode=attempt.inode,
                asked=asked,
                got=got,
                errno=errno,
                holders=holders,
                cookie=cookie,
                network=asked.network,
                source=SOURCE,
                caller=attempt.caller,
            )
        )

    def _report_without_result(self, attempt: Attempt, asked: Endpoint) -> None:
        protocols = _protocols(asked)
        asked = asked._replace(protocol=asked.protocol or Protocol.TCP)
        holders: tuple[Holder, ...] = ()
        for protocol in reversed(protocols):
            holders_there = self._holders(asked._replace(protocol=protocol), attempt.copy)
            if holders_there:
                asked, holders = asked._replace(protocol=protocol), holders_there
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

    def _holders(self, asked: Endpoint, copy: int) -> tuple[Holder, ...]:
        """The sockets that may have refused a bind, its own copy's among them: that has several workers."""
        if not asked.port or not asked.network.is_ours:
            return ()  # No table shows a network that the copy made for itself.
        return self._owners_of(copy).holders(asked, owning=True)

    def _report_listen(self, attempt: Attempt, result: _Result | None) -> None:
        known = self._owners_of(attempt.copy).of_inode(attempt.inode)
        if result is None:
            if known is not None:
                self._emit_listen(attempt, known[1].endpoint, ATTEMPTED, known[0], ())
            return
        row = result.row
        got = Endpoint(Protocol.TCP, row.address, row.port, OUR_NETWORK, row.v6only)
        options: tuple[SocketOption, ...] = ()  # Those of its bind event still hold, and may be more.
        if known is None:
            self._own(attempt, row, got)
            options = interface_option(row.interface)
        listens = row.state == netlink.LISTEN and attempt.proven
        self._emit_listen(attempt, got, "" if listens else ATTEMPTED, row.cookie, options)

    def _own(self, attempt: Attempt, row: netlink.Row, got: Endpoint) -> None:
        self._owners_of(attempt.copy).add(row.cookie, Owner(attempt.caller.process, canonical(got), attempt.inode))

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


def _protocols(asked: Endpoint) -> tuple[Protocol, ...]:
    return (asked.protocol,) if asked.protocol else (Protocol.TCP, Protocol.UDP)


def _is_name_of(name: str, attempt: Attempt) -> bool:
    """Whether *name* is what *attempt* asked for, or the kernel's choice where it asked for none."""
    return name == attempt.name or not attempt.name


def _is_final(attempt: Attempt, result: _Result | _UnixResult | None) -> bool:
    """Whether *result* cannot change any more when the call is made: the socket is bound, or listens."""
    if isinstance(result, _UnixResult):
        return bool(result.name)
    return result is not None and (attempt.asked is not None or result.row.state == netlink.LISTEN)


def _awaits_cpu(pending: _Pending) -> bool:
    """Whether the thread may not have run since its call went on."""
    try:
        if proc.stat(pending.attempt.tid).state != "R":
            return False
    except OSError:
        return False  # It has ended, or is hidden.
    before, pending.cpu_use = pending.cpu_use, proc.cpu_use(pending.attempt.tid)
    return bool(pending.cpu_use) and before in (b"", pending.cpu_use)
