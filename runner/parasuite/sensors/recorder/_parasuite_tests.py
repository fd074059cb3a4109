"""Which test and which fixture each thread and task of a process works for, as pytest and unittest report it.

A thread belongs to the test that started it, one of a pool to the test that submitted what it runs, and a task to the
test that created it (contextvars). So a server that one test starts and that binds during another test belongs to the
first. A test that runs inside another counts as the outer one.

A fixture is written as "scope:name". What its own thread does while it is set up belongs to the fixture and to the
test that it is set up for. A thread or process that it starts may outlive that test: if the fixture does, they belong
to the fixture alone.

Standard library only, Python 3.8 or newer; pytest is patched when the program imports it, unittest by
_parasuite_unittest.
"""

from __future__ import annotations

import contextvars
import itertools
import os
import sys
from _thread import get_ident, get_native_id

from _parasuite_environment import hidden
from _parasuite_frames import project_frames
from _parasuite_guard import guarded
from _parasuite_page import BY_PROCESS, BY_STARTER, BY_THREAD
from _parasuite_restart import hide_frames

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

    # Test, frames (as user_frames gives them), attribution and fixture of a call.
    CallSite = tuple[str, str, int, str]

_in_context: contextvars.ContextVar[str] = contextvars.ContextVar("parasuite_test", default="")
_fixture_in_context: contextvars.ContextVar[str] = contextvars.ContextVar("parasuite_fixture", default="")
# The tests that run now, by thread id (a negative number for a task); under 0 the test that forked this process.
_running: dict[int, str] = {}
# The fixture at work that outlives its test, and the one that started this process.
_lasting_fixture = _started_by = hidden.get("PARASUITE_FIXTURE", "")
# The project's frames at the line that started this process.
started_at = hidden.get("PARASUITE_STARTED_AT", "").replace("\t", "\n")
_changed: list[Any] = []


def on_change(listener: Any) -> None:
    """Have *listener(test, fixture)* called whenever the test of the process changes, or the fixture at work that
    outlives it.
    """
    _changed.append(listener)


def current() -> tuple[str, int, str]:
    """The test that the calling thread works for, how that is known, and the fixture; "" outside any.

    In a child that a test forked, no thread runs the test: it does not see what such a thread raises.
    """
    test, fixture = _in_context.get() or _running.get(get_ident(), ""), _fixture_in_context.get()
    if test:
        return test, BY_PROCESS if 0 in _running else BY_THREAD, fixture
    test, starter, *_ = _of_thread()
    if test or starter:
        return test, BY_STARTER, starter
    if _running or fixture:
        return _process_test(), BY_PROCESS, fixture
    if _started_by:
        return "", BY_PROCESS, _started_by
    # Another test runner, in this process or in one that started it, may have set it in the environment.
    inherited = os.environ.get("PYTEST_CURRENT_TEST", "")
    return (inherited.rpartition(" (")[0] or inherited), BY_PROCESS, ""


def _outlives_test(fixture: str) -> bool:
    return bool(fixture) and not fixture.startswith("function:")


def _of_what_it_starts() -> tuple[str, str]:
    """The test and the fixture of a thread or process that the calling thread starts."""
    test, _, fixture = current()
    return ("" if _outlives_test(fixture) else test), fixture


def xdist_worker() -> str:
    """Which worker of pytest-xdist this process is; "" if none. xdist sets it long after the process has started."""
    return os.environ.get("PYTEST_XDIST_WORKER", "")


def _of_thread() -> tuple[str, str, bool, str]:
    """What patch_threading set for the calling thread: its test, its fixture, whether a test started it, and the
    project's frames at the line that did.
    """
    threading = sys.modules.get("threading")
    # current_thread() would create a dummy for a thread that threading does not know.
    thread = None if threading is None else threading._active.get(threading.get_ident())
    if thread is None:
        return "", "", False, ""
    known = thread.__dict__
    return (
        known.get("_parasuite_test", ""),
        known.get("_parasuite_fixture", ""),
        known.get("_parasuite_is_within", False),
        known.get("_parasuite_frames", ""),
    )


def _process_test() -> str:
    """The test that runs, if it is the only one; else "", since the process may work for any of them."""
    tests = list(_running.values())
    return tests[0] if len(tests) == 1 else ""


def is_within() -> bool:
    """Whether the calling thread works for a test already: runs it, or was started by it."""
    return bool(_in_context.get()) or get_ident() in _running or bool(_started_by) or _of_thread()[2]


class running:
    """Within the block *test* runs; True for the block. Inside the block of another test this changes nothing, and it
    is False. *task*: of several that run tests in turn in this thread, a negative number of its own.
    """

    def __init__(self, test: str, task: int = 0) -> None:
        self._test, self._task = test, task
        self._token: Any = None

    def __enter__(self) -> bool:
        if _in_context.get() if self._task else is_within():
            return False
        self._token = _in_context.set(self._test)
        _running.pop(0, None)
        _running[self._task or get_ident()] = self._test
        _announce()
        return True

    def __exit__(self, *_: object) -> None:
        if self._token is None:
            return
        _running.pop(self._task or get_ident(), None)
        try:
            _in_context.reset(self._token)
        except ValueError:
            _in_context.set("")  # The runner yielded in one context and continued in another.
        _announce()


def _announce() -> None:
    announced = None
    while announced != (_process_test(), _lasting_fixture):
        # Meanwhile a test of another thread may have begun or ended, and its change may have been announced first.
        announced = _process_test(), _lasting_fixture
        for listener in _changed:
            listener(*announced)


def is_forked_by_fixture() -> bool:
    """Whether a fixture that outlives its test forked this process."""
    return bool(_started_by)


def forked() -> None:
    """Called in a forked child: it works for the test or fixture that forked it, whatever its parent does next."""
    global _started_by, _lasting_fixture
    test, fixture = _of_what_it_starts()
    _running.clear()
    if test:
        _running[0] = test
    else:
        _in_context.set("")
    _started_by = _lasting_fixture = fixture if _outlives_test(fixture) else ""
    _announce()


class in_fixture:
    """Within the block *fixture*, "scope:name", is at work."""

    def __init__(self, fixture: str) -> None:
        self._fixture = fixture

    def __enter__(self) -> None:
        global _lasting_fixture
        self._token, self._outer = _fixture_in_context.set(self._fixture), _lasting_fixture
        if _outlives_test(self._fixture):
            _lasting_fixture = self._fixture
            _announce()

    def __exit__(self, *_: object) -> None:
        global _lasting_fixture
        try:
            _fixture_in_context.reset(self._token)
        except ValueError:
            _fixture_in_context.set("")  # The fixture yielded in one context and continued in another.
        if _lasting_fixture != self._outer:
            _lasting_fixture = self._outer
            _announce()


def _like(original: Any, replacement: Any) -> Any:
    """*replacement*, which looks like the function *original*, as with functools.wraps."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(replacement, name, getattr(original, name))
    replacement.__dict__.update(original.__dict__)
    replacement.__wrapped__ = original
    return replacement


# --- the runners ----------------------------------------------------------------------------------------------------


def patch_pytest(runner: Any) -> None:
    """*runner*: the module _pytest.runner."""
    protocol = getattr(runner, "runtestprotocol", None)
    if protocol is None:
        return

    def runtestprotocol(item: Any, *args: Any, **kwargs: Any) -> Any:
        with running(item.nodeid):
            return protocol(item, *args, **kwargs)

    runner.runtestprotocol = runtestprotocol
    start = runner.pytest_sessionstart

    def pytest_sessionstart(session: Any) -> None:
        # By now all plug-ins are loaded. pytest finds them without an import that could be followed.
        plugin = sys.modules.get("pytest_asyncio_concurrent.plugin")
        if plugin is not None:
            guarded(_patch_asyncio_concurrent, plugin)
        start(session)

    pytest_sessionstart.__doc__ = start.__doc__
    pytest_sessionstart.__module__ = start.__module__
    runner.pytest_sessionstart = pytest_sessionstart


def _patch_asyncio_concurrent(plugin: Any) -> None:
    """*plugin*: the module pytest_asyncio_concurrent.plugin, which runs the tests of a group as tasks of a thread."""
    call = plugin._call_runtest_async
    if call.__module__ == __name__:
        return  # An earlier session of this process has patched it.
    numbers = itertools.count(1)

    async def call_runtest_async(item: Any) -> Any:
        with running(item.nodeid, -next(numbers)):
            return await call(item)

    plugin._call_runtest_async = call_runtest_async


def patch_fixtures(fixtures: Any) -> None:
    """*fixtures*: the module _pytest.fixtures."""
    definition = fixtures.FixtureDef
    for name in ("execute", "finish"):
        setattr(definition, name, _at_work(getattr(definition, name)))


def _at_work(method: Any) -> Any:
    """*method*, which sets a fixture up or tears it down. Setting up a fixture that it needs happens inside."""

    def work(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if method.__name__ == "execute" and getattr(self, "cached_result", None) is not None:
            return method(self, *args, **kwargs)
        try:
            with in_fixture(f"{self.scope}:{self.argname}"):
                return method(self, *args, **kwargs)
        except BaseException as error:
            hide_frames(error)
            raise

    return _like(method, work)


def patch_threading(threading: Any) -> None:
    """*threading*: the module. A thread works for the test of the thread that starts it."""
    start = threading.Thread.start

    def belongs(thread: Any, frame: Any) -> None:
        thread.__dict__.update(_belonging(frame))
        if _is_of_pool(thread):
            thread.__dict__["_parasuite_frames"] = ""

    def start_for_test(self: Any) -> None:
        guarded(belongs, self, sys._getframe(1))
        try:
            start(self)
        except BaseException as error:
            hide_frames(error)
            raise

    start_for_test.__doc__ = start.__doc__
    start_for_test.__name__ = "start"
    start_for_test.__qualname__ = "Thread.start"
    threading.Thread.start = start_for_test


def patch_pool(pool: Any) -> None:
    """*pool*: the module concurrent.futures.thread. What its threads run works for the test, and is shown with the
    frames, of who submitted it.
    """
    item = pool._WorkItem
    make = item.__init__

    def submitted(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        guarded(belongs, self, sys._getframe(1))

    def belongs(self: Any, frame: Any) -> None:
        self._parasuite_belongs = _belonging(frame)

    item.__init__, item.run = _like(make, submitted), _Run(item.run)


class _Run:
    """A pool's work, `_WorkItem.run`: what it belongs to is set when the thread looks it up, just before it runs it.

    A descriptor rather than a function, so that the stack is as deep as ever.
    """

    def __init__(self, run: Any) -> None:
        self._run = run

    def __get__(self, item: Any, kind: Any = None) -> Any:
        if item is not None:
            guarded(self._begin, item)
        return self._run.__get__(item, kind)

    def _begin(self, item: Any) -> None:
        threading = sys.modules["threading"]
        threading._active[threading.get_ident()].__dict__.update(item._parasuite_belongs)


def _belonging(frame: Any) -> dict[str, Any]:
    """What a thread, or a pool's work, that the calling thread starts at *frame* belongs to, as `_of_thread` reads
    it.
    """
    test, fixture = _of_what_it_starts()
    return {
        "_parasuite_test": test,
        "_parasuite_fixture": fixture,
        "_parasuite_is_within": is_within(),
        "_parasuite_frames": project_frames(frame, frames_of_starter),
    }


def _is_of_pool(thread: Any) -> bool:
    """Whether *thread* runs what any code submits to its pool, not only what the line that started it wants."""
    return getattr(thread.__dict__.get("_target"), "__module__", "") == "concurrent.futures.thread"


def frames_of_starter() -> str:
    """The project's frames at the line that started the calling thread; "" if there are none, or for a pool's."""
    return _of_thread()[3]


def frames_of_child(frame: Any) -> str:
    """The project's frames from *frame* outwards, which starts a process; if there are none, those of the line that
    started this process.
    """
    frames: str = project_frames(frame, frames_of_starter)
    return frames or started_at


def native_id() -> int:
    """The kernel's id of the calling thread."""
    return get_native_id()
