"""Who makes a call: the thread, its process and program, and the test and line that the call belongs to.

Theory of operation: attribution. The kernel reports a thread id and nothing else. What belongs to a thread is looked
up in /proc once, and kept while it is certain to be the same thread of the same program:

- a pidfd pins the tid, and the pagemap of a process reads as empty once that program has ended (exit or execve);
- before Linux 6.9, which has no pidfds of threads, we check for each call that the process still has the thread.

The test and the line come from the first of these sources that has them; `AttributedBy` records which:

1. the process's page: its recorder writes there, before each call, the kind of call, the descriptor, the test and the
   line of the calling thread. An entry for another kind or descriptor is from an earlier call (this one is native
   code's, made behind Python's back), so only the test that the process runs is taken from the page;
2. the environment that the process was started with, for programs without a recorder: the recorder's
   PARASUITE_FIXTURE, pytest's PYTEST_CURRENT_TEST;
3. the page of the nearest ancestor that has one: the test that ran when the process was first seen. A test that ended
   before the process's first call cannot be known.

A page outlives an execve, and the next program in the process may have no recorder. So a page is used only if its
start time and stack are those of the running program (pages.py), and never again once its program has ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field

from parasuite.model.events import Ancestor
from parasuite.model.party import Party, Process
from parasuite.model.words import AttributedBy, CopyVariable
from parasuite.model.workers import VARIABLES, current_test, is_libtest
from parasuite.sensors import proc
from parasuite.sensors.seccomp import pages
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel
from parasuite.sensors.seccomp.pages import UNATTRIBUTED, Attribution

_THREADS_MAX = 512
_DESCRIPTORS_PER_THREAD = 8
_COMMAND_MAX = 500
_ANCESTORS_MAX = 64
_ANCESTORS_REMEMBERED_MAX = 4096
_VARIABLES = frozenset(name.encode() for name in VARIABLES)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def threads_to_remember() -> int:
    """How many threads may be kept: each takes up to three descriptors (its pidfd, and its process's page and memory
    map), and the copies need descriptors, too.
    """
    return min(_THREADS_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _DESCRIPTORS_PER_THREAD)


@dataclass(slots=True, eq=False)
class TracedProcess:
    """A process for as long as it runs one program. *birth_attribution*: the test that ran when it was started, for a
    process that publishes no page.

    *environment*: as in ProcessSeen. *space*: its memory, None if it may not be inspected. *stale_inode*: of the page
    that an earlier program of the process left. *threads*: how many of its threads are kept; it is forgotten with the
    last. *names_threads*: it names its threads after its tests (libtest), and no test of another runner started it.
    """

    identity: Process
    ticks: int
    name: str
    command: str
    parent: int
    pages_folder: pages.Folder | None
    birth_attribution: Attribution
    environment: tuple[str, ...]
    space: proc.AddressSpace | None
    stale_inode: int = 0
    page: pages.Page | None = None
    is_described: bool = False
    threads: int = 0
    names_threads: bool = False

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def is_unrecorded(self) -> bool:
        """Whether this is a Python that should publish a page and does not (-I, -E, -S, a scrubbed environment)."""
        if self.page is not None or self.pages_folder is None or not self.name.startswith(("python", "pypy")):
            return False
        return self._current_page() is None

    @property
    def has_ended(self) -> bool:
        """Whether it has executed another program (execve(2)) or ended; False if that cannot be seen."""
        return self.space is not None and self.space.has_ended

    def has_at_once(self, start: int, length: int) -> bool:
        """Whether *length* bytes of its memory from *start* on can certainly be read without waiting for a page."""
        return self.space is not None and self.space.has_at_once(start, length)

    def _current_page(self) -> pages.Page | None:
        """Its page, refreshed."""
        if self.page is not None and not self.page.refresh():
            self.page.close()
            self.page = None
        elif self.page is not None:
            return self.page
        if self.pages_folder is not None:
            self.page = self.pages_folder.open_page(self.pid, self.ticks, self.stale_inode)
        return self.page

    def xdist_worker(self) -> str:
        """The worker of pytest-xdist that it is, as its recorder has it."""
        page = self._current_page()
        return "" if page is None else page.xdist_worker()

    def attribution_of(self, tid: int, kind: int, descriptor: int) -> Attribution:
        """The test and line of the call that the thread *tid* is in."""
        page = self._current_page()
        if page is None:
            return self.birth_attribution
        attribution = page.attribution_of(tid, kind, descriptor)
        return attribution if any(attribution) else self.birth_attribution

    def close(self) -> None:
        if self.page is not None:
            self.page.close()
            self.page = None
        if self.space is not None:
            self.space.close()
            self.space = None


@dataclass(slots=True, eq=False)
class Thread:
    """A thread that has made a call. *pidfd* stays open. If it *is_own*, it refers to the thread and makes sure that
    *tid* is not reused. Otherwise (before Linux 6.9) it refers to the process, and *tid* may be reused.

    *attribution*: the test that it is named after, None if it is not.
    """

    tid: int
    process: TracedProcess
    pidfd: int
    is_own: bool
    attribution: Attribution | None = None

    def is_current(self) -> bool:
        """Whether *tid* is still this thread of this program, as far as using *pidfd* does not show it anyway."""
        if self.process.has_ended:
            return False
        return self.is_own or os.access(f"/proc/{self.process.pid}/task/{self.tid}", os.F_OK)


@dataclass(slots=True)
class Callers:
    """The threads that called lately. *pages_folders*: by copy, the folder of its pages, if it has a recorder.

    *threads_max*: how many are remembered. *copy_of*: the copy that a pid belongs to, None outside the run.
    """

    pages_folders: InitVar[dict[int, str]]
    kernel: Kernel = THIS_KERNEL
    copy_of: Callable[[int], int | None] = lambda _: None
    threads_max: int = field(default_factory=threads_to_remember)
    _folders: dict[int, pages.Folder] = field(init=False)
    _threads: OrderedDict[int, Thread] = field(default_factory=OrderedDict)
    _processes: dict[int, TracedProcess] = field(default_factory=dict)
    _boot_s: float = field(default_factory=proc.boot_s)
    _ancestors: OrderedDict[tuple[int, int, int], Ancestor] = field(default_factory=OrderedDict)

    def __post_init__(self, pages_folders: dict[int, str]) -> None:
        self._folders = {copy: pages.Folder(path) for copy, path in pages_folders.items()}

    def thread(self, tid: int, copy: int) -> Thread:
        """The thread *tid* of *copy*. Raises OSError if it is gone."""
        known = self._threads.get(tid)
        if known is not None:
            if known.is_current():
                self._threads.move_to_end(tid)
                return known
        elif len(self._threads) >= self.threads_max:
            self.forget(next(iter(self._threads.values())))
        pid = self.kernel.process_of(tid)
        with contextlib.ExitStack() as if_it_fails:
            pidfd, is_own = self.kernel.open_thread(tid, pid)
            if_it_fails.callback(os.close, pidfd)
            process = self._process(pid, copy)
            if_it_fails.pop_all()
        if known is not None:
            self.forget(known)
        attribution = _named_after(tid) if process.names_threads else None
        thread = self._threads[tid] = Thread(tid, process, pidfd, is_own, attribution)
        process.threads += 1
        self._processes[pid] = process
        return thread

    def forget(self, thread: Thread) -> None:
        """Forget *thread*: its id has been reused, or room is needed for another one."""
        del self._threads[thread.tid]
        os.close(thread.pidfd)
        process = thread.process
        process.threads -= 1
        if not process.threads:
            process.close()
            if self._processes.get(process.pid) is process:
                del self._processes[process.pid]

    def close(self) -> None:
        """Close every descriptor. A forked child calls this, too, since it must not keep them."""
        for thread in list(self._threads.values()):
            self.forget(thread)
        for folder in self._folders.values():
            folder.close()

    def _process(self, pid: int, copy: int) -> TracedProcess:
        stat = proc.stat(pid)
        known = self._processes.get(pid)
        stale_inode = 0
        if known is not None and known.ticks == stat.start_ticks:
            if not known.has_ended:
                return known
            stale_inode = known.page.inode if known.page is not None else known.stale_inode
        folder = self._folders.get(copy)
        environment = _environment(pid)
        command = proc.command(pid, _COMMAND_MAX)
        birth = _birth_attribution(environment) or _ancestor_attribution(stat.parent, folder)
        return TracedProcess(
            identity=Process(Party(copy), pid, self._boot_s + stat.start_ticks / _TICKS_PER_S),
            ticks=stat.start_ticks,
            name=stat.name,
            command=command,
            parent=stat.parent,
            pages_folder=folder,
            birth_attribution=birth,
            environment=environment,
            space=_space(pid),
            stale_inode=stale_inode,
            names_threads=is_libtest(command) and not birth.test,
        )

    def ancestors(self, process: TracedProcess) -> tuple[Ancestor, ...]:
        """What its parent is, and so on up to its copy's main process, as far as they live."""
        found: list[Ancestor] = []
        pid = process.parent
        while pid > 1 and len(found) < _ANCESTORS_MAX:
            try:
                stat = proc.stat(pid)
            except OSError:
                break
            ancestor = self._ancestor(pid, stat, process.pages_folder)
            if ancestor is None:
                break
            found.append(ancestor)
            pid = stat.parent
        return tuple(found)

    def _ancestor(self, pid: int, stat: proc.Stat, folder: pages.Folder | None) -> Ancestor | None:
        """What *pid* is; None outside the run. Remembered for as long as it runs one program."""
        key = (pid, stat.start_ticks, stat.stack)
        found = self._ancestors.get(key)
        if found is not None:
            self._ancestors.move_to_end(key)
            return found
        # Not remembered if it is none: a process that loses its parent just now has a copy again at the next look.
        if self.copy_of(pid) is None:
            return None
        page = None if folder is None else folder.open_page(pid, stat.start_ticks)
        worker = "" if page is None else page.xdist_worker()
        if page is not None:
            page.close()
        start_s = self._boot_s + stat.start_ticks / _TICKS_PER_S
        found = Ancestor(pid, start_s, stat.name, proc.command(pid, _COMMAND_MAX), _environment(pid), worker)
        self._ancestors[key] = found
        if len(self._ancestors) > _ANCESTORS_REMEMBERED_MAX:
            self._ancestors.popitem(last=False)
        return found


def _space(pid: int) -> proc.AddressSpace | None:
    with contextlib.suppress(OSError):
        return proc.AddressSpace(pid)
    return None


def _named_after(tid: int) -> Attribution | None:
    """The test that the thread *tid* is named after: libtest's names are paths of functions."""
    try:
        name = proc.stat(tid).name
    except OSError:
        return None
    is_test = "::" in name or name.startswith("test")
    return Attribution(name, by=AttributedBy.THREAD_NAME) if is_test else None


def _environment(pid: int) -> tuple[str, ...]:
    """Of what *pid* was started with, the variables that tell a test, a fixture or a worker."""
    return tuple(f"{name}={value}" for name, value in proc.variables(pid, _VARIABLES).items())


def _birth_attribution(environment: tuple[str, ...]) -> Attribution | None:
    """The test that ran when a process was started, or the fixture that outlives it, if its environment says so."""
    variables = dict(entry.partition("=")[::2] for entry in environment)
    fixture = pages.parsed_fixture(variables.get(CopyVariable.FIXTURE, "").encode())
    if fixture is not None:
        return Attribution(fixture=fixture)
    test = current_test(variables)
    return Attribution(test, by=AttributedBy.ENVIRONMENT) if test else None


def _ancestor_attribution(parent: int, folder: pages.Folder | None) -> Attribution:
    """The test that the nearest ancestor with a page runs now, as the process is seen for the first time."""
    for _ in range(_ANCESTORS_MAX):
        if parent <= 1 or folder is None:
            break
        try:
            stat = proc.stat(parent)
        except OSError:
            break
        page = folder.open_page(parent, stat.start_ticks)
        if page is not None:
            published = page.process_test()
            test, fixture = published.test, published.fixture
            page.close()
            if fixture is not None and fixture.scope.outlives_test:
                return Attribution(fixture=fixture)
            return Attribution(test, by=AttributedBy.PARENT_PROCESS if test else AttributedBy.NONE)
        parent = stat.parent
    return UNATTRIBUTED
