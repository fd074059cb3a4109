"""The importer: a pytest that collects the tests once, from which the copies of `--start fork` are then forked.

It runs like any other pytest until all tests are collected, before they are selected and put into order. There it
finds out whether it can be forked (_parasuite_imports), and says so. If it cannot, it ends, and each copy starts by
itself. If it can, it forks a copy for each order that comes (parasuite.run.supervisor.forked). Each of these makes
private what it shares with the others (_parasuite_private), and goes on as pytest does after collecting.

Standard library, pytest and modules of the recorder only. What forks is loaded from parasuite, in modules of its own
that the user's code neither sees nor finds.
"""

from __future__ import annotations

import gc
import importlib
import json
import signal
import socket
import sys
from importlib.machinery import PathFinder
from typing import Any

import pytest
from _parasuite_environment import set_hidden
from _parasuite_imports import Watch
from _parasuite_private import Shared

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OLDEST_PYTHON = (3, 11)
_WHY_MAX = 500
_END_WITHIN_S = 3
_PACKAGE = "parasuite"
_FORKED = "parasuite.run.supervisor.forked"


class Importer:
    """*variable*: PARASUITE_IMPORTER, as parasuite.run.supervisor.main_process writes it."""

    def __init__(self, variable: str) -> None:
        set_hidden("PARASUITE_IMPORTER", "")
        descriptor, root, self._folder = json.loads(variable)
        self._orders = socket.socket(fileno=descriptor)
        self._orders.set_inheritable(False)
        self._become_copy: list[Callable[[Any, str], None]] = []
        self._is_importer = True
        self._root = root
        self._forked: Any = None
        self._unfit = self._why_not_here()
        if not self._unfit:
            self._forked = _loaded(root)
        self._watch = Watch(self._orders.fileno())
        self._shared = Shared(self._folder)

    @staticmethod
    def _why_not_here() -> str:
        if sys.implementation.name != "cpython":
            return f"{sys.implementation.name} is not CPython"
        if sys.version_info < _OLDEST_PYTHON:
            return f"Python {sys.version_info[0]}.{sys.version_info[1]} is older than 3.11"
        return ""

    def configure(self, config: Any) -> bool:
        """Take the session of *config* for the one that is forked; False if there is one already, or was."""
        if not self._is_importer:
            return False
        self._is_importer = False
        self._shared.note_options(config)
        config.pluginmanager.register(_Hooks(self), "parasuite-importer")
        return True

    def is_forked_with(self, become_copy: Callable[[Any, str], None]) -> None:
        """Have *become_copy* called in each copy with its session and its folder."""
        self._become_copy.append(become_copy)

    def refuse(self, why: str) -> None:
        """Say that copies cannot be forked from here, for the reason *why*, and end pytest."""
        self._answer(why)
        # What was started while importing may keep it from ending: threads that nothing stops.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        signal.alarm(_END_WITHIN_S)
        pytest.exit(why, returncode=0)

    def _answer(self, why: str) -> None:
        self._orders.send(json.dumps({"message": "ImporterReady", "why": why[:_WHY_MAX]}).encode())

    def fork(self, session: Any) -> None:
        """Fork the copies; returns in each of them, never here."""
        why = self._unfit or self._watch.why_unfit(session)
        if why:
            self.refuse(why)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        # The copies' garbage collectors leave what is here alone, or they would copy every page of it.
        gc.freeze()
        self._answer("")
        main_process = self._forked.forked_copy(self._orders)
        try:
            self._watch.end()
            self._shared.make_private(main_process.order, session)
            main_process.enter_sensor()
            self._shared.record(main_process.order)
            for become_copy in self._become_copy:
                become_copy(session, main_process.order.env["PARASUITE_COPY_DIR"])
        except OSError as error:
            main_process.has_failed(f"{error.filename or 'start'}: {error.strerror}")
        main_process.begin()


class _Hooks:
    """The pytest plug-in."""

    def __init__(self, importer: Importer) -> None:
        self._importer = importer
        self._is_copy = False

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self, session: Any) -> Iterator[None]:
        if session.config.pluginmanager.has_plugin("dsession"):
            self._importer.refuse("pytest-xdist starts workers, which import the tests themselves")
        yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session: Any) -> Iterator[None]:
        if not self._is_copy:
            self._importer.fork(session)
            self._is_copy = True
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        if not self._is_copy:
            self._importer.refuse("a plug-in collects the tests in its own way")


class _Finder:
    """Finds the package parasuite in *root*, wherever else there may be one."""

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        del target
        if name == _PACKAGE:
            return PathFinder.find_spec(name, [self._root])
        return PathFinder.find_spec(name, path) if name.startswith(_PACKAGE + ".") else None


def _loaded(root: str) -> Any:
    """parasuite.run.supervisor.forked of the installation in *root*, which leaves no trace in sys.modules."""
    before = _modules()
    for name in before:
        del sys.modules[name]
    finder = _Finder(root)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module(_FORKED)
    finally:
        sys.meta_path.remove(finder)
        for name in _modules():
            del sys.modules[name]
        sys.modules.update(before)


def _modules() -> dict[str, Any]:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == _PACKAGE}
