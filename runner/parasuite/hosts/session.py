"""A run on each host of a Dask cluster: from the first look at the cluster to one report of all of them.

A host here is a port space. Collisions happen inside one, so each host has a run of its own, and what is said of all
of them is a series, as after `parasuite merge`.
"""

from __future__ import annotations

import asyncio
import io
import platform
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distributed import Client

from parasuite import __version__
from parasuite.assemble import display_path, recording_errors
from parasuite.gather import assemble_series, write_series_reports
from parasuite.hosts.cluster import Host, connected, equal_hosts, hosts_of
from parasuite.hosts.order import HostResult, Order
from parasuite.hosts.tasks import folder_of
from parasuite.hosts.watching import NOT_BEGUN, Lost, Patience, Watch
from parasuite.judge.series import SeriesReport
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import RunEnd
from parasuite.plan.errors import ConfigError
from parasuite.plan.run_spec import RunSpec
from parasuite.record.archives import unpack
from parasuite.record.run_search import runs_in
from parasuite.record.series import SeriesFolder
from parasuite.reports.wording import plural
from parasuite.run.merging import Merged
from parasuite.run.progress import Progress
from parasuite.run.signals import Signals

STARTS = "{hosts} of {cluster}: {names}; {folder}"
WAITS_FOR_HOSTS = "waiting for workers of {cluster}: {hosts} so far"
TOO_FEW_HOSTS = "only {hosts} of {asked} came within {seconds:g} s: the others are lost"
NO_EQUAL_HOST = "no host can run this: {why}"
LOST = "{host}: its run is lost: {why}"
LOST_FOLDER = "{lost}; what it recorded is in {folder} there"
NOTHING_RECORDED = "{host}: its run is lost: parasuite ended with exit code {code} and recorded nothing: {last}"
LEFT_OUT = "{host}: {count} of its files were too large to be fetched, such as {first}"
ENDED = "{host}: ended with exit code {code}"
_ARCHIVE_BYTES_MAX = 256 << 20
_LOOKS_EVERY_S = 0.5
_WAITING_SAID_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be run on each host. *arguments*: of `parasuite run` there. *target*, *words*, *python*: of those,
    what has to be the same everywhere; "" or empty if it was not given. *cwd*: the user's folder, here and there.
    """

    arguments: tuple[str, ...]
    target: str
    words: tuple[str, ...]
    python: str
    cwd: Path


def run_on_hosts(
    spec: RunSpec, wanted: Wanted, progress: Progress, patience: Patience | None = None
) -> tuple[SeriesReport, list[str]]:
    """Run *wanted* on each host of the cluster *spec*.dask, and write every report of the series.

    As `session.run`: the report, and a line for each file that could not be written. Raises ConfigError if nothing
    was started, and RunFolderError.
    """
    with Signals() as signals:
        return asyncio.run(_Session(spec, wanted, progress, signals, patience or Patience()).run())


@dataclass(slots=True)
class _Session:
    spec: RunSpec
    wanted: Wanted
    progress: Progress
    signals: Signals
    patience: Patience
    errors: list[str] = field(default_factory=list)
    merged: Merged = field(default_factory=Merged)

    async def run(self) -> tuple[SeriesReport, list[str]]:
        assert self.spec.dask is not None
        async with connected(self.spec.dask) as client:
            hosts = await self._hosts(client, self.spec.dask)
            folder = SeriesFolder.create(self.wanted.cwd / self.spec.output_dir)
            try:
                record = SeriesRecord(
                    series_id=folder.series_id,
                    parasuite=__version__,
                    started_s=time.time(),
                    host=platform.node(),
                    described=self.spec.target.description,
                    exit_code_from=self.spec.exit_code_from,
                )
                folder.write_record(record)
                if hosts:
                    self.progress.say(
                        STARTS.format(
                            hosts=plural(len(hosts), "host"),
                            cluster=self.spec.dask,
                            names=", ".join(host.name for host in hosts),
                            folder=display_path(folder.path, self.wanted.cwd),
                        )
                    )
                    await self._run_on(client, hosts, folder, record)
                record = replace(self._so_far(folder, record), ended=self.signals.run_end or RunEnd.COMPLETE)
                problems: list[str] = []
                with recording_errors(problems, "series.json"):
                    folder.write_record(record)
                report = assemble_series(folder)
                return report, problems + write_series_reports(folder, report, self.spec.optional_reports)
            finally:
                folder.close()

    async def _hosts(self, client: Client, cluster: str) -> list[Host]:
        """The hosts to use; empty if the user has interrupted the wait for them. Raises ConfigError."""
        first_s = said_s = 0.0
        while not self.signals.received:
            hosts = await hosts_of(client)
            now_s = time.monotonic()
            if len(hosts) >= (self.spec.hosts or 1):
                break
            if hosts:
                first_s = first_s or now_s
                if now_s - first_s > self.patience.others_s:
                    came, asked = plural(len(hosts), "host"), f"{self.spec.hosts}"
                    self._lose(TOO_FEW_HOSTS.format(hosts=came, asked=asked, seconds=self.patience.others_s))
                    break
            if not said_s or now_s - said_s > _WAITING_SAID_EVERY_S:
                said_s = now_s
                self.progress.say(WAITS_FOR_HOSTS.format(cluster=cluster, hosts=plural(len(hosts), "host")))
            await asyncio.sleep(_LOOKS_EVERY_S)
        else:
            return []
        wanted = self.wanted
        equal, differing = await equal_hosts(
            client,
            hosts[: self.spec.hosts],
            cwd=str(wanted.cwd),
            target=wanted.target,
            words=wanted.words,
            python=wanted.python,
        )
        if not equal:
            raise ConfigError(NO_EQUAL_HOST.format(why="; ".join(differing)))
        for line in differing:
            self._lose(line)
        return equal

    def _lose(self, line: str) -> None:
        self.errors.append(line)
        self.progress.say(line)

    def _so_far(self, folder: SeriesFolder, record: SeriesRecord) -> SeriesRecord:
        runs = tuple(folder.relative(run) for run in self.merged.runs)
        return replace(record, runs=runs, errors=tuple(self.errors), notes=tuple(self.merged.notes))

    async def _run_on(
        self, client: Client, hosts: Sequence[Host], folder: SeriesFolder, record: SeriesRecord
    ) -> None:
        """Run on all *hosts* at once. Whatever has come back is in series.json, if parasuite itself is killed."""
        topic = f"parasuite-{secrets.token_hex(8)}"
        names = {f"{secrets.token_hex(16)}": host.name for host in hosts}

        def show(event: tuple[float, dict[str, str]]) -> None:
            _, line = event
            self.progress.say(f"{names.get(line['key'], '?')}: {line['text']}")

        client.subscribe_topic(topic, show)
        watches = {
            asyncio.ensure_future(watch.run()): (host, watch, key)
            for host, key in zip(hosts, names, strict=True)
            for watch in (self._watch(client, host, key, topic),)
        }
        waiting = set(watches)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                host, watch, key = watches[ended]
                outcome = ended.result()
                if isinstance(outcome, HostResult):
                    await asyncio.to_thread(self._keep, host, outcome, folder)
                    await watch.discard()
                else:
                    self._lost(host, outcome, key)
                folder.write_record(self._so_far(folder, record))
        client.unsubscribe_topic(topic)

    def _watch(self, client: Client, host: Host, key: str, topic: str) -> Watch:
        order = Order(
            key=key,
            arguments=self.wanted.arguments,
            cwd=str(self.wanted.cwd),
            topic=topic,
            lease_s=self.patience.lease_s,
            archive_bytes_max=_ARCHIVE_BYTES_MAX,
        )
        return Watch(
            client,
            host,
            order,
            stops=lambda: len(self.signals.received),
            say=self.progress.say,
            patience=self.patience,
        )

    def _lost(self, host: Host, lost: Lost, key: str) -> None:
        if lost.why == NOT_BEGUN:
            self.merged.notes.append(f"{host.name}: {lost.why}")
            return
        line = LOST.format(host=host.name, why=lost.why)
        self._lose(LOST_FOLDER.format(lost=line, folder=folder_of(key)) if lost.has_begun else line)

    def _keep(self, host: Host, result: HostResult, folder: SeriesFolder) -> None:
        """Unpack what *host* has sent, and count its runs."""
        target = folder.new_folder("hosts", host.name.replace("/", "_"))
        self.errors += unpack(io.BytesIO(result.archive), target, f"what {host.name} has sent")
        if result.left_out:
            first = result.left_out[0]
            self.merged.notes.append(LEFT_OUT.format(host=host.name, count=len(result.left_out), first=first))
        runs = runs_in(target)
        if not runs:
            last = " / ".join(line for line in result.last_lines if line.strip()) or "it printed nothing"
            self._lose(NOTHING_RECORDED.format(host=host.name, code=result.exit_code, last=last))
            return
        self.progress.say(ENDED.format(host=host.name, code=result.exit_code))
        for run in runs:
            self.merged.add(run)
