"""The other side of a finding: takes a suspect port itself, says nothing to who comes, and counts them.

Its sockets are the supervisor's. So they are in the way of a bind by the kernel's own rules, and the kernel closes
them if the supervisor is killed. When to take what is decided in suspicion.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Collection

from parasuite.model.events import FAILED, Endpoint, Event, PortTaken, PortVisited
from parasuite.model.overlap import canonical
from parasuite.model.party import Caller
from parasuite.model.suspect import Suspect
from parasuite.model.words import Protocol, SocketOption
from parasuite.sensors.seccomp.attempts import SOURCE
from parasuite.sensors.seccomp.suspicion import Suspicion, endpoints_to_take, lets_last_in

_BACKLOG = 4096
_TAKEN_MAX = 256
_DATAGRAM_MAX = 1 << 16
_SO_REUSEPORT, _SO_ATTACH_REUSEPORT_CBPF = 15, 51
_FAMILIES = {False: socket.AF_INET, True: socket.AF_INET6}
_TYPES = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


class StandIn:
    """*emit*: takes what it did as events. *is_held*: whether any socket of this network owns a port."""

    def __init__(
        self, suspect: Suspect, emit: Callable[[Event], None], is_held: Callable[[Protocol, int], bool]
    ) -> None:
        self._suspicion = Suspicion(suspect, is_held)
        self._emit = emit
        self._taken: dict[Endpoint, socket.socket] = {}

    def before_bind(
        self, caller: Caller, name: str, asked: Endpoint, options: Collection[SocketOption], uid: int
    ) -> None:
        """The process *name* is about to bind *asked* with *options*. *uid*: the user whose socket it is."""
        if asked.network.is_ours and self._suspicion.before_bind(caller, name, asked, options):
            self._take(caller, asked, time.monotonic_ns(), options, uid, group_index=0)

    def after_bind(
        self, caller: Caller, name: str, asked: Endpoint, got: Endpoint, options: Collection[SocketOption], uid: int
    ) -> None:
        """It has bound *asked*, and the socket has *got* now."""
        if not got.network.is_ours:
            return
        if self._suspicion.after_bind(caller, name, asked, got, options):
            # A stream joins its group when it listens, which the suspect does later; a datagram socket does when it
            # is bound.
            index = 0 if got.protocol is Protocol.TCP else 1
            self._take(caller, got, time.monotonic_ns(), options, uid, group_index=index)
        self._suspicion.learn(caller, name, asked, got)

    def before_connect(self, caller: Caller, name: str, to: Endpoint, t_ns: int) -> None:
        """The process *name* is about to connect, or to send a datagram, *to* this host; the call came at *t_ns*."""
        if to.network.is_ours and self._suspicion.before_connect(caller, name, to):
            self._take(caller, to, t_ns)

    def before_unperformed_bind(self, caller: Caller, name: str, asked: Endpoint) -> None:
        """The kernel performs a bind to *asked* itself: there is no moment before it at which a port could be taken.

        Its protocol is unknown where the socket may not be looked at.
        """
        if asked.protocol is Protocol.UNKNOWN:
            asked = asked._replace(protocol=self._suspicion.protocol)
        if self._suspicion.before_bind(caller, name, asked, ()):
            self._emit_taken(caller, asked, time.monotonic_ns(), FAILED)

    def finish(self) -> None:
        """Report who came, and give every port back."""
        for endpoint, sock in self._taken.items():
            visits = _connections(sock) if endpoint.protocol is Protocol.TCP else _datagrams(sock)
            self._emit(PortVisited(t_ns=time.monotonic_ns(), source=SOURCE, endpoint=endpoint, visits=visits))
        self.close()

    def close(self) -> None:
        """Close every socket."""
        for sock in self._taken.values():
            sock.close()
        self._taken.clear()

    def _take(
        self,
        caller: Caller,
        asked: Endpoint,
        t_ns: int,
        options: Collection[SocketOption] = (),
        uid: int | None = None,
        *,
        group_index: int = 0,
    ) -> None:
        """Take what is in the way of *asked*. The rest is as for `_bound`."""
        wanted = endpoints_to_take(asked)
        if not wanted:
            self._emit_taken(caller, canonical(asked), t_ns, errno.errorcode[errno.EADDRNOTAVAIL])
        for endpoint in wanted:
            if endpoint in self._taken or len(self._taken) >= _TAKEN_MAX:
                continue
            try:
                self._taken[endpoint] = _bound(endpoint, options, uid, group_index)
            except OSError as error:
                self._emit_taken(caller, endpoint, t_ns, errno.errorcode.get(error.errno or 0, FAILED))
            else:
                self._emit_taken(caller, endpoint, t_ns, "")

    def _emit_taken(self, caller: Caller, endpoint: Endpoint, t_ns: int, failure: str) -> None:
        self._emit(PortTaken(t_ns=t_ns, source=SOURCE, caller=caller, endpoint=endpoint, errno=failure))


def _bound(endpoint: Endpoint, options: Collection[SocketOption], uid: int | None, group_index: int) -> socket.socket:
    """A socket that has *endpoint*, and as a stream listens. Raises OSError.

    With *options*, it gets what two owners would share: of a reuseport group, the member *group_index* does.
    """
    sock = socket.socket(_FAMILIES[":" in endpoint.address], _TYPES[endpoint.protocol])
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if endpoint.protocol is Protocol.TCP or lets_last_in(endpoint.protocol, options):
            # Of a stream, it only lets the port be taken while an earlier connection is in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shares = SocketOption.REUSEPORT in options
        if shares:
            sock.setsockopt(socket.SOL_SOCKET, _SO_REUSEPORT, 1)
            if uid is not None and os.fstat(sock.fileno()).st_uid != uid:
                os.fchown(sock.fileno(), uid, -1)  # The kernel lets only sockets of one user share a port.
        sock.bind((endpoint.address, endpoint.port))
        if endpoint.protocol is Protocol.TCP:
            sock.listen(_BACKLOG)
        if shares:
            _choose_member(sock, group_index)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _choose_member(sock: socket.socket, index: int) -> None:
    """Have the kernel give all that comes to the port of *sock* to the member *index* of its reuseport group."""
    return_constant = 0x06  # BPF_RET | BPF_K
    program = ctypes.create_string_buffer(struct.pack("=HBBI", return_constant, 0, 0, index))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HxxxxxxQ", 1, ctypes.addressof(program))
    )


def _connections(sock: socket.socket) -> int:
    """How many connections wait; _BACKLOG or the system's limit at most."""
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except ConnectionAbortedError:
            pass  # It came, and has gone again.
        except OSError:
            return count
        count += 1


def _datagrams(sock: socket.socket) -> int:
    """How many datagrams wait; of very many the kernel drops the last."""
    count = 0
    while True:
        try:
            sock.recv(_DATAGRAM_MAX)
        except OSError:
            return count
        count += 1
