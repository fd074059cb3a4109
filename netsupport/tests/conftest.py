"""What the tests share: hypothesis settings, this interpreter in a new process, and scenes in a private network."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import netsupport
from netsupport import HOST, reserve_port
from netsupport.tests import real_tools
from netsupport.tests.scenes import NET_S

settings.register_profile("netsupport", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netsupport")

ROOT = Path(netsupport.__file__).parents[1]


def pytest_configure(config: pytest.Config) -> None:
    real_tools.register(config)


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in a fresh process that imports the netsupport under test."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=4 * NET_S,
        check=False,
        **options,
    )


@functools.cache
def _namespaces_refused() -> str:
    outcome = python("-c", "from netsupport.tests import namespaces; namespaces.enter()")
    return outcome.stderr.strip().rpartition("\n")[2] if outcome.returncode else ""


@pytest.fixture
def scene() -> Callable[..., Any]:
    """Call it with a scene's name and arguments; returns what the scene saw. Skips without namespaces."""
    if sys.platform != "linux":
        pytest.skip("private networks need Linux namespaces")
    if _namespaces_refused():
        pytest.skip(f"this host allows no private network: {_namespaces_refused()}")

    def play(name: str, *arguments: str) -> Any:
        outcome = python("-W", "error", "-m", "netsupport.tests.scenes", name, *arguments)
        assert outcome.returncode == 0, outcome.stderr
        return json.loads(outcome.stdout)

    return play


@pytest.fixture
def lone_listener() -> Iterator[socket.socket]:
    """A listener on HOST with a port that no other socket of this host has, on any address or as a client."""
    with reserve_port(child_reuses_address=False) as lease, socket.create_server((HOST, lease.port)) as sock:
        yield sock
