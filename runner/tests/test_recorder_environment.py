"""A program sees the environment, path and tracebacks that it would see alone, and its children are recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from parasuite.model.party import Fixture
from parasuite.model.words import FixtureScope
from parasuite.record.recorder_files import recorded

from runner.tests.conftest import Parasuite
from runner.tests.recording import PATIENCE_S, PYTEST, RECORDER, SUITE_HEAD, binds, environment, record

BINDS = "import socket; socket.create_server(('127.0.0.1', 0)).close()"
SEEN = "import json, os, sys; print(json.dumps([sys.path, sys.argv, sys.orig_argv, dict(os.environ)]))"
# What a program is told on purpose, and what Python itself adds to a new environment.
FOR_PROGRAMS = ("PARASUITE_COPY_DIR", "LC_CTYPE")

on_posix = pytest.mark.skipif(os.name != "posix", reason="environments of one's own are followed on POSIX only")


def seen(argv: list[str], env: dict[str, str], cwd: Path) -> list[object]:
    """Path, arguments and environment as the Python that *argv* starts sees them."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    *rest, variables = json.loads(done.stdout)
    return [*rest, {name: value for name, value in variables.items() if name not in FOR_PROGRAMS}]


@pytest.mark.parametrize("theirs", ["", "own", f"own{os.pathsep}other{os.pathsep}own"])
@pytest.mark.parametrize("mode", ["events", "pages", ""])
def test_a_program_sees_its_own_environment_and_path(tmp_path: Path, mode: str, theirs: str) -> None:
    recording = environment(tmp_path / "copy", mode)
    alone = {name: value for name, value in recording.items() if not name.startswith(("PARASUITE", "PYTHON"))}
    if theirs:
        alone["PYTHONPATH"] = theirs
    recording["PYTHONPATH"] = os.pathsep.join(filter(None, [str(RECORDER), theirs]))
    argv = [sys.executable, "-c", SEEN, "an argument"]
    assert seen(argv, recording, tmp_path) == seen(argv, alone, tmp_path)


WAYS_TO_START = {
    "as it is": "subprocess.run(python, check=True)",
    "by a shell": "assert os.system(shlex.join(python)) == 0",
    "with a copy of its environment": "subprocess.run(python, env={**os.environ, 'OWN': '1'}, check=True)",
    "with a new environment": "subprocess.run(python, env={'OWN': '1'}, check=True)",
    "with an empty environment": "subprocess.run(python, env={}, check=True)",
    "after it set PYTHONPATH": "os.environ['PYTHONPATH'] = 'own'; subprocess.run(python, check=True)",
    "after it removed PYTHONPATH": "os.environ.pop('PYTHONPATH', ''); subprocess.run(python, check=True)",
    "after it cleared its environment": "os.environ.clear(); subprocess.run(python, check=True)",
    "by execve": "os.execve(python[0], python, {'OWN': '1'})",
    "by execve with names": "os.execve(path=python[0], argv=python, env={'OWN': '1'})",
    "by execvpe": "os.execvpe(python[0], python, os.environ)",
    "by execv": "os.execv(python[0], python)",
    "by posix_spawn": "assert os.waitpid(os.posix_spawn(python[0], python, os.environ), 0)[1] == 0",
    "by spawn": "multiprocessing.get_context('spawn').Process(target=exec, args=(python[-1],)).start()",
    "by a forkserver": "multiprocessing.get_context('forkserver').Process(target=exec, args=(python[-1],)).start()",
}


@on_posix
@pytest.mark.parametrize("way", WAYS_TO_START)
def test_a_python_that_the_program_starts_is_recorded(tmp_path: Path, way: str) -> None:
    code = f"""
        import multiprocessing, shlex
        if __name__ == "__main__":
            python = [sys.executable, "-c", {BINDS!r}]
            {WAYS_TO_START[way]}
        """
    # A forkserver binds a Unix socket of its own.
    assert [bind.asked.address for bind in binds(record(tmp_path, code)) if bind.asked.is_internet] == ["127.0.0.1"]


@on_posix
@pytest.mark.parametrize("env", [{}, {"OWN": "1"}, {"PYTHONPATH": ""}, {"PYTHONPATH": "own", "PATH": "/bin"}])
def test_a_python_sees_the_environment_that_it_was_started_with(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "starts.py").write_text(
        f"import subprocess\nsubprocess.run({[sys.executable, '-c', SEEN]}, env={env})"
    )
    started = [sys.executable, "starts.py"]
    assert seen(started, environment(tmp_path / "copy"), tmp_path)[-1] == env


@on_posix
@pytest.mark.parametrize("env", [{}, {"OWN": "1"}])
def test_another_program_gets_exactly_the_environment_that_it_is_given(tmp_path: Path, env: dict[str, str]) -> None:
    expected = [f"{name}={value}" for name, value in env.items()]
    code = f"assert subprocess.check_output(['/usr/bin/env'], env={env}, text=True).split() == {expected}"
    record(tmp_path, code)


@on_posix
@pytest.mark.parametrize("head", ["#!{python}", "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''"])
def test_a_script_for_python_is_recorded_whatever_its_environment(tmp_path: Path, head: str) -> None:
    script = tmp_path / "script"
    script.write_text(head.format(python=sys.executable) + f"\n{BINDS}\n")
    script.chmod(0o755)
    assert len(binds(record(tmp_path, f"subprocess.run([{str(script)!r}], env={{}}, check=True)"))) == 1


RAISES = {
    "a program that is not there": "os.execve('/no/such/program', ['x'], {})",
    "a program that cannot be spawned": "os.posix_spawn('/no/such/program', ['x'], {})",
    "no environment": "os.execve('/no/such/program', ['x'], 7)",
    "a subprocess that is not there": "subprocess.run(['/no/such/program'], env={})",
    "a variable without a name": "os.environ[''] = 'x'",
    "a thread that was started": "thread = threading.Thread(target=int); thread.start(); thread.start()",
    "a socket that is closed": "s = socket.socket(); s.close(); s.listen()",
}


@on_posix
@pytest.mark.skipif(sys.version_info < (3, 11), reason="frames cannot be hidden before Python 3.11")
@pytest.mark.parametrize("name", RAISES)
@pytest.mark.parametrize("mode", ["events", "pages"])
def test_a_traceback_is_as_it_would_be_alone(tmp_path: Path, name: str, mode: str) -> None:
    (tmp_path / "suite.py").write_text(SUITE_HEAD + RAISES[name])
    recording = environment(tmp_path / "copy", mode)
    alone = {name: value for name, value in recording.items() if not name.startswith(("PARASUITE", "PYTHON"))}
    said = [
        subprocess.run([sys.executable, "suite.py"], cwd=tmp_path, env=env, capture_output=True, text=True).stderr
        for env in (alone, recording)
    ]
    assert "Traceback" in said[0]
    assert said[1] == said[0]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="frames cannot be hidden before Python 3.11")
def test_the_traceback_of_a_fixture_has_no_frame_of_ours(tmp_path: Path) -> None:
    code = """
        import pytest
        @pytest.fixture(scope="session")
        def broken():
            yield
            raise ValueError("torn down")
        @pytest.fixture
        def worse():
            raise ValueError("set up")
        def test_one(broken): pass
        def test_two(broken, worse): pass
        """
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(code))
    argv = [sys.executable, *PYTEST, "--tb=native"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment(tmp_path / "copy"), capture_output=True, text=True)
    assert ("set up" in done.stdout, "torn down" in done.stdout, "_parasuite_" in done.stdout) == (True, True, False)


STARTED_BY_A_FIXTURE = """
    import pytest
    @pytest.fixture(scope="session")
    def server():
        started = subprocess.Popen([sys.executable, "-c", 'input(); BINDS'], stdin=subprocess.PIPE, ENV)
        yield started
    def test_first(server): pass
    def test_second(server):
        server.communicate(b"\\n")
    """


@on_posix
@pytest.mark.parametrize("env", ["env=None", "env={}"])
def test_a_program_that_a_sessions_fixture_starts_belongs_to_the_fixture(tmp_path: Path, env: str) -> None:
    code = STARTED_BY_A_FIXTURE.replace("BINDS", BINDS.replace("'", '\\"')).replace("ENV", env)
    (bind,) = binds(record(tmp_path, code, *PYTEST, name="test_suite.py"))
    assert (bind.caller.test, bind.caller.fixture) == ("", Fixture(FixtureScope.SESSION, "server"))


def test_without_sensors_a_command_is_given_nothing_of_the_recorders(parasuite: Parasuite) -> None:
    code = "import os; print(sorted({'PYTHONPATH', 'PARASUITE_RECORDER', 'PARASUITE_CLOCK'} & set(os.environ)))"
    done = parasuite("run", "-j", "1", "--sensors", "none", "--", sys.executable, "-S", "-c", code)
    assert (done.folder / "copies" / "000" / "output.log").read_text() == "[]\n"


@pytest.mark.parametrize("sensors", ["none", "auto"])
def test_a_suite_that_sets_pythonpath_has_its_results_and_its_children_see_what_it_set(
    parasuite: Parasuite, sensors: str
) -> None:
    (parasuite.cwd / "conftest.py").write_text(
        "import os\nos.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [os.getenv('PYTHONPATH'), 'lib']))\n"
    )
    (parasuite.cwd / "test_suite.py").write_text(
        "import os, subprocess, sys\n"
        "def test_child():\n"
        '    code = \'import os, sys; print(os.environ["PYTHONPATH"], [p for p in sys.path if "recorder" in p])\'\n'
        "    assert subprocess.check_output([sys.executable, '-c', code]) == b'lib []\\n'\n"
    )
    done = parasuite("run", "-j", "1", "--sensors", sensors, "test_suite.py", environ={"PYTHONPATH": ""})
    assert done.code == 0, done.stdout
    assert "tests: 1 passed" in done.verdict


@pytest.mark.parametrize("given", [{}, {"PYTHONPATH": ""}])
def test_a_program_and_its_children_see_an_empty_pythonpath_only_if_there_is_one(
    parasuite: Parasuite, given: dict[str, str]
) -> None:
    code = """
        import os, subprocess, sys
        child = [sys.executable, "-c", "import os; print(os.getenv('PYTHONPATH'))"]
        print(os.getenv("PYTHONPATH"), flush=True)
        subprocess.run(child, check=True)
        subprocess.run(child, env=dict(os.environ), check=True)
        os.environ["PYTHONPATH"] = ""
        subprocess.run(child, check=True)
        """
    done = parasuite("run", "-j", "1", "--", sys.executable, "-c", textwrap.dedent(code), environ=given)
    output = (done.folder / "copies" / "000" / "output.log").read_text().splitlines()
    assert output == [str(given.get("PYTHONPATH"))] * 3 + [""]


def test_a_failing_recorder_still_hides(tmp_path: Path) -> None:
    env = environment(tmp_path / "copy")
    env["PARASUITE_RECORDER"] = env["PARASUITE_RECORDER"].replace("3", "x", 1)
    _, _, _, variables = seen([sys.executable, "-c", SEEN], env, tmp_path)
    assert "PYTHONPATH" not in variables  # type: ignore[operator]
    assert list(recorded(tmp_path / "copy"))
