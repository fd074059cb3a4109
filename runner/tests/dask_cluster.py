"""A real Dask cluster for the tests: a scheduler, and workers with networks of their own, a process each.

A worker in a new network can neither reach the scheduler nor be reached. So this process, which stays outside, passes
its connections on: to the scheduler through a Unix socket, and to the workers through listeners that were opened
before the network was entered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Nanny, Scheduler, Worker
from parasuite.probe.interfaces import host_addresses
from parasuite.run.networks.namespace import enter_network
from parasuite.run.networks.surroundings import plan_network

from runner.tests.conftest import clean_environment

_CLONE_NEWNS, _CLONE_NEWUTS, _MS_REC_PRIVATE = 0x00020000, 0x04000000, 0x4000 | 0x40000
HOST = "127.0.0.1"
SAFETY_NET_S = 120.0


@dataclass
class Cluster:
    """The processes of a cluster. *address*: of the scheduler. *folder*: where its hosts keep temporary files."""

    address: str
    folder: str
    scheduler: subprocess.Popen[str]
    _entered: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def add_worker(self, *arguments: str) -> subprocess.Popen[str]:
        """Start workers in a process; see `main` for the *arguments*. Returns when the scheduler knows them."""
        return self._entered.enter_context(_started(self.folder, "worker", self.address, *arguments))


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A scheduler of its own, whose workers end with it."""
    with contextlib.ExitStack() as entered:
        # Not below that of the test: the path of a Unix socket is short.
        folder = entered.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        scheduler = entered.enter_context(_started(folder, "scheduler"))
        assert scheduler.stdout is not None
        yield Cluster(scheduler.stdout.readline().strip(), folder, scheduler, entered)


@contextlib.contextmanager
def _started(folder: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this module that has said that it is ready, and is killed at the end with all of its children."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.tests.dask_cluster", *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Dask logs each step of each worker.
        text=True,
        start_new_session=True,
        env={**clean_environment(), "TMPDIR": folder},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{arguments} did not start"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(SAFETY_NET_S)
        if process.stdout is not None:
            process.stdout.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def _join(
    first: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    second: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    await asyncio.gather(_pump(first[0], second[1]), _pump(second[0], first[1]))


async def _scheduler() -> None:
    async with Scheduler(host=HOST, port=0, dashboard=False, dashboard_address=None) as scheduler:
        print("ready", scheduler.address, sep="\n", flush=True)
        await scheduler.finished()


async def _relay_to_scheduler(listener: socket.socket, port: int) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await _join((reader, writer), await asyncio.open_connection(HOST, port))

    server = await asyncio.start_unix_server(one, sock=listener)
    await server.serve_forever()


async def _workers_inside(scheduler: str, listeners: list[socket.socket], unix_path: str) -> None:
    async def to_scheduler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await _join((reader, writer), await asyncio.open_unix_connection(unix_path))

    port = int(scheduler.rpartition(":")[2])
    async with contextlib.AsyncExitStack() as entered:
        await entered.enter_async_context(await asyncio.start_server(to_scheduler, HOST, port))
        for listener in listeners:
            own = listener.getsockname()[1]

            async def to_worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: int = own) -> None:
                with contextlib.suppress(OSError):
                    await _join((reader, writer), await asyncio.open_connection(HOST, own))

            await entered.enter_async_context(await asyncio.start_server(to_worker, sock=listener))
            await entered.enter_async_context(Worker(scheduler, host=HOST, port=own, nthreads=1))
        print("ready", flush=True)
        await asyncio.Event().wait()


def _in_own_network(scheduler: str, host: str, count: int, disk: str) -> None:
    unix_path = os.path.join(tempfile.mkdtemp(), "scheduler")
    relay = socket.socket(socket.AF_UNIX)
    relay.bind(unix_path)
    relay.listen()
    listeners = [socket.create_server((HOST, 0)) for _ in range(count)]
    plan = plan_network(host_addresses()[0])
    if os.fork():
        asyncio.run(_relay_to_scheduler(relay, int(scheduler.rpartition(":")[2])))
    enter_network(plan)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS | (_CLONE_NEWNS if disk else 0)):
        raise OSError(ctypes.get_errno(), "no host name of its own")
    socket.sethostname(host)
    if disk:
        # The disk of this host: a folder of some kilobytes.
        libc.mount(None, b"/", None, _MS_REC_PRIVATE, None)
        if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, b"size=16k"):
            raise OSError(ctypes.get_errno(), "no tmpfs")
        tempfile.tempdir = disk
    asyncio.run(_workers_inside(scheduler, listeners, unix_path))


async def _in_this_network(scheduler: str, nanny_port: int) -> None:
    worker = (
        Nanny(scheduler, host=HOST, worker_port=nanny_port, nthreads=1, dashboard_address=None)
        if nanny_port
        else Worker(scheduler, host=HOST, nthreads=1)
    )
    async with worker:
        print("ready", flush=True)
        await worker.finished()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["scheduler", "worker"])
    parser.add_argument("scheduler", nargs="?", default="")
    parser.add_argument("--host", default="", help="the name of a host with a network of its own")
    parser.add_argument("--count", type=int, default=1, help="workers of that host")
    parser.add_argument("--disk", default="", help="a folder to be the small disk of that host")
    parser.add_argument("--parasuite", default="", help="the folder of the parasuite that is found there")
    parser.add_argument("--nanny-port", type=int, default=0, help="of a worker that a nanny restarts")
    asked = parser.parse_args()
    if asked.parasuite:
        file = os.path.join(asked.parasuite, "__init__.py")
        sys.modules["parasuite"].__spec__ = importlib.util.spec_from_file_location(
            "parasuite", file, submodule_search_locations=[asked.parasuite]
        )
    if asked.role == "scheduler":
        asyncio.run(_scheduler())
    elif asked.host:
        _in_own_network(asked.scheduler, asked.host, asked.count, asked.disk)
    else:
        asyncio.run(_in_this_network(asked.scheduler, asked.nanny_port))


if __name__ == "__main__":
    main()
