"""How many reserved ports are lost to other busy processes.

`python -m netsupport.benchmarks.stress [N] [HAMMERS ...]` takes N ports in each way, beside so many hammers.

Each way runs in its own network namespace, without root, with an ephemeral range of 256 ports. Hammers bind port 0
on five addresses, listen, and connect as clients. A victim takes ten ports, waits 20 ms, about the time that a server
needs to start, and then binds and listens on each; a port on which that fails is lost.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

from netsupport.benchmarks.methods import Method, all_methods
from netsupport.tests import namespaces

EPHEMERAL = (40_000, 40_255)
BATCH, GAP_S = 10, 0.020
ADDRESSES = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::")
KEPT_IN_ALL = 64
"""Ports that all hammers together keep, a quarter of the range."""
SECONDS_MAX = 90.0


def hammer(kept_max: int) -> None:
    """Take and drop ports by port 0 until killed."""
    kept: collections.deque[socket.socket] = collections.deque()
    with socket.create_server(("127.0.0.1", 10_000 + os.getpid() % 10_000)) as door:
        door.setblocking(False)
        while True:
            with contextlib.suppress(OSError):
                address = random.choice(ADDRESSES)
                sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
                kept.append(sock)
                if random.random() < 0.3:
                    sock.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        sock.connect(("127.0.0.1", door.getsockname()[1]))
                else:
                    sock.bind((address, 0))
                    sock.listen(1)
            with contextlib.suppress(BlockingIOError):
                door.accept()[0].close()
            while len(kept) > kept_max:
                kept.popleft().close()
            time.sleep(0.0005)


def binds(port: int, *, reuse: bool) -> bool:
    """What a server does with its port."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen(1)
        except OSError:
            return False
    return True


def victim(method: Method, count: int, hammers: int) -> dict[str, int]:
    """Take *count* ports beside *hammers* processes; count the ports that were taken, lost, or not given at all."""
    seen = {"taken": 0, "lost": 0, "refused": 0}
    pids = []
    for _ in range(hammers):
        pid = os.fork()
        if pid == 0:
            random.seed()
            hammer(max(1, KEPT_IN_ALL // hammers))
        pids.append(pid)
    time.sleep(0.3)
    end_s = time.monotonic() + SECONDS_MAX
    try:
        while seen["taken"] < count and seen["refused"] < 20 and time.monotonic() < end_s:
            batch = []
            for _ in range(min(BATCH, count - seen["taken"])):
                try:
                    batch.append(method.take())
                except (OSError, RuntimeError, ValueError):
                    seen["refused"] += 1
            time.sleep(GAP_S)
            for port, release in batch:
                seen["taken"] += 1
                seen["lost"] += not binds(port, reuse=method.reuses)
                release()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return seen


def main() -> None:
    """Print the table; or, with `--victim`, be one, and print JSON."""
    if sys.argv[1:2] == ["--victim"]:
        method = next(each for each in all_methods() if each.name == sys.argv[2])
        namespaces.enter(EPHEMERAL)
        print(json.dumps(victim(method, int(sys.argv[3]), int(sys.argv[4]))))
        return
    count, *hammers = [int(word) for word in sys.argv[1:]] or [5_000, 8, 32]
    print("| way | hammers | reserved | lost | share |\n|---|---:|---:|---:|---:|")
    for number in hammers:
        for method in all_methods():
            total = collections.Counter[str]()
            for _ in range(1 if method.draws_max >= count else 5):
                command = [sys.executable, "-m", __spec__.name, "--victim", method.name]
                # The others need fewer: any losses show at once.
                wanted = count if method.name.startswith("netsupport") else count // 5
                rounds = min(wanted, method.draws_max)
                outcome = subprocess.run([*command, str(rounds), str(number)], capture_output=True, check=True)
                total.update(json.loads(outcome.stdout))
            share = 100 * total["lost"] / max(1, total["taken"])
            print(
                f"| {method.name} | {number} | {total['taken']:,} | {total['lost']:,} | {share:.2f} % |", flush=True
            )


if __name__ == "__main__":
    main()
