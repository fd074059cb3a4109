"""What planted suites share: they stay until the run's own record says that they were seen.

The number of a "hard-coded" port comes from the outer test, which reserves it, in $PLANTED_PORT.
"""

import json
import os
import time
from pathlib import Path

import pytest

GIVE_UP_S = 60.0


@pytest.fixture
def port():
    return int(os.environ["PLANTED_PORT"])


def _wait_for(port, copies):
    record = Path(os.environ["PARASUITE_COPY_DIR"]).parent.parent / "events" / "orchestrator.jsonl"
    give_up_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < give_up_s:
        lines = record.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        if copies <= {e["copy"] for e in events if e["kind"] == "seen" and e["endpoint"][2] == port}:
            return
        time.sleep(0.05)
    raise AssertionError(f"a listener on port {port} was not seen in each of the copies {copies}")


@pytest.fixture
def until_all_seen():
    """Wait until the run has seen a listener on *port* in every copy."""
    return lambda port: _wait_for(port, set(range(int(os.environ["PARASUITE_COPIES"]))))


@pytest.fixture
def until_seen():
    """Wait until the run has seen this copy's listener on *port*."""
    return lambda port: _wait_for(port, {int(os.environ["PARASUITE_COPY"])})
