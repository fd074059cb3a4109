"""--start fork: one process imports the tests, and all copies are forked from it, as private as if each had started
by itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parasuite.judge.verdict import ExitCode
from parasuite.plan.seeds import copy_seed
from parasuite.run.copies import IMPORTED_TOO_LONG
from parasuite.run.round import NOT_FORKED
from parasuite.run.supervisor.importer import ENDED_EARLY

from netsupport.tests import real_tools
from runner.tests.conftest import SAFETY_NET_S, Finished, Parasuite, clean_environment

if sys.platform != "linux":
    pytest.skip("copies are forked on Linux only", allow_module_level=True)

ROOT = Path(__file__).parents[1]
RECORDER = ROOT / "parasuite" / "sensors" / "recorder"
FORK = ("--start", "fork", "-j", "2")
A_TEST = "\ndef test_one(): pass\n"


@pytest.fixture
def answer(tmp_path: Path, suite: Callable[[str], Path]) -> Callable[..., str]:
    """What an importer of a suite with this source answers: why copies cannot be forked from it, "" if they can."""

    def ask(source: str, *arguments: str) -> str:
        suite(source)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, there:
            variable = json.dumps([there.fileno(), str(ROOT), str(tmp_path / "importer")])
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "_parasuite_pytest", "tests/", *arguments],
                cwd=tmp_path,
                env={
                    **clean_environment(),
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    "PYTHONPATH": str(RECORDER),
                    "PARASUITE_IMPORTER": variable,
                    "TMPDIR": str(scratch),
                },
                pass_fds=[there.fileno()],
                stdout=subprocess.DEVNULL,
            )
            there.close()
            here.settimeout(SAFETY_NET_S)
            packet = here.recv(4096)
        process.wait(SAFETY_NET_S)
        return str(json.loads(packet)["why"])

    return ask


OPENED = {
    "a port": (
        "import socket\nwith socket.socket() as s:\n    s.bind(('127.0.0.1', 0))\n    PORT = s.getsockname()[1]\n",
        "was assigned while importing tests/test_it.py:4",
    ),
    "a socket": (
        "import socket\nSERVER = socket.socket()\n",
        "a socket was opened while importing tests/test_it.py:2, and is still open",
    ),
    "an event loop": ("import asyncio\nLOOP = asyncio.new_event_loop()\n", "opened while importing"),
    "a file": ("LOG = open('a.log', 'a')\n", "a.log was opened while importing, and is still open"),
    "a thread": (
        "import threading\nEND = threading.Event()\n"
        "threading.Thread(target=END.wait, name='ticker', daemon=True).start()\n",
        "the thread ticker was started while importing tests/test_it.py:3",
    ),
    "a process": ("import subprocess\nP = subprocess.Popen(['sleep', '60'])\n", "a process was started"),
    "a timer": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 1000)\n", "a timer was set"),
    "memory": ("import mmap\nSHARED = mmap.mmap(-1, 4096)\n", "was mapped while importing"),
    "a temporary folder": ("import tempfile\nF = tempfile.mkdtemp(prefix='mine')\n", "temporary file or folder mine"),
    "a path": (
        "import os, tempfile\nclass Places:\n    HERE = [os.path.join(tempfile.gettempdir(), 's')]\n",
        "Places contains the folder for temporary files",
    ),
    "a copy's number": (
        "import os\nNUMBER = int(os.environ.get('PARASUITE_COPY', 0))\n",
        "$PARASUITE_COPY was read while importing tests/test_it.py:2",
    ),
    "nothing, with an error": ("1 / 0\n", "not all tests could be collected"),
}


@pytest.mark.parametrize("what", OPENED)
def test_what_all_copies_would_share_is_refused_with_its_origin(answer: Callable[..., str], what: str) -> None:
    source, why = OPENED[what]
    assert why in answer(source + A_TEST)


def test_workers_of_xdist_import_the_tests_themselves(answer: Callable[..., str]) -> None:
    real_tools.package("xdist")
    assert "pytest-xdist" in answer(A_TEST, "-p", "xdist.plugin", "-n", "2")


def test_an_order_that_a_plug_in_has_drawn_is_refused(answer: Callable[..., str], suite: Callable[..., Path]) -> None:
    source = "def pytest_configure(config):\n    config.pluginmanager.register(object(), 'random_order')\n"
    suite(source, "conftest.py")
    assert "pytest-random-order" in answer(A_TEST)


def test_a_measured_process_is_refused(answer: Callable[..., str]) -> None:
    real_tools.package("coverage")
    assert "coverage" in answer("import coverage\nC = coverage.Coverage(data_file=None)\nC.start()\n" + A_TEST)


def test_a_plug_in_that_collects_in_its_own_way_is_refused(
    answer: Callable[..., str], suite: Callable[..., Path]
) -> None:
    suite("def pytest_collection(session):\n    session.items = []\n    return True\n", "conftest.py")
    assert "in its own way" in answer(A_TEST)


INNOCENT = """
import socket, subprocess, tempfile, threading
with socket.socket() as probe:                      # as urllib3 finds out about IPv6
    probe.bind(("127.0.0.1", 0))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    datagrams.connect(("127.0.0.1", 9))
    ADDRESS = datagrams.getsockname()[0]            # of this host
subprocess.run(["true"], check=True)
worker = threading.Thread(target=int)
worker.start()
worker.join()
with tempfile.TemporaryFile() as stream:
    stream.write(b"-")
with open(__file__) as stream:
    stream.read()
"""


def test_what_is_over_when_the_tests_are_imported_is_not_refused(answer: Callable[..., str]) -> None:
    assert answer(INNOCENT + A_TEST) == ""


def notes(finished: Finished) -> list[str]:
    return [note for note in finished.run["notes"] if "fork" in note]


def test_copies_that_cannot_be_forked_start_by_themselves_and_the_report_says_why(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("import os\nCOPY = os.environ['PARASUITE_COPY']\ndef test_one(): assert COPY in '01'\n")
    finished = parasuite.run_pytest(*FORK, "--sensors", "none", "tests/")
    why = "$PARASUITE_COPY was read while importing tests/test_it.py:2"
    assert (finished.code, notes(finished)) == (0, [NOT_FORKED.format(why=why)]), finished.stdout
    assert NOT_FORKED.format(why=why) in finished.stdout
    assert finished.stderr.count("exit status 0") == 2


PRIVATE = """
import json, logging, multiprocessing.process, os, random, subprocess, sys, tempfile, threading, uuid, warnings
import pytest

IMPORTED_BY = os.getpid()
STATE = []

def test_what_it_is(tmp_path, request, capfd):
    from hypothesis.configuration import storage_directory
    config = request.config
    subprocess.run(["sh", "-c", "echo $PARASUITE_COPY"], check=True)
    STATE.append(1)
    with open("/proc/self/fd/1") as stream:
        pass
    mine = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "init": os.getppid(),
        "copy": os.environ["PARASUITE_COPY"],
        "in C": capfd.readouterr().out,
        "folder": os.environ["PARASUITE_COPY_DIR"],
        "tempfile": tempfile.gettempdir(),
        "a name": tempfile.mktemp(dir="/nowhere"),
        "tmp_path": str(tmp_path),
        "random": random.random(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "authkey": multiprocessing.process.current_process().authkey.hex(),
        "cache": str(config.cache.mkdir("x")),
        "hypothesis": str(storage_directory("examples").path),
        "arguments": sys.argv[1:],
        "basetemp": str(config.option.basetemp),
        "COVERAGE_FILE": os.environ["COVERAGE_FILE"],
    }
    shared = {
        "imported by": IMPORTED_BY,
        "state": STATE,
        "threads": threading.active_count(),
        "main": threading.current_thread() is threading.main_thread() and threading.get_native_id() == os.getpid(),
        "importer": [name for name in os.environ if "IMPORTER" in name],
        "modules": [name for name in sys.modules if name.split(".")[0] == "parasuite"],
        "read": os.environ.get("PARASUITE_NOTHING", "none"),
    }
    with open(os.path.join(os.environ["PARASUITE_COPY_DIR"], "mine.json"), "w") as stream:
        json.dump([mine, shared], stream)
    print("a line of", os.environ["PARASUITE_COPY"])

def test_that_fails():
    print("captured in", os.environ["PARASUITE_COPY"])
    assert False
"""


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run of PRIVATE."""
    folder = tmp_path_factory.mktemp("private")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(PRIVATE)
    parasuite = Parasuite(folder, clean_environment())
    return parasuite.run_pytest(*FORK, "tests/", "--", "-p", "no:randomly")


def test_two_copies_share_nothing_that_each_would_have_alone(private: Finished) -> None:
    assert not notes(private)
    reported: list[list[dict[str, Any]]] = [
        json.loads((private.folder / "copies" / copy / "mine.json").read_text()) for copy in ("000", "001")
    ]
    mine = [each[0] for each in reported]
    assert not {name for name in mine[0] if mine[0][name] == mine[1][name]}
    for copy, each in enumerate(mine):
        assert (each["copy"], each["in C"], each["session"]) == (str(copy), f"{copy}\n", each["pid"])
        below = str(private.folder / "copies" / f"{copy:03d}")
        assert {each[name].startswith(below) for name in ("folder", "cache", "hypothesis", "COVERAGE_FILE")} == {True}
        assert "importer" not in str(each["arguments"])
    assert reported[0][1] == reported[1][1]
    assert reported[0][1]["imported by"] not in [each["pid"] for each in mine]
    expected = {"state": [1], "threads": 1, "main": True, "importer": [], "modules": [], "read": "none"}
    assert {**reported[0][1], **expected} == reported[0][1]


def test_each_copy_has_an_output_of_its_own(private: Finished) -> None:
    for copy in range(2):
        output = (private.folder / "copies" / f"{copy:03d}" / "output.log").read_text()
        assert output.count("test session starts") == output.count("collected 2 items") == 1
        assert (f"captured in {copy}" in output, f"captured in {1 - copy}" in output) == (True, False)
        assert "1 failed, 1 passed" in output


def test_forked_copies_are_recorded(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    """The sensor, the recorder's line and the test of each listener."""
    suite("import socket\ndef test_one():\n    socket.create_server(('127.0.0.1', 0)).close()\n")
    finished = parasuite.run_pytest(*FORK, "tests/")
    assert (finished.code, notes(finished)) == (0, []), finished.stdout
    events = [json.loads(line) for line in (finished.folder / "events" / "seccomp.jsonl").read_text().splitlines()]
    binds = {(each["copy"], each["test"], str(each["source_line"])) for each in events if each["kind"] == "bind"}
    assert {bind[:2] for bind in binds} == {(copy, "tests/test_it.py::test_one") for copy in range(2)}
    assert all("tests/test_it.py:3:test_one" in bind[2] for bind in binds)


def test_the_recorder_alone_sees_what_forked_copies_do_and_nothing_of_the_import(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    source = "import socket\nsocket.create_server(('127.0.0.1', 0)).close()\n"
    suite(source + "def test_one():\n    socket.create_server(('127.0.0.1', 0)).close()\n")
    finished = parasuite.run_pytest(*FORK, "--sensors", "recorder", "tests/")
    assert (finished.code, notes(finished)) == (0, []), finished.stdout
    for copy in range(2):
        files = (finished.folder / "copies" / f"{copy:03d}" / "recorder").glob("*.jsonl")
        lines = [line for file in files for line in file.read_text().rstrip("\0").splitlines()]
        binds = [event for event in map(json.loads, lines) if event["kind"] == "bind"]
        assert [(bind["copy"], bind["test"]) for bind in binds] == [(copy, "tests/test_it.py::test_one")]
    assert not list((finished.folder / "importer" / "recorder").iterdir())


def test_results_are_those_of_copies_that_start_by_themselves(
    parasuite: Parasuite, suite: Callable[..., Path]
) -> None:
    suite("import pytest\npytest.skip('not here', allow_module_level=True)\n", "test_skipped.py")
    suite("import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_one(n): assert n != 2\n")
    results = []
    for mode in ("exec", "fork"):
        arguments = ("-k", "not 3", "--sensors", "none", "tests/", "--", "-p", "no:randomly")
        finished = parasuite.run_pytest("-j", "2", "--start", mode, *arguments)
        assert not notes(finished)
        lines = (finished.folder / "copies" / "001" / "results.jsonl").read_text().splitlines()
        events = map(json.loads, lines)
        results.append((finished.code, [(each["event"], each.get("id"), each.get("outcome")) for each in events]))
    assert results[0] == results[1]


def test_each_forked_copy_has_its_own_seed_and_order(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    real_tools.package("pytest_randomly")
    suite("import pytest\n@pytest.mark.parametrize('n', range(50))\ndef test_one(n): pass\n")
    finished = parasuite.run_pytest(*FORK, "--sensors", "none", "--seed", "7", "tests/")
    assert (finished.code, notes(finished)) == (0, []), finished.stdout
    assert finished.run["seeds"]["copies"] == [
        {"PYTHONHASHSEED": copy_seed(7, 0), "pytest-randomly": seed, "hypothesis": str(seed)}
        for seed in (copy_seed(7, copy) for copy in range(2))
    ]
    folders = [finished.folder / "copies" / f"{copy:03d}" for copy in range(2)]
    orders = [
        [line for line in (folder / "results.jsonl").read_text().splitlines() if '"started"' in line]
        for folder in folders
    ]
    ids = [[json.loads(line)["id"] for line in order] for order in orders]
    assert ids[0] != ids[1]
    for copy, folder in enumerate(folders):
        assert f"--randomly-seed={copy_seed(7, copy)}\n" in (folder / "output.log").read_text()


INIT = """
import json, os, signal, socket, warnings

KEPT = [open(__file__)] and None
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGCHLD, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
HANDLER = signal.getsignal(signal.SIGUSR1)

def test_its_init():
    init = os.getppid()
    with open(f"/proc/{init}/status") as stream:
        status = dict(line.rstrip().split(":", 1) for line in stream)
    targets = sorted(os.readlink(f"/proc/{init}/fd/{name}").split(":")[0] for name in os.listdir(f"/proc/{init}/fd"))
    reported = {
        "name": status["Name"].strip(),
        "caught": int(status["SigCgt"], 16),
        "blocked": int(status["SigBlk"], 16),
        "ignored": int(status["SigIgn"], 16),
        "descriptors": targets,
        "session": os.getsid(init) == init,
        "ours": signal.getsignal(signal.SIGUSR1) is HANDLER,
        "our mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
    }
    with open(os.path.join(os.environ["PARASUITE_COPY_DIR"], "init.json"), "w") as stream:
        json.dump(reported, stream)
"""


def test_an_init_that_is_forked_from_the_importer_has_nothing_of_the_users(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(INIT)
    finished = parasuite.run_pytest(*FORK, "tests/")
    assert (finished.code, notes(finished)) == (0, []), finished.stdout
    reported = json.loads((finished.folder / "copies" / "001" / "init.json").read_text())

    def bits(*numbers: int) -> int:
        return sum(1 << (number - 1) for number in numbers)

    assert (reported["name"], reported["session"], reported["blocked"]) == ("parasuite-init", True, 0)
    assert reported["caught"] == bits(signal.SIGCHLD)
    assert reported["ignored"] & bits(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) == bits(
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    )
    # The channel, the lifeline, and both ends of what the end of a child writes to.
    assert reported["descriptors"] == ["/dev/null"] * 3 + ["anon_inode"] + ["socket"] * 4
    assert (reported["ours"], reported["our mask"]) == (True, [int(signal.SIGUSR2)])


HANGS = "import os, time\nif 'PARASUITE_COPY' not in dict(os.environ):\n    open('importing', 'w').close()\n"


def test_a_run_is_interrupted_while_tests_are_imported(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite(HANGS + "    time.sleep(600)\n" + A_TEST)
    process = parasuite.start("run", "--python", sys.executable, *FORK, "tests/")
    while not (parasuite.cwd / "importing").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert parasuite.finish(process).code == ExitCode.INTERRUPTED


def test_an_import_that_takes_longer_than_a_copy_may_is_given_up(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(HANGS + "    os.fork()\n    time.sleep(600)\n" + A_TEST)
    finished = parasuite.run_pytest(*FORK, "--timeout", "5", "--sensors", "none", "tests/")
    assert notes(finished) == [NOT_FORKED.format(why=IMPORTED_TOO_LONG.format(seconds=5.0))]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.fork() or time.sleep(600); os.kill(os.getpid(), 9)"])
def test_an_importer_that_dies_costs_nothing_but_its_time(
    parasuite: Parasuite, suite: Callable[[str], Path], end: str
) -> None:
    suite(HANGS + f"    {end}\n" + A_TEST)
    finished = parasuite.run_pytest(*FORK, "--sensors", "none", "tests/")
    assert (finished.code, notes(finished)) == (0, [NOT_FORKED.format(why=ENDED_EARLY)]), finished.stdout


def test_an_init_that_is_killed_takes_its_forked_copy_with_it(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(
        "import os, signal, time\ndef test_one():\n"
        "    if os.environ['PARASUITE_COPY'] == '0':\n"
        "        open('pid', 'w').write(str(os.getpid()))\n"
        "        os.kill(os.getppid(), signal.SIGKILL)\n"
        "        time.sleep(600)\n"
    )
    finished = parasuite.run_pytest(*FORK, "--sensors", "none", "tests/")
    assert (finished.code, notes(finished)) == (ExitCode.TEST_FAILED, []), finished.stdout
    assert "its supervision died" in finished.stdout
    assert not os.path.exists(f"/proc/{(parasuite.cwd / 'pid').read_text()}")


def test_no_copy_of_a_command_can_be_forked(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--start", "fork", "--", "true")
    assert (finished.code, "--start only applies to pytest targets" in finished.stderr) == (ExitCode.USAGE, True)
