"""The Makefile explains itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from netsupport.tests import real_tools

ROOT = Path(__file__).resolve().parents[2]


def phony_targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {name for line in lines if line.startswith(".PHONY:") for name in line.split()[1:]}


@real_tools.needs("make")
def test_make_help_describes_every_target() -> None:
    # A make around this test would hand its own flags on.
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    described = {line.split()[0] for line in done.stdout.splitlines() if len(line.split()) > 1}
    assert described == phony_targets()
