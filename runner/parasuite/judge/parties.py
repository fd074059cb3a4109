"""Which worker of its copy each process belongs to: names the parties in the events, before anything is judged.

Theory of operation. Sensors know the copy of a process. What its worker is follows from what the process and those
above it were started with (model/workers.py), and that is in the ProcessSeen which precedes the process's first call.
So one reading in order of time is enough.

A process whose ancestors ended before it was seen (a daemon) is known by what was handed down to it in its
environment: it belongs to the innermost worker seen so far that its environment names. If there is none, it belongs
to the copy as a whole, which meets none of its workers: better a collision missed than one invented.

Two kinds of worker are recognised by what they did instead: processes in which tests were running at the same time,
whatever started them, and tests that ran at the same time in the threads or tasks of one process. The results of the
copy's tests, with the times of their starts and ends, are known before the events are read, so this takes no second
reading either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from parasuite.judge.libtest_threads import TestThreads
from parasuite.model.events import (
    Ancestor,
    Bind,
    Connect,
    CopyState,
    Event,
    Holder,
    Listen,
    ProcessEvent,
    ProcessSeen,
    Send,
)
from parasuite.model.party import PRESUMED, Caller, Party
from parasuite.model.results import TestsAtOnce
from parasuite.model.sensors import is_inside, is_sampling
from parasuite.model.words import AttributedBy, CopyPhase
from parasuite.model.workers import (
    CURRENT_TEST,
    NEXTEST,
    RUNNER,
    XDIST_WORKER,
    Described,
    Worker,
    chain,
    handed_down,
    runner,
)

_Chain: TypeAlias = tuple[Worker, ...]
_NOT_KNOWN = TestsAtOnce()


def with_workers(events: Iterable[Event], at_once: Sequence[TestsAtOnce] = ()) -> Iterator[Event]:
    """*events*, in order of time, whose parties name the worker as well. Memory grows with the processes.

    *at_once*: which tests of each copy ran at the same time.
    """
    parties = _Parties(at_once)
    for event in events:
        yield parties.named(event)


class _Parties:
    """*_chains*: the workers of each process that is in one."""

    def __init__(self, at_once: Sequence[TestsAtOnce]) -> None:
        self._at_once = at_once
        self._copies: dict[int, _Copy] = {}
        self._chains: dict[int, _Chain] = {}
        self._threads = TestThreads()

    def named(self, event: Event) -> Event:
        """*event* with the workers of its caller and holders."""
        if isinstance(event, ProcessSeen):
            self._learn(event)
        elif isinstance(event, CopyState) and event.state is CopyPhase.STARTED:
            self._copy(event.copy).main_pid = event.pid
        if not isinstance(event, ProcessEvent):
            return event
        process = event.caller.process
        thread = self._threads.worker(event) or self._test_beside_others(event.caller)
        party = self._party(process.party, process.pid, thread)
        if party is not process.party:
            event = replace(event, caller=event.caller._replace(process=process._replace(party=party)))
        if isinstance(event, Bind | Listen | Connect | Send) and event.holders:
            event = replace(event, holders=tuple(map(self._holder, event.holders)))
        return event

    def _test_beside_others(self, caller: Caller) -> Worker | None:
        """The test that a thread or task works for, if other tests of its process ran at the same time.

        Not of a process that the test started: its environment may name another of the tests that ran.
        """
        process = caller.process
        if process.party is None or caller.attribution not in (AttributedBy.THREAD, AttributedBy.THREAD_START):
            return None
        if caller.fixture_scope.outlives_test or caller.test not in self._of_copy(process.party.copy).tests:
            return None
        return Worker("test", _short(caller.test), process.pid, process.start_s)

    def _of_copy(self, copy: int) -> TestsAtOnce:
        return self._at_once[copy] if copy < len(self._at_once) else _NOT_KNOWN

    def _holder(self, holder: Holder) -> Holder:
        party = self._party(holder.party, holder.pid)
        return holder if party is holder.party else replace(holder, party=party)

    def _party(self, party: Party | None, pid: int, thread: Worker | None = None) -> Party | None:
        """The party of the process *pid* of *party*, and of its *thread*."""
        chain_of_process = self._chains.get(pid, ())
        if party is None or (not chain_of_process and thread is None):
            return party
        if chain_of_process and chain_of_process[-1].tool == NEXTEST:
            thread = None  # The process runs this test alone.
        return self._copy(party.copy).named(chain_of_process if thread is None else (*chain_of_process, thread))

    def _copy(self, copy: int) -> _Copy:
        return self._copies.setdefault(copy, _Copy(copy, self._of_copy(copy).runners))

    def _learn(self, event: ProcessSeen) -> None:
        process = event.caller.process
        if process.party is None or (is_sampling(event.source) and process.pid in self._chains):
            return  # The sampler describes again what another sensor knows better.
        # The pid may have been another process's before, and the process another program.
        self._chains.pop(process.pid, None)
        workers = self._copy(process.party.copy).workers_of(event, self._chains.get(event.parent, ()))
        if workers:
            self._chains[process.pid] = workers


class _Copy:
    """What is known of one copy's processes. *main_pid*: 0 until it has started. *runners*: as in TestsAtOnce."""

    def __init__(self, copy: int, runners: frozenset[int]) -> None:
        self.main_pid = 0
        self._runners = runners
        self._party = Party(copy)
        self._main_environment: frozenset[str] = frozenset()
        self._parties: dict[_Chain, Party] = {}
        self._names: set[str] = set()

    def workers_of(self, event: ProcessSeen, of_parent: _Chain) -> _Chain:
        """The workers that the process which *event* describes is in. *of_parent*: those that its parent is in."""
        process = event.caller.process
        itself = Ancestor(
            process.pid, process.start_s, event.name, event.command, event.environment, event.xdist_worker
        )
        lineage = [*reversed(event.ancestors), itself]
        pids = [ancestor.pid for ancestor in lineage]
        if self.main_pid in pids or (not self.main_pid and event.ancestors):
            lineage = lineage[pids.index(self.main_pid) if self.main_pid else 0 :]
            self._main_environment = frozenset(lineage[0].environment)
            return chain([self._described(ancestor) for ancestor in lineage], self._runners)
        described = self._described(lineage[-1])
        named = handed_down(described)
        if not is_inside(event.source):
            return self._innermost(named)
        # The recorder does not look for ancestors, and knows the parent alone.
        if not named and process.pid != self.main_pid and process.pid in self._runners:
            return (runner(described),)
        return named or tuple(link for link in of_parent if link.tool == RUNNER)

    def _described(self, ancestor: Ancestor) -> Described:
        own: dict[str, str] = {}
        for entry in ancestor.environment:
            if entry not in self._main_environment:
                name, _, value = entry.partition("=")
                own[name] = value
        if ancestor.xdist_worker and CURRENT_TEST not in own:
            own[XDIST_WORKER] = ancestor.xdist_worker
        return Described(ancestor.pid, ancestor.start_s, ancestor.name, ancestor.command, own)

    def _innermost(self, named: _Chain) -> _Chain:
        """The longest chain so far of workers that are *named*."""
        fitting = (
            known for known in self._parties if set(named).issuperset(link for link in known if not link.command)
        )
        return max((known for known in fitting if not all(link.command for link in known)), key=len, default=())

    def named(self, workers: _Chain) -> Party:
        """The party of that chain; of another chain with the same names, the later one is numbered."""
        if not workers:
            return self._party
        known = self._parties.get(workers)
        if known is None:
            above = self.named(workers[:-1]).worker
            mark = PRESUMED if workers[-1].command else ""
            name = mark + workers[-1].name.strip("/").replace("/", ":").replace(PRESUMED, "")
            name = f"{above}/{name}" if above else name
            number = 1
            while (unique := name if number == 1 else f"{name} {number}") in self._names:
                number += 1
            self._names.add(unique)
            known = self._parties[workers] = self._party._replace(worker=unique)
        return known


def _short(test: str) -> str:
    """The id *test* without the folders of its file."""
    file, separator, rest = test.partition("::")
    return file.rpartition("/")[2] + separator + rest
