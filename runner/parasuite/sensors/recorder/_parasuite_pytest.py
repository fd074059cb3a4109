"""The pytest plug-in of a copy: appends every collected id and every result to results.jsonl as it happens.

Loaded by `-p _parasuite_pytest` into whatever pytest the project has (pytest 7 or newer, Python 3.9 or newer); if a
command starts pytest, registered when its session starts (_parasuite_sessions). It imports nothing but the standard
library, pytest and modules of the recorder. With xdist only the controller writes; forked children and pytest
runs within a test write nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any, TypedDict

import _parasuite_tests as tests
import pytest
from _parasuite_bytecode import compile_into
from _parasuite_environment import hidden
from _parasuite_results import VARIABLE, KeptLines, Stream, both_ends_of, end_of, is_started_by_a_test

_ATTEMPTS_MAX = 20
_NAME = "parasuite-results"

if "PARASUITE_BYTECODE" in hidden and VARIABLE not in hidden and sys.pycache_prefix is None:
    # The user wants no compiled files next to the tests. But without them pytest would compile every test file again
    # in each copy, so pytest's go into a folder of parasuite's. Other Python processes of the copy write none.
    compile_into(hidden["PARASUITE_BYTECODE"])

importer: Any = None
if "PARASUITE_IMPORTER" in hidden:
    # Before the user's code runs, so that it sees what that opens.
    from _parasuite_importer import Importer

    importer = Importer(hidden["PARASUITE_IMPORTER"])


def _reason(report: Any) -> str:
    """The one line that says why: the skip reason, or the last line of the failure."""
    if getattr(report, "wasxfail", None):
        return str(both_ends_of(f"xfail: {report.wasxfail}"))
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(both_ends_of(str(longrepr[2])))
    crash = getattr(longrepr, "reprcrash", None)
    message = str(crash.message) if crash is not None else str(longrepr or "")
    return str(both_ends_of(message))


def _text(report: Any) -> str:
    """The traceback and the captured output."""
    captured = "".join(f"\n--- {title} ---\n{text}" for title, text in report.sections)
    return str(end_of(str(report.longrepr)) + end_of(captured))


def _collection_reason(report: Any) -> str:
    """Why a file could not be collected: the line of the traceback that names the last exception."""
    reason = _reason(report)
    # pytest marks every line of an exception's message with an E; the first of them has the exception's name.
    marked = [line[1:].strip() for line in reason.splitlines() if line.startswith("E ")]
    named = [line for line in marked if re.match(r"[\w.]+: ", line)]
    return (named or marked or [reason])[-1]


class _Result(TypedDict):
    """What is known of a test so far. *outcome*: "rerun" while it is run again."""

    outcome: str
    duration_s: float
    message: str
    text: str


class ResultsPlugin:
    """Folds the reports of each test into one line.

    The failed attempts of a test that is run again are kept. Three plug-ins are known. pytest-rerunfailures reports a
    failed attempt with the outcome "rerun" and calls logfinish after each attempt, or only once. pytest-retry reports
    it with the outcome "retried" and continues within the same test. flaky makes a failed report that no hook gets.
    """

    def __init__(self, stream: Stream | KeptLines, barrier: str = "") -> None:
        self._stream = stream
        self._barrier = barrier
        self._nodes_collected = 0
        self._is_controller = False  # Of xdist: the tests run in its workers.
        self._running: dict[str, _Result] = {}
        self._attempts: dict[str, list[dict[str, str]]] = {}
        self._made: dict[str, list[Any]] = {}  # Failed reports that logreport has not received yet.

    def pytest_sessionstart(self, session: Any) -> None:
        self._is_controller = session.config.pluginmanager.has_plugin("dsession")
        # By now pytest-randomly has drawn a seed if none was given. Hypothesis has a seed only if one was given.
        if isinstance(self._stream, Stream):
            self._write_seeds(session.config)

    def _write_seeds(self, config: Any) -> None:
        known = {"pytest-randomly": "randomly_seed", "hypothesis": "hypothesis_seed"}
        seeds = {name: config.getoption(option, None) for name, option in known.items()}
        if any(seed is not None for seed in seeds.values()):
            self._stream.write("seeds", seeds={name: seed for name, seed in seeds.items() if seed is not None})

    def become_copy(self, stream: Stream, barrier: str, session: Any) -> None:
        """Called in a process that was forked from an importer: from now on write into *stream*, also what was kept.

        *barrier*: the file that it waits for before its first test.
        """
        if isinstance(self._stream, KeptLines):
            self._stream.pour_into(stream)
        self._stream, self._barrier = stream, barrier
        self._write_seeds(session.config)

    def pytest_collection_finish(self, session: Any) -> None:
        self._stream.write_collected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Any) -> None:
        self._stream.write_collected(list(ids))
        self._nodes_collected += 1
        if self._nodes_collected == node.workerinput.get("workercount"):
            self._wait()  # The controller gives its workers their first tests after this.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> None:
        if not self._is_controller and not session.config.getoption("collectonly", False):
            self._wait()

    def _wait(self) -> None:
        """Wait until all copies have collected their tests, or until parasuite lets this one go anyway."""
        if not self._barrier or not os.path.exists(self._barrier):
            return
        self._stream.write("waiting")
        with contextlib.suppress(ImportError, OSError):
            from fcntl import LOCK_SH, flock

            with open(self._barrier, "rb") as barrier:
                flock(barrier, LOCK_SH)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self._stream.write(
                "result",
                id=report.nodeid or "collection",
                phase="collection",
                outcome="error" if report.failed else "skipped",
                duration_s=0.0,
                message=_collection_reason(report) if report.failed else _reason(report),
                text=end_of(str(report.longrepr)) if report.failed else "",
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
        self._stream.write("started", id=nodeid, **({"elsewhere": True} if self._is_controller else {}))

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
            # Reports whose outcome a plug-in has changed are not failures any more.
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
        self._stream.write("internal-error", text=end_of(str(excrepr)))

    def pytest_sessionfinish(self) -> None:
        # When an xdist worker crashes, its test fails without a logfinish. An interrupted test gets no result: that
        # its set-up passed does not mean that the test passed.
        for nodeid, result in list(self._running.items()):
            if result["outcome"] in ("failed", "error"):
                self.pytest_runtest_logfinish(nodeid, None)
        self._stream.write_end()


@pytest.hookimpl(tryfirst=True)  # Before pytest-randomly and Hypothesis read their options.
def pytest_configure(config: Any) -> None:
    if importer is not None and importer.configure(config):
        results = ResultsPlugin(KeptLines())
        config.pluginmanager.register(results, _NAME)
        importer.is_forked_with(
            lambda session, folder: results.become_copy(Stream(folder), _barrier(folder), session)
        )
        return
    folder = os.environ.get("PARASUITE_COPY_DIR")
    if folder:
        if "PARASUITE_SEED" in os.environ:
            seed(config, int(os.environ["PARASUITE_SEED"]))
        register(config, folder, _barrier(folder))


def _barrier(folder: str) -> str:
    return os.path.join(os.path.dirname(os.path.dirname(folder)), "barrier")


def seed(config: Any, number: int) -> None:
    """Give plug-ins that take a seed *number*, unless the user gave them one."""
    if getattr(config.option, "randomly_seed", None) == "default":
        config.option.randomly_seed = number
    if getattr(config.option, "hypothesis_seed", 0) is None:
        config.option.hypothesis_seed = str(number)


def register(config: Any, folder: str, barrier: str = "") -> ResultsPlugin | None:
    """Have a session's results written into *folder*. None if they are already, or if it is an xdist worker's.

    *barrier*: the file that it waits for before its first test; "" not to wait.
    """
    if hasattr(config, "workerinput") or config.pluginmanager.has_plugin(_NAME):
        return None
    plugin = ResultsPlugin(Stream(folder), barrier)
    config.pluginmanager.register(plugin, _NAME)
    return plugin


def record_session(session: Any) -> None:
    """Have the results of a session that has just started written, unless a test runs it."""
    folder = hidden.get(VARIABLE)
    if folder and not tests.is_within() and not is_started_by_a_test(folder):
        plugin = register(session.config, folder)
        if plugin is not None:
            plugin.pytest_sessionstart(session)
