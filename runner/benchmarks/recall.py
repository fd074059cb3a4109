"""How many listeners each sensor sees, by how long they live: `python -m runner.benchmarks.recall`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil
from parasuite.model.events import Bind, Release
from parasuite.model.words import Protocol
from parasuite.sensors import netlink

from runner.tests.tracing import Tracer, python

LIFETIMES_MS = (0.5, 2, 10, 50, 200)
COUNT = 100
_CODE = """
import json, socket, sys, time
ports = []
for _ in range({count}):
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports.append(server.getsockname()[1])
        time.sleep({seconds})
print(json.dumps(ports))
"""


def sampled(lifetime_ms: float, period_s: float, look: Callable[[], set[int]]) -> float:
    """The share of COUNT listeners that *look*, every *period_s*, sees in one of its samples."""
    seen: set[int] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            started_s = time.monotonic()
            seen.update(look())
            over.wait(max(0.0, period_s - (time.monotonic() - started_s)))

    thread = threading.Thread(target=watch)
    thread.start()
    code = _CODE.format(count=COUNT, seconds=lifetime_ms / 1e3)
    ports = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    over.set()
    thread.join()
    return sum(port in seen for port in ports) / len(ports)


def by_psutil() -> set[int]:
    listeners = [row for row in psutil.net_connections("tcp") if row.status == psutil.CONN_LISTEN]
    return {row.laddr.port for row in listeners if row.laddr}


def exact(lifetime_ms: float, count: int) -> float:
    """The share of *count* listeners of which the exact sensor tells the bind and the release."""
    tracer = Tracer()
    tracer.start(python(_CODE.format(count=count, seconds=lifetime_ms / 1e3).replace("print", "str")))
    tracer.run()
    binds = {event.cookie for event in tracer.events if isinstance(event, Bind) and not event.errno}
    released = {event.cookie for event in tracer.events if isinstance(event, Release)}
    tracer.close()
    return len(binds & released) / count


def main() -> None:
    print(f"share of listeners seen, by lifetime, {COUNT} each")
    print(f"{'sensor':34}" + "".join(f"{ms:>8} ms" for ms in LIFETIMES_MS))
    with netlink.Table() as table:

        def by_table() -> set[int]:
            return {row.port for row in table.rows(Protocol.TCP, 1 << netlink.LISTEN)}

        for name, period_s, look in (
            ("psutil every 1 s", 1.0, by_psutil),
            ("psutil every 50 ms", 0.05, by_psutil),
            ("sock_diag every 10 ms", 0.01, by_table),
            ("sock_diag every 2 ms", 0.002, by_table),
        ):
            shares = [sampled(ms, period_s, look) for ms in LIFETIMES_MS]
            print(f"{name:34}" + "".join(f"{share:>9.0%}  " for share in shares))
    print(f"{'seccomp and destroy multicast':34}" + "".join(f"{exact(ms, COUNT):>9.0%}  " for ms in LIFETIMES_MS))
    print(f"3,000 listeners that open and close at once, with their release: {exact(0, 3000):.2%}")


if __name__ == "__main__":
    main()
