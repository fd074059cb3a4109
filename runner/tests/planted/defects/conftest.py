"""What the defects need: their reserved numbers, and programs that serve."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def port(request):
    """The number that the outer test reserved for this test."""
    numbers = dict(pair.split("=") for pair in os.environ["PLANTED_PORTS"].split(","))
    return int(numbers[request.node.originalname])


@pytest.fixture
def serve(wait_until):
    """Start a server that is a program of its own, and wait until it listens; ended with the test."""
    started = []

    def start(argv, port):
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append(process)
        wait_until(lambda: process.poll() is not None or listens(port), f"{argv[0]} does not listen")
        assert process.poll() is None, f"{argv[0]} ended"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def listens(port):
    wanted = f":{port:04X}"
    return any(
        line.split()[1].endswith(wanted) and line.split()[3] == "0A"
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    )


@pytest.fixture
def program():
    """Skip where a program is not installed; the outer test expects what is."""

    def find(name):
        if name not in os.environ["PLANTED_PROGRAMS"].split(","):
            pytest.skip(f"{name} is not here")
        return shutil.which(name) or name

    return find
