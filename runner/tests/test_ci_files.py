"""The files in ci/: each is valid for the program that reads it, and runs what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from netsupport.tests import real_tools

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
