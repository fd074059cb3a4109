"""Run a command in a small, crowded network: 128 ephemeral ports, beside programs that take and release them.

`python -m netsupport.tests.crowd [--times N] -- CMD ...` runs CMD up to N times and stops at the first failure, with
its exit status. What rests on a port that happens to be free on another address, in the other address family or a
moment later fails here within minutes; on a quiet machine with 28,000 ephemeral ports it fails once in a year.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from netsupport.tests import namespaces

EPHEMERAL = (40_000, 40_127)
PORTS_HELD_MAX = 40
"""How many ports all crowders together hold: enough that every third draw meets one, and most are left to CMD."""
CROWDERS = 4
TIME_WAIT_MAX = 8
"""Connections in TIME_WAIT that the kernel keeps here. Each takes a port for a minute: without this limit CMD itself
would use up the range."""
PAUSE_S = 0.002
ADDRESSES = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::")
RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: close() resets the connection, which leaves no TIME_WAIT."""

_PR_SET_PDEATHSIG = 1


def crowd(ports_held_max: int) -> None:
    """Take and release ports as servers and clients do, TCP and UDP, IPv4 and IPv6, until killed."""
    random.seed()
    held: collections.deque[list[socket.socket]] = collections.deque()
    while True:
        held.append([])
        with contextlib.suppress(OSError):
            take_a_port(held[-1])
        # Sometimes release many at once, so that the number of held ports goes up and down.
        keep = random.randrange(ports_held_max) if random.random() < 0.01 else ports_held_max - 1
        while len(held) > keep:
            for sock in held.popleft():
                sock.close()
        time.sleep(PAUSE_S)


def take_a_port(into: list[socket.socket]) -> None:
    """Add to *into* the sockets of one server or client on one port of the kernel's choice."""
    host = random.choice(ADDRESSES)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = random.choice((socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
    server = socket.socket(family, kind)
    into.append(server)
    if host == "::":
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, random.randrange(2))
    server.bind((host, 0))
    if kind == socket.SOCK_DGRAM or random.random() < 0.3:
        return
    server.listen(1)
    if random.random() < 0.5:
        return
    client = socket.socket(family, kind)
    into.append(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.connect(server.getsockname())
    # From here on the client's port is the one that is held.
    accepted, _ = server.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    into.append(accepted)


@contextlib.contextmanager
def crowders(count: int) -> Iterator[None]:
    """Run *count* crowders beside the body. They end with this process, for whatever reason it ends."""
    libc = ctypes.CDLL(None)
    pids = []
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                # A server's port and its client's: two at a time.
                crowd(PORTS_HELD_MAX // count // 2)
            pids.append(pid)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the first run of CMD that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m netsupport.tests.crowd", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how often CMD must pass (1)")
    parser.add_argument("command", nargs="+", metavar="CMD")
    options = parser.parse_args(arguments)
    namespaces.enter(EPHEMERAL, as_root=os.geteuid() == 0)
    namespaces.write_sysctl("ipv4/tcp_max_tw_buckets", str(TIME_WAIT_MAX))
    with crowders(CROWDERS):
        for turn in range(1, options.times + 1):
            print(f"== crowd: run {turn} of {options.times}", flush=True)  # noqa: T201 - a program of its own
            status = subprocess.run(options.command, check=False).returncode
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
