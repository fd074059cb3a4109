"""pytest plug-in on a copy's path: every collected id and every result, one line of JSON each, as it happens.

Loaded by `-p _parasuite_pytest` into whatever pytest the project has (pytest 7 or newer, Python 3.9 or newer), so it
imports nothing but the standard library and pytest. Under xdist only the controller reports; a forked child and
an inner pytest run stay silent.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from typing import Any

import pytest

_TEXT_MAX = 16_000
_ATTEMPTS_MAX = 20

if "PARASUITE_BYTECODE" in os.environ and sys.pycache_prefix is None:
    # The user wants no compiled files beside the tests; but without any, pytest would compile and rewrite every test
    # file in each copy again. So pytest's go into a folder of parasuite's. Other Pythons of the copy have none.
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ["PARASUITE_BYTECODE"]


class _Stream:
    """Appends to results.jsonl by one write(2) a line, so that a line is torn only by the death of its writer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._owner = os.getpid()
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(self._path, flags, 0o666)
        self._file = self._found()

    def _found(self) -> tuple[int, int] | None:
        """Which file the descriptor is of; None if it is closed."""
        with contextlib.suppress(OSError):
            found = os.fstat(self._descriptor)
            return found.st_dev, found.st_ino
        return None

    def write(self, event: str, **facts: object) -> None:
        if os.getpid() != self._owner:
            return
        line = json.dumps({"event": event, "t_ns": time.monotonic_ns(), **facts}) + "\n"
        # A result that finds no room is missing, and its test is a lost one; pytest itself goes on.
        with contextlib.suppress(OSError):
            # A test that closes every descriptor (os.closerange) closes this one too; its number may be a socket's.
            if self._found() != self._file:
                self._open()
            os.write(self._descriptor, line.encode("ascii"))


def _tail(text: str) -> str:
    """The end of *text*, where a traceback says what happened."""
    return text if len(text) <= _TEXT_MAX else "[...]\n" + text[-_TEXT_MAX:]


def _ends(text: str) -> str:
    """The beginning and the end of *text*: of a message, whose first line a report shows."""
    half = _TEXT_MAX // 2
    return text if len(text) <= _TEXT_MAX else f"{text[:half]}\n[...]\n{text[-half:]}"


def _reason(report: Any) -> str:
    """The one line that says why: the skip reason, or the last line of the failure."""
    if getattr(report, "wasxfail", None):
        return _ends(f"xfail: {report.wasxfail}")
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return _ends(str(longrepr[2]))
    crash = getattr(longrepr, "reprcrash", None)
    message = str(crash.message) if crash is not None else str(longrepr or "")
    return _ends(message)


def _text(report: Any) -> str:
    """The traceback and what was captured."""
    captured = "".join(f"\n--- {title} ---\n{text}" for title, text in report.sections)
    return _tail(str(report.longrepr)) + _tail(captured)


def _collection_reason(report: Any) -> str:
    """Why a file could not be collected: of a traceback, the line that names its last exception."""
    reason = _reason(report)
    # pytest marks the lines of an exception with an E; a message of several lines has more of them than the one.
    marked = [line[1:].strip() for line in reason.splitlines() if line.startswith("E ")]
    named = [line for line in marked if re.match(r"[\w.]+: ", line)]
    return (named or marked or [reason])[-1]


class ResultsPlugin:
    """Folds the reports of each test into one line.

    A test that fails may be run again, and its failed attempts are kept. Three ways are known: pytest-rerunfailures
    reports an attempt with the outcome "rerun", and then either finishes the test for each attempt or only once;
    pytest-retry reports it with a word of its own, "retried", and goes on within the test; flaky makes a failed
    report and hands it to no hook.
    """

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._running: dict[str, dict[str, Any]] = {}
        self._attempts: dict[str, list[dict[str, str]]] = {}
        self._made: dict[str, list[Any]] = {}  # Failed reports that were made and not reported yet.

    def pytest_sessionstart(self, session: Any) -> None:
        # By now pytest-randomly has drawn its own where none was given. hypothesis has one only where it was given.
        known = {"pytest-randomly": "randomly_seed", "hypothesis": "hypothesis_seed"}
        seeds = {name: session.config.getoption(option, None) for name, option in known.items()}
        if any(seed is not None for seed in seeds.values()):
            self._stream.write("seeds", seeds={name: seed for name, seed in seeds.items() if seed is not None})

    def pytest_collection_finish(self, session: Any) -> None:
        self._collected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Any) -> None:
        del node
        self._collected(list(ids))

    def _collected(self, ids: list[str]) -> None:
        # One line each: a suite of 100,000 tests must not make a line that no reader can hold.
        for nodeid in ids:
            self._stream.write("collected", id=nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self._stream.write(
                "result",
                id=report.nodeid or "collection",
                phase="collection",
                outcome="error" if report.failed else "skipped",
                duration_s=0.0,
                message=_collection_reason(report) if report.failed else _reason(report),
                text=_tail(str(report.longrepr)) if report.failed else "",
            )

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        del call
        made = yield
        report = made.get_result()
        if report.failed:
            self._made.setdefault(item.nodeid, []).append(report)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        del location
        self._stream.write("started", id=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._made[report.nodeid] = [made for made in self._made.get(report.nodeid, ()) if made is not report]
        so_far = self._running.get(report.nodeid)
        if so_far is None or (so_far["outcome"] == "rerun" and report.when == "setup"):
            so_far = {"outcome": "passed", "duration_s": 0.0, "message": "", "text": ""}
            self._running[report.nodeid] = so_far
        so_far["duration_s"] += getattr(report, "duration", 0.0)
        if report.outcome == "rerun":
            if so_far["outcome"] != "rerun":
                self._add_attempt(report)
            so_far["outcome"] = "rerun"
        elif so_far["outcome"] == "rerun":
            return
        elif report.outcome not in ("passed", "failed", "skipped"):
            self._add_attempt(report)
        elif report.failed and so_far["outcome"] not in ("failed", "error"):
            so_far["outcome"] = "failed" if report.when == "call" else "error"
            so_far["message"] = _reason(report)
            so_far["text"] = _text(report)
        elif report.skipped and so_far["outcome"] == "passed":
            so_far["outcome"] = "skipped"
            so_far["message"] = _reason(report)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        del location
        result = self._running.pop(nodeid, None)
        unreported = self._made.pop(nodeid, [])
        if result is None or result["outcome"] == "rerun":
            return
        if result["outcome"] not in ("failed", "error"):
            # Those that a plug-in turned into something else are no failures any more.
            for report in unreported:
                if report.failed:
                    self._add_attempt(report)
        attempts = self._attempts.get(nodeid)
        self._stream.write("result", id=nodeid, **result, **({"attempts": attempts} if attempts else {}))

    def _add_attempt(self, report: Any) -> None:
        attempts = self._attempts.setdefault(report.nodeid, [])
        if len(attempts) < _ATTEMPTS_MAX:
            attempts.append({"message": _reason(report), "text": _text(report)})

    def pytest_internalerror(self, excrepr: Any) -> None:
        self._stream.write("internal-error", text=_tail(str(excrepr)))

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        del session
        # A crashed xdist worker fails its test without a logfinish. A test that was interrupted has no result: its
        # set-up passed, which is not to be taken for the test.
        for nodeid, result in list(self._running.items()):
            if result["outcome"] in ("failed", "error"):
                self.pytest_runtest_logfinish(nodeid, None)
        self._stream.write("ended", status=int(exitstatus))


def pytest_configure(config: Any) -> None:
    folder = os.environ.get("PARASUITE_COPY_DIR")
    if folder and not hasattr(config, "workerinput"):
        plugin = ResultsPlugin(_Stream(os.path.join(folder, "results.jsonl")))
        config.pluginmanager.register(plugin, "parasuite-results")
