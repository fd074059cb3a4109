"""The benchmark that compares a suite alone with the same suite under parasuite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.record.junit_files import ResultsError

from runner.benchmarks.same_results import PLACEHOLDER, outcomes_of
from runner.tests.conftest import SAFETY_NET_S, Parasuite

ROOT = Path(__file__).resolve().parents[2]


def compared(parasuite: Parasuite, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", str(path), f"--junitxml={PLACEHOLDER}"]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "runner.benchmarks.same_results",
            "--sensors",
            "none",
            "--folder",
            str(parasuite.cwd),
            "--",
            *command,
        ],
        cwd=ROOT,
        env={**parasuite.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=SAFETY_NET_S,
    )


def test_a_test_that_fails_only_under_parasuite_is_told_from_one_that_is_unstable_alone(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    path = suite(
        "import os, pathlib\n"
        "def test_same(): pass\n"
        "def test_notices(): assert 'PARASUITE' not in os.environ\n"
        "def test_unstable():\n"
        "    ran = pathlib.Path('ran')\n"
        "    is_second = ran.exists()\n"
        "    ran.touch()\n"
        "    assert not is_second\n"
    )
    done = compared(parasuite, path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[3:] == [
        "1 unstable alone",
        "  tests.test_it::test_unstable: alone passed, failed; under parasuite failed",
        "1 different under parasuite",
        "  tests.test_it::test_notices: alone passed, passed; under parasuite failed",
    ]


def test_a_suite_with_the_same_results_under_parasuite_has_no_difference(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    done = compared(parasuite, suite("def test_same(): pass\ndef test_fails(): assert 0\n"))
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (
        0,
        ["0 unstable alone", "0 different under parasuite"],
    )


def test_a_command_that_runs_out_of_time_is_ended_and_has_no_results(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="exit status -9"):
        outcomes_of([sys.executable, "-c", "import signal; signal.pause()"], tmp_path, timeout_s=0.1)
