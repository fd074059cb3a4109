"""What both starters do. The one for systems without subreapers needs nothing that Linux lacks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from parasuite.judge.copy_ends import copy_ends
from parasuite.model.copy_life import CopyEnd, CopyStage
from parasuite.model.events import CopyState
from parasuite.plan.launch import Launch
from parasuite.run.copies import Copies
from parasuite.run.starters.direct import Direct
from parasuite.run.starters.starter import Starter
from parasuite.run.starters.supervised import Supervised

STARTERS = [Direct] + ([Supervised] if sys.platform == "linux" else [])


@pytest.fixture(params=STARTERS)
def starter(request: pytest.FixtureRequest) -> Iterator[Starter]:
    starter: Starter = request.param()
    yield starter
    starter.close()


def launch(tmp_path: Path, *argv: str) -> Launch:
    (tmp_path / "copy").mkdir(exist_ok=True)
    return Launch(copy=0, argv=argv, env=dict(os.environ), cwd=tmp_path, folder=tmp_path / "copy", scratch=tmp_path)


def python(tmp_path: Path, code: str) -> Launch:
    return launch(tmp_path, sys.executable, "-c", code)


def finished(copies: Copies) -> tuple[list[CopyState], CopyEnd]:
    events: list[CopyState] = []
    give_up_s = time.monotonic() + 60
    while not copies.are_done:
        events += copies.step(0.1)
        assert time.monotonic() < give_up_s
    return events, copy_ends(events, 1)[0]


def test_the_status_and_the_output_of_a_copy_are_recorded(starter: Starter, tmp_path: Path) -> None:
    code = "import sys; print('out', repr(sys.stdin.read())); print('err', file=sys.stderr); sys.exit(7)"
    copies = Copies([python(tmp_path, code)], starter, None)
    copies.start()
    events, end = finished(copies)
    assert [event.state for event in events] == ["started", "exited", "gone"]
    assert (end.how, end.status) == ("exited", 7)
    assert sorted((tmp_path / "copy" / "output.log").read_text().split()) == ["''", "err", "out"]


@pytest.mark.parametrize("make", STARTERS)
def test_a_copy_that_inherits_parasuite_s_streams_writes_to_them_and_to_no_file(
    make: Callable[[], Starter], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    # Here, and not by the fixture, which may come before capfd has changed the streams.
    with contextlib.closing(make()) as starter:
        copies = Copies([replace(python(tmp_path, code), inherits_streams=True)], starter, None)
        copies.start()
        finished(copies)
    assert (capfd.readouterr(), list((tmp_path / "copy").iterdir())) == (("out\n", "err\n"), [])


def test_a_program_that_does_not_exist_is_named_in_the_reason(starter: Starter, tmp_path: Path) -> None:
    copies = Copies([launch(tmp_path, "/no/such/program")], starter, None)
    copies.start()
    _, end = finished(copies)
    assert (end.how, end.why) == ("failed", "/no/such/program: No such file or directory")


def test_a_copy_that_times_out_is_stopped_after_writing_its_stacks(starter: Starter, tmp_path: Path) -> None:
    code = "import faulthandler, time; faulthandler.enable(); time.sleep(100)"
    copies = Copies([python(tmp_path, code)], starter, 1.0)
    copies.start()
    _, end = finished(copies)
    assert end.how == "timed-out"
    assert "Aborted" in (tmp_path / "copy" / "output.log").read_text()


def test_a_child_that_outlives_the_main_process_is_killed_and_counted(starter: Starter, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "time.sleep(0.5)\n"
    )
    copies = Copies([python(tmp_path, code)], starter, None)
    copies.start()
    events: list[CopyState] = []
    give_up_s = time.monotonic() + 60
    while copies.copies[0].stage is not CopyStage.LINGERING:
        events += copies.step(0.1)
        assert time.monotonic() < give_up_s
    copies.sweep(copies.copies[0])
    more, _ = finished(copies)
    end = copy_ends(events + more, 1)[0]
    assert (end.how, end.status, end.left_behind) == ("exited", 0, 1)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_closing_the_starter_kills_the_copies_that_still_run(starter: Starter, tmp_path: Path) -> None:
    copies = Copies([python(tmp_path, "import time; time.sleep(100)")], starter, None)
    copies.start()
    (started,) = copies.step(30)
    starter.close()
    assert not psutil.pid_exists(started.pid)
