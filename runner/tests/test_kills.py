"""No process of a copy outlives a run, whichever process is killed, and what was recorded can be reported."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest
from parasuite.judge.verdict import NO_END, SUPERVISOR_DIED
from parasuite.model.copy_life import SUPERVISION_DIED
from parasuite.model.words import CopyPhase
from parasuite.reports.wording import left_behind

from runner.tests.conftest import SAFETY_NET_S, Finished, Parasuite

if sys.platform != "linux":
    pytest.skip("the supervisor is Linux only", allow_module_level=True)

# A copy with a child in a session of its own, a daemon that forked twice, and a child that ignores INT and TERM. The
# test finds them by the copy's environment, which all of them have.
STUBBORN = """
import os, signal, sys, time

def forked(body):
    if os.fork() == 0:
        try:
            body()
        finally:
            os._exit(0)

def linger():
    time.sleep(300)

def ignore_signals():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    linger()

def in_own_session():
    os.setsid()
    ignore_signals()

def daemon():
    os.setsid()
    forked(ignore_signals)

def test_a(): pass

def test_b():
    for body in (ignore_signals, in_own_session, daemon):
        forked(body)
    open(os.environ["PARASUITE_COPY_DIR"] + "/ready", "w").close()
    if os.environ.get("STUBBORN_ENDS") != "1":
        linger()
"""


@pytest.fixture
def stubborn(parasuite: Parasuite, suite: Callable[[str], Path]) -> Parasuite:
    suite(STUBBORN)
    return parasuite


@pytest.fixture(autouse=True)
def _no_process_of_a_copy_survives(tmp_path: Path) -> Iterator[None]:
    """After every test here, no living process has an environment that names this test's folder."""
    yield
    give_up_s = time.monotonic() + 20
    while left := _carrying(str(tmp_path)):
        assert time.monotonic() < give_up_s, f"left alive: {left}"
        time.sleep(0.02)


def _carrying(folder: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PARASUITE_COPY_DIR", "").startswith(folder):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def start(
    parasuite: Parasuite,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "parasuite"),
) -> subprocess.Popen[str]:
    command = ("run", "-j", "3", "--python", sys.executable, *arguments, "tests/", "--", "-p", "no:randomly")
    return parasuite.start(*command, environ=environ, program=program)


def paused_in(function: str, pipe: Path) -> Sequence[str]:
    """A parasuite that reads *pipe* to its end before it calls *function* of its session for the first time."""
    os.mkfifo(pipe)
    code = (
        "from parasuite.cli.main import main\n"
        "from parasuite.run import session\n"
        f"function = session.{function}\n"
        "def paused(*args, **options):\n"
        f"    session.{function} = function\n"
        f"    open({str(pipe)!r}).read()\n"
        "    return function(*args, **options)\n"
        f"session.{function} = paused\n"
        "main()\n"
    )
    return ("-c", code)


def recorded_in(folder: Path, state: CopyPhase) -> dict[int, int]:
    """The main process of each copy that the run has recorded to be in *state*, by copy; 0 where it is not told."""
    lines = (folder / "events" / "orchestrator.jsonl").read_text().splitlines(keepends=True)
    events = [json.loads(line) for line in lines if line.endswith("\n")]
    return {event["copy"]: event.get("pid", 0) for event in events if event.get("state") == state}


def until_recorded(folder: Path, state: CopyPhase) -> None:
    """Wait until the run has recorded that a copy is in *state*."""
    give_up_s = time.monotonic() + 120
    while not recorded_in(folder, state):
        assert time.monotonic() < give_up_s, f"no copy was recorded as {state}"
        time.sleep(0.02)


def until_ready(parasuite: Parasuite, copies: int = 3) -> Path:
    """Wait until every copy has started its stubborn children, and the run has recorded its start; the run folder."""
    give_up_s = time.monotonic() + 120
    while time.monotonic() < give_up_s:
        ready = list((parasuite.cwd / ".parasuite" / "runs").glob("*/copies/*/ready"))
        folder = ready[0].parent.parent.parent if ready else None
        if (
            len(ready) == copies
            and folder
            and len(recorded_in(folder, CopyPhase.STARTED)) >= len(list(folder.glob("copies/*/ready")))
        ):
            return folder
        time.sleep(0.02)
    raise AssertionError("the copies did not get ready")


def reported(parasuite: Parasuite) -> Finished:
    finished = parasuite("report")
    for name in ("findings.json", "junit.xml", "junit-merged.xml"):
        assert (finished.folder / name).is_file()
    return finished


def supervisor_of(folder: Path) -> int:
    pid: int = json.loads((folder / "run.json").read_text())["supervisor_pid"]
    return pid


def processes_of(process: subprocess.Popen[str], folder: Path, copy: int) -> dict[str, psutil.Process]:
    """The processes by which *copy* is watched and ended, and its main process, by role."""
    main = recorded_in(folder, CopyPhase.STARTED)[copy]
    supervisor = psutil.Process(supervisor_of(folder))
    init = psutil.Process(main).parent()
    (spawner,) = supervisor.children()
    assert init is not None
    return {
        "orchestrator": psutil.Process(process.pid),
        "supervisor": supervisor,
        "spawner": spawner,
        "init": init,
        "main": psutil.Process(main),
    }


def test_processes_that_a_copy_leaves_behind_are_killed_and_counted(stubborn: Parasuite) -> None:
    finished = stubborn.run_pytest("-j", "2", "tests/", environ={"STUBBORN_ENDS": "1"})
    assert finished.code == 0, finished.stdout
    assert left_behind(1, 3, all_ended=True) in finished.stdout


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_after_a_signal_the_copies_are_stopped_and_every_report_is_written(
    stubborn: Parasuite, number: int, code: int, reason: str
) -> None:
    process = start(stubborn)
    until_ready(stubborn)
    process.send_signal(number)
    finished = stubborn.finish(process)
    assert (finished.code, finished.verdict.endswith(f"\n{reason}")) == (code, True), finished.stdout
    assert "3 passed" in finished.verdict
    assert reported(stubborn).code == code


def test_a_second_interrupt_kills_the_copies_at_once_and_the_reports_are_written(stubborn: Parasuite) -> None:
    process = start(stubborn)
    until_ready(stubborn)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    finished = stubborn.finish(process)
    assert finished.code == 130
    assert reported(stubborn).code == 130


def test_if_the_orchestrator_is_killed_the_run_is_void_and_can_be_reported(stubborn: Parasuite) -> None:
    process = start(stubborn)
    until_ready(stubborn)
    process.kill()
    process.communicate()
    finished = reported(stubborn)
    assert (finished.code, NO_END in finished.verdict) == (3, True)
    assert "3 passed" in finished.verdict
    assert "3 lost" in finished.verdict


def test_if_the_supervisor_is_killed_the_run_is_void(stubborn: Parasuite) -> None:
    process = start(stubborn)
    folder = until_ready(stubborn)
    os.kill(supervisor_of(folder), signal.SIGKILL)
    finished = stubborn.finish(process)
    assert (finished.code, SUPERVISOR_DIED in finished.verdict) == (3, True), finished.stdout


def test_if_an_init_is_killed_only_its_copy_is_lost(stubborn: Parasuite) -> None:
    process = start(stubborn)
    folder = until_ready(stubborn)
    processes_of(process, folder, 1)["init"].kill()
    until_recorded(folder, CopyPhase.LOST)
    process.send_signal(signal.SIGINT)
    finished = stubborn.finish(process)
    assert (finished.code, finished.stdout.count(SUPERVISION_DIED)) == (130, 1), finished.stdout


ROLES = ("orchestrator", "supervisor", "spawner", "init", "main")


@pytest.mark.parametrize("pair", list(combinations(ROLES, 2)), ids="+".join)
def test_no_process_of_a_copy_survives_if_two_of_its_guardians_are_killed_at_once(
    stubborn: Parasuite, pair: tuple[str, str]
) -> None:
    process = start(stubborn)
    folder = until_ready(stubborn)
    processes = processes_of(process, folder, 1)
    for victim in pair:
        # Otherwise one could end because of the other's death before it is killed itself.
        processes[victim].suspend()
    for victim in pair:
        # The first death may have ended the second already: what guards a copy kills what is suspended, too.
        with contextlib.suppress(psutil.NoSuchProcess):
            processes[victim].kill()
    if set(pair) == {"init", "main"}:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert reported(stubborn).code == (130 if set(pair) == {"init", "main"} else 3)


@pytest.fixture
def paused() -> Iterator[Callable[[psutil.Process], None]]:
    """Stops a process; those that still exist after the test are resumed."""
    stopped: list[psutil.Process] = []

    def pause(process: psutil.Process) -> None:
        stopped.append(process)
        process.suspend()

    yield pause
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_run_whose_supervisor_is_stopped(
    stubborn: Parasuite, paused: Callable[[psutil.Process], None], number: int, code: int, reason: str
) -> None:
    process = start(stubborn)
    folder = until_ready(stubborn)
    paused(processes_of(process, folder, 0)["supervisor"])
    process.send_signal(number)
    finished = stubborn.finish(process)
    assert (finished.code, finished.verdict.endswith(f"\n{reason}")) == (code, True), finished.stdout
    assert "note: the supervisor, stopped, did not answer for" in finished.stdout
    assert reported(stubborn).code == code


def test_a_run_whose_supervisor_is_stopped_still_ends_by_its_time_out(
    parasuite: Parasuite, paused: Callable[[psutil.Process], None]
) -> None:
    lingers = ("sh", "-c", ': > "$PARASUITE_COPY_DIR/ready"; exec sleep 300')
    process = parasuite.start("run", "-j", "1", "--sensors", "none", "--timeout", "10", "--", *lingers)
    paused(processes_of(process, until_ready(parasuite, copies=1), 0)["supervisor"])
    finished = parasuite.finish(process)
    assert (finished.code, SUPERVISOR_DIED in finished.verdict) == (3, True), finished.stdout
    assert "copy 0: timed-out" in finished.stderr
    assert "note: the supervisor, stopped, did not answer for" in finished.stdout


def test_a_stopped_supervisor_is_given_up_even_if_no_one_stops_the_run(
    stubborn: Parasuite, paused: Callable[[psutil.Process], None]
) -> None:
    process = start(stubborn)
    paused(processes_of(process, until_ready(stubborn), 0)["supervisor"])
    assert stubborn.finish(process).code == 3


def test_a_stopped_supervisor_is_killed_after_its_orchestrator_was_killed(
    stubborn: Parasuite, paused: Callable[[psutil.Process], None]
) -> None:
    process = start(stubborn)
    supervisor = processes_of(process, until_ready(stubborn), 0)["supervisor"]
    paused(supervisor)
    process.kill()
    process.communicate()
    supervisor.wait(SAFETY_NET_S)


@pytest.mark.parametrize("role", ["spawner", "init"])
def test_a_signal_ends_a_run_whose_spawner_or_init_is_stopped(
    stubborn: Parasuite, paused: Callable[[psutil.Process], None], role: str
) -> None:
    process = start(stubborn)
    victim = processes_of(process, until_ready(stubborn), 0)[role]
    paused(victim)
    process.send_signal(signal.SIGINT)
    assert stubborn.finish(process).code == 130
    victim.wait(SAFETY_NET_S)


def test_a_copy_that_times_out_writes_its_stacks_to_its_output(parasuite: Parasuite) -> None:
    code = "import time\ndef linger(): time.sleep(300)\nlinger()"
    finished = parasuite(
        "run", "-j", "1", "--sensors", "none", "--timeout", "5", "--", sys.executable, "-S", "-c", code
    )
    assert finished.code == 1
    assert "copy 0 timed-out" in finished.stdout
    output = (finished.folder / "copies" / "000" / "output.log").read_text()
    assert "Fatal Python error: Aborted" in output
    assert "in linger" in output


@pytest.mark.parametrize(("loop", "doing"), [("time.sleep(300)", "hung"), ("while True: pass", "still busy")])
def test_a_copy_that_times_out_is_reported_as_hung_or_busy_with_a_list_of_its_processes(
    parasuite: Parasuite, loop: str, doing: str
) -> None:
    server = "server = socket.create_server(('127.0.0.1', 0))\nprint(server.getsockname()[1])"
    code = f"import socket, time\n{server}\n{loop}"
    program = (sys.executable, "-u", "-c", code)
    finished = parasuite("run", "-j", "1", "--sensors", "none", "--timeout", "4", "--", *program)
    assert f"copy 0 timed-out ({doing}: it used" in finished.stdout
    copy_dir = finished.folder / "copies" / "000"
    assert f"copies/{copy_dir.name}/processes.txt" in finished.stdout
    port = (copy_dir / "output.log").read_text().split()[0]
    listed = (copy_dir / "processes.txt").read_text()
    assert f"listens on tcp 127.0.0.1:{port}" in listed
    assert f"{sys.executable} -u -c import socket" in listed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("victim", ["SIGINT", "SIGTERM", "orchestrator", "supervisor"])
def test_at_whatever_moment_one_is_killed_nothing_is_left_and_the_run_can_be_reported(
    stubborn: Parasuite, victim: str, seed: int
) -> None:
    """From the first instant to the middle of the tests."""
    process = start(stubborn)
    # The moment is random, but counted in bytes of the record, not in time.
    wanted_bytes = random.Random(f"{victim}{seed}").randrange(0, 2500)
    events = stubborn.cwd / ".parasuite" / "latest" / "events" / "orchestrator.jsonl"
    while not events.exists() or events.stat().st_size < wanted_bytes:
        if len(list(events.parent.parent.glob("copies/*/ready"))) == 3:
            break
    folder = events.resolve().parent.parent
    if victim == "orchestrator":
        process.kill()
    elif victim == "supervisor":
        os.kill(supervisor_of(folder), signal.SIGKILL)
    else:
        process.send_signal(signal.Signals[victim])
    process.communicate(timeout=120)
    expected = {"SIGINT": 130, "SIGTERM": 143, "orchestrator": 3, "supervisor": 3}[victim]
    assert reported(stubborn).code == expected


def opened_by_its_reader(pipe: Path, process: subprocess.Popen[str]) -> BinaryIO:
    """*pipe*, opened for writing as soon as *process* reads it; *process* then waits until it is closed."""

    def stand_in() -> None:
        process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))

    # Opening a pipe for writing waits for a reader. If the process has ended, this thread is the reader.
    threading.Thread(target=stand_in, daemon=True).start()
    opened = os.fdopen(os.open(pipe, os.O_WRONLY), "wb")
    assert process.poll() is None, f"ended with {process.returncode} and never read {pipe}"
    return opened


@pytest.fixture(autouse=True)
def _hangs_up() -> Iterator[None]:
    """What a test starts receives HUP, even if these tests themselves run below nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]


@pytest.fixture
def scratch_base() -> Iterator[Path]:
    """A folder with a path short enough for parasuite to put its scratch folder there."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_after_a_signal_before_the_start_no_copy_starts_and_the_reports_are_written(
    stubborn: Parasuite, scratch_base: Path, number: int, code: int
) -> None:
    pipe = stubborn.cwd / "pipe"
    process = start(stubborn, environ={"TMPDIR": str(scratch_base)}, program=paused_in("_new_record", pipe))
    with opened_by_its_reader(pipe, process):
        process.send_signal(number)
    finished = stubborn.finish(process)
    assert (finished.code, "could not start: the run was stopped before" in finished.stdout) == (code, True)
    assert reported(stubborn).code == code
    assert list(scratch_base.iterdir()) == []


def test_a_run_removes_the_scratch_folder_of_a_killed_run_and_not_that_of_a_live_one(
    parasuite: Parasuite, scratch_base: Path
) -> None:
    environ = {"TMPDIR": str(scratch_base)}
    says_where = 'cd "$PARASUITE_COPY_DIR"; dirname "$TMPDIR" > where; mv where ready'
    lingers = ("sh", "-c", f"{says_where}; exec sleep 300")
    runs = []
    for number in (1, 2):
        runs.append(parasuite.start("run", "-j", "1", "--sensors", "none", "--", *lingers, environ=environ))
        until_ready(parasuite, copies=number)
    scratch_of_live = Path((parasuite.cwd / ".parasuite/latest/copies/000/ready").read_text().strip())
    runs[0].kill()
    runs[0].communicate()
    unknown = scratch_base / "ps-unknown"
    unknown.mkdir()
    elsewhere = parasuite.cwd / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".owner").touch()
    link = scratch_base / "ps-link"
    link.symlink_to(elsewhere)
    assert len(list(scratch_base.iterdir())) == 4
    parasuite("run", "-j", "1", "--sensors", "none", "--", "true", environ=environ)
    assert set(scratch_base.iterdir()) == {scratch_of_live, unknown, link}
    assert (elsewhere / ".owner").exists()
    runs[1].send_signal(signal.SIGINT)
    assert parasuite.finish(runs[1]).code == 130
    assert set(scratch_base.iterdir()) == {unknown, link}


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_second_signal_during_judging_loses_no_report(
    stubborn: Parasuite, scratch_base: Path, number: int, code: int
) -> None:
    pipe = stubborn.cwd / "pipe"
    process = start(stubborn, environ={"TMPDIR": str(scratch_base)}, program=paused_in("assemble_report", pipe))
    until_ready(stubborn)
    process.send_signal(number)
    with opened_by_its_reader(pipe, process):
        process.send_signal(number)
    finished = stubborn.finish(process)
    assert (finished.code, "copy 2 interrupted" in finished.stdout) == (code, True), finished.stdout
    assert list(scratch_base.iterdir()) == []
    assert reported(stubborn).code == code


def test_a_signal_after_all_copies_have_ended_does_not_change_the_verdict(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("def test_one(): pass\n")
    pipe = parasuite.cwd / "pipe"
    program = paused_in("assemble_report", pipe)
    process = parasuite.start("run", "-j", "1", "--python", sys.executable, "tests/", program=program)
    with opened_by_its_reader(pipe, process):
        process.send_signal(signal.SIGINT)
    finished = parasuite.finish(process)
    assert (finished.code, finished.verdict.endswith("\npassed")) == (0, True), finished.stdout + finished.stderr


def test_a_run_below_nohup_ignores_hup(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("import os, signal\ndef test_one(): os.kill(int(os.environ['ORCHESTRATOR']), signal.SIGHUP)\n")
    script = 'trap "" HUP; export ORCHESTRATOR=$$; exec "$0" -m parasuite run -j 1 --python "$0" tests/'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=parasuite.cwd,
        env=dict(parasuite.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


STORM = """
import os, socket

def test_binds_for_ever():
    open(os.environ["PARASUITE_COPY_DIR"] + "/ready", "w").close()
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
"""


@pytest.mark.parametrize("victim", ["supervisor", "orchestrator", "init", "main"])
def test_nothing_is_left_if_one_is_killed_while_the_supervisor_serves_many_calls(
    parasuite: Parasuite, suite: Callable[[str], Path], victim: str
) -> None:
    suite(STORM)
    process = start(parasuite)
    folder = until_ready(parasuite)
    processes_of(process, folder, 0)[victim].kill()
    if victim == "orchestrator":
        process.communicate()
        assert reported(parasuite).code == 3
        return
    if victim != "supervisor":
        process.send_signal(signal.SIGINT)
    finished = parasuite.finish(process)
    assert finished.code == (3 if victim == "supervisor" else 130), finished.stdout
