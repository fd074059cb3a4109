"""Every bind, listen, connect and release of the copies, as it happens: seccomp and netlink put together.

Runs in the supervisor, which is one thread: what it writes is in the order in which the kernel did it. Until a call
is received, any signal can interrupt it; afterwards only a fatal one. So every call that waits, in whichever copy, is
received before one is served.

Each call has a fixed order: receive, read memory, duplicate, *then* ask whether the caller still stands there (its
number may be another's by now), act, close the duplicate, answer, and only then write down what was learned. (A
duplicate that outlived the answer would keep a port that its owner has closed.)
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import select
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parasuite.model.events import Event, ProcessSeen, Release
from parasuite.model.party import Caller
from parasuite.model.sensors import SensorName
from parasuite.model.words import Protocol
from parasuite.sensors import netlink
from parasuite.sensors.seccomp import kernel
from parasuite.sensors.seccomp.attempts import Attempts
from parasuite.sensors.seccomp.callers import Callers, Thread
from parasuite.sensors.seccomp.calls import Call, Calls, Outcome
from parasuite.sensors.seccomp.owners import Owners

NAME = SensorName.SECCOMP
# What may go wrong in looking at a call and at who made it. The audit never breaks the run: the call goes on unseen,
# and the run is said to have been blind.
_FAILURES = (OSError, ValueError, LookupError, struct.error)


# Calls that one `serve` may receive, so that its user is never kept from other work by callers that never pause.
_RECEIVED_MAX = 64


@dataclass(slots=True)
class _Traced:
    copy: int
    listener: kernel.Listener
    killable: bool


class Watch:
    """The exact sensor.

    *emit*: takes each event. *copy_of*: the copy that a pid belongs to, None outside the run. *is_local*: whether an
    address is this host's. *pages_folders*: copy to where its recorder's pages are. *recorded*: whether the recorder
    writes down Python's own calls, where results are not to be had here. *poll*: what its user waits on; every
    descriptor that means work is registered there. (Not one epoll for all: through it the kernel forgets that the
    sensor is to be woken on its caller's processor, and at each call both move to another one.)

    Raises OSError where netlink is not to be had: without releases nothing would be known for long.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        copy_of: Callable[[int], int | None],
        is_local: Callable[[str], bool],
        pages_folders: dict[int, str],
        poll: select.poll,
        recorded: bool = False,
    ) -> None:
        self._emit = emit
        self._callers = Callers(pages_folders)
        self._owners = Owners(netlink.Table(), copy_of)
        self._destroyed = netlink.Destroyed()
        self._overflows = 0
        self._attempts = Attempts(self._owners, emit)
        self._calls = Calls(self._owners, is_local, recorded, self._release_vanished)
        self._traced: dict[int, _Traced] = {}
        self._received: deque[tuple[_Traced, kernel.Call]] = deque()
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.opaque: set[str] = set()
        self.unrecorded: set[str] = set()
        self.failure = ""
        self._destroyed_fd = self._destroyed.fileno()
        self._poll = poll
        self._poll.register(self._destroyed_fd, select.POLLIN)

    def timeout_s(self) -> float | None:
        """After which time `serve` has work although no descriptor is ready; None: never."""
        return self._attempts.timeout_s()

    def adopt(self, copy: int, installed: kernel.Installed) -> None:
        """Serve a filter's listener for *copy* from now on; it is closed when the last task under it has gone."""
        self._traced[installed.fd] = _Traced(copy, kernel.Listener(installed.fd), installed.killable)
        self._poll.register(installed.fd, select.POLLIN)

    def close(self) -> None:
        """Close all; in a forked child too, since whoever keeps a listener leaves its callers waiting for ever.

        What it has registered is of no use any more, and neither is the poll.
        """
        for traced in self._traced.values():
            traced.listener.close()
        self._traced.clear()
        self._callers.close()
        self._calls.close()
        self._owners.table.close()
        self._destroyed.close()

    def serve(self, ready: Sequence[tuple[int, int]]) -> None:
        """Handle what is *ready*, as the poll reports it, and the calls that arrive meanwhile; never blocks."""
        left = _RECEIVED_MAX
        while True:
            self._receive(ready)
            # What has ended is written down before anything newer is looked at.
            if any(fd == self._destroyed_fd for fd, _ in ready):
                self._guarded(self._drain)
            if not self._received:
                break
            traced, request = self._received.popleft()
            self._handle(traced, request)
            left -= 1
            if not self._received:
                break  # The poll of our user is next anyway.
            ready = self._poll.poll(0) if left > 0 else ()
        self._guarded(self._attempts.look_up_due)

    def finish(self) -> None:
        """The run is over: report what is still pending."""
        self._guarded(self._attempts.look_up_all)

    def _receive(self, ready: Sequence[tuple[int, int]]) -> None:
        """Receive the calls that are *ready*; close the listeners without a task."""
        for fd, flags in ready:
            traced = self._traced.get(fd)
            if traced is None:
                continue
            if flags & select.POLLIN:
                request = traced.listener.receive()
                if request is not None:
                    self._received.append((traced, request))
            elif not any(waiting is traced for waiting, _ in self._received):
                self._poll.unregister(fd)
                self.counts["interrupted"] += traced.listener.interrupted
                traced.listener.close()
                del self._traced[fd]

    def _drain(self) -> None:
        """Write down what the kernel says has ended, before anything newer is looked at."""
        for cookie in self._destroyed.cookies():
            if cookie in self._owners:
                self._release(cookie, time.monotonic_ns())
        if self._destroyed.overflows != self._overflows:
            self._overflows = self._destroyed.overflows
            self._resynchronise()

    def _release(self, cookie: int, t_ns: int, *, is_timed: bool = True) -> None:
        self._attempts.look_up_socket(self._owners[cookie].inode)
        owner = self._owners.remove(cookie)
        self._emit(
            Release(
                t_ns=t_ns,
                source=NAME,
                caller=Caller(owner.process),
                cookie=cookie,
                inode=owner.inode,
                is_timed=is_timed,
            )
        )

    def _release_vanished(self, cookie: int, by_ns: int) -> None:
        """The socket *cookie* is no longer in the kernel's table: it ended at *by_ns* or some time before."""
        self._release(cookie, by_ns, is_timed=False)

    def _resynchronise(self) -> None:
        """The kernel dropped some ends: whoever is no longer in its table has gone."""
        there = {row.cookie for row in self._owners.table.rows(Protocol.TCP, netlink.EVERY_TCP_STATE)}
        there.update(row.cookie for row in self._owners.table.rows(Protocol.UDP, netlink.UDP_STATES))
        for cookie in self._owners:
            if cookie not in there:
                self._release_vanished(cookie, time.monotonic_ns())

    def _handle(self, traced: _Traced, request: kernel.Call) -> None:
        self.calls += 1
        try:
            call = self._look(traced, request)
        except _FAILURES as error:
            self._let_unseen(traced, request, error)
            return
        if not call.thread.process.introduced:
            self._introduce(call.thread)
        try:
            self._attempts.look_up_thread(request.tid)
            outcome = self._calls.outcome(call, traced.listener)
        except _FAILURES as error:
            self._failed(error)
            # The kernel is not to carry out again what was carried out here.
            outcome = Outcome(call.performed)
        finally:
            if call.sock is not None:
                call.sock.close()
        if outcome is None:
            return
        if outcome.failure is None:
            traced.listener.let(request)
        else:
            traced.listener.answer(request, outcome.failure)
        for event in outcome.events:
            self._emit(event)
        if outcome.attempt is not None:
            self._attempts.add(outcome.attempt)
        if outcome.opaque:
            # Its calls go on unseen, which the report says.
            self.counts["opaque"] += 1
            self.opaque.add(call.thread.process.name)
        if call.thread.process.is_unrecorded:
            self.unrecorded.add(call.thread.process.name)

    def _let_unseen(self, traced: _Traced, request: kernel.Call, error: Exception) -> None:
        """Have the call go on although its caller could not be looked at."""
        if not traced.listener.is_valid(request):
            return  # Killed meanwhile; nobody waits for an answer.
        if request.number in kernel.LANDLOCK_RESTRICT_SELF:
            self._calls.rights.restricts_itself(traced.copy, None)
        traced.listener.let(request)
        if isinstance(error, FileNotFoundError | PermissionError | ProcessLookupError):
            # By /proc's hidepid: then the call is not ours to hold.
            self.counts["opaque"] += 1
            self.opaque.add("hidden in /proc")
        else:
            self._failed(error)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _FAILURES as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.counts["failed"] += 1
        self.failure = self.failure or f"{type(error).__name__}: {error}"

    def notes(self) -> list[str]:
        """What was not seen as well as it could be, a sentence each."""
        found = []
        if self.counts["opaque"]:
            names = ", ".join(sorted(self.opaque))
            found.append(f"{self.counts['opaque']} calls of processes that may not be looked at ({names})")
        if self.unrecorded:
            names = ", ".join(sorted(self.unrecorded))
            found.append(
                "Python processes without test and line, because they ignore the environment, may not write into "
                f"the run folder or are older than Python 3.8: {names}"
            )
        if self.counts["failed"]:
            times = "once" if self.counts["failed"] == 1 else f"{self.counts['failed']} times"
            found.append(f"it failed {times}, and each time what it looked at went on unseen: {self.failure}")
        interrupted = self.counts["interrupted"] + sum(made.listener.interrupted for made in self._traced.values())
        if interrupted:
            found.append(
                f"signals interrupted {interrupted:,} of {self.calls + interrupted:,} calls before parasuite received"
                " them; most programs make such a call again (Python, Go, Java, node, Rust, SA_RESTART), the others "
                "got EINTR, which is parasuite's doing"
            )
        return found

    def _look(self, traced: _Traced, request: kernel.Call) -> Call:
        """Who calls, with a duplicate of the socket where it may be had."""
        thread = self._callers.thread(request.tid, traced.copy)
        fd = request.int_argument(0)
        try:
            try:
                duplicate = kernel.duplicate(thread.pidfd, fd)
            except ProcessLookupError:
                self._callers.forget(thread)
                thread = self._callers.thread(request.tid, traced.copy)
                duplicate = kernel.duplicate(thread.pidfd, fd)
        except ProcessLookupError:
            raise
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise  # It is not the kernel that refuses: there is no room for it here.
            call = Call(traced.copy, request, fd, thread, None, traced.killable)
            if error.errno != errno.EBADF:
                call.inode = _inode_in_proc(request.tid, fd)
            return call
        try:
            # The plain class: the other one makes enumerations of family and type each time they are asked for.
            sock = _socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)  # Not a socket: the kernel will say so.
            return Call(traced.copy, request, fd, thread, None, traced.killable)
        return Call(traced.copy, request, fd, thread, sock, traced.killable)

    def _introduce(self, thread: Thread) -> None:
        process = thread.process
        process.introduced = True
        self._emit(
            ProcessSeen(
                t_ns=time.monotonic_ns(),
                source=NAME,
                caller=Caller(process.identity),
                name=process.name,
                command=process.command,
                parent=process.parent,
            )
        )


def _inode_in_proc(tid: int, fd: int) -> int:
    """The socket's inode where its duplicate may not be had; 0 where that may not be seen either."""
    with contextlib.suppress(OSError, ValueError):
        target = os.readlink(f"/proc/{tid}/fd/{fd}")
        if target.startswith("socket:["):
            return int(target[8:-1])
    return 0
