"""Names the unittest test that runs, and writes how each one ended to results.jsonl, whatever runner runs it.

A test is entered by `run` or by `__call__`, of TestCase or of a class that overrides them without calling those
(twisted.trial does). Its end is seen where it is reported to the runner's result object. Only the outermost test
counts: a suite may test a test runner. Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import contextlib
import os
import re
from _thread import get_ident
from functools import partial
from types import FunctionType

import _parasuite_tests as tests
from _parasuite_clock import now_ns
from _parasuite_environment import hidden
from _parasuite_guard import guarded
from _parasuite_importlib_bootstrap import init_subclass, within
from _parasuite_results import VARIABLE, Stream, both_ends_of, end_of, is_started_by_a_test

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

_ENTRIES = ("run", "__call__")
_REPORTS = (
    "addSuccess",
    "addFailure",
    "addError",
    "addSkip",
    "addExpectedFailure",
    "addUnexpectedSuccess",
    "addSubTest",
)
_BAD = ("failed", "error")
_FIXTURE = re.compile(r"(setUp|tearDown)(Class|Module) \((.+)\)\Z", re.DOTALL)
# What unittest's loader makes of a module that it cannot import, or that skips itself.
_OF_LOADER = ("_FailedTest", "ModuleSkipped")


class _Record:
    """What is known of a test that runs, or of a class or module that is set up. *outcome*: "" until it has one.
    *is_reporting*: a report of it has begun and not ended. *receiver*: the result object that the runner gave to the
    test; None if it gave none, or if reports to that object are not seen. *aside*: what was reported to other result
    objects, which counts if nothing was reported to *receiver*. A runner may put another object in front of that one,
    and a test of a test runner has its own.
    """

    __slots__ = (
        "aside",
        "id",
        "is_of_fixture",
        "is_reporting",
        "messages",
        "outcome",
        "phase",
        "pid",
        "receiver",
        "started_ns",
        "texts",
    )

    def __init__(self, test_id: str, phase: str) -> None:
        self.id, self.phase = test_id, phase
        self.pid, self.started_ns = os.getpid(), now_ns()
        self.outcome = ""
        self.messages: list[str] = []
        self.texts: list[str] = []
        self.is_reporting = self.is_of_fixture = False
        self.receiver: Any = None
        self.aside: _Record | None = None

    def of(self, receiver: Any) -> _Record:
        """Where to note what is reported to the result object *receiver*."""
        if self.receiver is None or receiver is self.receiver:
            return self
        if self.aside is None:
            self.aside = _Record(self.id, self.phase)
        return self.aside

    def add(self, outcome: str, message: str, text: str) -> None:
        """A test may report several times; what is worse counts, and of failures the first."""
        if self.outcome in _BAD and outcome not in _BAD:
            return
        if self.outcome not in _BAD or outcome not in _BAD:
            self.outcome, self.messages, self.texts = outcome, [], []
        self.messages.append(message)
        self.texts.append(text)

    def write(self, stream: Stream) -> None:
        if not self.outcome and self.aside is not None:
            self.outcome, self.messages, self.texts = self.aside.outcome, self.aside.messages, self.aside.texts
        if not self.outcome:
            stream.write("dropped", id=self.id)
            return
        stream.write(
            "result",
            id=self.id,
            outcome=self.outcome,
            duration_s=max(0, now_ns() - self.started_ns) / 1e9,
            message=both_ends_of("\n".join(filter(None, self.messages))),
            text=end_of("\n".join(filter(None, self.texts))),
            **({"phase": self.phase} if self.phase else {}),
        )


class _Results:
    """Where the results of this process go. *stream*: None if its tests are not the copy's."""

    def __init__(self) -> None:
        folder = hidden.get(VARIABLE, "")
        self.stream: Stream | None = None
        if folder and not is_started_by_a_test(folder):
            with contextlib.suppress(OSError):  # The run folder has gone: there is nowhere to write to.
                self.stream = Stream(folder)


_results: dict[int, _Results] = {}  # By pid: a forked child has its own.
# The outermost tests that run, by id().
_records: dict[int, _Record] = {}
# The threads that run a suite which belongs to no single test, and the class that such a suite sets up in a thread.
_in_suite: set[int] = set()
_set_up: dict[int, str] = {}


def _stream() -> Stream | None:
    """Where to write results; None if this process writes none. Found out at its first test, or suite of tests."""
    if VARIABLE not in hidden:
        return None
    pid = os.getpid()
    results = _results.get(pid)
    if results is None:
        made = _Results()
        results = _results.setdefault(pid, made)
        if made is not results and made.stream is not None:
            made.stream.close()  # Another thread began its first test at this very moment.
    return results.stream


# --- tests ----------------------------------------------------------------------------------------------------------


def patch_case(case: Any) -> None:
    """*case*: the module unittest.case."""
    root = case.TestCase
    _watch_subclasses(root, lambda kind: _wrap_entries(kind, root))
    for name in _ENTRIES:
        _wrap_entry(root, name, root)
    if VARIABLE in hidden:
        # Subclasses as well as they are defined: a runner may hide its result object behind another.
        _watch_subclasses(case.result.TestResult, _wrap_all_reports)
        _wrap_reports(case.result.TestResult)


def _watch_subclasses(root: Any, wrap: Any) -> None:
    """Call *wrap* with each subclass of *root* when it has been defined."""
    root.__init_subclass__ = init_subclass(root, wrap)


def _wrap_entries(kind: Any, root: Any) -> None:
    """Wrap the entries that *kind*, a subclass of *root*, or a mixin of it defines."""
    for owner in kind.__mro__[: kind.__mro__.index(root)]:
        for name in _ENTRIES:
            _wrap_entry(owner, name, root)


def _wrap_entry(owner: Any, name: str, root: Any) -> None:
    original = owner.__dict__.get(name)
    if type(original) is not FunctionType or hasattr(original, "_parasuite_wraps"):
        return

    def as_test(test: Any, args: Any, kwargs: Any) -> Any:
        return _running(test, root, args[0] if args else kwargs.get("result"))

    setattr(owner, name, _disguised(within(original, as_test), original))


def _disguised(function: Any, original: Any) -> Any:
    """*function*, with the name, documentation and attributes of *original*."""
    for name in ("__doc__", "__name__", "__qualname__", "__module__"):
        setattr(function, name, getattr(original, name))
    function.__dict__.update(original.__dict__)
    function.__wrapped__ = original  # So inspect.signature sees the original's.
    function._parasuite_wraps = True
    return function


@contextlib.contextmanager
def _running(test: Any, root: Any, result: Any) -> Any:
    """Within the block *test* runs; its result is written at the end, if it is the outermost test."""
    test_id = _id_of(test) if isinstance(test, root) else ""
    if not test_id:
        yield
        return
    with tests.running(test_id) as is_outermost:
        record = guarded(_begun, test, test_id, result) if is_outermost else None
        if record is None:
            yield
            return
        try:
            yield
        except BaseException:
            # The test was interrupted, or its runner failed: it has no result.
            _records.pop(id(test), None)
            raise
        _records.pop(id(test), None)
        guarded(_ended, record)


def _id_of(test: Any) -> str:
    try:
        return str(test.id())
    except Exception:  # noqa: BLE001
        return ""  # The program's own: whatever it raises, its runner shall meet it where it would without us.


def _begun(test: Any, test_id: str, result: Any) -> _Record | None:
    stream = _stream()
    if stream is None or tests.current()[2]:
        return None  # Within a fixture, setUpModule say, other tests may run.
    if result is not None:
        _wrap_all_reports(type(result))
    record = _Record(_container_of(test) or test_id, "collection" if _container_of(test) else "")
    if hasattr(getattr(type(result), "addSuccess", None), "_parasuite_wraps"):
        record.receiver = result
    _records[id(test)] = record
    if not record.phase:
        stream.write("started", id=record.id)
    return record


def _container_of(test: Any) -> str:
    """The module that *test* represents, if unittest's loader made it; else ""."""
    kind = type(test)
    if kind.__module__ == "unittest.loader" and kind.__name__ in _OF_LOADER:
        return str(test._testMethodName)
    return ""


def _ended(record: _Record) -> None:
    stream = _stream()
    # A child that the test forked, and that came back here, has not ended the test.
    if stream is not None and record.pid == os.getpid():
        record.write(stream)


# --- what is reported to result objects -----------------------------------------------------------------------------


def _wrap_all_reports(kind: Any) -> None:
    for owner in kind.__mro__[:-1]:
        _wrap_reports(owner)


def _wrap_reports(owner: Any) -> None:
    """*owner*: the class of a runner's results, or one that it inherits from."""
    for name in _REPORTS:
        original = owner.__dict__.get(name)
        if type(original) is FunctionType and not hasattr(original, "_parasuite_wraps"):
            with contextlib.suppress(AttributeError, TypeError):  # A class that cannot be changed.
                setattr(owner, name, _disguised(within(original, partial(_reporting, name)), original))


@contextlib.contextmanager
def _reporting(name: str, receiver: Any, args: Any, kwargs: Any) -> Any:
    """Within the block a test or a fixture is reported to the result object *receiver*, by its method *name*."""
    record = guarded(_reported, name, receiver, args, kwargs)
    try:
        yield
    finally:
        if record is not None:
            record.is_reporting = False
            if record.is_of_fixture:
                _records.pop(id(_test_of(args, kwargs)), None)


def _test_of(args: Any, kwargs: Any) -> Any:
    """What was given as the first parameter, *test*."""
    return args[0] if args else kwargs.get("test")


def _reported(name: str, receiver: Any, args: Any, kwargs: Any) -> _Record | None:
    """Note what is reported. The record, if the caller has to end its report; None within another report of it, since
    the methods of result objects call one another.
    """
    test = _test_of(args, kwargs)
    details = args[1:] or tuple(value for key, value in kwargs.items() if key != "test")
    record = _records.get(id(test))
    if record is None:
        # A skip within a subtest names the subtest.
        record = _records.get(id(getattr(test, "test_case", None)))
    if record is None:
        return _write_fixture(name, test, details) if type(test).__name__ == "_ErrorHolder" else None
    if record.is_reporting:
        return None
    record.is_reporting = True
    _note(record.of(receiver), name, details)
    return record


def _note(record: _Record, name: str, details: Any) -> None:
    if name == "addSuccess":
        record.add("passed", "", "")
    elif name == "addSkip":
        record.add("skipped", _described(details[0]) if details else "", "")
    elif name == "addExpectedFailure":
        record.add("skipped", "expected failure", "")
    elif name == "addUnexpectedSuccess":
        record.add("failed", "unexpected success", "")
    elif name == "addSubTest":
        subtest, error = (*details, None, None)[:2]
        if error is not None:
            message, text = _texts_of(error)
            description = _described(subtest, "_subDescription")
            is_failure = issubclass(error[0], subtest.test_case.failureException)
            record.add("failed" if is_failure else "error", f"{description} {message}", f"{description}\n{text}")
    else:
        message, text = _texts_of(details[0] if details else None)
        if record.phase:
            # The loader puts a whole traceback into the message; its last line says what was wrong.
            message = message.rpartition("\n")[2]
        record.add("failed" if name == "addFailure" else "error", message, text)


def _write_fixture(name: str, holder: Any, details: Any) -> _Record | None:
    """Write that the set-up or tear-down of a class or module failed, or that the set-up skipped it."""
    found = _FIXTURE.match(str(holder.id()))
    stream = _stream()
    if stream is None or found is None or name not in ("addError", "addFailure", "addSkip"):
        return None
    # What a runner reports that runs within a test or a fixture is not a result of the copy.
    if tests.is_within() and _set_up.get(get_ident()) != found.group(3):
        return None
    is_set_up = found.group(1) == "setUp"
    # Named like its class or module, whose tests it represents, since none of them runs.
    record = _Record(found.group(3) if is_set_up else found.group(), "collection" if is_set_up else "")
    _note(record, name, details)
    if name != "addSkip":
        record.outcome = "error"
        record.messages = [f"{found.group(1)}{found.group(2)} failed: {message}" for message in record.messages]
    record.is_reporting = record.is_of_fixture = True
    _records[id(holder)] = record
    record.write(stream)
    return record


def _texts_of(error: Any) -> tuple[str, str]:
    """The last line and the traceback of *error*: what sys.exc_info() gives, or an object of the runner's own."""
    import traceback

    try:
        if isinstance(error, tuple) and len(error) == 3:
            kind, value, frames = error
            while frames is not None and "__unittest" in frames.tb_frame.f_globals:
                frames = frames.tb_next
            message = "".join(traceback.format_exception_only(kind, value)).strip()
            return message, "".join(traceback.format_exception(kind, value, frames))
        # twisted.python.failure.Failure
        value, get_traceback = getattr(error, "value", None), getattr(error, "getTraceback", None)
        if isinstance(value, BaseException) and callable(get_traceback):
            return "".join(traceback.format_exception_only(type(value), value)).strip(), str(get_traceback())
        return _described(error), ""
    except Exception as problem:  # noqa: BLE001
        return f"[not shown: {type(problem).__name__}]", ""  # From the exception's own methods.


def _described(value: Any, method: str = "__str__") -> str:
    """*value* as text."""
    try:
        return str(getattr(value, method)())
    except Exception as problem:  # noqa: BLE001
        return f"[not shown: {type(problem).__name__}]"  # From the program's own __str__ or __repr__.


# --- suites ---------------------------------------------------------------------------------------------------------


def patch_suite(suite: Any) -> None:
    """*suite*: the module unittest.suite. Calls made in setUpClass belong to "CLASS.setUpClass"."""
    set_up = getattr(suite.TestSuite, "_handleClassSetUp", None)
    set_up_module = getattr(suite.TestSuite, "_handleModuleFixture", None)
    if set_up is not None and set_up_module is not None:
        suite.TestSuite._handleClassSetUp = _disguised(within(set_up, _setting_up_class), set_up)
        suite.TestSuite._handleModuleFixture = _disguised(within(set_up_module, _setting_up_module), set_up_module)

    root = suite.BaseTestSuite
    call = root.__call__

    def in_order(suite_of_tests: Any, *_: Any) -> Any:
        return _in_order(suite_of_tests, root, suite.case.TestCase)

    root.__call__ = _disguised(within(call, in_order), call)


def _setting_up_module(_: Any, args: Any, kwargs: Any) -> Any:
    return tests.in_fixture(f"module:{_test_of(args, kwargs).__class__.__module__}.setUpModule")


@contextlib.contextmanager
def _setting_up_class(_: Any, args: Any, kwargs: Any) -> Any:
    kind = _test_of(args, kwargs).__class__
    owner = f"{kind.__module__}.{kind.__qualname__}"
    name = f"{owner}.setUpClass"
    with tests.running(name) as is_outermost, tests.in_fixture(f"class:{name}"):
        if not is_outermost:
            yield
            return
        _set_up[get_ident()] = owner
        try:
            yield
        finally:
            _set_up.pop(get_ident(), None)


@contextlib.contextmanager
def _in_order(suite: Any, root: Any, case: Any) -> Any:
    """Within the block *suite* runs; unless it is part of another, or a test's own, its tests and end are written."""
    stream = None if tests.is_within() or get_ident() in _in_suite else guarded(_stream)
    if stream is None:
        yield
        return
    _in_suite.add(get_ident())
    try:
        guarded(_write_collected, stream, suite, root, case)
        yield
        guarded(stream.write_end)
    finally:
        _in_suite.discard(get_ident())


def _write_collected(stream: Stream, suite: Any, root: Any, case: Any) -> None:
    """Write the ids of the tests in *suite*. Its own list is read: to iterate over a suite may have effects."""
    waiting, ids = [suite], []
    while waiting:
        found = waiting.pop()
        if isinstance(found, root):
            inner = found.__dict__.get("_tests")
            waiting += reversed(inner) if isinstance(inner, list) else []
        elif isinstance(found, case) and not _container_of(found):
            test_id = _id_of(found)
            if test_id:
                ids.append(test_id)
    stream.write_collected(ids)
