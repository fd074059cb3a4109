"""Programs and packages that tests use where they are installed, and a list of them at the end of each session.

A test without its tool is skipped, and a skip among hundreds is easily overlooked. So a test asks for its tools here,
and the summary says of each one whether a test ran with it, or why it was left out. With pytest-xdist the controller
says it of all workers: what a test asked for goes through its report's user_properties.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterable, Iterator

import pytest

_PLUGIN = "netsupport-real-tools"
_PROPERTY = "real tool"
NOT_INSTALLED, DOES_NOT_WORK = "not installed", "does not work here"

_running: list[pytest.Item] = []


def register(config: pytest.Config) -> None:
    """Have the session of *config* print the summary, whichever conftest.py comes first."""
    if not config.pluginmanager.has_plugin(_PLUGIN):
        config.addinivalue_line("markers", "real_tool(name): the test is skipped where this program is not installed")
        config.pluginmanager.register(_Plugin(), _PLUGIN)


def needs(name: str) -> pytest.MarkDecorator:
    """A mark for tests that are skipped where the program *name* is not installed."""
    return pytest.mark.real_tool(name)


def program(name: str, *check: str) -> str:
    """The path of the program *name*. The test is skipped if there is none, or if it fails with arguments *check*."""
    path, why = _looked_for(name, check)
    note(name, why)
    if why:
        pytest.skip(f"{name}: {why}")
    return path


def program_if_any(*names: str) -> str:
    """The path of the first program of *names* that is installed; "" if none is. The test is not skipped."""
    for name in names:
        if path := shutil.which(name):
            note(name)
            return path
    note(names[0], NOT_INSTALLED)
    return ""


def package(name: str) -> None:
    """The test is skipped where the Python package *name* is not installed."""
    why = "" if importlib.util.find_spec(name) is not None else NOT_INSTALLED
    note(name, why)
    if why:
        pytest.skip(f"{name}: {why}")


def note(name: str, left_out: str = "") -> None:
    """Note that the test at hand uses the tool *name*, or why it leaves it out."""
    _running[-1].user_properties.append((_PROPERTY, [name, left_out]))


def _looked_for(name: str, check: tuple[str, ...]) -> tuple[str, str]:
    """The path of a program, and what is wrong with it."""
    path = shutil.which(name)
    if path is None:
        return "", NOT_INSTALLED
    is_working = not check or subprocess.run([path, *check], capture_output=True, check=False).returncode == 0
    return path, "" if is_working else DOES_NOT_WORK


def lines(asked_for: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each tool: "name  ran" or "name  left out: reason". A tool that one test used has run.

    *asked_for*: names, and why the test left the tool out; "" if it did not.
    """
    reasons: dict[str, str] = {}
    for name, left_out in asked_for:
        if reasons.get(name) != "":
            reasons[name] = left_out
    width = max(map(len, reasons), default=0)
    return [f"{name:{width}}  {f'left out: {why}' if why else 'ran'}" for name, why in sorted(reasons.items())]


class _Plugin:
    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        _running.append(item)
        yield
        _running.pop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        for mark in item.iter_markers("real_tool"):
            program(*mark.args)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        found = lines(
            (name, left_out)
            for reports in terminalreporter.stats.values()
            for report in reports
            for key, (name, left_out) in _properties(report)
            if key == _PROPERTY
        )
        if found:
            terminalreporter.section("real tools")
            for line in found:
                terminalreporter.write_line(line)


def _properties(report: object) -> list[tuple[str, tuple[str, str]]]:
    return getattr(report, "user_properties", [])
