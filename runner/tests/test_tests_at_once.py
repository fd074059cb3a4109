"""Tests that run at the same time, in threads, tasks or processes that no table knows, are parties."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.ledger import in_order
from parasuite.judge.parties import with_workers
from parasuite.model.events import Ancestor, Bind, CopyState, Event, ProcessSeen
from parasuite.model.party import Caller, Fixture, Party
from parasuite.model.results import TestsAtOnce
from parasuite.model.sensors import SensorName
from parasuite.model.words import AttributedBy, CopyPhase, FixtureScope
from parasuite.record.tests_at_once import AtOnceReader

from netsupport.tests import real_tools
from runner.tests.building import by, tcp
from runner.tests.conftest import Finished, Parasuite, kinds

MAIN, FIRST, SECOND, SERVER = 10, 21, 22, 31


# --- which tests ran at once ----------------------------------------------------------------------------------------


def at_once(*steps: str) -> TestsAtOnce:
    """*steps*: "+runner test" begins a test, "-runner test" ends it."""
    reader = AtOnceReader()
    for step in steps:
        runner, test = step[1:].split()
        (reader.started if step[0] == "+" else reader.ended)(runner, test)
    return reader.found


def test_tests_of_one_process_that_overlap_ran_at_once_however_many_ended_first() -> None:
    found = at_once("+7-1 a", "+7-2 b", "-7-2 b", "+7-1 c", "-7-1 c", "-7-1 a", "+7-1 d", "-7-1 d")
    assert found == TestsAtOnce(tests=frozenset("abc"))


def test_processes_whose_tests_overlap_ran_at_once_and_their_tests_did_not_run_beside_one_another() -> None:
    found = at_once("+7-1 a", "+8-2 b", "-7-1 a", "+7-1 c", "-8-2 b", "-7-1 c", "+9-3 d", "-9-3 d")
    assert found == TestsAtOnce(runners=frozenset({7, 8}))


def test_a_test_that_never_ends_ran_beside_none() -> None:
    assert at_once("+7-1 a", "+8-2 b", "-8-2 b", "+7-1 c", "-7-1 c") == TestsAtOnce()


@given(st.permutations([(runner, test) for runner in ("1-1", "2-2") for test in "abc"]))
def test_tests_that_run_one_after_the_other_never_ran_at_once(order: Sequence[tuple[str, str]]) -> None:
    assert at_once(*(f"{step}{runner} {test}" for runner, test in order for step in "+-")) == TestsAtOnce()


def test_of_endlessly_many_that_begin_only_the_first_are_followed() -> None:
    begun = [f"+7-1 {number}" for number in range(1000)]
    ended = [f"-7-1 {number}" for number in range(1000)]
    assert len(at_once(*begun, *ended).tests) == 256


# --- who is a party -------------------------------------------------------------------------------------------------


def workers(known: TestsAtOnce, *callers: Caller, source: SensorName = SensorName.SECCOMP) -> list[str]:
    """The worker of each bind by *callers*: of MAIN, of FIRST and SECOND below it, or of SERVER below FIRST."""
    main, init = Ancestor(MAIN, 1.0, "main", "python runner.py"), Ancestor(MAIN - 1, 0.5)
    first = Ancestor(FIRST, float(FIRST), "python", "python -m pytest a")
    above = {MAIN: (init,), FIRST: (main, init), SECOND: (main, init), SERVER: (first, main, init)}
    commands = {MAIN: main.command, FIRST: first.command, SECOND: "python -m pytest b", SERVER: "./server"}
    events: list[Event] = [CopyState(t_ns=1, copy=0, state=CopyPhase.STARTED, pid=MAIN)]
    for pid, ancestors in above.items():
        inside = source is SensorName.RECORDER
        events.append(
            ProcessSeen(
                t_ns=2 + len(events),
                source=source,
                caller=by(0, pid, start_s=float(pid)),
                name="python",
                command=commands[pid],
                parent=ancestors[0].pid,
                ancestors=() if inside else ancestors,
            )
        )
    events += [Bind(t_ns=20 + n, source=source, caller=caller, asked=tcp(8025)) for n, caller in enumerate(callers)]
    named = with_workers(in_order(events), [known])
    return [event.party.worker for event in named if isinstance(event, Bind) and event.party is not None]


def in_thread(test: str, attribution: AttributedBy = AttributedBy.THREAD) -> Caller:
    return by(0, MAIN, tid=11, test=test, attribution=attribution)


def test_tests_that_ran_beside_others_in_threads_are_parties_and_others_are_not() -> None:
    known = TestsAtOnce(tests=frozenset({"t/it.py::a", "t/it.py::b"}))
    callers = [in_thread("t/it.py::a"), in_thread("t/it.py::b", AttributedBy.THREAD_START), in_thread("t/it.py::c")]
    assert workers(known, *callers) == ["it.py::a", "it.py::b", ""]


@pytest.mark.parametrize("attribution", [AttributedBy.PROCESS, AttributedBy.ENVIRONMENT, AttributedBy.NONE])
def test_what_is_only_presumed_to_work_for_one_of_several_tests_belongs_to_the_copy(
    attribution: AttributedBy,
) -> None:
    assert workers(TestsAtOnce(tests=frozenset("a")), in_thread("a", attribution)) == [""]


def test_what_a_fixture_shares_between_tests_that_run_at_once_belongs_to_none_of_them() -> None:
    shared = in_thread("a")._replace(fixture=Fixture(FixtureScope.CLASS, "server"))
    assert workers(TestsAtOnce(tests=frozenset("a")), shared) == [""]


@pytest.mark.parametrize("source", [SensorName.SECCOMP, SensorName.RECORDER])
def test_processes_that_ran_tests_at_once_are_workers_with_what_they_start(source: SensorName) -> None:
    known = TestsAtOnce(runners=frozenset({MAIN, FIRST, SECOND}))
    callers = [by(0, pid) for pid in (MAIN, FIRST, SECOND, SERVER)]
    assert workers(known, *callers, source=source) == ["", "pytest", "pytest 2", "pytest"]
    assert workers(TestsAtOnce(), *callers, source=source) == [""] * 4


def test_programs_of_a_script_that_ran_tests_at_once_are_no_longer_presumed_to_be_workers() -> None:
    script, init = Ancestor(MAIN, 1.0, "sh", "/bin/sh check.sh"), Ancestor(MAIN - 1, 0.5)
    callers = [by(0, pid, start_s=float(pid)) for pid in (FIRST, SECOND)]
    events: list[Event] = [CopyState(t_ns=1, copy=0, state=CopyPhase.STARTED, pid=MAIN)]
    for caller in callers:
        command = f"python -m pytest tests/{caller.process.pid}"
        events.append(ProcessSeen(t_ns=2, caller=caller, command=command, ancestors=(script, init)))
    events += [Bind(t_ns=3, caller=caller, asked=tcp(8025)) for caller in callers]
    named = with_workers(in_order(events), [TestsAtOnce(runners=frozenset({FIRST, SECOND}))])
    parties = [event.party for event in named if isinstance(event, Bind)]
    assert parties == [Party(0, "pytest"), Party(0, "pytest 2")]


# --- for real -------------------------------------------------------------------------------------------------------

MEETING = """
import os, pathlib, socket, time
PLACE = pathlib.Path(os.environ["PARASUITE_COPY_DIR"])
PORT = int(os.environ["PLANTED_PORT"])

def tell(what):
    (PLACE / what).touch()

def heard(what):
    return (PLACE / what).exists()

def hear(what):
    give_up_s = time.monotonic() + 120
    while not heard(what):
        assert time.monotonic() < give_up_s, what
        time.sleep(0.005)

def listen(port=0):
    return socket.create_server(("127.0.0.1", port))

def refuse(port):
    try:
        listen(port)
    except OSError:
        return
    raise AssertionError("not refused")
"""
FIRST_DEFECT = """
import unittest
from meeting import *

class First(unittest.TestCase):
    def test_first(self):
        with listen(PORT):
            tell("listening")
            hear("refused")
        hear("over")
"""
SECOND_DEFECT = """
import unittest
from meeting import *

class Second(unittest.TestCase):
    def test_second(self):
        hear("listening")
        refuse(PORT)
        tell("refused")
        tell("over")
"""
FIRST_INNOCENT = """
import unittest
from meeting import *

class First(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.database = listen()
        (PLACE / "database.new").write_text(str(cls.database.getsockname()[1]))
        (PLACE / "database.new").rename(PLACE / "database")

    @classmethod
    def tearDownClass(cls):
        hear("over")
        cls.database.close()

    def test_first(self):
        socket.create_connection(self.database.getsockname()).close()
        with listen() as mine:
            refuse(mine.getsockname()[1])
        tell("first")
        hear("second")

    def test_port_that_is_handed_over(self):
        with listen() as mine:
            (PLACE / "handed.new").write_text(str(mine.getsockname()[1]))
            (PLACE / "handed.new").rename(PLACE / "handed")
"""
SECOND_INNOCENT = """
import unittest
from meeting import *

class Second(unittest.TestCase):
    def test_second(self):
        hear("first")
        socket.create_connection(("127.0.0.1", int((PLACE / "database").read_text()))).close()
        with listen() as mine:
            refuse(mine.getsockname()[1])
        tell("second")
        tell("over")
"""
RUN_BOTH = {
    "threads": """
import threading, unittest

def run(name):
    unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromName(name))

threads = [threading.Thread(target=run, args=(name,)) for name in ("first", "second")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""",
    "processes": """
import subprocess, sys

run = [subprocess.Popen([sys.executable, "-m", "unittest", name]) for name in ("first", "second")]
sys.exit(max(process.wait() for process in run))
""",
}


def run_both(parasuite: Parasuite, how: str, port: int, first: str, second: str) -> Finished:
    for name, text in (("meeting", MEETING), ("first", first), ("second", second), ("both", RUN_BOTH[how])):
        (parasuite.cwd / f"{name}.py").write_text(text)
    command = ["run", "-j", "1", "--timeout", "150", "--", sys.executable, "both.py"]
    finished = parasuite(*command, environ={"PLANTED_PORT": str(port)})
    assert " 0 failed" in finished.verdict, finished.stdout[-3000:] + finished.stderr
    return finished


@pytest.mark.parametrize("how", RUN_BOTH)
def test_a_collision_of_tests_that_ran_at_once_is_found_whatever_ran_them(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int, how: str
) -> None:
    finished = run_both(parasuite, how, port_outside_the_ephemeral_range, FIRST_DEFECT, SECOND_DEFECT)
    assert kinds(finished) == ["hard-coded", "refused"], finished.stdout[-3000:]
    (finding,) = finished.findings
    ((wanted, held),) = [effect["sides"] for effect in finding["effects"]]
    assert finding["severity"] == "error"
    assert (wanted["test"], held["test"]) == ("second.Second.test_second", "first.First.test_first")
    assert wanted["party"]["worker"] != held["party"]["worker"] != ""


@pytest.mark.parametrize("how", RUN_BOTH)
def test_nothing_is_said_of_what_tests_that_run_at_once_may_do(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int, how: str
) -> None:
    finished = run_both(parasuite, how, port_outside_the_ephemeral_range, FIRST_INNOCENT, SECOND_INNOCENT)
    assert kinds(finished) == [], finished.stdout[-3000:]


IN_TASKS = """
import asyncio, os, socket
import pytest

PORT = int(os.environ["PLANTED_PORT"])
listening, refused = asyncio.Event(), asyncio.Event()

@pytest.mark.asyncio_concurrent(group="both")
async def test_first():
    with socket.create_server(("127.0.0.1", PORT)):
        listening.set()
        await refused.wait()

@pytest.mark.asyncio_concurrent(group="both")
async def test_second():
    await listening.wait()
    with pytest.raises(OSError):
        socket.create_server(("127.0.0.1", PORT))
    refused.set()
"""


def test_tests_that_run_as_tasks_of_one_thread_are_parties(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int
) -> None:
    real_tools.package("pytest_asyncio_concurrent")
    (parasuite.cwd / "test_tasks.py").write_text(IN_TASKS)
    environ = {"PLANTED_PORT": str(port_outside_the_ephemeral_range)}
    finished = parasuite.run_pytest("-j", "1", "test_tasks.py", environ=environ)
    assert " 0 failed" in finished.verdict, finished.stdout[-3000:] + finished.stderr
    assert kinds(finished) == ["hard-coded", "refused"]
    ((wanted, held),) = [effect["sides"] for effect in finished.findings[0]["effects"]]
    assert (wanted["test"], held["test"]) == ("test_tasks.py::test_second", "test_tasks.py::test_first")
