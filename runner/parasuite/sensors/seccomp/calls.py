"""What each trapped call is, how it is handled, and which events it makes.

bind and listen of internet sockets, and the bind of a Unix socket to an abstract name, are performed here, on a
duplicate of the caller's descriptor, so that result, port and cookie are known at that instant. We let the kernel
perform all other calls itself:

- Unix sockets: binding a path depends on the caller's folder, umask and owner, listen puts a pid into SO_PEERCRED;
- privileged ports, and all calls of a confined caller: its own rights decide, not the supervisor's (rights.py);
- connect, which may block;
- everything, where duplicates are refused (container profiles), or where a signal could repeat a call that was
  performed (before Linux 5.19). Their results are looked up in the kernel's table a moment later (attempts.py).
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, Listen, Send
from parasuite.model.network import Network
from parasuite.model.overlap import canonical
from parasuite.model.party import Caller, Party
from parasuite.model.words import Protocol, SocketOption
from parasuite.sensors.recorder import _parasuite_page as layout
from parasuite.sensors.seccomp import addresses
from parasuite.sensors.seccomp.addresses import ADDRESS_MAX, unix_is_abstract, unix_name
from parasuite.sensors.seccomp.aside import Aside
from parasuite.sensors.seccomp.attempts import SOURCE, Attempt
from parasuite.sensors.seccomp.callers import Thread
from parasuite.sensors.seccomp.filter import ARCHITECTURE, LANDLOCK_RESTRICT_SELF
from parasuite.sensors.seccomp.foreign import Kernel, Memory, is_mptcp, perform_bind, perform_listen
from parasuite.sensors.seccomp.notify_channel import Notification, NotifyChannel
from parasuite.sensors.seccomp.owners import Owner, Owners
from parasuite.sensors.seccomp.pages import Attribution
from parasuite.sensors.seccomp.rights import Rights
from parasuite.sensors.seccomp.socket_info import (
    INET,
    PROTOCOLS,
    Networks,
    SocketInfo,
    cookie_of,
    device_option,
    endpoint_of,
    is_followed,
)
from parasuite.sensors.seccomp.stand_in import StandIn
from parasuite.sensors.seccomp.unix_sockets import BoundSocket, UnixSockets

_BOUND_HERE = frozenset({*INET, _socket.AF_UNSPEC})
_SENDS_REMEMBERED_MAX = 4096
_SEND_AGAIN_NS = 1_000_000_000
_Destination = tuple[Endpoint, int, tuple[Holder, ...]]


@dataclass(slots=True)
class TrappedCall:
    """One trapped call. *sock*: our duplicate, None if that is not permitted; then *inode* identifies the socket, 0
    if nothing does. *performed*: the result once we have performed the call: the errno, or 0; None before.
    """

    copy: int
    notification: Notification
    fd: int
    thread: Thread
    sock: _socket.socket | None
    restart_safe: bool
    inode: int = 0
    performed: int | None = None

    @property
    def party(self) -> Party:
        return Party(self.copy)

    def attribution(self, kind: int) -> Attribution:
        """The test and line of this call, of *kind*."""
        if self.thread.attribution is not None:
            return self.thread.attribution
        return self.thread.process.attribution_of(self.notification.tid, kind, self.fd)

    def caller(self, attribution: Attribution) -> Caller:
        """Who makes it, as events name it."""
        return Caller(self.thread.process.identity, self.notification.tid, *attribution)


@dataclass(slots=True)
class Reply:
    """*failure*: the errno to reply with, 0 for success; None: let the kernel perform the call.

    *may_meet_strangers*: the events are Connects, Sends, the refused bind of an abstract name, or a bind that lets
    others in; `CallHandlers.find_strangers` completes them after the reply, so that the caller does not wait for it.
    """

    failure: int | None = None
    events: Sequence[Event] = ()
    may_meet_strangers: bool = False
    attempt: Attempt | None = None
    uninspectable: bool = False


class CallHandlers:
    """Handles calls, one method for each system call.

    *owners_of*: the Owners of the network that a copy uses. *is_local*: whether an address is this host's.
    *recorded*: whether the recorder reports Python's calls. *release*: takes the Owners and the cookie of a socket
    that has ended, and a time by which it had.
    """

    def __init__(
        self,
        owners_of: Callable[[int], Owners],
        unix: UnixSockets,
        is_local: Callable[[str], bool],
        recorded: bool,
        release: Callable[[Owners, int, int], None],
        kernel: Kernel,
    ) -> None:
        machine = ARCHITECTURE
        assert machine is not None
        self._owners_of = owners_of
        self._unix = unix
        self._kernel = kernel
        self._is_local = is_local
        self._recorded = recorded
        self._release = release
        self._aside = Aside()
        self._memory = Memory()
        self.rights = Rights()
        self.stand_in: StandIn | None = None
        self.networks = Networks()
        self._sends: dict[tuple[int, Endpoint], int] = {}
        self._handlers: dict[int, Callable[[TrappedCall, NotifyChannel], Reply | None]] = {
            machine.bind: self._bind,
            machine.listen: self._listen,
            machine.connect: self._connect,
            machine.sendto: self._send,
            **dict.fromkeys(LANDLOCK_RESTRICT_SELF, self._restrict_self),
        }

    def close(self) -> None:
        self.rights.close()
        if self.stand_in is not None:
            self.stand_in.close()

    def handle(self, call: TrappedCall, channel: NotifyChannel) -> Reply | None:
        """Perform *call*, or leave it to the kernel; None if the caller is gone."""
        return self._handlers[call.notification.number](call, channel)

    def _address(self, call: TrappedCall, at: int, length: int) -> tuple[bytes | None, addresses.Address | None]:
        """The address as its caller wrote it, None if it may not be read; and the same parsed, None for a family that
        is not followed or an address that the kernel would refuse.
        """
        notification = call.notification
        size = notification.arguments[length] & 0xFFFFFFFF
        start = notification.arguments[at]
        if not 0 < size <= ADDRESS_MAX or call.thread.process.has_at_once(start, size):
            raw = self._memory.read(notification.tid, start, size)
        else:
            # The page may be missing, so this may take for ever. Its own buffer, which may be filled too late.
            raw = self._aside(lambda: Memory().read(notification.tid, start, size))
        return raw, None if raw is None else addresses.parse(raw)

    def _performs(self, call: TrappedCall, port: int) -> bool:
        """Whether we perform this bind or listen. *port*: the explicit port of a bind, else 0."""
        sock = call.sock
        if sock is None or not call.restart_safe or not is_followed(sock):
            return False
        if port and self.rights.needs_privilege(port, self.networks.of(sock, call.notification.tid, call.copy)):
            return False
        return not self.rights.is_confined(call.copy, call.thread)

    def _restrict_self(self, call: TrappedCall, channel: NotifyChannel) -> Reply:
        del channel
        self.rights.restricts_itself(call.copy, call.thread.process)
        return Reply()

    def _bind(self, call: TrappedCall, channel: NotifyChannel) -> Reply | None:
        raw, address = self._address(call, 1, 2)
        if raw is None or address is None:
            return Reply(uninspectable=raw is None)
        attribution = call.attribution(layout.BIND)
        sock = call.sock
        if sock is not None and address.address[:1] == "@" and self._performs_abstract(call, sock, raw):
            return self._bind_abstract(call, channel, sock, raw, attribution)
        if sock is None or address.family not in _BOUND_HERE or not self._performs(call, address.port):
            asked = self._asked(call, address)
            if self.stand_in is not None and asked is not None:
                self.stand_in.before_unperformed_bind(call.caller(attribution), call.thread.process.name, asked)
            return Reply() if asked is None else self._attempted(call, attribution, asked, address.address)
        if self.stand_in is not None:
            self._provoke_bind(self.stand_in, call, sock, address, attribution)
        if not channel.is_valid(call.notification):
            return None
        failure = call.performed = perform_bind(sock.fileno(), raw)
        t_ns = time.monotonic_ns()
        info = self._kernel.socket_info(sock, self.networks.of(sock, call.notification.tid, call.copy))
        asked = Endpoint(info.protocol, address.address, address.port, info.network, info.v6only)
        event = Bind(
            t_ns=t_ns,
            asked=asked,
            got=None if failure else self._own(call, sock, info, t_ns),
            errno=_name_of(failure),
            options=info.options + device_option(sock, asked.address),
            holders=self._holders(call, failure, asked, info),
            cookie=info.cookie,
            inode=info.inode,
            network=info.network,
            source=SOURCE,
            caller=call.caller(attribution),
        )
        if self.stand_in is not None and event.got is not None:
            name, uid = call.thread.process.name, os.fstat(sock.fileno()).st_uid
            self.stand_in.after_bind(event.caller, name, asked, event.got, info.options, uid)
        return Reply(failure, (event,), may_meet_strangers=not failure and _lets_others_in(event))

    def _provoke_bind(
        self,
        stand_in: StandIn,
        call: TrappedCall,
        sock: _socket.socket,
        address: addresses.Address,
        attribution: Attribution,
    ) -> None:
        """Have *stand_in* take the port before this bind, if that is what it is there for."""
        info = self._kernel.socket_info(sock, self.networks.of(sock, call.notification.tid, call.copy))
        asked = Endpoint(info.protocol, address.address, address.port, info.network, info.v6only)
        uid = os.fstat(sock.fileno()).st_uid
        stand_in.before_bind(call.caller(attribution), call.thread.process.name, asked, info.options, uid)

    def _performs_abstract(self, call: TrappedCall, sock: _socket.socket, raw: bytes) -> bool:
        """Whether we perform this bind to an abstract name, which depends on nothing but the socket."""
        is_abstract = sock.family == _socket.AF_UNIX and unix_is_abstract(raw)
        return is_abstract and call.restart_safe and not self.rights.is_confined(call.copy, call.thread)

    def _bind_abstract(
        self, call: TrappedCall, channel: NotifyChannel, sock: _socket.socket, raw: bytes, attribution: Attribution
    ) -> Reply | None:
        if not channel.is_valid(call.notification):
            return None
        failure = call.performed = perform_bind(sock.fileno(), raw)
        t_ns = time.monotonic_ns()
        network = self.networks.of(sock, call.notification.tid, call.copy)
        asked = Endpoint(Protocol.UNIX, unix_name(raw[2:]), 0, network)
        inode, cookie = os.fstat(sock.fileno()).st_ino, cookie_of(sock)
        holders: tuple[Holder, ...] = ()
        if failure == errno.EADDRINUSE:
            holders = self._unix.holder_of(asked, call.copy, t_ns, inode)
        elif not failure:
            self._unix.add(BoundSocket(call.thread.process.identity, asked, inode, cookie), t_ns)
        event = Bind(
            t_ns=t_ns,
            asked=asked,
            got=None if failure else asked,
            errno=_name_of(failure),
            holders=holders,
            cookie=cookie,
            inode=inode,
            network=network,
            source=SOURCE,
            caller=call.caller(attribution),
        )
        return Reply(failure, (event,), may_meet_strangers=failure == errno.EADDRINUSE and not holders)

    def _listen(self, call: TrappedCall, channel: NotifyChannel) -> Reply | None:
        attribution = call.attribution(layout.LISTEN)
        sock = call.sock
        if sock is None or not self._performs(call, 0):
            if sock is not None and not is_followed(sock):
                return Reply()
            return self._attempted(call, attribution, None)
        if not channel.is_valid(call.notification):
            return None
        failure = call.performed = perform_listen(sock.fileno(), call.notification.int_argument(1))
        t_ns = time.monotonic_ns()
        info = self._kernel.socket_info(sock, self.networks.of(sock, call.notification.tid, call.copy))
        got = endpoint_of(sock, info) if failure else self._own(call, sock, info, t_ns)
        event = Listen(
            t_ns=t_ns,
            got=got,
            errno=_name_of(failure),
            options=info.options + device_option(sock, got.address),
            holders=self._holders(call, failure, got, info),
            cookie=info.cookie,
            inode=info.inode,
            network=info.network,
            source=SOURCE,
            caller=call.caller(attribution),
        )
        return Reply(failure, (event,))

    def _connect(self, call: TrappedCall, channel: NotifyChannel) -> Reply:
        del channel
        _, address = self._address(call, 1, 2)
        if address is None or address.family not in INET:
            return Reply()
        t_ns = time.monotonic_ns()
        destinations = self._destinations(call, address)
        if not destinations:
            return Reply()
        events = _towards(Connect, destinations, call.caller(call.attribution(layout.CONNECT)), t_ns)
        if self.stand_in is not None:
            self._provoke_connect(self.stand_in, call, events)
        return Reply(events=events, may_meet_strangers=True)

    def _send(self, call: TrappedCall, channel: NotifyChannel) -> Reply:
        del channel
        _, address = self._address(call, 4, 5)
        if address is None or address.family not in INET:
            return Reply()
        t_ns = time.monotonic_ns()
        destinations = [made for made in self._destinations(call, address) if self._is_new(made[1], made[0], t_ns)]
        if not destinations:
            return Reply()
        events = _towards(Send, destinations, call.caller(call.attribution(layout.SEND)), t_ns)
        if self.stand_in is not None:
            self._provoke_connect(self.stand_in, call, events)
        return Reply(events=events, may_meet_strangers=True)

    def _provoke_connect(self, stand_in: StandIn, call: TrappedCall, events: Sequence[Connect | Send]) -> None:
        """Have *stand_in* answer a connect that expects no answer, if that is what it is there for."""
        for event in events:
            stand_in.before_connect(event.caller, call.thread.process.name, event.destination, event.t_ns)

    def find_strangers(self, events: Iterable[Event]) -> None:
        """Add to the Connects and Sends among *events* the processes outside the run that serve their destination, to
        binds of an abstract name those that have it, and to other binds those that share the port.

        To a Connect or Send only where no party is known to own the port; and not to datagrams from a bound socket,
        most of which are answers to a client whose socket was never bound, and so is not known.
        """
        for event in events:
            if not isinstance(event, Bind | Connect | Send) or event.party is None:
                continue
            copy = event.party.copy
            if isinstance(event, Bind):
                if event.asked.protocol == Protocol.UNIX:
                    event.holders = self._unix.others_at(event.asked, copy)
                elif event.got is not None:
                    event.holders = self._owners_of(copy).strangers_beside(event.got)
                continue
            owners, to = self._owners_of(copy), event.destination
            if isinstance(event, Send) and event.cookie in owners:
                continue
            if owners.is_without_owner(to) and to.network.is_ours and self._is_local(to.address):
                event.holders = owners.strangers_serving(to, event.t_ns)

    # --- facts about a call ---------------------------------------------------------------------------------------

    def _own(self, call: TrappedCall, sock: _socket.socket, info: SocketInfo, t_ns: int) -> Endpoint:
        """Record the copy as the socket's owner, release earlier owners of its endpoint; the endpoint."""
        got = canonical(endpoint_of(sock, info))
        owners = self._owners_of(call.copy)
        if is_mptcp(sock):
            # The tables know it by another cookie; the inode is the same. Not found: it has not listened yet.
            row = owners.row_of(info.inode, Protocol.TCP, got.port)
            info.cookie = row.cookie if row is not None else info.cookie
        if info.network.is_ours:
            for cookie in owners.vanished_at(got, info.cookie):
                self._release(owners, cookie, t_ns - 1)
            owners.add(info.cookie, Owner(call.thread.process.identity, got, info.inode))
        return got

    def _holders(self, call: TrappedCall, failure: int, endpoint: Endpoint, info: SocketInfo) -> tuple[Holder, ...]:
        if failure != errno.EADDRINUSE or not info.network.is_ours or not endpoint.port:
            return ()
        return self._owners_of(call.copy).holders(endpoint, but=info.cookie)

    def _asked(self, call: TrappedCall, address: addresses.Address) -> Endpoint | None:
        """The endpoint of a bind that the kernel performs; protocol "" if that is not visible."""
        sock = call.sock
        if address.family == addresses.AF_VSOCK:
            return Endpoint(Protocol.VSOCK, address.address, address.port)
        network = self._network(call)
        if address.family == socket.AF_UNIX:
            return Endpoint(Protocol.UNIX, _absolute(address.address, call.notification.tid), 0, network)
        if sock is None:
            return Endpoint(Protocol.UNKNOWN, address.address, address.port, network)
        if not is_followed(sock):
            return None
        return Endpoint(PROTOCOLS[sock.type], address.address, address.port, network)

    def _attempted(
        self, call: TrappedCall, attribution: Attribution, asked: Endpoint | None, name: str = ""
    ) -> Reply:
        """A call that the kernel performs. *name*: of a bind, the address as its caller wrote it.

        If the recorder reports its result, only a holder outside the run is looked up.
        """
        sock = call.sock
        result_from_recorder = sock is None and self._recorded and bool(attribution.frames)
        if result_from_recorder and (asked is None or asked.protocol or not asked.port):
            return Reply()
        if sock is None and not call.inode:
            return Reply(uninspectable=True)
        attempt = Attempt(
            t_ns=time.monotonic_ns(),
            tid=call.notification.tid,
            inode=os.fstat(sock.fileno()).st_ino if sock is not None else call.inode,
            proven=sock is not None,
            caller=call.caller(attribution),
            asked=asked,
            result_from_recorder=result_from_recorder,
            name=name,
        )
        return Reply(attempt=attempt)

    def _destinations(self, call: TrappedCall, address: addresses.Address) -> list[_Destination]:
        """The destinations worth an event: those on this host; any, if the client's socket is bound.

        Without a duplicate the protocol is unknown: each protocol of which another copy holds the port.
        """
        sock = call.sock
        if sock is None:
            return self._guessed(call, address)
        if not is_followed(sock):
            return []
        cookie = cookie_of(sock)
        if not self._is_local(address.address) and cookie not in self._owners_of(call.copy):
            return []
        network = self.networks.of(sock, call.notification.tid, call.copy)
        to = Endpoint(PROTOCOLS[sock.type], address.address, address.port, network)
        return [(to, cookie, self._servers(call, to))]

    def _guessed(self, call: TrappedCall, address: addresses.Address) -> list[_Destination]:
        if not self._network(call).is_ours:
            return []  # We know no sockets there.
        owners = self._owners_of(call.copy)
        known = owners.of_inode(call.inode) if call.inode else None
        protocols = (Protocol.TCP, Protocol.UDP) if known is None else (known[1].endpoint.protocol,)
        destinations = []
        for protocol in protocols:
            to = Endpoint(protocol, address.address, address.port)
            if known is not None or owners.only_others_at(call.party, to):
                destinations.append((to, known[0] if known else 0, self._servers(call, to)))
        return destinations

    def _network(self, call: TrappedCall) -> Network:
        tid = call.notification.tid
        if call.sock is None:
            return self.networks.of_thread(tid, call.copy)
        return self.networks.of(call.sock, tid, call.copy)

    def _servers(self, call: TrappedCall, to: Endpoint) -> tuple[Holder, ...]:
        """The listeners at *to*. The kernel is asked only if another copy may be the only owner."""
        owners = self._owners_of(call.copy)
        if not to.network.is_ours or not owners.only_others_at(call.party, to):
            return ()
        return owners.holders(to, owning=True)

    def _is_new(self, cookie: int, to: Endpoint, t_ns: int) -> bool:
        """Whether to record this datagram: of many from one socket to one destination, one a second is."""
        if t_ns - self._sends.get((cookie, to), -_SEND_AGAIN_NS) < _SEND_AGAIN_NS:
            return False
        if len(self._sends) >= _SENDS_REMEMBERED_MAX:
            self._sends.clear()
        self._sends[cookie, to] = t_ns
        return True


def _towards(
    kind: type[Connect] | type[Send], destinations: list[_Destination], caller: Caller, t_ns: int
) -> list[Connect | Send]:
    return [
        kind(
            t_ns=t_ns,
            source=SOURCE,
            caller=caller,
            destination=to,
            holders=holders,
            cookie=cookie,
            network=to.network,
        )
        for to, cookie, holders in destinations
    ]


def _lets_others_in(event: Bind) -> bool:
    """Whether a socket that was in the kernel's table before may have let *event* bind the same fixed port."""
    if not event.asked.port or not event.network.is_ours:
        return False
    is_datagram = event.asked.protocol == Protocol.UDP
    return SocketOption.REUSEPORT in event.options or (is_datagram and SocketOption.REUSEADDR in event.options)


def _name_of(failure: int) -> str:
    return errno.errorcode.get(failure, str(failure)) if failure else ""


def _absolute(path: str, tid: int) -> str:
    """A Unix path as seen from everywhere; abstract names and "" (the kernel chooses) as they are."""
    if not path or path[0] in "/@":
        return path
    with contextlib.suppress(OSError):
        return os.path.normpath(os.path.join(os.readlink(f"/proc/{tid}/cwd"), path))
    return path
