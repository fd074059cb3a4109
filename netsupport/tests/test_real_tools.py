"""Each session says which real tools its tests used, and which they left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netsupport.tests import real_tools
from netsupport.tests.conftest import ROOT
from netsupport.tests.scenes import NET_S

CONFTEST = """
from netsupport.tests import real_tools
def pytest_configure(config): real_tools.register(config)
"""
SUITE = """
import pytest
from netsupport.tests import real_tools
@pytest.fixture(scope="module")
def module_wide(): return real_tools.program("broken", "--version")
@pytest.mark.parametrize("_", range(2))
def test_a(_): assert real_tools.program("here", "--version").endswith("here")
@real_tools.needs("no-such-program")
def test_b(): assert 0
def test_c(module_wide): assert 0
def test_d(): real_tools.package("no_such_package")
def test_e(): assert real_tools.program_if_any("no-such-compiler", "here") and not real_tools.program_if_any("none")
"""


def test_a_tool_that_one_test_used_has_run_and_each_is_listed_once() -> None:
    asked_for = [("node", ""), ("go", real_tools.NOT_INSTALLED), ("cc", "broken"), ("cc", ""), ("cc", "broken")]
    assert real_tools.lines(asked_for) == ["cc    ran", "go    left out: not installed", "node  ran"]


def test_where_no_tool_was_asked_for_nothing_is_listed() -> None:
    assert real_tools.lines([]) == []


@pytest.mark.skipif(os.name != "posix", reason="the programs are scripts of a shell")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_session_lists_the_tools_of_all_its_workers(tmp_path: Path, workers: str) -> None:
    real_tools.package("xdist")
    for name, status in (("here", 0), ("broken", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(SUITE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * NET_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.partition("real tools")[2].splitlines()
    assert [line for line in summary if "  " in line and "==" not in line] == [
        "broken           left out: does not work here",
        "here             ran",
        "no-such-program  left out: not installed",
        "no_such_package  left out: not installed",
        "none             left out: not installed",
    ]
    assert "3 passed, 3 skipped" in done.stdout
