"""What the causes share. Each file plants what its docstring says, and one change of it would cure each finding."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER), str(FOLDER / "site-packages")]


@pytest.fixture(scope="session")
def ports():
    """The numbers that the outer test has reserved, by name."""
    return {name: int(port) for name, _, port in (pair.partition("=") for pair in os.environ["PLANTED_PORTS"].split(","))}


def pytest_runtest_teardown(item):
    """No copy begins its next test before all have ended this one, also where a fixture failed."""
    item.config.meet_as(item.name, "end")


@pytest.fixture
def in_the_way(meet, copy):
    """Copy 0 keeps what *first* opens while all other copies do *others*, whatever comes of it."""

    def run(first, others):
        if copy == 0:
            with contextlib.closing(first()):
                meet("held")
                meet("tried")
        else:
            meet("held")
            try:
                others()
            finally:
                meet("tried")

    return run


@pytest.fixture
def in_turn(meet, copy):
    """Each copy does *action* after the one before it."""

    def run(action):
        for turn in range(int(os.environ["PARASUITE_COPIES"])):
            if turn == copy:
                action()
            meet(f"turn-{turn}")

    return run
