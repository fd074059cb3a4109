"""Every bind, listen, connect and release of the copies, as it happens: seccomp and netlink together.

Runs in the supervisor, which is one thread, so its events are in the order in which the kernel acted.

Theory of operation: a trapped call.

    trapped --> received --> inspected --> performed here, or continued --> replied to --> recorded
       |            |
       |            +--> its caller was killed: dropped
       +--> interrupted by a signal: never received

- Until a call is received, any signal can interrupt it; then its caller must make it again. Afterwards only a fatal
  signal can (Linux 5.19). So every call that waits, in whichever copy, is received before one is served. An
  interrupted call leaves no trace but a gap in the numbers of calls: they are counted (notify_channel.py) and noted.
- Inspecting reads the caller's memory and duplicates its socket. Only *then* we ask whether the caller still waits in
  this call: if it was killed in between, its tid may be another thread's, and what was read is not used.
- The duplicate is closed before the reply: otherwise it would keep a port open that its owner closes next.
- Recording comes last, after the reply: the caller does not wait for it, nor for the look-up of a process outside
  the run that serves the destination of a connect. A failure while inspecting must not break the run: the kernel
  performs the call, unobserved, and the sensor is reported blind.
- Sockets whose end netlink reports are released before newer calls are served, so that a port's next owner follows
  the release of its last.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from parasuite.model.events import Event, ProcessSeen, Release
from parasuite.model.party import Caller
from parasuite.model.sensors import SensorName
from parasuite.model.suspect import Suspect
from parasuite.model.words import Protocol
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.attempts import Attempts, FoundAttempt
from parasuite.sensors.seccomp.callers import Callers, Thread, threads_to_remember
from parasuite.sensors.seccomp.calls import CallHandlers, Reply, TrappedCall
from parasuite.sensors.seccomp.filter import LANDLOCK_RESTRICT_SELF, Installed, NetworkWindow
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel
from parasuite.sensors.seccomp.notify_channel import Notification, NotifyChannel
from parasuite.sensors.seccomp.owners import Owners, SocketProcesses
from parasuite.sensors.seccomp.stand_in import StandIn
from parasuite.sensors.seccomp.unix_sockets import UnixSockets
from parasuite.sensors.seccomp.unrecorded import UnrecordedPythons

NAME = SensorName.SECCOMP
# Exceptions expected while inspecting a call or its caller. They must not break the run: the kernel performs the
# call, unobserved, and the sensor is reported blind.
_EXPECTED = (OSError, ValueError, LookupError, struct.error)
# Calls that one `serve` may receive, so that callers that never pause cannot keep the supervisor from its other work.
_RECEIVED_MAX = 64


@dataclass(slots=True)
class _CopyChannel:
    """The notify channel of one filter, and the copy under it."""

    copy: int
    channel: NotifyChannel
    restart_safe: bool


@dataclass(slots=True)
class _WatchedNetwork:
    """A network that copies use. *overflows*: of *destroyed*, as far as they have been made up for."""

    owners: Owners
    destroyed: netlink.Destroyed
    overflows: int = 0


class SyscallWatch:
    """The exact sensor.

    *emit*: takes each event. *copy_of*: the copy that a pid belongs to, None outside the run. *is_local*: whether an
    address is this host's. *pages_folders*: copy to where its recorder's pages are. *recorded*: whether the recorder
    reports the results of Python's own calls, where we cannot know them. *poll*: what the supervisor waits on;
    every descriptor that means work is registered there. (Use poll, not epoll: with epoll the kernel ignores
    SYNC_WAKE_UP, and both sides migrate to another CPU on every call.) *threads_max*: as Callers has it.
    *run_folder*: as Owners has it.

    Raises OSError if netlink is not available: without releases nothing would be known for long.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        copy_of: Callable[[int], int | None],
        is_local: Callable[[str], bool],
        pages_folders: dict[int, str],
        poll: select.poll,
        recorded: bool = False,
        *,
        kernel: Kernel = THIS_KERNEL,
        threads_max: int | None = None,
        run_folder: str = "",
    ) -> None:
        self._emit = emit
        self._by_destroyed: dict[int, _WatchedNetwork] = {}
        self._kernel = kernel
        remembered = threads_to_remember() if threads_max is None else threads_max
        self._callers = Callers(pages_folders, kernel, copy_of, remembered)
        self._processes = SocketProcesses()
        self._copy_of, self._run_folder = copy_of, run_folder
        self._shared = self._watch_network(netlink.Table(), kernel.destroyed(), poll)
        self._networks: dict[int, _WatchedNetwork] = {}  # By copy, of those that have their own.
        self._unix = UnixSockets(netlink.UnixTable(), self._shared.owners, emit)
        self._attempts = Attempts(self._owners_of, self._unix, emit)
        self._handlers = CallHandlers(self._owners_of, self._unix, is_local, recorded, self._release_vanished, kernel)
        self._channels: dict[int, _CopyChannel] = {}
        self._received: deque[tuple[_CopyChannel, Notification]] = deque()
        self.calls = 0
        self.counts: Counter[str] = Counter()
        self.uninspectable: set[str] = set()
        self._unrecorded = UnrecordedPythons()
        self.failure = ""
        self._poll = poll

    def timeout_s(self) -> float | None:
        """After which time `serve` has work although no descriptor is ready; None: never."""
        return self._attempts.timeout_s()

    def adopt(self, copy: int, installed: Installed) -> None:
        """Serve a filter's notify channel for *copy*; it is closed when the last task under the filter has gone."""
        if installed.network is not None:
            self._guarded(partial(self._enter, copy, installed.network))
        self._channels[installed.fd] = _CopyChannel(copy, NotifyChannel(installed.fd), installed.restart_safe)
        self._poll.register(installed.fd, select.POLLIN)

    def provoke(self, suspect: Suspect) -> None:
        """From now on, take the ports that *suspect* is about before the copy's calls that ask for them."""
        self._handlers.stand_in = StandIn(suspect, self._emit, self._shared.owners.is_held)

    def _enter(self, copy: int, window: NetworkWindow) -> None:
        """*copy* has a network of its own, which *window* shows."""
        table = socket.socket(fileno=window.table)
        self._handlers.networks.learn(copy, table, window.inode)
        destroyed = netlink.Destroyed(socket.socket(fileno=window.destroyed))
        self._networks[copy] = self._watch_network(netlink.Table(table), destroyed, self._poll)
        self._unix.watch(copy, netlink.UnixTable(socket.socket(fileno=window.unix_table)))

    def _watch_network(
        self, table: netlink.Table, destroyed: netlink.Destroyed, poll: select.poll
    ) -> _WatchedNetwork:
        poll.register(destroyed.fileno(), select.POLLIN)
        watched = _WatchedNetwork(Owners(table, self._copy_of, self._run_folder, self._processes), destroyed)
        self._by_destroyed[destroyed.fileno()] = watched
        return watched

    def _owners_of(self, copy: int) -> Owners:
        """The owners of sockets in the network that *copy* uses."""
        return self._networks.get(copy, self._shared).owners

    def close(self) -> None:
        """Close every descriptor; in a forked child too: while a process keeps a notify descriptor open, callers wait
        for its reply.

        The poll is of no use afterwards: what was registered there has been closed.
        """
        for from_copy in self._channels.values():
            from_copy.channel.close()
        self._channels.clear()
        self._callers.close()
        self._handlers.close()
        self._unix.close()
        for watched in self._by_destroyed.values():
            watched.owners.table.close()
            watched.destroyed.close()

    def serve(self, ready: Sequence[tuple[int, int]]) -> None:
        """Handle what is *ready*, as the poll reports it, and the calls that arrive meanwhile; never blocks."""
        left = _RECEIVED_MAX
        while True:
            self._receive(ready)
            # Ends are recorded before newer calls are served.
            for fd, _ in ready:
                if fd in self._by_destroyed:
                    self._guarded(partial(self._drain, self._by_destroyed[fd]))
            if not self._received:
                break
            from_copy, notification = self._received.popleft()
            self._handle(from_copy, notification)
            left -= 1
            if not self._received:
                break  # The poll of our user is next anyway.
            ready = self._poll.poll(0) if left > 0 else ()
        self._guarded(self._attempts.look_up_due)

    def finish(self) -> None:
        """The run is over: report what is still pending."""
        self._guarded(self._attempts.look_up_all)
        if self._handlers.stand_in is not None:
            self._handlers.stand_in.finish()

    def _receive(self, ready: Sequence[tuple[int, int]]) -> None:
        """Receive the calls that are *ready*; close the channels of filters without a task."""
        for fd, flags in ready:
            from_copy = self._channels.get(fd)
            if from_copy is None:
                continue
            if flags & select.POLLIN:
                notification = from_copy.channel.receive()
                if notification is not None:
                    self._received.append((from_copy, notification))
            elif not any(waiting is from_copy for waiting, _ in self._received):
                self._poll.unregister(fd)
                self.counts["interrupted"] += from_copy.channel.interrupted
                from_copy.channel.close()
                del self._channels[fd]

    def _drain(self, watched: _WatchedNetwork) -> None:
        """Record the sockets that the kernel reports as ended."""
        owners, destroyed = watched.owners, watched.destroyed
        for cookie in destroyed.cookies():
            if cookie in owners:
                self._release(owners, cookie, time.monotonic_ns())
        if destroyed.overflows != watched.overflows:
            watched.overflows = destroyed.overflows
            self._resynchronise(owners)

    def _release(self, owners: Owners, cookie: int, t_ns: int, *, is_timed: bool = True) -> None:
        self._attempts.look_up_socket(owners[cookie].inode)
        owner = owners.remove(cookie)
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

    def _release_vanished(self, owners: Owners, cookie: int, by_ns: int) -> None:
        """The socket *cookie* is no longer in the kernel's table: it ended at *by_ns* or some time before."""
        self._release(owners, cookie, by_ns, is_timed=False)

    def _resynchronise(self, owners: Owners) -> None:
        """The kernel dropped some notices: sockets that are no longer in its table have ended."""
        alive = {row.cookie for row in owners.table.rows(Protocol.TCP, netlink.EVERY_TCP_STATE)}
        alive.update(row.cookie for row in owners.table.rows(Protocol.UDP, netlink.UDP_STATES))
        for cookie in owners:
            if cookie not in alive:
                self._release_vanished(owners, cookie, time.monotonic_ns())

    def _handle(self, from_copy: _CopyChannel, notification: Notification) -> None:
        self.calls += 1
        try:
            call = self._trapped_call(from_copy, notification)
        except _EXPECTED as error:
            self._continue_unseen(from_copy, notification, error)
            return
        found: FoundAttempt | None = None
        try:
            if not call.thread.process.is_described:
                self._describe(call.thread)
            found = self._attempts.look_up_thread(notification.tid, call.sock)
            reply = self._handlers.handle(call, from_copy.channel)
        except _EXPECTED as error:
            self._failed(error)
            # If we have performed the call, the kernel must not perform it again.
            reply = Reply(call.performed)
        finally:
            if call.sock is not None:
                call.sock.close()
        if reply is None:
            self._report(found)
            return
        if reply.failure is None:
            from_copy.channel.continue_call(notification)
        else:
            from_copy.channel.reply(notification, reply.failure)
        self._report(found)
        if reply.may_meet_strangers:
            self._find_strangers(reply.events)
        for event in reply.events:
            self._emit(event)
        if reply.attempt is not None:
            self._attempts.add(reply.attempt)
        if reply.uninspectable:
            # The kernel performs its calls unobserved, which the report says.
            self.counts["uninspectable"] += 1
            self.uninspectable.add(call.thread.process.name)
        if call.thread.process.is_unrecorded:
            self._unrecorded.add(call.thread.process.pid, call.thread.process.command)

    def _report(self, found: FoundAttempt | None) -> None:
        if found is not None:
            try:
                self._attempts.report(found)
            except _EXPECTED as error:
                self._failed(error)

    def _continue_unseen(self, from_copy: _CopyChannel, notification: Notification, error: Exception) -> None:
        """Let the kernel perform a call whose caller could not be inspected."""
        if not from_copy.channel.is_valid(notification):
            return  # The caller has been killed: nothing waits for a reply.
        if notification.number in LANDLOCK_RESTRICT_SELF:
            self._handlers.rights.restricts_itself(from_copy.copy, None)
        from_copy.channel.continue_call(notification)
        if isinstance(error, FileNotFoundError | PermissionError | ProcessLookupError):
            # Hidden by /proc's hidepid.
            self.counts["uninspectable"] += 1
            self.uninspectable.add("hidden in /proc")
        else:
            self._failed(error)

    def _find_strangers(self, events: Sequence[Event]) -> None:
        try:
            self._handlers.find_strangers(events)
        except _EXPECTED as error:
            self._failed(error)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _EXPECTED as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.counts["failed"] += 1
        self.failure = self.failure or f"{type(error).__name__}: {error}"

    def notes(self) -> list[str]:
        """What was observed less well than it could be, one sentence each."""
        notes = []
        if self.counts["uninspectable"]:
            names = ", ".join(sorted(self.uninspectable))
            notes.append(f"{self.counts['uninspectable']} calls of processes that may not be looked at ({names})")
        notes += self._unrecorded.notes()
        if not self._unix.is_listed:
            notes.append(
                "this kernel does not list Unix sockets (CONFIG_UNIX_DIAG), so it is not known which of them were "
                "open when their path was bound again, and which binds failed"
            )
        if self.counts["failed"]:
            times = "once" if self.counts["failed"] == 1 else f"{self.counts['failed']} times"
            notes.append(f"it failed {times}, and each time what it looked at went on unseen: {self.failure}")
        interrupted = self.counts["interrupted"] + sum(each.channel.interrupted for each in self._channels.values())
        if interrupted:
            notes.append(
                f"signals interrupted {interrupted:,} of {self.calls + interrupted:,} calls before parasuite received"
                " them; most programs make such a call again (Python, Go, Java, node, Rust, SA_RESTART), the others "
                "got EINTR, which is parasuite's doing"
            )
        return notes

    def _trapped_call(self, from_copy: _CopyChannel, notification: Notification) -> TrappedCall:
        """The call with its caller, and a duplicate of its socket if that is permitted."""
        thread = self._callers.thread(notification.tid, from_copy.copy)
        fd = notification.int_argument(0)
        try:
            try:
                duplicate = self._kernel.duplicate(thread.pidfd, fd)
            except ProcessLookupError:
                self._callers.forget(thread)
                thread = self._callers.thread(notification.tid, from_copy.copy)
                duplicate = self._kernel.duplicate(thread.pidfd, fd)
        except ProcessLookupError:
            raise
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise  # Not refused: we have no descriptor left for it.
            call = TrappedCall(from_copy.copy, notification, fd, thread, None, from_copy.restart_safe)
            if error.errno != errno.EBADF:
                call.inode = _inode_in_proc(notification.tid, fd)
            return call
        try:
            # The plain class: socket.socket makes an enum of family and type each time they are read.
            sock = _socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)  # Not a socket: the kernel will refuse the call.
            return TrappedCall(from_copy.copy, notification, fd, thread, None, from_copy.restart_safe)
        return TrappedCall(from_copy.copy, notification, fd, thread, sock, from_copy.restart_safe)

    def _describe(self, thread: Thread) -> None:
        process = thread.process
        process.is_described = True
        self._emit(
            ProcessSeen(
                t_ns=time.monotonic_ns(),
                source=NAME,
                caller=Caller(process.identity),
                name=process.name,
                command=process.command,
                parent=process.parent,
                environment=process.environment,
                xdist_worker=process.xdist_worker(),
                ancestors=self._callers.ancestors(process),
            )
        )


def _inode_in_proc(tid: int, fd: int) -> int:
    """The socket's inode where a duplicate is not permitted; 0 if that is not visible either."""
    with contextlib.suppress(OSError, ValueError):
        target = os.readlink(f"/proc/{tid}/fd/{fd}")
        if target.startswith("socket:["):
            return int(target[8:-1])
    return 0
