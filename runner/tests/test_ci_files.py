"""The files in ci/: each is valid for the program that reads it, and runs what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from netsupport.tests import real_tools
from runner.tests.conftest import clean_environment

CI = Path(__file__).resolve().parents[2] / "ci"
UNITS = ("parasuite-nightly.service", "parasuite-nightly.timer")


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """The folder of a program "parasuite" that prints its arguments, a line each, and what it reads from stdin."""
    program = tmp_path / "bin" / "parasuite"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\ncat\n")
    program.chmod(0o755)
    return program.parent


def output(words: list[str], environ: Mapping[str, str], standard_input: str = "") -> list[str]:
    done = subprocess.run(
        words,
        input=standard_input,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_the_action_passes_its_arguments_on_as_a_shell_would_read_them(stub: Path) -> None:
    action = YAML(typ="safe").load(CI / "action.yml")
    (script,) = (step["run"] for step in action["runs"]["steps"] if step["name"] == "Run")
    (stub.parent / "parasuite").mkdir()
    stub.rename(stub.parent / "parasuite" / "bin")
    environ = {"RUNNER_TEMP": str(stub.parent), "ARGUMENTS": "-j 4 tests/ -- -k 'one or two'"}
    assert output(["sh", "-c", script], environ) == ["run", "-j", "4", "tests/", "--", "-k", "one or two"]


def test_the_hook_runs_two_copies_and_leaves_what_git_sends_unread(stub: Path) -> None:
    environ = {"PATH": f"{stub}:{os.environ['PATH']}"}
    assert output([str(CI / "pre-push"), "origin", "url"], environ, "refs/heads/main\n") == ["run", "-j", "2"]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    systemd_analyze = real_tools.program("systemd-analyze", "verify", "default.target")
    for unit in UNITS:
        (tmp_path / unit).write_text((CI / unit).read_text())
    done = subprocess.run(
        [systemd_analyze, "verify", *(str(tmp_path / unit) for unit in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., int]:
    """A night of a project with one test, "tests/test_it.py", in a checkout whose environment is this one's."""
    checkout, project = tmp_path / "checkout", tmp_path / "project"
    (checkout / "ci").mkdir(parents=True)
    shutil.copy(CI / "nightly", checkout / "ci")
    (checkout / "Makefile").write_text("environment:\n")
    program = checkout / ".venv" / "bin" / "parasuite"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m parasuite "$@"\n')
    program.chmod(0o755)
    (project / "tests").mkdir(parents=True)
    (project / "pyproject.toml").write_text(f"[tool.parasuite]\ntarget = 'tests'\npython = '{sys.executable}'\n")
    environ = {**clean_environment(), "DURATION": "0.1s", "PROVE": "30"}

    def run(**variables: str) -> int:
        words = [str(checkout / "ci" / "nightly"), "1"]
        env = {**environ, **variables}
        return subprocess.run(words, cwd=project, env=env, stdin=subprocess.DEVNULL, check=False).returncode

    return run


def test_a_night_compares_itself_with_the_night_before(tmp_path: Path, night: Callable[..., int]) -> None:
    real_tools.program("make")
    (tmp_path / "project" / "tests" / "test_it.py").write_text("def test_it(): pass\n")
    assert night() == 0
    results = tmp_path / "project" / ".parasuite" / "nightly" / "own"
    assert not (results / "diff.md").exists()
    assert night() == 0
    assert {path.name for path in results.iterdir()} == {
        *("report.html", "report.md", "junit.xml", "findings.json", "parasuite.sarif"),
        *("history.md", "diff.md", "latest"),
    }


def test_a_night_without_any_python_to_test_proves_nothing(
    tmp_path: Path, night: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    real_tools.program("make")
    # Without a target it is the corpus that runs, for every python3.N on PATH.
    (tmp_path / "project" / "pyproject.toml").unlink()
    path = tmp_path / "bin"
    path.mkdir()
    for tool in ("sh", "make", "dirname", "grep"):
        (path / tool).symlink_to(real_tools.program(tool))
    assert night(PATH=str(path)) == 3
    assert "name the interpreters in PYTHONS" in capfd.readouterr().err


def test_what_failed_at_night_is_run_again_alone(tmp_path: Path, night: Callable[..., int]) -> None:
    real_tools.program("make")
    (tmp_path / "project" / "tests" / "test_it.py").write_text("def test_it(): raise ValueError\n")
    assert night() == 1
    results = tmp_path / "project" / ".parasuite" / "nightly" / "own"
    assert "fails alone, too" in (results / "proof.md").read_text()


SRUN = """#!/bin/sh
# A stand-in for Slurm's: each of three nodes is a process.
while [ "${1#--}" != "$1" ]; do shift; done
for node in 0 1 2; do SLURM_PROCID=$node "$@" & done
wait
"""
RUN_OR_MERGE = """#!/bin/sh
if [ "$1" = merge ]; then ls "$2"; exit 66; fi
mkdir -p "$3/runs" && echo "$@" > "$3/runs/arguments"; exit 1
"""


def test_the_batch_script_brings_a_run_of_each_node_to_the_merge_whatever_its_exit_code(tmp_path: Path) -> None:
    for name, text in (("srun", SRUN), ("parasuite", RUN_OR_MERGE)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PARASUITE": "parasuite", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        [str(CI / "slurm.sh"), "-k", "one or two", "tests/"],
        cwd=tmp_path,
        env={**clean_environment(), **environ, "SLURM_JOB_NUM_NODES": "4"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, len(done.stdout.split())) == (66, 3)
    assert done.stderr.splitlines()[-1] == "3 of 4 nodes have sent a run"
    with tarfile.open(next((tmp_path / ".parasuite-slurm" / "7").iterdir())) as archive:
        arguments = archive.extractfile("out/runs/arguments")
        assert arguments is not None
        assert arguments.read().endswith(b"/out -k one or two tests/\n")
