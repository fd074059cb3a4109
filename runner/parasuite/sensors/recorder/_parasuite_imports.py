"""Whether copies can be forked from a process that has imported the tests: what importing has opened or assigned.

What a copy would have of its own if it imported the tests itself must not be shared by all. Some of that is made
private in each copy (_parasuite_private). For the rest there is a reason here why copies cannot be forked, with the
line that did it where that is known.

Not seen: what native code opens and closes again, what a process did that was started meanwhile, and values that
differ from process to process in other ways than by a port or a path (os.getpid() at the top of a module).

Standard library and modules of the recorder only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import sys
import threading
import weakref
from typing import Any

from _parasuite_frames import user_frames

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable

_COPYS_OWN = ("PARASUITE_COPY", "PARASUITE_COPY_DIR", "PARASUITE_SEED")
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
# Modules that may contain the folder for temporary files: a copy changes what they have.
_EXPECTED = ("sys", "tempfile", "os", "posix")
_NAMED_DEPTH = 2
_THREAD_LOOKS, _THREAD_LOOK_EVERY_S = 200, 0.005


def _line(frame: Any) -> str:
    """The user's line that the call of *frame* comes from, as "while importing FILE:LINE"."""
    frames: str = user_frames(frame, str)
    file, _, rest = frames.split("\n", 1)[0].partition(":")
    return f"while importing {file}:{rest.partition(':')[0]}" if file else "while importing"


class _Variables(dict):  # type: ignore[type-arg]
    """The variables of os.environ. Notes which of those that only copies have are asked for."""

    def __init__(self, variables: dict[Any, Any], note: Any) -> None:
        super().__init__(variables)
        self._note = note

    def __missing__(self, key: Any) -> Any:
        name = os.fsdecode(key)
        if name in _COPYS_OWN:
            self._note(f"${name} was read {_line(sys._getframe(1))}")
        raise KeyError(key)


class Watch:
    """Notes what is opened from now on. *orders*: the descriptor of the importer's own socket."""

    def __init__(self, orders: int) -> None:
        self._orders = orders
        self._reasons: list[str] = []
        self._sockets: list[tuple[Any, str]] = []
        self._threads: list[tuple[Any, str]] = []
        self._scratch = os.environ.get("TMPDIR", "")
        self._descriptors = _descriptors()
        self._undo: list[Any] = []
        self._watch_sockets()
        self._watch_threads()
        self._watch_environment()

    def end(self) -> None:
        """Take back what was changed to see."""
        for undo in self._undo:
            undo()

    def _watch_sockets(self) -> None:
        kind, sockets, reasons = socket.socket, self._sockets, self._reasons
        original, name_of = kind.__init__, kind.getsockname

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            sockets.append((weakref.ref(self), _line(sys._getframe(1))))

        def getsockname(self: Any) -> Any:
            name = name_of(self)
            if isinstance(name, tuple) and name[1] and not _is_connected(self):
                reasons.append(f"port {name[1]} was assigned {_line(sys._getframe(1))}")
            return name

        setattr(kind, "__init__", __init__)  # noqa: B010 - the type checker forbids to assign to a method
        setattr(kind, "getsockname", getsockname)  # noqa: B010
        self._undo += [lambda: setattr(kind, "__init__", original), lambda: delattr(kind, "getsockname")]

    def _watch_threads(self) -> None:
        threads, original = self._threads, threading.Thread.start

        def start(self: Any) -> None:
            threads.append((weakref.ref(self), _line(sys._getframe(1))))
            original(self)

        threading.Thread.start = start  # type: ignore[method-assign]
        self._undo.append(lambda: setattr(threading.Thread, "start", original))

    def _watch_environment(self) -> None:
        variables = getattr(os.environ, "_data", None)
        if not isinstance(variables, dict):
            return

        def view(of: dict[Any, Any]) -> None:
            # os.environb has the same dictionary.
            for each in (os.environ, os.environb):
                setattr(each, "_data", of)  # noqa: B010 - typeshed does not know it

        watched = _Variables(variables, self._reasons.append)
        view(watched)
        self._undo.append(lambda: view(dict(watched)))

    def why_unfit(self, session: Any) -> str:
        """Why copies cannot be forked; "" if they can. *session*: pytest's, which has just collected the tests."""
        checks: tuple[Callable[[], str], ...] = (
            lambda: next(iter(self._reasons), ""),
            lambda: "not all tests could be collected" if session.testsfailed or session.shouldstop else "",
            lambda: _why_plugins(session.config),
            self._why_threads,
            _why_processes,
            lambda: self._why_descriptors(session.config),
            _why_memory,
            _why_timers,
            lambda: self._why_scratch(session.config),
        )
        for check in checks:
            if why := check():
                return why
        return ""

    def _why_threads(self) -> str:
        for found, line in self._threads:
            thread = found()
            if thread is not None and thread.is_alive():
                return f"the thread {thread.name} was started {line}"
        return "a thread was started by native code" if _has_other_threads() else ""

    def _why_descriptors(self, config: Any) -> str:
        """Whether a descriptor is open that copies would share, with its place in a file, or whatever it is."""
        of_sockets = {each.fileno(): line for found, line in self._sockets if (each := found()) is not None}
        allowed = {self._orders, *_captured(config)}
        outputs = {_identity(descriptor) for descriptor in range(3)}
        for descriptor, target in _descriptors().items():
            if descriptor in allowed or self._descriptors.get(descriptor) == target:
                continue
            identity = _identity(descriptor)
            if identity is None or identity in outputs:
                continue
            if stat.S_ISCHR(identity[0]):
                continue
            line = of_sockets.get(descriptor, "while importing")
            what = "a socket" if stat.S_ISSOCK(identity[0]) else target
            return f"{what} was opened {line}, and is still open"
        return ""

    def _why_scratch(self, config: Any) -> str:
        """Whether something of the importer's folder for temporary files is in use, which copies would share."""
        factory = getattr(config, "_tmp_path_factory", None)
        if getattr(factory, "_basetemp", None) is not None:
            return "pytest's folder for tmp_path was made while importing"
        for name in os.listdir(self._scratch):
            return f"the temporary file or folder {name} was made while importing"
        for name, module in list(sys.modules.items()):
            if name not in _EXPECTED and not name.startswith("_parasuite_"):
                for key, value in list(getattr(module, "__dict__", {}).items()):
                    if _mentions(value, self._scratch, name):
                        return f"{name}.{key} contains the folder for temporary files, which was read while importing"
        return ""


def _is_connected(sock: Any) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _descriptors() -> dict[int, str]:
    """What each open descriptor leads to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # That of the listing itself.
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _identity(descriptor: int) -> tuple[int, int, int] | None:
    """The kind and the identity of the file; None if the descriptor is closed."""
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        return status.st_mode, status.st_dev, status.st_ino
    return None


def _captured(config: Any) -> set[int]:
    """The descriptors with which pytest captures output; each copy gets its own."""
    manager = config.pluginmanager.getplugin("capturemanager")
    streams = getattr(manager, "_global_capturing", None)
    found = set()
    for name in ("in_", "out", "err"):
        stream = getattr(streams, name, None)
        found.add(getattr(stream, "targetfd_save", -1))
        with contextlib.suppress(AttributeError, OSError, ValueError):
            found.add(stream.tmpfile.fileno())  # type: ignore[union-attr]
    return found


def _why_plugins(config: Any) -> str:
    if config.pluginmanager.has_plugin("random_order"):
        return "pytest-random-order has drawn the order of the tests"
    if getattr(sys.modules.get("gevent.monkey"), "saved", None):
        return "gevent has replaced functions of the standard library"
    coverage = getattr(sys.modules.get("coverage"), "Coverage", None)
    if coverage is not None and coverage.current() is not None:
        return "coverage measures this process"
    return ""


def _has_other_threads() -> bool:
    """Whether the kernel knows other threads of this process. One that was joined is there a moment longer."""
    for _ in range(_THREAD_LOOKS):
        if len(os.listdir("/proc/self/task")) == 1:
            return False
        select.select((), (), (), _THREAD_LOOK_EVERY_S)
    return True


def _why_processes() -> str:
    """Whether a child of this process lives, or one that has left it, which its parent has got then."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return "a process was started while importing, and has not been waited for"
    with contextlib.suppress(OSError):
        parent = os.getppid()
        with open(f"/proc/{parent}/task/{parent}/children", "rb") as stream:
            if len(stream.read().split()) > 1:
                return "a process was started while importing, and runs on in the background"
    return ""


def _why_memory() -> str:
    with open("/proc/self/maps", "rb") as stream:
        for line in stream:
            permissions, *rest = line.split()[1:]
            if permissions[1:2] == b"w" and permissions[3:4] == b"s":
                name = os.fsdecode(b" ".join(rest[3:])) or "memory"
                return f"{name} was mapped while importing, for several processes to write to"
    return ""


def _why_timers() -> str:
    return "a timer was set while importing" if any(signal.getitimer(each)[0] for each in _TIMERS) else ""


def _mentions(value: Any, path: str, module: str, depth: int = _NAMED_DEPTH) -> bool:
    """Whether *value*, of a variable of *module*, contains *path*; classes and collections are looked into."""
    if isinstance(value, (str, os.PathLike)):
        with contextlib.suppress(TypeError, ValueError):
            return path in os.fsdecode(value)
        return False
    if depth == 0 or value is os.environ:
        return False
    if isinstance(value, type) and value.__module__ == module:
        return any(_mentions(each, path, module, depth - 1) for each in list(vars(value).values()))
    if type(value) is dict:
        return any(_mentions(each, path, module, depth - 1) for each in list(value.values()))
    if type(value) in (list, tuple, set):
        return any(_mentions(each, path, module, depth - 1) for each in list(value))
    return False
