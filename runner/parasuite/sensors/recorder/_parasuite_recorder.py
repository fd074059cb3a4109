"""The recorder inside a copy's Python processes: the test and line of every bind, listen, connect and send.

If the seccomp sensor sees the calls, the recorder only publishes on the process's page which test and line make the
next call. Without that sensor (mode "events") it also writes the calls and their results (_parasuite_log). Standard
library only, Python 3.8 or newer. It imports no module before the program does: modules are patched when the program
imports them.
"""

from __future__ import annotations

import _socket
import _thread
import os
import sys

import _parasuite_environment as environment
import _parasuite_guard
import _parasuite_restart as restart
import _parasuite_tests as tests
from _parasuite_frames import user_frames
from _parasuite_guard import guarded
from _parasuite_page import BIND, CONNECT, LISTEN, SEND, Page

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from _parasuite_tests import CallSite

_INET = (_socket.AF_INET, getattr(_socket, "AF_INET6", -1))
# Taken from the class: a program's subclass may override them.
_family = _socket.socket.family.__get__
_fileno = _socket.socket.fileno
_KINDS = {"socket.bind": BIND, "socket.connect": CONNECT, "socket.sendto": SEND}


class Recorder:
    """The recorder of one process. A forked child gets its own page and log.

    *is_importer*: the process only imports the tests of copies that are forked from it. Nothing is recorded until
    `become_copy`.
    """

    def __init__(self, folder: str, copy: int, writes_events: bool, is_importer: bool = False) -> None:
        self._is_importer = is_importer
        self._pages = os.path.join(folder, "pages")
        self._page: Page | None = None
        self._kept: list[Any] = []
        self._worker: str | None = None
        self.log = None
        self._make_page()
        if writes_events:
            from _parasuite_log import Log

            self.log = Log(os.path.join(folder, "recorder"), copy)
            self.log.is_importer = is_importer
        tests.on_change(lambda test, fixture: guarded(self._process_test, test, fixture))
        tests.on_change(lambda _, fixture: guarded(environment.set_fixture, fixture))
        test, _, fixture = tests.current()
        if test or fixture:
            self._process_test(test, fixture)

    @property
    def has_output(self) -> bool:
        """Whether there is a page or a log to write to, or will be."""
        return self._page is not None or self.log is not None or self._is_importer

    def _make_page(self) -> None:
        # The old page stays mapped; `mapped` says why.
        self._kept.append(self._page)
        self._page, self._worker = None, None
        if self._is_importer:
            return
        if not os.path.exists(os.path.join(self._pages, str(os.getpid()))) or _is_main_interpreter():
            try:  # noqa: SIM105 - contextlib is not imported here: see _parasuite_guard.
                self._page = Page(self._pages)
            except OSError:
                # The disk is full or the run folder has gone: the seccomp sensor counts this process as unrecorded.
                pass

    def _process_test(self, test: str, fixture: str) -> None:
        if self._page is not None:
            if not self._worker:
                self._publish_worker(self._page)
            self._page.publish(0, 0, -1, test, "", 0, fixture)

    def _publish_worker(self, page: Page) -> None:
        """At the first call, and at each test until it is known: looking takes a microsecond.

        What a test makes of the variable later is not the process's worker.
        """
        self._worker = tests.xdist_worker()
        if self._worker:
            page.publish_worker(self._worker)

    def before_call(self, kind: int, arguments: tuple[Any, ...], frame: Any) -> None:
        """Called by the audit hook: a call of *kind* is about to be made. *arguments*: the socket and the address."""
        sock = arguments[0]
        if isinstance(sock, _socket.socket) and (kind == BIND or _family(sock) in _INET):
            call_site = self._publish_call(kind, sock, frame)
            if self.log is not None:
                self.log.write_announced(kind, sock, arguments[1], call_site)

    def before_listen(self, sock: Any, frame: Any) -> CallSite | None:
        """Publish a listen that is about to be made and return its attribution; None if not of an internet socket."""
        if isinstance(sock, _socket.socket) and _family(sock) in _INET:
            return self._publish_call(LISTEN, sock, frame)
        return None

    def _publish_call(self, kind: int, sock: Any, frame: Any) -> CallSite:
        test, attribution, fixture = tests.current()
        frames = user_frames(frame, tests.frames_of_starter)
        if self._page is not None:
            if self._worker is None:
                self._publish_worker(self._page)
            self._page.publish(tests.native_id(), kind, _fileno(sock), test, frames, attribution, fixture)
        return test, frames, attribution, fixture

    def become_copy(self, variable: str) -> None:
        """Record the calls of this process from now on, which was forked from an importer, as those of the copy that
        *variable*, PARASUITE_RECORDER, is about.
        """
        mode, copy, folder = variable.split(" ", 2)
        _parasuite_guard.report_to(folder, "blind" if mode == "events" else "partial")
        self._is_importer = False
        self._pages = os.path.join(folder, "pages")
        if self.log is not None:
            self.log.become_copy(os.path.join(folder, "recorder"), int(copy))
        self._make_page()

    def forked(self) -> None:
        """Called in a forked child. The log first: whatever fails, the child must not write into its parent's log."""
        if self.log is not None:
            guarded(self.log.forked)
        guarded(self._make_page)
        guarded(tests.forked)


def _is_main_interpreter() -> bool:
    """Whether this is the process's main interpreter. A subinterpreter gets no page: it would replace that one's."""
    says_so = getattr(_thread, "_is_main_interpreter", None)
    if says_so is not None:
        return bool(says_so())
    try:
        # Before Python 3.12. Imported only if needed: it is an extension module in a separate file.
        interpreters: Any = __import__("_xxsubinterpreters")
        return bool(interpreters.get_current() == interpreters.get_main())
    except ImportError:
        return True


def install(folder: str, copy: int, writes_events: bool) -> None:
    """Start to record this process, unless neither a page nor a log can be created."""
    # If the recorder writes the events, a failure loses events; if not, it loses only tests and lines.
    _parasuite_guard.report_to(folder, "blind" if writes_events else "partial")
    recorder = Recorder(folder, copy, writes_events, "PARASUITE_IMPORTER" in environment.hidden)
    if not recorder.has_output:
        return
    environment.on_become_copy(lambda variable: guarded(recorder.become_copy, variable))
    log = recorder.log

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if log is not None and log.pending:
            guarded(log.write_pending)
        kind = _KINDS.get(event)
        if kind is not None:
            guarded(recorder.before_call, kind, arguments, sys._getframe(1))

    sys.addaudithook(hook)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.forked)
    environment.follow()
    patches: dict[str, Callable[[Any], None]] = {
        "subprocess": lambda module: environment.patch_subprocess(module, tests.frames_of_child),
        "multiprocessing.util": lambda module: environment.patch_multiprocessing(module, tests.frames_of_child),
        "threading": tests.patch_threading,
        "concurrent.futures.thread": tests.patch_pool,
        "_pytest.runner": _patch_pytest,
        "_pytest.fixtures": tests.patch_fixtures,
        "unittest.case": lambda module: _unittest().patch_case(module),
        "unittest.suite": lambda module: _unittest().patch_suite(module),
        "socket": lambda module: _patch_socket(module, recorder),
    }
    if sys.platform == "linux":
        patches["gevent._socket3"] = _patch_gevent
    for name in list(patches):
        module = sys.modules.get(name)
        if module is not None:
            guarded(patches.pop(name), module)
    sys.meta_path.insert(0, _PatchingFinder(patches))


def _unittest() -> Any:
    import _parasuite_unittest

    return _parasuite_unittest


def _patch_pytest(runner: Any) -> None:
    tests.patch_pytest(runner)
    if "PARASUITE_RESULTS" in environment.hidden:
        from _parasuite_sessions import patch_pytest

        patch_pytest(runner)


def _patch_socket(module: Any, recorder: Recorder) -> None:
    if sys.platform == "linux":
        restart.patch(module.socket)
    listen = module.socket.listen
    log = recorder.log

    def recorded_listen(self: Any, *args: Any) -> Any:
        try:
            call_site = guarded(recorder.before_listen, self, sys._getframe(1))
            if call_site is not None and log is not None:
                return log.listening(self, call_site, lambda: listen(self, *args))
            return listen(self, *args)
        except BaseException as error:
            restart.hide_frames(error)
            raise

    recorded_listen.__doc__ = listen.__doc__
    recorded_listen.__name__ = "listen"
    recorded_listen.__qualname__ = "socket.listen"
    recorded_listen.__module__ = "socket"  # Where pickle looks for it by its qualified name.
    module.socket.listen = recorded_listen
    if log is not None:
        log.patch(module)


def _patch_gevent(module: Any) -> None:
    """*module*: gevent._socket3, which has its own socket class."""
    kind = getattr(module, "_wrefsocket", None)
    if kind is not None:
        restart.patch(kind)


class _PatchingFinder:
    """A finder that finds no module itself: it lets the other finders find it and patches it once it is loaded."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        patch = self._patches.pop(name, None)
        if patch is None:
            return None
        if not self._patches and self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if finder is not self and find is not None else None
            if spec is not None:
                _patch_when_loaded(spec, patch)
                return spec
        return None


def _patch_when_loaded(spec: Any, patch: Any) -> None:
    loader = spec.loader
    load = getattr(loader, "exec_module", None)
    if load is None:
        return

    def exec_module(module: Any) -> None:
        del loader.exec_module
        load(module)
        guarded(patch, module)

    try:
        loader.exec_module = exec_module
    except (AttributeError, TypeError):
        return  # A loader whose attributes cannot be set (that of frozen modules): the module stays unpatched.
