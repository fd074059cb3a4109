"""What one trapped call is, what is done about it, and what it tells.

bind and listen of internet sockets are performed here, on a duplicate of the caller's descriptor, so that result,
port and cookie are known at that instant. We let the kernel perform all other calls itself:

- Unix sockets: their bind depends on the caller's folder, umask and owner, their listen puts a pid into SO_PEERCRED;
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, Listen, Send
from parasuite.model.network import Network
from parasuite.model.overlap import canonical
from parasuite.model.party import Caller, Party
from parasuite.model.words import Protocol
from parasuite.sensors.recorder import _parasuite_page as layout
from parasuite.sensors.seccomp import addresses, kernel
from parasuite.sensors.seccomp.aside import Aside
from parasuite.sensors.seccomp.attempts import SOURCE, Attempt
from parasuite.sensors.seccomp.callers import Thread
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
    socket_info,
)

_BOUND_HERE = frozenset({*INET, _socket.AF_UNSPEC})
_SENDS_REMEMBERED_MAX = 4096
_SEND_AGAIN_NS = 1_000_000_000
_Destination = tuple[Endpoint, int, tuple[Holder, ...]]


@dataclass(slots=True)
class Call:
    """One trapped call. *sock*: our duplicate, None where it may not be had; then *inode* names it, if anything
    does. *performed*: the errno, or 0, with which it was carried out here; None as long as it was not.
    """

    copy: int
    request: kernel.Call
    fd: int
    thread: Thread
    sock: _socket.socket | None
    killable: bool
    inode: int = 0
    performed: int | None = None

    @property
    def party(self) -> Party:
        return Party(self.copy)

    def attribution(self, kind: int) -> Attribution:
        """The test and line of this call, of *kind*."""
        return self.thread.process.attribution_of(self.request.tid, kind, self.fd)

    def caller(self, attribution: Attribution) -> Caller:
        """Who makes it, as events name it."""
        test, location, by = attribution
        return Caller(self.thread.process.identity, self.request.tid, test, location, by)


@dataclass(slots=True)
class Outcome:
    """*failure*: the errno to answer, 0 for success; None: the kernel is to carry the call out."""

    failure: int | None = None
    events: Sequence[Event] = ()
    attempt: Attempt | None = None
    opaque: bool = False


class Calls:
    """Acts on calls.

    *is_local*: whether an address is this host's. *recorded*: whether the recorder tells Python's calls. *release*:
    takes the cookie of a socket that is found gone, and by when it was.
    """

    def __init__(
        self,
        owners: Owners,
        is_local: Callable[[str], bool],
        recorded: bool,
        release: Callable[[int, int], None],
    ) -> None:
        machine = kernel.ARCHITECTURE
        assert machine is not None
        self._owners = owners
        self._is_local = is_local
        self._recorded = recorded
        self._release = release
        self._aside = Aside()
        self._memory = kernel.Memory()
        self.rights = Rights()
        self._networks = Networks()
        self._sends: dict[tuple[int, Endpoint], int] = {}
        self._handlers: dict[int, Callable[[Call, kernel.Listener], Outcome | None]] = {
            machine.bind: self._bind,
            machine.listen: self._listen,
            machine.connect: self._connect,
            machine.sendto: self._send,
            **dict.fromkeys(kernel.LANDLOCK_RESTRICT_SELF, self._restrict_self),
        }

    def close(self) -> None:
        self.rights.close()

    def outcome(self, call: Call, listener: kernel.Listener) -> Outcome | None:
        """Do what is to be done; None if the caller is gone."""
        return self._handlers[call.request.number](call, listener)

    def _address(self, call: Call, at: int, length: int) -> tuple[bytes | None, addresses.Address | None]:
        """The address as it stands there, None where it may not be seen; and what it says, None if nothing that
        matters here, or nothing that the kernel would take.
        """
        request = call.request
        size = request.arguments[length] & 0xFFFFFFFF
        start = request.arguments[at]
        if not 0 < size <= kernel.ADDRESS_MAX or call.thread.process.has_at_once(start, size):
            raw = self._memory.read(request.tid, start, size)
        else:
            # A page that is not there, or is not to be looked at. The buffer is one of its own: it may come too late.
            raw = self._aside(lambda: kernel.Memory().read(request.tid, start, size))
        return raw, None if raw is None else addresses.parse(raw)

    def _performs(self, call: Call, port: int) -> bool:
        """Whether bind or listen is performed here. *port*: an explicit one that is bound, else 0."""
        sock = call.sock
        if sock is None or not call.killable or not is_followed(sock):
            return False
        if port and self.rights.needs_privilege(port, self._networks.of(sock, call.request.tid)):
            return False
        return not self.rights.is_confined(call.copy, call.thread)

    def _restrict_self(self, call: Call, listener: kernel.Listener) -> Outcome:
        del listener
        self.rights.restricts_itself(call.copy, call.thread.process)
        return Outcome()

    def _bind(self, call: Call, listener: kernel.Listener) -> Outcome | None:
        raw, address = self._address(call, 1, 2)
        if raw is None or address is None:
            return Outcome(opaque=raw is None)
        attribution = call.attribution(layout.BIND)
        sock = call.sock
        if sock is None or address.family not in _BOUND_HERE or not self._performs(call, address.port):
            asked = self._asked(call, address)
            return Outcome() if asked is None else self._attempted(call, attribution, asked)
        if not listener.is_valid(call.request):
            return None
        failure = call.performed = kernel.perform_bind(sock.fileno(), raw)
        t_ns = time.monotonic_ns()
        info = socket_info(sock, self._networks.of(sock, call.request.tid))
        asked = Endpoint(info.protocol, address.address, address.port, info.network, info.v6only)
        event = Bind(
            t_ns=t_ns,
            asked=asked,
            got=None if failure else self._own(call, sock, info, t_ns),
            errno=_name_of(failure),
            options=info.options + device_option(sock, asked.address),
            holders=self._holders(failure, asked, info),
            cookie=info.cookie,
            inode=info.inode,
            network=info.network,
            source=SOURCE,
            caller=call.caller(attribution),
        )
        return Outcome(failure, (event,))

    def _listen(self, call: Call, listener: kernel.Listener) -> Outcome | None:
        attribution = call.attribution(layout.LISTEN)
        sock = call.sock
        if sock is None or not self._performs(call, 0):
            if sock is not None and not is_followed(sock):
                return Outcome()
            return self._attempted(call, attribution, None)
        if not listener.is_valid(call.request):
            return None
        failure = call.performed = kernel.perform_listen(sock.fileno(), call.request.int_argument(1))
        t_ns = time.monotonic_ns()
        info = socket_info(sock, self._networks.of(sock, call.request.tid))
        got = endpoint_of(sock, info) if failure else self._own(call, sock, info, t_ns)
        event = Listen(
            t_ns=t_ns,
            got=got,
            errno=_name_of(failure),
            options=info.options + device_option(sock, got.address),
            holders=self._holders(failure, got, info),
            cookie=info.cookie,
            inode=info.inode,
            network=info.network,
            source=SOURCE,
            caller=call.caller(attribution),
        )
        return Outcome(failure, (event,))

    def _connect(self, call: Call, listener: kernel.Listener) -> Outcome:
        del listener
        _, address = self._address(call, 1, 2)
        if address is None or address.family not in INET:
            return Outcome()
        t_ns = time.monotonic_ns()
        destinations = self._destinations(call, address)
        if not destinations:
            return Outcome()
        caller = call.caller(call.attribution(layout.CONNECT))
        events = [
            Connect(
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
        return Outcome(events=events)

    def _send(self, call: Call, listener: kernel.Listener) -> Outcome:
        del listener
        _, address = self._address(call, 4, 5)
        if address is None or address.family not in INET:
            return Outcome()
        t_ns = time.monotonic_ns()
        destinations = [made for made in self._destinations(call, address) if self._is_new(made[1], made[0], t_ns)]
        if not destinations:
            return Outcome()
        caller = call.caller(call.attribution(layout.SEND))
        events = [
            Send(
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
        return Outcome(events=events)

    # --- what is known of a call ----------------------------------------------------------------------------------

    def _own(self, call: Call, sock: _socket.socket, info: SocketInfo, t_ns: int) -> Endpoint:
        """Note the socket as its copy's since *t_ns*, and who had its endpoint as gone by then; its endpoint."""
        got = canonical(endpoint_of(sock, info))
        if kernel.is_mptcp(sock):
            # The tables know it by another cookie; the inode is the same. Not found: it has not listened yet.
            row = self._owners.row_of(info.inode, Protocol.TCP, got.port)
            info.cookie = row.cookie if row is not None else info.cookie
        if info.network.is_ours:
            for cookie in self._owners.vanished_at(got, info.cookie):
                self._release(cookie, t_ns - 1)
            self._owners.add(info.cookie, Owner(call.thread.process.identity, got, info.inode))
        return got

    def _holders(self, failure: int, endpoint: Endpoint, info: SocketInfo) -> tuple[Holder, ...]:
        if failure != errno.EADDRINUSE or not info.network.is_ours or not endpoint.port:
            return ()
        return self._owners.holders(endpoint, but=info.cookie)

    def _asked(self, call: Call, address: addresses.Address) -> Endpoint | None:
        """The endpoint of a bind that the kernel carries out; protocol "" where that may not be seen."""
        sock = call.sock
        if address.family == addresses.AF_VSOCK:
            return Endpoint(Protocol.VSOCK, address.address, address.port)
        network = self._network(call)
        if address.family == socket.AF_UNIX:
            return Endpoint(Protocol.UNIX, _absolute(address.address, call.request.tid), 0, network)
        if sock is None:
            return Endpoint(Protocol.UNKNOWN, address.address, address.port, network)
        if not is_followed(sock):
            return None
        return Endpoint(PROTOCOLS[sock.type], address.address, address.port, network)

    def _attempted(self, call: Call, attribution: Attribution, asked: Endpoint | None) -> Outcome:
        """A call that goes on by itself; what the recorder tells exactly is left to it, but who stood in the way."""
        sock = call.sock
        result_from_recorder = sock is None and self._recorded and attribution.location is not None
        if result_from_recorder and (asked is None or asked.protocol or not asked.port):
            return Outcome()
        if sock is None and not call.inode:
            return Outcome(opaque=True)
        attempt = Attempt(
            t_ns=time.monotonic_ns(),
            tid=call.request.tid,
            inode=os.fstat(sock.fileno()).st_ino if sock is not None else call.inode,
            proven=sock is not None,
            caller=call.caller(attribution),
            asked=asked,
            result_from_recorder=result_from_recorder,
        )
        return Outcome(attempt=attempt)

    def _destinations(self, call: Call, address: addresses.Address) -> list[_Destination]:
        """Where a client may end, as far as that is worth an event: on this host; or anywhere, for one that is bound.

        Where the protocol may not be seen, each at whose port another copy stands.
        """
        sock = call.sock
        if sock is None:
            return self._guessed(call, address)
        if not is_followed(sock):
            return []
        cookie = cookie_of(sock)
        if not self._is_local(address.address) and cookie not in self._owners:
            return []
        network = self._networks.of(sock, call.request.tid)
        to = Endpoint(PROTOCOLS[sock.type], address.address, address.port, network)
        return [(to, cookie, self._servers(call, to))]

    def _guessed(self, call: Call, address: addresses.Address) -> list[_Destination]:
        if not self._network(call).is_ours:
            return []  # No sockets are known there.
        known = self._owners.of_inode(call.inode) if call.inode else None
        protocols = (Protocol.TCP, Protocol.UDP) if known is None else (known[1].endpoint.protocol,)
        found = []
        for protocol in protocols:
            to = Endpoint(protocol, address.address, address.port)
            if known is not None or self._owners.only_others_at(call.party, to):
                found.append((to, known[0] if known else 0, self._servers(call, to)))
        return found

    def _network(self, call: Call) -> Network:
        tid = call.request.tid
        return self._networks.of_thread(tid) if call.sock is None else self._networks.of(call.sock, tid)

    def _servers(self, call: Call, to: Endpoint) -> tuple[Holder, ...]:
        """Who listens there, asked of the kernel only where another copy may be the only one."""
        if not to.network.is_ours or not self._owners.only_others_at(call.party, to):
            return ()
        return self._owners.holders(to, owning=True)

    def _is_new(self, cookie: int, to: Endpoint, t_ns: int) -> bool:
        """Whether this datagram tells more than the last: of a thousand to one place one a second is written down."""
        if t_ns - self._sends.get((cookie, to), -_SEND_AGAIN_NS) < _SEND_AGAIN_NS:
            return False
        if len(self._sends) >= _SENDS_REMEMBERED_MAX:
            self._sends.clear()
        self._sends[cookie, to] = t_ns
        return True


def _name_of(failure: int) -> str:
    return errno.errorcode.get(failure, str(failure)) if failure else ""


def _absolute(path: str, tid: int) -> str:
    """A Unix path as seen from everywhere; abstract names and "" (the kernel chooses) as they are."""
    if not path or path[0] in "/@":
        return path
    with contextlib.suppress(OSError):
        return os.path.normpath(os.path.join(os.readlink(f"/proc/{tid}/cwd"), path))
    return path
