"""What workers of one copy do to each other is found, with the real runners; what they may do is not."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from netsupport import reserve_port, reserve_ports
from netsupport.tests import real_tools
from runner.tests.conftest import PLANTED, Finished, Parasuite, kinds, planted

FIXED = ["test_refused", "test_shared"]
WORKERS = ["--", "-n", "2", "--dist", "loadfile", "-p", "no:randomly"]


def found_in(finished: Finished) -> set[tuple[str, frozenset[str]]]:
    """(cause, effects) of every finding that is no note; an effect as "kind: role test, role test"."""
    return {
        (finding["cause"], frozenset(map(_effect, finding["effects"])))
        for finding in finished.findings
        if finding["severity"] != "note"
    }


def _effect(effect: dict[str, Any]) -> str:
    return f"{effect['kind']}: " + ", ".join(sorted(f"{side['role']} {_test(side)}" for side in effect["sides"]))


def _test(side: dict[str, Any]) -> str:
    return str(side["test"]).rpartition("/")[2].replace(".py::test_", ":").removeprefix("test_")


@pytest.mark.parametrize("sensors", ["auto", "recorder,sampler"])
def test_each_defect_between_workers_of_xdist_is_found_in_one_copy(parasuite: Parasuite, sensors: str) -> None:
    real_tools.package("xdist")
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(reserve_port(child_reuses_address=False)).port for name in FIXED}
        environ = {
            "PLANTED_PORTS": ",".join(f"{name}={port}" for name, port in ports.items()),
            "PLANTED_NAME": f"planted-{secrets.token_hex(8)}",
        }
        suite = planted("workers/defects")
        finished = parasuite.run_pytest("-j", "1", "--sensors", sensors, suite, *WORKERS, environ=environ)
    assert found_in(finished) == {
        ("hard-coded", frozenset({"refused: held first:refused, wanted second:refused"})),
        ("hard-coded", frozenset({"shared: held first:shared, held second:shared"})),
        ("hard-coded", frozenset()),  # An abstract name of two workers that never met.
        ("lost-port", frozenset({"crosstalk: client first:crosstalk, server second:crosstalk"})),
    }, finished.stdout[-3000:] + finished.stderr
    assert "copy 0, gw" in finished.stdout


@pytest.mark.parametrize("sensors", ["auto", "recorder,sampler"])
def test_nothing_is_said_of_what_workers_of_xdist_may_do(parasuite: Parasuite, sensors: str) -> None:
    real_tools.package("xdist")
    finished = parasuite.run_pytest("-j", "1", "--sensors", sensors, planted("workers/innocent"), *WORKERS)
    assert (finished.code, found_in(finished)) == (0, set()), finished.stdout[-3000:] + finished.stderr


@pytest.fixture
def native(parasuite: Parasuite, port_outside_the_ephemeral_range: int) -> Callable[..., Finished]:
    """Run a planted suite of another language in one copy; its two workers meet at one port, with *command*."""

    def run(suite: str, *command: str) -> Finished:
        real_tools.program(command[0])
        shutil.copytree(PLANTED / "workers" / suite, parasuite.cwd, dirs_exist_ok=True)
        kept = {
            name: os.environ.get(name, str(Path.home() / folder))
            for name, folder in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"))
        }
        environ = {"PLANTED_PORT": str(port_outside_the_ephemeral_range), "RUST_TEST_THREADS": "3", **kept}
        finished = parasuite("run", "-j", "1", "--timeout", "150", "--", *command, environ=environ)
        assert finished.run["copies"] == 1
        assert " 0 failed" in finished.verdict, finished.stdout[-3000:] + finished.stderr
        return finished

    return run


def owners(finished: Finished) -> set[str]:
    """The role and worker of each side of an effect."""
    sides = (side for finding in finished.findings for effect in finding["effects"] for side in effect["sides"])
    return {f"{side['role']}: copy {side['party']['copy']}, {side['party']['worker']}" for side in sides}


def test_files_of_node_s_runner_are_workers(native: Callable[..., Finished]) -> None:
    finished = native("node", "node", "--test", "--test-concurrency=2", "test/")
    assert owners(finished) == {"wanted: copy 0, second.test.js", "held: copy 0, first.test.js"}
    assert kinds(finished) == ["hard-coded", "refused"]


def test_packages_of_go_test_are_workers(native: Callable[..., Finished]) -> None:
    finished = native("go", "go", "test", "-p", "2", "./...")
    assert owners(finished) == {"wanted: copy 0, second.test", "held: copy 0, first.test"}
    assert kinds(finished) == ["hard-coded", "refused"]


def test_tests_of_one_rust_binary_are_workers_and_the_threads_that_they_start_are_theirs(
    native: Callable[..., Finished],
) -> None:
    finished = native("cargo", "cargo", "test", "--offline", "--lib")
    owner = "copy 0, planted/tests::"
    assert owners(finished) == {f"wanted: {owner}second", f"held: {owner}first"}
    assert kinds(finished) == ["hard-coded", "lost-port", "refused"]


def test_tests_that_nextest_runs_in_processes_are_workers(native: Callable[..., Finished]) -> None:
    real_tools.program("cargo-nextest", "nextest", "--version")
    finished = native("cargo", "cargo", "nextest", "run", "--offline")
    assert owners(finished) == {"wanted: copy 0, tests::second", "held: copy 0, tests::first"}
    assert kinds(finished) == ["hard-coded", "lost-port", "refused"]


MAKEFILE = """
both: first second
first second:
\t$(PYTHON) $@.py
"""
FIRST = """
import os, pathlib, socket, time
place = pathlib.Path(os.environ["PARASUITE_COPY_DIR"])
with socket.create_server(("127.0.0.1", int(os.environ["PLANTED_PORT"]))):
    (place / "listening").touch()
    while not (place / "refused").exists():
        time.sleep(0.005)
"""
SECOND = """
import os, pathlib, socket, time
place = pathlib.Path(os.environ["PARASUITE_COPY_DIR"])
while not (place / "listening").exists():
    time.sleep(0.005)
try:
    socket.create_server(("127.0.0.1", int(os.environ["PLANTED_PORT"])))
except OSError:
    (place / "refused").touch()
"""
RUNS_BOTH = {"make": ["make", "-j", "2"], "sh": ["sh", "-c", "$PYTHON first.py & $PYTHON second.py; wait"]}


@pytest.mark.parametrize("runner", RUNS_BOTH)
def test_programs_that_were_only_started_side_by_side_are_warned_of(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int, runner: str
) -> None:
    real_tools.program(runner)
    for name, text in (("Makefile", MAKEFILE), ("first.py", FIRST), ("second.py", SECOND)):
        (parasuite.cwd / name).write_text(text)
    environ = {"PLANTED_PORT": str(port_outside_the_ephemeral_range), "PYTHON": sys.executable}
    finished = parasuite("run", "-j", "1", "--timeout", "150", "--", *RUNS_BOTH[runner], environ=environ)
    assert kinds(finished) == ["hard-coded", "refused"]
    assert [found["severity"] for found in finished.findings] == ["warning"]
    assert owners(finished) == {"wanted: copy 0, second.py", "held: copy 0, first.py"}
    assert "copy 0, second.py" in finished.stdout


@pytest.mark.parametrize(("copies", "severity"), [("1", "note"), ("2", "warning")])
def test_what_workers_do_in_the_same_place_is_one_thing_to_fix(
    parasuite: Parasuite, copies: str, severity: str
) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    with reserve_ports(60, child_reuses_address=False) as leases:
        # Ports that workers count from a common base are near each other.
        in_order = sorted(lease.port for lease in leases)
        near = min(pairwise(in_order), key=lambda pair: pair[1] - pair[0])
        environ = {"PLANTED_PORTS": f"gw0={near[0]},gw1={near[1]}"}
        finished = parasuite.run_pytest("-j", copies, planted("workers/causes"), *WORKERS, environ=environ)
    found = {(finding["cause"], finding["severity"]): finding for finding in finished.findings}
    assert set(found) == {("hard-coded", severity), ("lost-port", "warning")}, finished.stdout[-3000:]
    assert len(finished.findings) == 2
    assert "conftest.py:own_server" in found["hard-coded", severity]["title"]
    assert "conftest.py:draw" in found["lost-port", "warning"]["title"]
