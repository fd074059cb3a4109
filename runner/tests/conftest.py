"""A parasuite to run from the outside, as a user does: a command, a folder, an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from netsupport.tests import real_tools
from runner.tests.findings_schema import VALIDATOR

# Off the clock: a deadline, and a health check of speed, would measure the load of the machine.
settings.register_profile("runner", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("runner")

SAFETY_NET_S = 240.0
PLANTED = Path(__file__).parent / "planted"


def pytest_configure(config: pytest.Config) -> None:
    real_tools.register(config)


def clean_environment() -> dict[str, str]:
    """The environment without what an outer parasuite or pytest told its children."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PARASUITE", "GITHUB_", "PYTEST_", "HYPOTHESIS_", "COVERAGE_", "COV_"))
        and name not in ("CI", "VIRTUAL_ENV", "CONDA_PREFIX", "COLUMNS", "LINES", "FORCE_COLOR", "PYTHONPATH")
    } | {"COLUMNS": "200"}


@dataclass(frozen=True)
class Finished:
    """What a parasuite left: its exit code, what it printed, its run folder."""

    code: int
    stdout: str
    stderr: str
    cwd: Path

    @property
    def folder(self) -> Path:
        return (self.cwd / ".parasuite" / "latest").resolve()

    @property
    def run(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return facts

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings of the run, from a findings.json that must be valid."""
        written: dict[str, Any] = json.loads((self.folder / "findings.json").read_text())
        VALIDATOR.validate(written)
        found: list[dict[str, Any]] = written["findings"]
        return found

    @property
    def verdict(self) -> str:
        """The last lines of the report: what was counted, a line each, and the verdict."""
        report = self.stdout.strip()
        return report[report.rfind("\ncopies: ") + 1 :]


@dataclass(frozen=True)
class Parasuite:
    """Runs the command line in *cwd*."""

    cwd: Path
    environ: Mapping[str, str]

    def start(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "parasuite"),
        **options: Any,
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=self.cwd,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            text=True,
            errors="backslashreplace",
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def finish(self, process: subprocess.Popen[str]) -> Finished:
        stdout, stderr = process.communicate(timeout=SAFETY_NET_S)
        return Finished(process.returncode, stdout, stderr, self.cwd)

    def __call__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Finished:
        return self.finish(self.start(*arguments, environ=environ))

    def run_pytest(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Finished:
        """`parasuite run` with the tests' own interpreter for the copies."""
        return self("run", "--python", sys.executable, *arguments, environ=environ)


@pytest.fixture
def parasuite(tmp_path: Path) -> Parasuite:
    """A parasuite in an empty folder of its own."""
    return Parasuite(tmp_path, clean_environment())


@pytest.fixture
def suite(tmp_path: Path) -> Callable[[str], Path]:
    """Write one test file into `tests/` of the folder that `parasuite` runs in; its path."""

    def write(source: str, name: str = "test_it.py") -> Path:
        path = tmp_path / "tests" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        return path

    return write


@pytest.fixture
def port_outside_the_ephemeral_range() -> Iterator[int]:
    """A number that no port-0 bind of this host draws, and that nobody holds now; reserved for this test."""
    from netsupport import reserve_port

    with reserve_port(child_reuses_address=False) as lease:
        yield lease.port


@pytest.fixture
def ample_network() -> None:
    """Skip in a network with few ephemeral ports or few places for TIME_WAIT, as `make test-crowded` makes one.

    There a suite may be assigned a port that it had before, and a closed connection may leave no TIME_WAIT.
    """
    from netsupport.locks import ephemeral_range

    first, last = ephemeral_range()
    time_waits = Path("/proc/sys/net/ipv4/tcp_max_tw_buckets")
    if last - first < 4_000 or (time_waits.exists() and int(time_waits.read_text()) < 1_000):
        pytest.skip("needs some thousand ephemeral ports and places for connections in TIME_WAIT")


def planted(name: str) -> str:
    """The path of a planted suite."""
    return str(PLANTED / name)


def kinds(finished: Finished) -> Sequence[str]:
    """The kinds of the findings, sorted, one each time it stands there."""
    return sorted(
        kind
        for finding in finished.findings
        if finding["severity"] != "note"
        for kind in [finding["cause"], *{effect["kind"] for effect in finding["effects"]}]
    )
