"""What planted suites share: copies that meet, or stay until the run's own record says that they were seen.

The number of a "hard-coded" port comes from the outer test, which reserves it, in $PLANTED_PORT.
"""

import functools
import json
import os
import time
from pathlib import Path

import pytest

GIVE_UP_S = 120.0


# Not read while this is imported: copies that are forked share what was.
def _copy():
    return int(os.environ["PARASUITE_COPY"])


def _copies():
    return int(os.environ["PARASUITE_COPIES"])


def _run():
    return Path(os.environ["PARASUITE_COPY_DIR"]).parent.parent


@pytest.fixture
def port():
    return int(os.environ["PLANTED_PORT"])


@pytest.fixture(scope="session")
def copy():
    return _copy()


@pytest.fixture
def wait_until():
    """Wait until *condition* is true; *what* was wrong if it never is."""
    return _wait_until


def _wait_until(condition, what, pause_s=0.005):
    give_up_s = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < give_up_s, what
        time.sleep(pause_s)


def _meet_as(name, step, word=""):
    def path(copy):
        return _run() / f"meet-{name}-{step}-{copy}"

    path(_copy()).with_suffix(".new").write_text(word)
    path(_copy()).with_suffix(".new").rename(path(_copy()))
    _wait_until(lambda: all(path(copy).exists() for copy in range(_copies())), f"not all came to {step} of {name}")
    return [path(copy).read_text() for copy in range(_copies())]


def pytest_configure(config):
    config.meet_as = _meet_as


@pytest.fixture(scope="session")
def meet_as():
    """Wait until every copy has come to a step under a name; copies may leave a word for the others."""
    return _meet_as


@pytest.fixture
def meet(request, meet_as):
    """The same under the name of this test."""
    return functools.partial(meet_as, request.node.name)


def _wait_for(ports, copies):
    record = _run() / "events" / "orchestrator.jsonl"
    wanted = {(copy, port) for copy in copies for port in ports}

    def were_seen():
        lines = record.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return wanted <= {(event["copy"], event["endpoint"][2]) for event in events if event["kind"] == "seen"}

    _wait_until(were_seen, f"not all listeners on {ports} were seen in each of the copies {copies}", pause_s=0.05)


@pytest.fixture
def until_all_seen():
    """Wait until the run has seen a listener on *port* in every copy."""
    return lambda port: _wait_for([port], range(_copies()))


@pytest.fixture
def until_seen():
    """Wait until the run has seen this copy's listeners on all *ports*."""
    return lambda *ports: _wait_for(ports, [_copy()])
