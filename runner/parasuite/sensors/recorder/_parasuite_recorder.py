"""The recorder inside a copy's Python processes: test and line of every bind, listen, connect and send.

Where another sensor sees the calls from outside, it only says on the process' page which test and line are behind
the one that is about to be made. Alone ("events"), it writes the calls and their results itself (_parasuite_log).
Standard library, Python 3.9 or newer. Nothing is imported into the program early: modules are patched as they are
imported.
"""

from __future__ import annotations

import _socket
import os
import sys
import sysconfig

import _parasuite_tests as tests
from _parasuite_page import BIND, CONNECT, LISTEN, SEND, Page

TYPE_CHECKING = False  # As typing has it, without the price of importing that.
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_CWD = os.getcwd()
_INET = (_socket.AF_INET, getattr(_socket, "AF_INET6", -1))
_KINDS = {"socket.bind": BIND, "socket.connect": CONNECT, "socket.sendto": SEND}
_LINE_FRAMES_MAX = 60
# Helpers whose callers are asked for: the line that chose the number is theirs.
_HELPERS = frozenset({"netsupport", "test.support", "gevent"})


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.join(os.path.normcase(paths[name]), "") for name in ("stdlib", "platstdlib")})


_LIBRARY = _library_folders()
# Below the library's folder and yet not of it: what was installed there, and Python's own tests.
_USERS = tuple(folder + part for folder in _LIBRARY for part in ("site-packages", "dist-packages", "test" + os.sep))
_shown: dict[str, str] = {}


def _show(path: str) -> str:
    """How *path* is written in a source line; "" for the library's own files, the recorder's and generated code."""
    shown = _shown.get(path)
    if shown is None:
        absolute = os.path.normcase(os.path.abspath(path))
        is_librarys = absolute.startswith(_LIBRARY) and not absolute.startswith(_USERS)
        if path.startswith("<") or absolute.startswith(os.path.join(_HERE, "")) or is_librarys:
            shown = ""
        else:
            shown = absolute[len(_CWD) + 1 :] if absolute.startswith(os.path.join(_CWD, "")) else absolute
        _shown[path] = shown
    return shown


def source_line(frame: Any) -> str:
    """ "file:line:function" of the first frame of the user's own, from *frame* outwards; else of the outermost
    one.
    """
    outermost = ""
    for _ in range(_LINE_FRAMES_MAX):
        if frame is None:
            break
        code = frame.f_code
        shown = _show(code.co_filename)
        if shown:
            module = frame.f_globals.get("__name__") or ""
            outermost = f"{shown}:{frame.f_lineno}:{code.co_name}"
            if module.partition(".")[0] not in _HELPERS and ".".join(module.split(".")[:2]) not in _HELPERS:
                return outermost
        frame = frame.f_back
    return outermost


class Recorder:
    """One process' recorder; after a fork it makes a page of its own."""

    def __init__(self, folder: str, writes_events: bool) -> None:
        self._pages = os.path.join(folder, "pages")
        self._folder = folder
        self._page = Page(self._pages)
        self.log = None
        if writes_events:
            from _parasuite_log import Log

            self.log = Log(os.path.join(folder, "recorder"))
        tests.on_change(self._process_test)
        inherited = tests.current()[0]
        if inherited:
            self._process_test(inherited)

    def _process_test(self, test: str) -> None:
        self._page.publish(0, 0, -1, test, "", 0)

    def say(self, kind: int, descriptor: int, frame: Any) -> tuple[str, str, int]:
        """Publish that the calling thread is about to make a call of *kind*; what was said."""
        test, attribution = tests.current()
        line = source_line(frame)
        self._page.publish(tests.native_id(), kind, descriptor, test, line, attribution)
        return test, line, attribution

    def forked(self) -> None:
        try:
            self._page = Page(self._pages)
        except OSError:
            return  # The run is over; the parent's page is still mapped, and nobody reads it any more.
        if self.log is not None:
            self.log.forked()
        tests.forked()


def install(folder: str, writes_events: bool) -> None:
    """Record this process. Raises OSError if its page cannot be made."""
    recorder = Recorder(folder, writes_events)
    log = recorder.log

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if log is not None and log.pending:
            log.settle()
        kind = _KINDS.get(event)
        if kind is None:
            return
        sock = arguments[0]
        if kind == BIND or sock.family in _INET:
            said = recorder.say(kind, sock.fileno(), sys._getframe(1))
            if log is not None:
                log.announced(kind, sock, arguments[1], said)

    sys.addaudithook(hook)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.forked)
    patches = {
        "threading": tests.patch_threading,
        "_pytest.runner": tests.patch_pytest,
        "unittest.case": tests.patch_unittest_case,
        "unittest.suite": tests.patch_unittest_suite,
        "socket": lambda module: _patch_socket(module, recorder),
    }
    for name in list(patches):
        module = sys.modules.get(name)
        if module is not None:
            patches.pop(name)(module)
    sys.meta_path.insert(0, _AsImported(patches))


def _patch_socket(module: Any, recorder: Recorder) -> None:
    listen = _socket.socket.listen
    log = recorder.log

    def listen_and_say(self: Any, *args: Any) -> Any:
        if self.family in _INET:
            said = recorder.say(LISTEN, self.fileno(), sys._getframe(1))
            if log is not None:
                return log.listening(self, said, lambda: listen(self, *args))
        return listen(self, *args)

    listen_and_say.__doc__ = listen.__doc__
    listen_and_say.__name__ = "listen"
    listen_and_say.__qualname__ = "socket.listen"
    module.socket.listen = listen_and_say
    if log is not None:
        log.patch(module)


class _AsImported:
    """A finder that finds nothing: it has the modules that others find patched once they are loaded."""

    def __init__(self, patches: dict[str, Any]) -> None:
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
                _load_then(spec, patch)
                return spec
        return None


def _load_then(spec: Any, patch: Any) -> None:
    loader = spec.loader
    load = getattr(loader, "exec_module", None)
    if load is None:
        return

    def exec_module(module: Any) -> None:
        del loader.exec_module
        load(module)
        patch(module)

    try:
        loader.exec_module = exec_module
    except (AttributeError, TypeError):
        return  # A loader that is a class of its own kind (frozen modules): its tests stay unnamed.
