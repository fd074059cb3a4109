"""Runs a program under the recorder alone and gives its events: for the tests of the recorder."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import parasuite.sensors.recorder as recorder_package
from parasuite.model.events import Bind, Event
from parasuite.record.recorder_files import FOLDERS, recorded

RECORDER = Path(next(iter(recorder_package.__path__)))
PATIENCE_S = 120  # A safety net only.
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q", "test_suite.py")
SUITE_HEAD = "import os, socket, subprocess, sys, threading, unittest\n"


def environment(folder: Path, mode: str = "events") -> dict[str, str]:
    """What a copy's processes get; its folders are made."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PARASUITE", "PYTHON"))
    }
    own = {"PARASUITE_RECORDER": f"{mode} 3 {folder}", "PARASUITE_COPY_DIR": str(folder)} if mode else {}
    return {**clean, **own, "PYTHONPATH": str(RECORDER)}


def record(tmp_path: Path, code: str, *arguments: str, name: str = "suite.py") -> list[Event]:
    """The events of one Python that runs *code* as a file in *tmp_path*."""
    (tmp_path / name).write_text(SUITE_HEAD + textwrap.dedent(code))
    argv = [sys.executable, *(arguments or (name,))]
    done = subprocess.run(
        argv, cwd=tmp_path, env=environment(tmp_path / "copy"), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return list(recorded(tmp_path / "copy"))


def binds(events: list[Event]) -> list[Bind]:
    return [event for event in events if isinstance(event, Bind)]
