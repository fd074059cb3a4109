"""Reserve a port number for a program that takes nothing but a number, and say how well it is kept.

    with reserve_port() as port:
        subprocess.Popen(["openssl", "s_server", "-accept", str(port), ...])

Three rungs, best first. *hold-through*: the number is bound, not listening, on every address, and a server that sets
SO_REUSEADDR binds beside it. *lease*: a number that the kernel gives to nobody by itself, under a lock that ends
with its owner. *pick*: unused a moment ago. What depends on the kernel is proven once per process, never assumed.
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
"""How long a released number is not handed out again in its process, as long as there are others: late clients of its
last user may still come."""

_now_s = time.monotonic

_INHERITED_FROM = (200, 10)
"""The lowest descriptor that a reservation gets on its way through exec(3), and the second best: under a low
`ulimit -n` there is no 200. A shell script names one digit in `exec 3>file`."""

_SOCKET_KINDS: dict[str, tuple[socket.SocketKind, ...]] = {
    "tcp": (socket.SOCK_STREAM,),
    "udp": (socket.SOCK_DGRAM,),
    "both": (socket.SOCK_STREAM, socket.SOCK_DGRAM),
}


class LeaseError(RuntimeError):
    """No port could be reserved; the message says what stood in the way and what to do."""


class Guarantee(enum.StrEnum):
    """How well a reserved number is kept, best first."""

    PASSED = "passed"
    """A listening socket of this process, handed to the server: the number was never without an owner."""
    READ_BACK = "read-back"
    """The server bound port 0 and its number was read from it: the number was never without an owner."""
    HOLD = "hold"
    """Bound by this process on every address, for nobody else: no other socket can have it. On macOS and BSD one that
    sets SO_REUSEADDR can all the same, on a single address."""
    HOLD_THROUGH = "hold-through"
    """Bound by this process on every address, open to sockets that set SO_REUSEADDR. The kernel gives the number to
    no port-0 bind and no client; only a program that asks for this very number with SO_REUSEADDR can take it."""
    LEASE = "lease"
    """Outside the range that the kernel gives out, unused on every address when taken, and locked against everyone
    who uses netsupport (outside Linux: against this user's processes). Only a program that asks for this very number
    can take it."""
    PICK = "pick"
    """Unused on every address a moment ago, and kept by nothing."""


class Quarantine:
    """Numbers released lately, with the time until which each rests. Whoever uses it holds `fork_lock`.

    *capacity_max* bounds them: on a host that has few ports the number that rests longest leaves early, so that
    a suite which reserves and releases all the time never runs dry.
    """

    def __init__(self, rest_s: float, capacity_max: int) -> None:
        self._rest_s, self._capacity_max = rest_s, capacity_max
        self._until_s: dict[int, float] = {}

    def add(self, port: int, now_s: float) -> None:
        """*port* was released at *now_s* and rests from now on."""
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
    """Of the leased numbers or of those that the kernel draws: no number is both."""
    if leased:
        return Quarantine(QUARANTINE_S, locks.HIGHEST)
    first, last = locks.ephemeral_range()
    return Quarantine(QUARANTINE_S, max(1, (last - first) // 8))


class PortLease:
    """A reserved port number. Int-like, a context manager that releases it, and it says what keeps it.

    `str()`, `int()`, `format()`, `==` and `bind()` take it for its number; `socket.getaddrinfo`, and so
    `create_connection` and asyncio, insist on a plain int, which is `.port`. Passed on by copy or pickle it is that
    plain int: this object alone owns the reservation. Dropped without `release()` it is released with a
    ResourceWarning, as an open file is.
    """

    __slots__ = ("_claim", "guarantee", "host", "port", "reason")

    def __init__(self, port: int, host: str, guarantee: Guarantee, reason: str, *resources: Closable) -> None:
        self.port = port
        self.host = host
        """The address it was reserved for. The reservation covers every other address, too."""
        self.guarantee = guarantee
        self.reason = reason
        """Why no better guarantee could be given; "" for the best."""
        self._claim = Claim(resources)

    @property
    def released(self) -> bool:
        """Whether the reservation is over; in a forked child it always is."""
        return self._claim.released

    def release(self) -> None:
        """End the reservation. The number rests for QUARANTINE_S in this process. A second call does nothing."""
        with fork_lock:
            if not self._claim.released:
                _quarantine(leased=self.guarantee is Guarantee.LEASE).add(self.port, _now_s())
                self._claim.close()

    def inheritable_copies(self) -> list[int]:
        """Descriptors that keep the number across exec(3), in the new program and all its children (POSIX).

        They are the caller's: the number is free only when the lease is released and they are closed.
        Raises OSError (EMFILE, EINVAL) where there is no room for them, with nothing left open.
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
    """Several reservations, all different, released together."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[tuple[int, ...]], tuple[tuple[int, ...]]]:
        # As a lease alone: what is passed on are the plain numbers.
        return tuple, (tuple(lease.port for lease in self),)

    def release(self) -> None:
        """Release every one of them."""
        for lease in self:
            lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()


def reserve_port(host: str = HOST, *, kind: Kind = "tcp", child_reuses_address: bool = True) -> PortLease:
    """Reserve a port number for a server that will bind it on *host*, by the best means this host has.

    The number is unused and kept on every address, whatever *host* says, since a server may bind the wildcard.
    *kind* says which protocols must have it free. *child_reuses_address*: the server sets SO_REUSEADDR before it
    binds, as nearly every TCP server on Linux does; a server that does not would find a held number in use, so say
    False and get a lease. `.guarantee` says what was given and `.reason` why nothing better.

    Raises ValueError for a *host* that is a name, or an unknown *kind*; LeaseError if *host* is no address of this
    host or no number is left; OSError as socket(2), for instance EMFILE. Source: socket(7), unix(7).
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
                reason = "the kernel has no number left in its ephemeral range"
        unproven = why_no_lock()
        if not unproven:
            lease = _leased(host, kinds, reason)
            if lease is not None:
                return lease
            unproven = "no number is free outside the ephemeral range"
        return _picked(host, kinds, f"{reason}; {unproven}")


def _high_copy(descriptor: int) -> int:
    """An inheritable copy of *descriptor*, high up, where no shell script's `exec 3>file` closes it."""
    import fcntl

    first, second = _INHERITED_FROM
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD, first)
    except OSError:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD, second)


def reserve_ports(
    count: int, host: str = HOST, *, kind: Kind = "tcp", child_reuses_address: bool = True
) -> PortLeases:
    """Reserve *count* different numbers as `reserve_port` does; if one fails, none stays reserved."""
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

    It is bound and does not listen, so the kernel answers a client with a reset (ECONNREFUSED), and nobody else can
    listen there (but see Guarantee.HOLD). Raises as `reserve_port`.
    """
    with fork_lock:
        _checked(host, "tcp")
        lease = _held(host, Guarantee.HOLD)
    if lease is None:
        raise LeaseError("the kernel has no port left in its ephemeral range; close sockets or widen the range")
    return lease


def why_no_hold_through() -> str:
    """The self-test of hold-through, once per process: "" if it works here, else why not."""
    return _reason(wildcards.why_no_hold_through)


def why_no_lock() -> str:
    """The self-test of the port lock, once per process: "" if it works here, else why not."""
    return _reason(locks.why_no_lock)


def _reason(self_test: Callable[[], str]) -> str:
    try:
        return _run_once(self_test)
    except OSError as refusal:
        return f"the self-test could not be made: {refusal}"


@functools.cache
def _run_once(self_test: Callable[[], str]) -> str:
    """What *self_test* told, remembered for the life of the process; one that could not be made is made again."""
    return self_test()


def check_host(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """*host* as an address; raises ValueError for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(
            f"host is {host!r}; give an address such as HOST, never a name: nothing is looked up"
        ) from None


def _checked(host: str, kind: str) -> tuple[socket.SocketKind, ...]:
    """The socket kinds of *kind*; raises for a *host* on which no server could bind."""
    if kind not in _SOCKET_KINDS:
        raise ValueError(f"kind is {kind!r}; say 'tcp', 'udp' or 'both'")
    version = check_host(host).version
    if host not in (HOSTv4, "0.0.0.0"):
        try:
            with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0))
        except OSError as refusal:
            if refusal.errno == errno.EADDRINUSE:
                # The address exists; only the ephemeral range of UDP is full.
                return _SOCKET_KINDS[kind]
            raise LeaseError(f"no server can bind {host} here: {refusal}; give an address of this host") from refusal
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
    """Each of *numbers*, those that rest at the end, the longest-resting first: a small range does not run dry."""
    resting = []
    for port in numbers:
        if _rests(port, leased=True):
            resting.append(port)
        else:
            yield port
    yield from sorted(resting, key=_quarantine(leased=True).until_s)


def _unused(port: int, kinds: tuple[socket.SocketKind, ...], lock: Closable) -> bool:
    """Whether nobody has *port* on any address; if somebody has, or it cannot be told, *lock* is given back."""
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
