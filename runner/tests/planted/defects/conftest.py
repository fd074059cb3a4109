"""Copies that meet: each step of a planted defect happens in the order that makes it one."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

GIVE_UP_S = 120.0
COPY, COPIES = int(os.environ["PARASUITE_COPY"]), int(os.environ["PARASUITE_COPIES"])
RUN = Path(os.environ["PARASUITE_COPY_DIR"]).parent.parent


def wait_until(condition, what):
    give_up_s = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < give_up_s, what
        time.sleep(0.005)


@pytest.fixture
def copy():
    return COPY


@pytest.fixture
def meet(request):
    """Wait until every copy has come to this step of this test; copies may leave a word for the others."""

    def wait(step, word=""):
        def path(copy):
            return RUN / f"meet-{request.node.name}-{step}-{copy}"

        path(COPY).with_suffix(".new").write_text(word)
        path(COPY).with_suffix(".new").rename(path(COPY))
        wait_until(lambda: all(path(copy).exists() for copy in range(COPIES)), f"not all came to {step}")
        return [path(copy).read_text() for copy in range(COPIES)]

    return wait


@pytest.fixture
def port(request):
    """The number that the outer test reserved for this test."""
    numbers = dict(pair.split("=") for pair in os.environ["PLANTED_PORTS"].split(","))
    return int(numbers[request.node.originalname])


@pytest.fixture
def serve():
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
