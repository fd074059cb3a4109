"""Reserve a port for a program that accepts only a port number, and say how well the port is kept.

    with reserve_port() as port:
        subprocess.Popen(["openssl", "s_server", "-accept", str(port), ...])

Three ways, best first. *hold-through*: this process binds the port on every address, without listening, and a server
that sets SO_REUSEADDR can bind it too. *lease*: a port that the kernel never assigns, under a lock that is released
when its owner ends. *pick*: a port that was unused a moment ago. A self-test, once per process, shows what works.
"""

from __future__ import annotations

import enum
import errno
import functools
import ipaddress
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self

from netsupport import locks, wildcards
from netsupport.claims import Claim, Closable, fork_lock
from netsupport.ports import HOST, HOSTv4

Kind = Literal["tcp", "udp", "both"]

QUARANTINE_S = 30.0
"""How long a process does not reserve a port again after releasing it, as long as there are others: clients of its
last user may still connect."""

_now_s = time.monotonic

_INHERITED_FROM = (200, 10)
"""The lowest descriptor for a reservation that is passed through exec(3), and a second choice for when `ulimit -n`
does not allow the first. Shell scripts use single digits, as in `exec 3>file`."""

_SOCKET_KINDS: dict[str, tuple[socket.SocketKind, ...]] = {
    "tcp": (socket.SOCK_STREAM,),
    "udp": (socket.SOCK_DGRAM,),
    "both": (socket.SOCK_STREAM, socket.SOCK_DGRAM),
}


class LeaseError(RuntimeError):
    """No port could be reserved. The message says why and what to do."""


class Guarantee(enum.StrEnum):
    """How well a reserved port is kept, best first."""

    PASSED = "passed"
    """This process bound and passed a listening socket to the server: the port always had an owner."""
    READ_BACK = "read-back"
    """The server bound port 0 and its port was read back: the port always had an owner."""
    HOLD = "hold"
    """Bound exclusively by this process on every address: no other socket can bind it. On macOS and BSD a socket that
    sets SO_REUSEADDR still can, on a single address."""
    HOLD_THROUGH = "hold-through"
    """Bound by this process on every address; sockets that set SO_REUSEADDR can bind it too. The kernel does not
    assign the port to port-0 binds or clients. Only a program that binds exactly this port with SO_REUSEADDR can
    take it."""
    LEASE = "lease"
    """Outside the range that the kernel assigns from, unused on every address when it was leased, and locked against
    all other users of netsupport (except on Linux: only against this user's processes). Only a program that binds
    exactly this port can take it."""
    PICK = "pick"
    """Unused on every address a moment ago, and not protected."""


class Quarantine:
    """Ports that were released recently. Each *rests*, which means that this process does not reserve it again, until
    a certain time. Callers hold `fork_lock`.

    At most *capacity_max* ports rest. If there would be more, the one that was released first stops resting early, so
    that a suite on a host with few ports can go on reserving and releasing.
    """

    def __init__(self, rest_s: float, capacity_max: int) -> None:
        self._rest_s, self._capacity_max = rest_s, capacity_max
        self._until_s: dict[int, float] = {}

    def add(self, port: int, now_s: float) -> None:
        """Let *port*, released at *now_s*, rest from now on."""
        self._until_s.pop(port, None)
        self._until_s[port] = now_s + self._rest_s
        while len(self._until_s) > self._capacity_max:
            self._until_s.pop(next(iter(self._until_s)), None)

    def until_s(self, port: int) -> float:
        """The time until which *port* rests; 0 if it does not."""
        return self._until_s.get(port, 0.0)

    def holds(self, port: int, now_s: float) -> bool:
        """Whether *port* still rests at *now_s*."""
        return self.until_s(port) > now_s


@functools.cache
def _quarantine(*, leased: bool) -> Quarantine:
    """The quarantine of leased ports, or of ports that the kernel assigned: no port is both."""
    if leased:
        return Quarantine(QUARANTINE_S, locks.HIGHEST)
    first, last = locks.ephemeral_range()
    return Quarantine(QUARANTINE_S, max(1, (last - first) // 8))


class PortLease:
    """A reserved port. It behaves like an int, and as a context manager it releases the port at the end.

    `str()`, `int()`, `format()`, `==` and `bind()` treat it as its port number. `socket.getaddrinfo`, and so
    `create_connection` and asyncio, need a plain int: use `.port`. Copying or pickling gives that plain int, because
    only this object owns the reservation. If it is garbage-collected before `release()`, the port is released with a
    ResourceWarning, as with an open file.
    """

    __slots__ = ("_claim", "guarantee", "host", "port", "reason")

    def __init__(self, port: int, host: str, guarantee: Guarantee, reason: str, *resources: Closable) -> None:
        self.port = port
        self.host = host
        """The address that was asked for. The reservation covers all other addresses too."""
        self.guarantee = guarantee
        self.reason = reason
        """Why there is no better guarantee; "" for the best."""
        self._claim = Claim(resources)

    @property
    def released(self) -> bool:
        """Whether the reservation has ended. In a forked child it always has."""
        return self._claim.released

    def release(self) -> None:
        """End the reservation. The port rests in this process for QUARANTINE_S. A second call does nothing."""
        with fork_lock:
            if not self._claim.released:
                _quarantine(leased=self.guarantee is Guarantee.LEASE).add(self.port, _now_s())
                self._claim.close()

    def inheritable_copies(self) -> list[int]:
        """Descriptors that keep the port reserved across exec(3), in the new program and all its children (POSIX).

        The caller owns them: the port becomes free only when the lease is released and they are all closed.
        Raises OSError (EMFILE, EINVAL) if no descriptors are left, with nothing left open.
        """
        copies: list[int] = []
        try:
            for each in self._claim.resources:
                copies.append(_high_copy(each.fileno()))
        except BaseException:
            for copy in copies:
                os.close(copy)
            raise
        return copies

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()

    def __int__(self) -> int:
        return self.port

    __index__ = __int__

    def __str__(self) -> str:
        return str(self.port)

    def __format__(self, specification: str) -> str:
        return format(self.port, specification)

    def __repr__(self) -> str:
        return f"<PortLease {self.port} on {self.host}: {'released' if self.released else self.guarantee}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PortLease):
            return self.port == other.port
        return self.port == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.port)

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (self.port,)

    def __del__(self) -> None:
        if not self.released:
            warnings.warn(
                f"port {self.port} ({self.guarantee}) was dropped and never released; "
                "keep the PortLease in a variable and use it as a context manager",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self.release()


class PortLeases(tuple[PortLease, ...]):
    """Several reservations of different ports, released together."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[tuple[int, ...]], tuple[tuple[int, ...]]]:
        # Copies are plain numbers, as with a single lease.
        return tuple, (tuple(lease.port for lease in self),)

    def release(self) -> None:
        """Release all of them."""
        for lease in self:
            lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()


def reserve_port(host: str = HOST, *, kind: Kind = "tcp", child_reuses_address: bool = True) -> PortLease:
    """Reserve a port for a server that will bind it on *host*, in the best way that works here.

    The port is unused and kept on every address, not only on *host*, because a server may bind the wildcard. *kind*
    says for which protocols the port must be free. *child_reuses_address*: whether the server sets SO_REUSEADDR
    before it binds, as nearly every TCP server on Linux does. A server that does not could not bind a held port: pass
    False to get a lease instead. `.guarantee` says how well the port is kept, `.reason` why not better.

    Raises ValueError if *host* is a name or *kind* is unknown; LeaseError if *host* is not an address of this host
    or no port is left; OSError as socket(2), for instance EMFILE. Source: socket(7), unix(7).
    """
    with fork_lock:
        kinds = _checked(host, kind)
        if kind != "tcp":
            reason = "hold-through needs a server that sets SO_REUSEADDR, and UDP servers do not"
        elif not child_reuses_address:
            reason = "hold-through needs a server that sets SO_REUSEADDR, and this one does not"
        else:
            reason = why_no_hold_through()
            if not reason:
                lease = _held(host, Guarantee.HOLD_THROUGH)
                if lease is not None:
                    return lease
                reason = "the kernel has no port left in its ephemeral range"
        unproven = why_no_lock()
        if not unproven:
            lease = _leased(host, kinds, reason)
            if lease is not None:
                return lease
            unproven = "no port is free outside the ephemeral range"
        return _picked(host, kinds, f"{reason}; {unproven}")


def _high_copy(descriptor: int) -> int:
    """An inheritable copy of *descriptor*, so high that `exec 3>file` in a shell script does not close it."""
    import fcntl

    first, second = _INHERITED_FROM
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD, first)
    except OSError:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD, second)


def reserve_ports(
    count: int, host: str = HOST, *, kind: Kind = "tcp", child_reuses_address: bool = True
) -> PortLeases:
    """Reserve *count* different ports as `reserve_port` does; if one fails, none stays reserved."""
    taken: list[PortLease] = []
    try:
        while len(taken) < count:
            lease = reserve_port(host, kind=kind, child_reuses_address=child_reuses_address)
            taken.append(lease)
    except BaseException:
        PortLeases(taken).release()
        raise
    return PortLeases(taken)


def refused_port(host: str = HOST) -> PortLease:
    """Reserve a TCP port that refuses connections on every address for as long as you hold it.

    It is bound and does not listen, so the kernel answers clients with a reset (ECONNREFUSED), and no other process
    can listen there (but see Guarantee.HOLD). Raises as `reserve_port`.
    """
    with fork_lock:
        _checked(host, "tcp")
        lease = _held(host, Guarantee.HOLD)
    if lease is None:
        raise LeaseError("the kernel has no port left in its ephemeral range; close sockets or widen the range")
    return lease


def why_no_hold_through() -> str:
    """The result of the self-test of hold-through, run once per process: "" if it works here, else why not."""
    return _reason(wildcards.why_no_hold_through)


def why_no_lock() -> str:
    """The result of the self-test of the port lock, run once per process: "" if it works here, else why not."""
    return _reason(locks.why_no_lock)


def _reason(self_test: Callable[[], str]) -> str:
    try:
        return _run_once(self_test)
    except OSError as refusal:
        return f"the self-test could not run: {refusal}"


@functools.cache
def _run_once(self_test: Callable[[], str]) -> str:
    """The result of *self_test*, cached for the process; a test that raised is run again."""
    return self_test()


def check_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """*host* as an address; raises ValueError for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(
            f"host is {host!r}; it must be an address such as HOST, because names are not looked up"
        ) from None


def _checked(host: str, kind: str) -> tuple[socket.SocketKind, ...]:
    """The socket kinds of *kind*; raises if no server could bind *host*."""
    if kind not in _SOCKET_KINDS:
        raise ValueError(f"kind is {kind!r}; it must be 'tcp', 'udp' or 'both'")
    version = check_host(host).version
    if host not in (HOSTv4, "0.0.0.0"):
        try:
            with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0))
        except OSError as refusal:
            if refusal.errno == errno.EADDRINUSE:
                # The address exists. Only the ephemeral range of UDP is full.
                return _SOCKET_KINDS[kind]
            raise LeaseError(f"no server can bind {host} here: {refusal}; use an address of this host") from refusal
    return _SOCKET_KINDS[kind]


def _rests(port: int, *, leased: bool) -> bool:
    return _quarantine(leased=leased).holds(port, _now_s())


def _draw(kinds: tuple[socket.SocketKind, ...]) -> tuple[socket.socket, ...] | None:
    """Sockets on every address at a port of the kernel's choice that does not rest; None if there is none."""
    try:
        return wildcards.draw_everywhere(kinds, lambda port: _rests(port, leased=False))
    except OSError as refusal:
        if refusal.errno == errno.EADDRINUSE:
            return None
        raise


def _held(host: str, guarantee: Guarantee) -> PortLease | None:
    hold = _draw((socket.SOCK_STREAM,))
    if hold is None:
        return None
    if guarantee is Guarantee.HOLD_THROUGH:
        wildcards.let_children_in(hold)
    return PortLease(hold[0].getsockname()[1], host, guarantee, "", *hold)


def _leased(host: str, kinds: tuple[socket.SocketKind, ...], reason: str) -> PortLease | None:
    ranges = locks.lease_ranges(locks.ephemeral_range(), os.environ.get("NETSUPPORT_PORT_RANGE", ""))
    reserved = locks.reserved_ports()
    for port in _rested_first(locks.from_a_random_start(ranges)):
        if port in reserved:
            continue
        lock = locks.port_lock(port)
        if lock is None:
            continue
        if _unused(port, kinds, lock):
            return PortLease(port, host, Guarantee.LEASE, reason, lock)
    return None


def _rested_first(numbers: Iterable[int]) -> Iterator[int]:
    """Those of *numbers* that do not rest, then the others, longest-resting first: so a small range can be reused."""
    resting = []
    for port in numbers:
        if _rests(port, leased=True):
            resting.append(port)
        else:
            yield port
    yield from sorted(resting, key=_quarantine(leased=True).until_s)


def _unused(port: int, kinds: tuple[socket.SocketKind, ...], lock: Closable) -> bool:
    """Whether no socket has *port* on any address. If one has, or the check fails, *lock* is released."""
    try:
        for kind in kinds:
            wildcards.close_all(wildcards.claim_everywhere(port, kind))
    except OSError as refusal:
        lock.close()
        if refusal.errno in wildcards.TAKEN | {errno.EADDRNOTAVAIL}:
            return False
        raise
    return True


def _picked(host: str, kinds: tuple[socket.SocketKind, ...], reason: str) -> PortLease:
    drawn = _draw(kinds)
    if drawn is None:
        raise LeaseError(
            f"no port could be reserved: {reason}; and the kernel offers none; close sockets or widen "
            "the host's ephemeral range"
        )
    port: int = drawn[0].getsockname()[1]
    wildcards.close_all(drawn)
    return PortLease(port, host, Guarantee.PICK, reason)
