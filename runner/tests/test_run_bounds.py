"""What bounds a run that recorded much: signals in the judging, and the most that is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.assemble import WHILE_READING
from parasuite.reports.wording import NOTE

from runner.tests.conftest import SAFETY_NET_S, Finished, Parasuite
from runner.tests.reported import counted

MAIN = "from parasuite.cli.main import main; main()"
AT_ONCE = (
    "import parasuite.run.signals as signals; signals._JUDGED_UNTIL_S = signals._JUDGED_AT_LEAST_S = 0.0; " + MAIN
)
LITTLE_ROOM = "import parasuite.run.session as session; session.EVENTS_BYTES_MAX = 20_000; " + MAIN
WAITS = """
import os, time
def test_waits():
    open(os.environ["PARASUITE_COPY_DIR"] + "/ready", "w").close()
    time.sleep(600)
"""
BINDS = """
import socket
def test_binds():
    for _ in range(400):
        socket.create_server(("127.0.0.1", 0)).close()
"""


def run(parasuite: Parasuite, main: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", main, "run", "-j", "2", "--python", sys.executable, "tests/"],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(parasuite: Parasuite, process: subprocess.Popen[str]) -> Finished:
    stdout, stderr = process.communicate(timeout=SAFETY_NET_S)
    return Finished(process.returncode, stdout, stderr, parasuite.cwd)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_judging_in_time_and_what_was_left_unread_is_a_note(
    parasuite: Parasuite, suite: Callable[[str], Path], number: int, code: int, word: str
) -> None:
    suite(WAITS)
    process = run(parasuite, AT_ONCE)
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("2 copies of"))
    ready = [parasuite.cwd / ".parasuite" / "latest" / "copies" / f"00{copy}" / "ready" for copy in range(2)]
    while not all(path.exists() for path in ready):
        assert process.poll() is None
        signal.sigtimedwait([], 0.02)
    process.send_signal(number)
    finished = finish(parasuite, process)
    assert (finished.code, finished.run["exit_code"]) == (code, code), finished.stdout
    stopped = WHILE_READING.format(stopped=word)
    assert NOTE.format(note=f"{stopped}: what sockets did after the first 0.0 s") in finished.stdout
    # How the copies ended is known all the same, and their tests are.
    assert all(f"copy {copy} interrupted" in finished.stdout for copy in range(2))
    assert counted(error=2, lost=2) in finished.verdict
    again = parasuite("report")
    assert (again.code, stopped in again.stdout) == (code, False)


def test_a_signal_that_cuts_the_judging_of_a_run_short_is_how_it_ended(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    """The copies have all ended when it comes: a pass of what was not read is none."""
    suite("def test_one(): pass\n")
    # Just before the judging, whatever the machine's speed.
    signalled = AT_ONCE.replace(
        MAIN,
        "import os, signal; import parasuite.run.session as session; assemble = session.assemble_report; "
        "session.assemble_report = lambda *a: (os.kill(os.getpid(), signal.SIGTERM), assemble(*a))[1]; " + MAIN,
    )
    finished = finish(parasuite, run(parasuite, signalled))
    assert (finished.code, finished.run["exit_code"]) == (143, 143), finished.stdout + finished.stderr
    assert counted(passed=2) in finished.verdict
    assert parasuite("report").code == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_report(parasuite: Parasuite, suite: Callable[[str], Path], number: int) -> None:
    suite("def test_one(): pass\n")
    parasuite.run_pytest("-j", "1", "tests/")
    held = (
        "import parasuite.cli.report as report, signal; from parasuite.cli.main import main; "
        "report.assemble_report = lambda folder: (print('judging', flush=True), signal.pause()); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", held, "report"],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "judging\n"
    process.send_signal(number)
    assert finish(parasuite, process).code == (130 if number == signal.SIGINT else -number)


def test_a_record_that_is_full_makes_the_run_blind_and_ends_there(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(BINDS)
    finished = finish(parasuite, run(parasuite, LITTLE_ROOM))
    if "seccomp" not in finished.run["sensors_in_use"]:
        pytest.skip("no seccomp sensor here")
    assert finished.code == 3
    assert "blind: seccomp was lost: it stopped recording after " in finished.verdict
    record = finished.folder / "events" / "seccomp.jsonl"
    lines = record.read_text().splitlines()
    # One batch of events may pass the bound before it is seen.
    assert record.stat().st_size < 20_000 + 257 * 1000
    assert json.loads(lines[-1])["sensor"] == "seccomp"
    assert counted(passed=2) in finished.verdict
