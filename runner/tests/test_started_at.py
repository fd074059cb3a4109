"""A process that no line of the user's is known of is shown with the line that started it."""

from __future__ import annotations

from pathlib import Path

import pytest
from parasuite.judge.findings import Finding, find
from parasuite.model.events import Bind, Endpoint, Event, Listen, ProcessSeen
from parasuite.model.sensors import SensorName
from parasuite.model.words import CopyVariable, Protocol

from runner.tests.building import at, by
from runner.tests.recording import PYTEST, record

PORT = 8025
ENDPOINT = Endpoint(Protocol.TCP, "127.0.0.1", PORT)
STARTED_AT = "suite/conftest.py:7:start suite/conftest.py:20:server"
LIBRARY = "venv/lib/python3.11/site-packages/server.py:3:serve"
OWN = "suite/program.py:5:serve"


def frames_of_children(tmp_path: Path, code: str) -> list[str]:
    """The functions at which the processes that bound a port were started, as their environment says."""
    listening = """
    import multiprocessing, socketserver
    LISTEN = "import socketserver; socketserver.TCPServer(('127.0.0.1', 0), None).server_close()"
    ADDRESS = "127.0.0.1", 0
    """
    events = record(tmp_path, listening + code, *PYTEST, name="test_suite.py")
    variables = [entry for event in events if isinstance(event, ProcessSeen) for entry in event.environment]
    frames = [
        value.split("\t")
        for name, _, value in (entry.partition("=") for entry in variables)
        if name == CopyVariable.STARTED_AT
    ]
    assert all(frame.startswith("test_suite.py:") for stack in frames for frame in stack)
    return [" ".join(frame.rpartition(":")[2] for frame in stack) for stack in frames]


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, '-c', LISTEN], check=True)",
        "subprocess.run([sys.executable, '-c', LISTEN], check=True, env={**os.environ})",
        "subprocess.run([sys.executable, '-c', LISTEN], check=True, env={})",
        """subprocess.run(["sh", "-c", f'{sys.executable} -c "{LISTEN}"; true'], check=True)""",
        "subprocess.run([sys.executable, '-c', 'import subprocess, sys; "
        'subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)\', LISTEN], check=True)',
        "multiprocessing.get_context('spawn').Process(target=socketserver.TCPServer, args=(ADDRESS, None)).start()",
    ],
)
def test_a_child_is_told_the_line_that_started_it(tmp_path: Path, start: str) -> None:
    code = f"""
    def server():
        {start}
    def test_one(): server()
    """
    assert frames_of_children(tmp_path, code) == ["server test_one"]


def test_each_child_is_told_of_its_own_line(tmp_path: Path) -> None:
    code = """
    def start(): subprocess.run([sys.executable, "-c", LISTEN], check=True)
    def test_one(): start()
    def test_two(): start()
    """
    assert sorted(frames_of_children(tmp_path, code)) == ["start test_one", "start test_two"]


def hard_coded(line: str, environment: tuple[str, ...], *more: Event) -> Finding:
    """What is found of two copies' programs that bind the same port at *line*."""
    events: list[Event] = []
    for copy in (0, 1):
        who = by(copy, pid=100 + copy, line=line)
        events += [
            ProcessSeen(t_ns=1, source=SensorName.SECCOMP, caller=who, name="server", environment=environment),
            Bind(t_ns=10 + copy, caller=who, cookie=copy + 1, asked=ENDPOINT, got=ENDPOINT),
            Listen(t_ns=20 + copy, caller=who, cookie=copy + 1, got=ENDPOINT),
        ]
    (finding,) = find(sorted([*events, *more], key=lambda event: event.t_ns)).findings
    return finding


KNOWN = (f"{CopyVariable.STARTED_AT}={STARTED_AT.replace(' ', chr(9))}",)


@pytest.mark.parametrize("line", ["", LIBRARY])
def test_a_program_without_a_line_of_the_projects_is_shown_with_the_line_that_started_it(line: str) -> None:
    finding = hard_coded(line, KNOWN)
    assert [side.frames for side in finding.sides] == [at(STARTED_AT)] * 2


@pytest.mark.parametrize(("line", "environment"), [(OWN, KNOWN), (LIBRARY, ()), ("", ())])
def test_a_program_is_shown_with_its_own_line_where_that_is_the_projects_or_no_other_is_known(
    line: str, environment: tuple[str, ...]
) -> None:
    finding = hard_coded(line, environment)
    assert [side.frames for side in finding.sides] == [at(line)] * 2


def test_the_sampler_which_sees_no_environment_does_not_make_the_line_forgotten() -> None:
    again = ProcessSeen(t_ns=50, source=SensorName.SAMPLER, caller=by(0, pid=100), name="server")
    assert [side.frames for side in hard_coded("", KNOWN, again).sides] == [at(STARTED_AT)] * 2


def test_an_id_does_not_depend_on_the_line_that_started_a_program() -> None:
    assert hard_coded("", KNOWN).id == hard_coded("", ()).id
