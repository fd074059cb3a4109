"""Compares behaviours.toml with the corpus: every behaviour has a test, and every listed test exists."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parents[1]
TABLE: dict[str, dict[str, list[str]]] = tomllib.loads((CORPUS / "behaviours.toml").read_text())
COUNT: dict[str, int] = tomllib.loads((CORPUS / "behaviours.toml").read_text())["count"]
MODULES = list(COUNT)
IMPORTED_AS = {"http": "http.client", "socket_ssl": "ssl"}


def without_parameters(test_id: str) -> str:
    return test_id.partition("[")[0]


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The ids of all tests of the corpus, relative to its folder, without parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", str(CORPUS)]
    done = subprocess.run(command, cwd=CORPUS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {without_parameters(line) for line in done.stdout.splitlines() if "::" in line}


def test_every_module_of_the_corpus_has_a_section() -> None:
    assert set(TABLE) - {"count"} == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_behaviour_is_shown_by_a_test_and_none_is_invented(module: str) -> None:
    promised = {f"{module}-{number}" for number in range(1, COUNT[module] + 1)}
    shown = {behaviour for behaviour, tests in TABLE[module].items() if tests}
    assert {"missing": sorted(promised - shown), "unknown": sorted(set(TABLE[module]) - promised)} == {
        "missing": [],
        "unknown": [],
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_listed_test_exists(module: str, collected: set[str]) -> None:
    # asyncore, asynchat and telnetlib left the library; without a back-port their tests cannot be collected.
    if importlib.util.find_spec(IMPORTED_AS.get(module, module).partition(".")[0]) is None:
        pytest.skip(f"{module} is not part of this Python and its back-port is not installed")
    listed = {test for tests in TABLE[module].values() for test in tests}
    assert listed - collected == set()


@pytest.mark.parametrize("module", MODULES)
def test_no_behaviour_lists_a_test_twice(module: str) -> None:
    twice = {key: tests for key, tests in TABLE[module].items() if len(tests) != len(set(tests))}
    assert twice == {}
