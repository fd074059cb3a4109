"""Which test runs: told by pytest and unittest themselves, for the main thread, its threads and its tasks.

A test belongs to whatever it starts: a thread is its starter's, a task its creator's (contextvars), so that a server
started in one test and bound during another is the first one's. Test runs inside a test are the outer test's.
Standard library, Python 3.9 or newer; pytest and unittest are patched as they are imported, and only if they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
from _thread import get_native_id

from _parasuite_page import BY_PROCESS, BY_STARTER, BY_THREAD

TYPE_CHECKING = False  # As typing has it, without the price of importing that.
if TYPE_CHECKING:
    from typing import Any

_in_context: contextvars.ContextVar[str] = contextvars.ContextVar("parasuite_test", default="")
_stack: list[str] = []
_process_test = ""
_changed: list[Any] = []


def on_change(listener: Any) -> None:
    """Have *listener(test)* called whenever the process' test changes."""
    _changed.append(listener)


def current() -> tuple[str, int]:
    """The test that the calling thread works for, and how that is known; ("", 0) outside any test."""
    test = _in_context.get()
    if test:
        return test, BY_THREAD
    threading = sys.modules.get("threading")
    if threading is not None:
        # current_thread() would make a dummy where there is none.
        thread = threading._active.get(threading.get_ident())
        test = getattr(thread, "_parasuite_test", "")
        if test:
            return test, BY_STARTER
    if _process_test:
        return _process_test, BY_PROCESS
    # Another runner of tests in this process, or one that started it, may have said it in the environment.
    inherited = os.environ.get("PYTEST_CURRENT_TEST", "")
    return (inherited.rpartition(" (")[0] or inherited), BY_PROCESS


@contextlib.contextmanager
def running(test: str) -> Any:
    """Within the block, *test* runs; an inner one leaves the outer one's name as it is."""
    global _process_test
    _stack.append(test)
    token = None
    if len(_stack) == 1:
        token = _in_context.set(test)
        _process_test = test
        _tell(test)
    try:
        yield
    finally:
        _stack.pop()
        if token is not None:
            with contextlib.suppress(ValueError):
                # A runner that yields in one context and goes on in another: the name is overwritten by the next.
                _in_context.reset(token)
            _process_test = ""
            _tell("")


def _tell(test: str) -> None:
    for listener in _changed:
        listener(test)


def forked() -> None:
    """In a forked child: it works for the test that forked it, whatever its parent runs next."""
    global _process_test
    _process_test = current()[0]
    _tell(_process_test)


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


def patch_unittest_case(case: Any) -> None:
    """*case*: the module unittest.case."""
    run = case.TestCase.run

    def run_as_test(self: Any, result: Any = None) -> Any:
        with running(self.id()):
            return run(self, result)

    run_as_test.__doc__ = run.__doc__
    run_as_test.__name__ = "run"
    run_as_test.__qualname__ = "TestCase.run"
    case.TestCase.run = run_as_test


def patch_unittest_suite(suite: Any) -> None:
    """*suite*: the module unittest.suite; what a class sets up is named after the class."""
    set_up = getattr(suite.TestSuite, "_handleClassSetUp", None)
    if set_up is None:
        return

    def _handleClassSetUp(self: Any, test: Any, result: Any) -> Any:
        kind = test.__class__
        with running(f"{kind.__module__}.{kind.__qualname__}.setUpClass"):
            return set_up(self, test, result)

    suite.TestSuite._handleClassSetUp = _handleClassSetUp


def patch_threading(threading: Any) -> None:
    """*threading*: the module. A thread works for the test in whose time it was started."""
    start = threading.Thread.start

    def start_for_test(self: Any) -> None:
        self._parasuite_test = current()[0]
        start(self)

    start_for_test.__doc__ = start.__doc__
    start_for_test.__name__ = "start"
    start_for_test.__qualname__ = "Thread.start"
    threading.Thread.start = start_for_test


def native_id() -> int:
    """The kernel's number of the calling thread."""
    return get_native_id()
