"""What a copy finds when the supervisor starts it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the supervisor is Linux's", allow_module_level=True)

import resource

from parasuite.copies import Copies, Supervised
from parasuite.launch import Launch

PATIENCE_S = 60  # A safety net only.


@pytest.fixture
def few_descriptors() -> Iterator[tuple[int, int]]:
    """This process, and what it starts, may open fewer than it might."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fewer = (before[1] // 2, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, fewer)
    yield fewer
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_supervisor_may_open_all_that_it_ever_may_and_a_copy_what_it_might_without(
    tmp_path: Path, few_descriptors: tuple[int, int]
) -> None:
    code = "import json, resource; print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))"
    starter = Supervised()
    launch = Launch(
        copy=0,
        argv=(sys.executable, "-I", "-S", "-c", code),
        env=dict(os.environ),
        cwd=tmp_path,
        folder=tmp_path,
        scratch=tmp_path,
    )
    copies = Copies([launch], starter, PATIENCE_S)
    copies.start()
    while not copies.finished:
        copies.step(PATIENCE_S)
    supervisor = resource.prlimit(starter.pid, resource.RLIMIT_NOFILE)
    starter.close()
    assert json.loads((tmp_path / "output.log").read_text()) == list(few_descriptors)
    assert supervisor == (few_descriptors[1], few_descriptors[1])
