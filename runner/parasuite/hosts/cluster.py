"""The hosts of a Dask cluster: connecting, which workers share a network, and which of them can run the project."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
from distributed import Client, LocalCluster

from parasuite.hosts import look
from parasuite.hosts.inspection import inspect_in
from parasuite.plan.errors import ConfigError
from parasuite.plan.option_types import LOCAL_CLUSTER

NO_SCHEDULER = "no Dask scheduler answers at {address}: {why}"
DIFFERS = "{host} is not used: {what}"
_IS_THERE = "its {name} is: {there}; here: {here}"
_CONNECTED_WITHIN_S = "15s"
_ANSWERS_WITHIN_S = 60.0

# By default a function is sent as the name of its module, which a host without parasuite cannot import.
cloudpickle.register_pickle_by_value(look)


@dataclass(frozen=True, slots=True)
class Host:
    """A port space of the cluster, and the worker that is to run there. *name*: for people, no other host has it."""

    name: str
    address: str
    facts: Mapping[str, str]


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    """A client of the scheduler at *address*, or of a cluster on this host (`local:N`). Raises ConfigError."""
    # Dask logs what it notices, such as a lost worker, with tracebacks; what matters of it is reported.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    async with contextlib.AsyncExitStack() as entered:
        try:
            if workers := address.removeprefix(LOCAL_CLUSTER) if address.startswith(LOCAL_CLUSTER) else "":
                cluster = await entered.enter_async_context(_local_cluster(int(workers)))
                address = cluster.scheduler_address
            client = Client(
                address, asynchronous=True, set_as_default=False, timeout=_CONNECTED_WITHIN_S, name="parasuite"
            )
            await entered.enter_async_context(client)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise ConfigError(NO_SCHEDULER.format(address=address, why=error or type(error).__name__)) from error
        yield client


@contextlib.asynccontextmanager
async def _local_cluster(workers: int) -> AsyncIterator[LocalCluster]:
    # Ctrl-C in a terminal reaches all of its processes. The workers have to live until their runs have ended.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        cluster = await LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    async with cluster:
        yield cluster


async def hosts_of(client: Client) -> list[Host]:
    """A host for each port space of the cluster, with that of its workers that has the least to do."""
    versions = await _pythons(client)
    own = look.look()
    facts = {address: {"host": address, "python": version} for address, version in versions.items()}
    # Code is sent as bytecode, which another Python cannot read.
    alike = [address for address, version in versions.items() if _minor(version) == _minor(own["python"])]
    if alike:
        answers = await asyncio.wait_for(
            client.run(look.look, workers=alike, on_error="return"), timeout=_ANSWERS_WITHIN_S
        )
        facts |= {address: answer for address, answer in answers.items() if isinstance(answer, dict)}
    busy = {address: len(keys) for address, keys in (await client.processing()).items()}
    chosen: dict[str, str] = {}
    for address in sorted(facts, key=lambda each: (busy.get(each, 0), each)):
        chosen.setdefault(facts[address].get("space", address), address)
    hosts: list[Host] = []
    for address in sorted(chosen.values()):
        name, count = facts[address]["host"], sum(host.facts["host"] == facts[address]["host"] for host in hosts)
        hosts.append(Host(f"{name}-{count + 1}" if count else name, address, facts[address]))
    return hosts


async def _pythons(client: Client) -> dict[str, str]:
    """The version of Python of each worker."""
    answer: Any = client.get_versions()  # Typed for both kinds of client.
    workers = (await answer)["workers"]
    return {
        address: ".".join(str(dict(facts["host"])["python"]).split(".")[:3])
        for address, facts in workers.items()
        if isinstance(facts, dict)
    }


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


async def equal_hosts(
    client: Client, hosts: Sequence[Host], *, cwd: str, target: str, words: tuple[str, ...], python: str
) -> tuple[list[Host], list[str]]:
    """Those of *hosts* that have the parasuite, project and interpreter of this one; a line for each of the others.

    *target*, *words*, *python*: as for `inspection.inspect`.
    """
    here = look.look()
    alike, differing = [], []
    for host in hosts:
        if _minor(host.facts["python"]) != _minor(here["python"]):
            differing.append(_differing(host, "Python", host.facts["python"], here["python"]))
        elif (there := host.facts.get("parasuite", "unknown")) != here["parasuite"]:
            differing.append(_differing(host, "parasuite", there, here["parasuite"]))
        else:
            alike.append(host)
    if not alike:
        return [], differing
    inspected = await asyncio.to_thread(inspect_in, cwd, target, words, python)
    answers = await client.run(
        inspect_in, cwd, target, words, python, workers=[host.address for host in alike], on_error="return"
    )
    equal = []
    for host in alike:
        answer = answers.get(host.address)
        if not isinstance(answer, dict):
            differing.append(DIFFERS.format(host=host.name, what=f"it does not answer: {answer}"))
            continue
        names = [name for name in {**inspected, **answer} if inspected.get(name) != answer.get(name)]
        if names:
            name = names[0]
            differing.append(_differing(host, name, answer.get(name, "unknown"), inspected.get(name, "unknown")))
        else:
            equal.append(host)
    return equal, differing


def _differing(host: Host, name: str, there: str, here: str) -> str:
    return DIFFERS.format(host=host.name, what=_IS_THERE.format(name=name, there=there, here=here))
