"""What the terminal shows of a copy that ended badly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.stacks import FRAMES_MAX, head_of_stacks
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome
from parasuite.record.tally import NEVER_BEGAN, WAS_RUNNING
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import ALL_OUTPUT, STACK_THEN

from runner.tests.building import a_report
from runner.tests.conftest import Parasuite
from runner.tests.reported import bad_test

FRAMES = ['File "/usr/lib/socket.py", line 294 in accept', 'File "/home/me/suite.py", line 3 in wait_for_peer']
DUMP = f"""\
some output
Fatal Python error: Aborted

Thread 0x00007f0a (most recent call first):
  File "/usr/lib/threading.py", line 324 in wait

Current thread 0x00007f0b (most recent call first):
  {FRAMES[0]}
  {FRAMES[1]}

Extension modules: psutil (total: 1)
"""
OTHER = """\
Fatal Python error: Aborted

Current thread 0x00007f0c (most recent call first):
  File "/other.py", line 1 in <module>
"""


@pytest.mark.parametrize(
    ("output", "frames"),
    [
        pytest.param(DUMP, FRAMES, id="the thread that got the signal"),
        pytest.param(DUMP + OTHER, FRAMES, id="the first process"),
        pytest.param(
            DUMP.replace("Current t", "T"), ['File "/usr/lib/threading.py", line 324 in wait'], id="the first"
        ),
        pytest.param(
            DUMP.replace(f"  {FRAMES[1]}", "  Fi  File le"), FRAMES[:1], id="a line that two processes wrote"
        ),
        pytest.param("some output\n", [], id="no stacks"),
        pytest.param("Fatal Python error: Aborted\n", [], id="stacks that were cut off"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_the_head_of_the_stacks_is_where_the_first_process_was(output: str, frames: list[str]) -> None:
    assert list(head_of_stacks(output)) == frames


def test_of_a_deep_stack_the_innermost_frames_are_taken() -> None:
    deep = "".join(f'  File "/suite.py", line {line} in f\n' for line in range(50))
    head = head_of_stacks(f"Fatal Python error: Aborted\n\nThread 0x7f (most recent call first):\n{deep}")
    assert (len(head), head[0]) == (FRAMES_MAX, 'File "/suite.py", line 0 in f')


def test_a_failed_command_shows_its_last_twenty_lines_and_where_the_rest_is(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "1", "--sensors", "none", "--", "sh", "-c", "seq 30; exit 3")
    shown = finished.stdout.splitlines()
    folder = f".parasuite/runs/{finished.folder.name}"
    assert shown[:2] == [bad_test(TestOutcome.FAILED, "sh", [0], 1), "    exit status 3"]
    assert shown[2:22] == [f"    | {number}" for number in range(11, 31)]
    assert shown[22] == "    " + ALL_OUTPUT.format(path=f"{folder}/copies/000/output.log")


def test_a_copy_that_timed_out_shows_where_it_was(parasuite: Parasuite) -> None:
    (parasuite.cwd / "hangs.py").write_text(
        "import socket\n"
        "def wait_for_peer():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "        server.accept()\n"
        "wait_for_peer()\n"
    )
    finished = parasuite("run", "-j", "1", "--timeout", "5", "--sensors", "none", "--", sys.executable, "hangs.py")
    shown = finished.stdout.splitlines()
    at = shown.index(f"    {STACK_THEN}")
    assert "line 4 in wait_for_peer" in "".join(shown[at + 1 : at + 4])
    assert [line for line in shown[:at] if line.startswith("    | ")] == []
    assert finished.code == 1


def test_a_test_that_was_running_when_its_copy_died_comes_before_those_that_never_began(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(
        "import os, signal\n"
        "def test_z(): pass\n"
        "def test_y(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "def test_x(): pass\n"
    )
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "tests/", "--", "-p", "no:randomly")
    shown = finished.stdout.splitlines()
    running, waiting = (bad_test(TestOutcome.LOST, f"tests/test_it.py::test_{name}", [0], 1) for name in "yx")
    assert shown.index(running) < shown.index(waiting)
    assert shown[shown.index(running) + 1] == f"    {WAS_RUNNING}"
    assert shown[shown.index(waiting) + 1] == f"    {NEVER_BEGAN}"


def test_tests_that_never_began_do_not_push_a_failure_off_the_list() -> None:
    lost = [TestResult(id=f"lost {number}", outcome=TestOutcome.LOST) for number in range(30)]
    failed = TestResult(id="failed last", outcome=TestOutcome.FAILED)
    shown = [line.plain for line in terminal(a_report(results=[[*lost, failed], []]))]
    assert shown[0] == bad_test(TestOutcome.FAILED, "failed last", [0], 2)
