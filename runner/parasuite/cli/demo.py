"""`parasuite demo`: a small suite whose tests pass although one of them talks to the other copy's server."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from parasuite.cli.output import print_safely, stop
from parasuite.cli.run import run_command
from parasuite.judge.verdict import ExitCode
from parasuite.plan.option_types import PathText

_SUITE = Path(__file__).parent / "demo_suite"
_SUFFIX = ".in"
_PORTS = range(8000, 9000)  # Below the ephemeral range, so that no connection takes the port meanwhile.
FOLDER_IN_USE = "{folder} exists already and is not a demo: name another folder, as in `parasuite demo DIR`"


@click.command("demo", short_help="find a planted collision, in ten seconds")
@click.argument("folder", metavar="[DIR]", default="parasuite-demo", type=PathText(Path, "dir"))
def demo_command(folder: Path) -> None:
    """Write a small test suite into DIR, run two copies of it, and show what parasuite finds.

    Its test passes in both copies, so nothing else would notice. But both want the same port, and one of them talks
    to the other's server. DIR, by default ./parasuite-demo, also gets the cured suite. The exit code is that of the
    run: 66, since there is a finding.
    """
    port = _unused_port()
    try:
        _write_suite(folder, port)
    except OSError as error:
        stop(f"{error.filename or folder} cannot be written: {error.strerror}")
    os.chdir(folder)
    try:
        run_command.main(["-j", "2", "tests"], "parasuite run", standalone_mode=False, obj=())
    except SystemExit as ending:
        if ending.code == ExitCode.FINDINGS:
            for line in _lessons(folder, port):
                print_safely(line)
        raise


def _unused_port() -> int:
    """A TCP port that can be bound on the loopback address now, and is then fixed in the demo."""
    with socket.socket() as candidate:
        for port in random.sample(_PORTS, len(_PORTS)):
            with contextlib.suppress(OSError):
                candidate.bind(("127.0.0.1", port))
                break
        else:
            stop(f"no TCP port from {_PORTS[0]} to {_PORTS[-1]} is free for the demo")
        return port


def _write_suite(folder: Path, port: int) -> None:
    """Write the suite with *port* in it; over an older demo, but over nothing else. Raises OSError."""
    # parasuite's own Python has pytest. (A string of JSON is one of TOML.)
    python = json.dumps(sys.executable)
    templates = _SUITE.rglob(f"*{_SUFFIX}")
    files = {path.relative_to(_SUITE).with_suffix(""): path.read_text("utf-8") for path in templates}
    if folder.exists() and any(folder.iterdir()) and not all((folder / name).is_file() for name in files):
        stop(FOLDER_IN_USE.format(folder=folder))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("@PORT@", str(port)).replace("@PYTHON@", python), "utf-8")


def _lessons(folder: Path, port: int) -> Iterator[str]:
    yield ""
    yield f"What happened: both copies wanted port {port}. One was refused, took the server"
    yield "that it found there for its own, and passed, because the other copy's shop had"
    yield "an apple, too."
    yield f"Where:         {folder / 'tests' / 'test_shop.py'}"
    yield f"The cure:      {folder / 'cured' / 'test_shop.py'}, which binds port 0"
    yield f"The report:    {folder / '.parasuite' / 'latest' / 'report.html'}"
    yield f"Try it:        cd {folder} && parasuite run cured"
