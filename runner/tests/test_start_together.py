"""When copies begin: all of them together once each has collected its tests, or one after the other."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from parasuite.judge.verdict import ExitCode
from parasuite.plan.launch import Launch, launches
from parasuite.plan.targets import Command
from parasuite.run.barrier import BARRIER, LIMIT_S, Barrier
from parasuite.run.copies import STOPPED_BEFORE, Copies
from parasuite.run.starters.starter import Starter
from parasuite.run.supervisor.messages import CopyReport

from netsupport.tests import real_tools
from runner.tests.conftest import Finished, Parasuite

# Copy 1 does not come to the end of its collection before copy 0 waits, or has run its test.
LATE_COPY = (
    "import os, pathlib, time\n"
    "if os.environ['PARASUITE_COPY'] == '1':\n"
    "    first = pathlib.Path(os.environ['PARASUITE_COPY_DIR']).parent / '000' / 'results.jsonl'\n"
    "    while '\"waiting\"' not in (text := first.read_text()) and '\"result\"' not in text:\n"
    "        time.sleep(0.01)\n"
)
PLAIN = ("--sensors", "none")


def times(finished: Finished, copy: int, event: str) -> list[int]:
    lines = (finished.folder / "copies" / f"{copy:03d}" / "results.jsonl").read_text().splitlines()
    return [line["t_ns"] for line in map(json.loads, lines) if line["event"] == event]


@pytest.mark.parametrize("workers", [(), ("--", "-n", "2")])
def test_no_copy_begins_its_tests_before_the_last_has_collected_its_own(
    parasuite: Parasuite, suite: Callable[[str], Path], workers: tuple[str, ...]
) -> None:
    if workers:
        real_tools.package("xdist")
    suite(LATE_COPY + "def test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "2", *PLAIN, "tests/", *workers)
    assert finished.code == 0, finished.stdout
    assert max(times(finished, 1, "waiting")) <= min(times(finished, 0, "started"))
    assert not (finished.folder / BARRIER).exists()


def test_a_copy_that_dies_while_it_collects_keeps_no_other_waiting(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(LATE_COPY + "    os._exit(3)\ndef test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "2", *PLAIN, "tests/")
    assert (finished.code, len(times(finished, 0, "result"))) == (ExitCode.TEST_FAILED, 1)


def test_a_run_is_interrupted_while_its_copies_wait_for_each_other(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(LATE_COPY + "    open('waiting', 'w').close()\n    time.sleep(600)\ndef test_one(): pass\n")
    process = parasuite.start("run", "-j", "2", *PLAIN, "tests/")
    while not (parasuite.cwd / "waiting").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert parasuite.finish(process).code == ExitCode.INTERRUPTED


def test_the_first_to_arrive_waits_no_longer_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("parasuite.run.barrier.time.monotonic", lambda: now[0])
    held = Barrier(tmp_path)
    seen = [held.arrived(0, 2), held.arrived(1, 1)]
    now[0] += LIMIT_S
    seen.append(held.arrived(1, 1))
    now[0] += 1
    assert (seen, held.is_open) == ([False] * 3, False)
    assert (held.arrived(1, 1), held.is_open) == (True, True)


def started(finished: Finished) -> dict[int, int]:
    """When each copy was started."""
    lines = (finished.folder / "events" / "orchestrator.jsonl").read_text().splitlines()
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {each["copy"]: each["t_ns"] for each in events if each.get("state") == "started"}


class NoStarter:
    """Takes orders, starts nothing and has nothing to report."""

    is_alive, pid, failure = True, 0, ""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.started: list[int] = []

    def start(self, launch: Launch, _output: Path | None, /, *, is_forked: bool) -> None:
        assert not is_forked
        self.started.append(launch.copy)

    def reports(self, _wait_s: float, /) -> Iterator[CopyReport]:
        return iter(())


def test_staggered_copies_are_started_when_their_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = [0]
    monkeypatch.setattr("parasuite.run.copies.time.monotonic_ns", lambda: now_ns[0])
    planned = launches(
        Command(("true",)), copies=3, python="", pytest_args=(), run_id="r", run_dir=tmp_path, scratch_dir=tmp_path,
        cwd=tmp_path, environ={},
    )  # fmt: skip
    starter = NoStarter()
    copies = Copies(planned, cast(Starter, starter), None, stagger_s=2.0)
    copies.start()
    seen = []
    for second in range(5):
        now_ns[0] = second * 10**9
        copies.step(0.0)
        seen.append(len(starter.started))
    assert (seen, starter.started) == ([1, 1, 2, 2, 3], [0, 1, 2])


def test_staggered_copies_do_not_wait_for_each_other(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("def test_one(): pass\n")
    finished = parasuite.run_pytest("-j", "2", "--stagger", "0.1", *PLAIN, "tests/")
    assert (finished.code, times(finished, 0, "waiting")) == (0, [])


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_copy_whose_turn_has_not_come_is_not_started_when_the_run_is_interrupted(parasuite: Parasuite) -> None:
    script = "touch ready; exec sleep 600"
    process = parasuite.start("run", "-j", "2", "--stagger", "600", *PLAIN, "--", "sh", "-c", script)
    while not (parasuite.cwd / "ready").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    finished = parasuite.finish(process)
    assert (finished.code, STOPPED_BEFORE in finished.stdout) == (ExitCode.INTERRUPTED, True)
    assert list(started(finished)) == [0]
