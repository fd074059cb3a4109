"""Scenes that need a private network, each in a new process; they print what they saw as JSON.

`python -m netsupport.tests.scenes NAME [ARGUMENT ...]`. In a private network no other program takes a port, so a
scene can show "free again" and "never drawn" by what the kernel does, and not by luck.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netsupport import ServerError, claims, leases, locks, owners, ports, running_server, wildcards
from netsupport.tests import crowd, namespaces

NET_S = 30.0
"""The safety net of every wait; nothing is asserted of it."""

SCENES: dict[str, tuple[tuple[int, int], Callable[..., Any]]] = {}
"""By name: the ephemeral range, and what happens in it."""

DEFAULT_RANGE = (32_768, 60_999)


def scene(ephemeral: tuple[int, int] = DEFAULT_RANGE) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a scene of its name."""

    def register(act: Callable[..., Any]) -> Callable[..., Any]:
        SCENES[act.__name__] = ephemeral, act
        return act

    return register


def _claimable(port: int) -> bool:
    """Whether a process could have *port* on every address, for TCP and UDP, and its lock."""
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            wildcards.close_all(wildcards.claim_everywhere(port, kind))
    except OSError:
        return False
    lock = locks.port_lock(port)
    if lock is None:
        return False
    lock.close()
    return True


@contextlib.contextmanager
def _server(**options: Any) -> Iterator[tuple[int, int]]:
    code = (
        "import os, socket, sys\n"
        "given = int(sys.argv[1])\n"
        "s = socket.socket(fileno=given) if sys.argv[2] == 'fd' else socket.create_server(('127.0.0.1', given))\n"
        "sys.stdin.read() or os.read(os.pipe()[0], 1)"
    )
    place = "{fd}" if options.get("pass_fd") else "{port}"
    with running_server([sys.executable, "-c", code, place, place[1:-1]], **options) as server:
        yield server.port, server.pid


@contextlib.contextmanager
def _owned(rung: str) -> Iterator[tuple[int, int]]:
    """A port by *rung*, and the process id of the server on it, if it has one, else 0."""
    match rung:
        case "socket":
            with ports.listening_socket() as sock:
                yield sock.getsockname()[1], 0
        case "passed":
            with _server(pass_fd=True) as owned:
                yield owned
        case "read-back":
            with _server(read_port=True) as owned:
                yield owned
        case "reserved server":
            with _server() as owned:
                yield owned
        case "hold":
            with leases.refused_port() as lease:
                yield lease.port, 0
        case _:
            with _reserved(rung) as lease:
                yield lease.port, 0


def _reserved(rung: str) -> leases.PortLease:
    match rung:
        case "hold-through":
            return leases.reserve_port()
        case "lease":
            return leases.reserve_port(kind="both")
        case "pick":
            return _within("40000-40015", child_reuses_address=False)
    raise ValueError(rung)


@scene()
def owner(rung: str) -> None:
    """Take a port by *rung*, say which, and wait."""
    with _owned(rung) as (port, server):
        sys.stdout.write(json.dumps({"port": port, "server": server}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


@scene()
def sigkilled(rung: str) -> dict[str, bool]:
    """The owner of a port by *rung* is killed in the middle: what is left of it?"""
    command = [sys.executable, "-m", __spec__.name, "--here", "owner", rung]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        server = os.pidfd_open(said["server"]) if said["server"] else -1
        kept = not _claimable(said["port"])
        process.send_signal(signal.SIGKILL)
        process.wait(NET_S)
    if server >= 0:
        ended = bool(select.select([server], [], [], NET_S)[0])
        os.close(server)
    else:
        ended = True
    return {"kept while it lived": kept, "server ended": ended, "free again": _claimable(said["port"])}


def _exhaust(family: int, address: str, kind: int, *, reuse: bool) -> set[int]:
    """Every port that the kernel assigns to port-0 binds on *address* until it has no more."""
    drawn: set[int] = set()
    with contextlib.ExitStack() as kept:
        while True:
            sock = kept.enter_context(socket.socket(family, kind))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
            try:
                sock.bind((address, 0))
                if kind == socket.SOCK_STREAM:
                    sock.listen(1)
            except OSError:
                return drawn
            drawn.add(sock.getsockname()[1])


def _exhaust_clients(family: int, address: str) -> set[int]:
    """Every source port that the kernel gives to clients of one listener until it has no more."""
    drawn: set[int] = set()
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.create_server((address, 20_000), family=family, backlog=200))
        while True:
            sock = kept.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.settimeout(NET_S)
            try:
                sock.connect(listener.getsockname())
            except OSError:
                return drawn
            drawn.add(sock.getsockname()[1])


@scene((40_000, 40_031))
def draws_beside_a_hold() -> dict[str, Any]:
    """All ports of a range of 32 are drawn, in every way, while one is held. Which was never drawn?"""
    every = set(range(40_000, 40_032))
    missed: dict[str, list[int]] = {}
    addresses = [(socket.AF_INET, host) for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0")]
    addresses += [(socket.AF_INET6, host) for host in ("::1", "::")]
    with leases.reserve_port() as lease:
        for family, address in addresses:
            for reuse in (False, True):
                drawn = _exhaust(family, address, socket.SOCK_STREAM, reuse=reuse)
                missed[f"bind {address}{', reusing' if reuse else ''}"] = sorted(every - drawn)
            if address not in ("0.0.0.0", "::"):
                missed[f"connect {address}"] = sorted(every - _exhaust_clients(family, address))
        return {"held": [int(lease)], "missed": missed}


@scene((40_000, 40_031))
def a_draw_of_an_unused_port() -> bool:
    """The control of the self-test's draw."""
    claimed = wildcards.draw_everywhere((socket.SOCK_STREAM,))
    port = claimed[0].getsockname()[1]
    wildcards.close_all(claimed)
    return wildcards.drawn(socket.AF_INET, "127.0.0.1", port)


def _taken(address: str, kind: socket.SocketKind, taken: Iterable[int]) -> contextlib.ExitStack:
    """Sockets bound to the ports *taken* on *address*, until the returned stack is closed."""
    kept = contextlib.ExitStack()
    for port in taken:
        sock = kept.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind))
        sock.bind((address, port))
    return kept


@scene((40_000, 40_015))
def one_port_is_free_everywhere(address: str, protocol: str) -> dict[str, Any]:
    """Fifteen of sixteen ports are taken on *address* for *protocol*: which port does a draw for both give?"""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with _taken(address, kind, set(range(40_000, 40_016)) - {40_007}):
        claimed = wildcards.draw_everywhere((socket.SOCK_STREAM, socket.SOCK_DGRAM))
        drawn = claimed[0].getsockname()[1]
        wildcards.close_all(claimed)
        return {"drawn": drawn, "self-test": wildcards.why_no_hold_through()}


@scene((40_000, 40_015))
def no_port_is_free_everywhere() -> dict[str, str]:
    """All sixteen ports are taken on one address: what do a draw and the self-test say?"""
    said = {}
    for address in ("::1", "127.0.0.1"):
        with _taken(address, socket.SOCK_STREAM, range(40_000, 40_016)):
            try:
                wildcards.draw_everywhere((socket.SOCK_STREAM,))
            except OSError as refusal:
                said[address] = str(refusal)
            try:
                wildcards.why_no_hold_through()
            except OSError as refusal:
                said["self-test"] = str(refusal)
    return said


@scene((40_000, 40_015))
def a_full_ephemeral_range() -> dict[str, Any]:
    """All sixteen ports are taken: what do the helpers return?"""
    with contextlib.ExitStack() as kept:
        for port in range(40_000, 40_016):
            kept.callback(wildcards.close_all, wildcards.claim_everywhere(port, socket.SOCK_STREAM))
        lease = kept.enter_context(leases.reserve_port())
        seen: dict[str, Any] = {"reserve": [lease.guarantee, lease.reason]}
        try:
            ports.bound_socket().close()
        except OSError as failure:
            seen["bind_port"] = str(failure)
        try:
            leases.refused_port().release()
        except leases.LeaseError as failure:
            seen["refused"] = str(failure)
        try:
            _within("40000-40015", child_reuses_address=False).release()
        except leases.LeaseError as failure:
            seen["nothing outside either"] = str(failure)
        return seen


def _within(span: str, **options: Any) -> leases.PortLease:
    os.environ["NETSUPPORT_PORT_RANGE"] = span
    return leases.reserve_port(**options)


@scene((1_024, 65_535))
def no_port_outside_the_ephemeral_range() -> dict[str, Any]:
    """The kernel may assign any port: what guarantee do UDP and TCP get?"""
    seen: dict[str, Any] = {}
    kinds: list[leases.Kind] = ["tcp", "udp", "both"]
    for kind in kinds:
        with leases.reserve_port(kind=kind) as lease:
            seen[kind] = [lease.guarantee, lease.reason]
    return seen


@scene((40_000, 40_015))
def a_busy_port_outside_the_range() -> dict[str, Any]:
    """Six ports may be leased, but most are reserved, locked or in use: one lease is possible, and then none."""
    namespaces.write_sysctl("ipv4/ip_local_reserved_ports", "20001,20003-20004")
    with contextlib.ExitStack() as kept:
        kept.enter_context(socket.create_server(("127.0.0.9", 20_002)))
        lock = locks.port_lock(20_005)
        assert lock is not None
        kept.callback(lock.close)
        first = kept.enter_context(_within("20001-20006", child_reuses_address=False))
        second = kept.enter_context(_within("20001-20006", child_reuses_address=False))
        return {"first": [int(first), first.guarantee], "second": [second.guarantee, second.reason]}


@scene()
def no_ipv6() -> dict[str, Any]:
    """A host whose IPv6 is disabled."""
    namespaces.write_sysctl("ipv6/conf/all/disable_ipv6", "1")
    with leases.reserve_port() as held, leases.reserve_port(child_reuses_address=False) as leased:
        seen: dict[str, Any] = {"given": [held.guarantee, leased.guarantee]}
        with socket.create_server(("127.0.0.1", held.port)) as child:
            seen["child binds it"] = child.getsockname()[1] == held.port
    try:
        leases.reserve_port("::1").release()
    except leases.LeaseError as failure:
        seen["::1"] = str(failure)
    return seen


@scene((40_000, 40_015))
def one_process_after_another() -> list[int]:
    """Sixteen ports and many reservations in turn: the quarantine must not use them up."""
    given = []
    for _ in range(64):
        with leases.reserve_port() as lease:
            given.append(int(lease))
    return given


@scene()
def a_forked_child() -> dict[str, Any]:
    """A process forks, and the parent releases its ports: the child must not keep them."""
    held, leased = leases.reserve_port(), leases.reserve_port(kind="both")
    ready, report = os.pipe()
    stay, leave = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(leave)
        os.write(report, json.dumps([held.released, leased.released]).encode())
        os.read(stay, 1)
        os._exit(0)
    os.close(stay)
    in_child = json.loads(os.read(ready, 100))
    kept = not _claimable(held.port) and not _claimable(leased.port)
    held.release()
    leased.release()
    free = _claimable(held.port) and _claimable(leased.port)
    os.close(leave)
    os.waitpid(pid, 0)
    return {"released in the child": in_child, "kept by the parent": kept, "free while the child lives": free}


@scene()
def a_listener_in_a_crowd() -> list[int]:
    """How often the kernel's table is said to list one listener, in 150 reads while other sockets come and go.

    The kernel itself lists it twice in about one of thirty reads.
    """
    with crowd.crowders(4), ports.listening_socket("::") as sock:
        mine = os.fstat(sock.fileno()).st_ino
        tables = [owners.sockets("tcp", os.getpid()) for _ in range(150)]
    return sorted({sum(row.inode == mine for row in table) for table in tables})


def _in_time_wait() -> int:
    """The port of a server that closed its only connection first, and is gone."""
    with ports.listening_socket() as server:
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as connection:
            connection.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
            client.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
    return port


@scene()
def a_connection_in_time_wait() -> list[Any]:
    """Who has the port of a connection that both sides have closed?"""
    port = _in_time_wait()
    return [port, [str(holder) for holder in owners.holders("tcp", port, os.getpid())]]


@scene()
def a_draw_of_a_port_in_time_wait() -> bool:
    """Whether a port-0 bind that reuses addresses gets the port of a closed connection."""
    return wildcards.drawn(socket.AF_INET, "127.0.0.1", _in_time_wait())


@scene()
def a_server_that_ends_with_a_connection_in_time_wait() -> dict[str, Any]:
    """The error of a server that ended before it listened where it should, and closed a connection first."""
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.2', int(sys.argv[1])));"
        "client = socket.create_connection(s.getsockname()); s.accept()[0].close();"
        "client.recv(1); client.close(); sys.exit(3)"
    )
    try:
        with running_server([sys.executable, "-c", code, "{port}"]):
            raise AssertionError("the server counts as ready")
    except ServerError as failure:
        return {"said": str(failure), "status": failure.exit_status, "lost": list(failure.lost)}


@scene()
def a_server_that_hides() -> dict[str, bool]:
    """A server that is not dumpable, and a test without privileges, which cannot see the server's descriptors."""
    libc = ctypes.CDLL(None, use_errno=True)
    # No capability is left, CAP_SYS_PTRACE above all. Source: capset(2), version 3.
    assert libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0
    code = (
        "import ctypes, socket, sys; ctypes.CDLL(None).prctl(4, 0)\n"
        "s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); sys.stdin.read()"
    )
    with running_server([sys.executable, "-c", code, "{port}"]) as server:
        return {"hidden": not owners.descriptors(server.pid), "lost": bool(server.lost)}


@scene()
def a_fork_in_the_middle(rung: str) -> dict[str, bool]:
    """Another thread forks while a port is bound but not yet leased; the lease is released while the child lives."""
    _reserved(rung).release()
    ready, report = os.pipe()
    stay, leave = os.pipe()
    decided = threading.Event()
    real = {name: getattr(wildcards, name) for name in ("claim_everywhere", "draw_everywhere")}

    def fork() -> None:
        if os.fork() == 0:
            os.close(leave)
            os.write(report, b"forked")
            os.read(stay, 1)
            os._exit(0)
        decided.set()

    def about_to_fork() -> None:
        # The last hook to be registered is the first to run: whether the fork has to wait shows here.
        if claims.fork_lock.acquire(blocking=False):
            claims.fork_lock.release()
        else:
            decided.set()

    def forked_after(claim: Callable[..., Any]) -> Callable[..., Any]:
        def claim_and_fork(*arguments: Any) -> Any:
            claimed = claim(*arguments)
            if not thread.ident:
                thread.start()
                assert decided.wait(NET_S)
            return claimed

        return claim_and_fork

    # Python warns of a fork in a process with threads, which is what this scene is about.
    warnings.simplefilter("ignore", DeprecationWarning)
    thread = threading.Thread(target=fork)
    os.register_at_fork(before=about_to_fork)
    for name, claim in real.items():
        setattr(wildcards, name, forked_after(claim))
    lease = _reserved(rung)
    for name, claim in real.items():
        setattr(wildcards, name, claim)
    thread.join(NET_S)
    os.read(ready, 6)
    lease.release()
    free = _claimable(lease.port)
    os.close(leave)
    os.wait()
    return {"free while the child lives": free}


@scene((40_000, 40_015))
def a_small_range_of_leases() -> list[Any]:
    """Four ports may be leased, and twelve are reserved in turn, within the time that each should rest."""
    guarantees, given = set(), []
    for _ in range(12):
        with _within("20001-20004", child_reuses_address=False) as lease:
            guarantees.add(lease.guarantee)
            given.append(int(lease))
    return [sorted(guarantees), given]


def main() -> None:
    """Enter new namespaces, unless `--here` comes first, and play the scene."""
    here = sys.argv[1] == "--here"
    name, *arguments = sys.argv[1 + here :]
    ephemeral, act = SCENES[name]
    if not here:
        namespaces.enter(ephemeral)
    seen = act(*arguments)
    if not here:
        sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
