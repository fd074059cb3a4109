"""For how long copies ran their tests at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.overlap import RAN_AT_ONCE, overlap, overlap_notes
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap
from parasuite.model.words import CopyPhase, TestOutcome

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite

SECOND = 1_000_000_000


def end(copy: int, start_s: int = 0, end_s: int = 100) -> CopyEnd:
    return CopyEnd(copy=copy, how=CopyPhase.EXITED, status=0, started_ns=start_s * SECOND, ended_ns=end_s * SECOND)


def ran(start_s: int, end_s: int) -> TestResult:
    return TestResult(
        id="t", outcome=TestOutcome.PASSED, started_ns=start_s * SECOND, duration_s=float(end_s - start_s)
    )


def test_a_copy_runs_tests_from_the_start_of_the_first_to_the_end_of_the_last() -> None:
    results = [[ran(10, 12), ran(15, 20)], [ran(16, 30)], [ran(18, 19)]]
    measured = overlap([end(copy) for copy in range(3)], results)
    assert (measured, measured.share) == (Overlap(any_s=20.0, two_s=4.0, all_s=1.0), 0.2)


def test_a_command_whose_tests_have_no_times_runs_as_long_as_its_process() -> None:
    untimed = TestResult(id="check.sh", outcome=TestOutcome.PASSED)
    measured = overlap([end(0, 1, 5), end(1, 4, 9)], [[untimed]] * 2)
    assert measured == Overlap(any_s=8.0, two_s=1.0, all_s=1.0)


def test_a_lost_test_runs_until_its_copy_ends() -> None:
    lost = TestResult(id="t", outcome=TestOutcome.LOST, started_ns=5 * SECOND)
    assert overlap([end(0, 1, 9), end(1, 1, 9)], [[lost], [ran(2, 8)]]).two_s == 3.0


def test_a_test_that_changed_its_clock_counts_within_the_life_of_its_copy() -> None:
    assert overlap([end(0, 1, 9), end(1, 3, 9)], [[ran(2, 5000)], [ran(1, 6)]]).two_s == 3.0


def test_copies_in_which_nothing_ran_count_as_overlapping() -> None:
    assert overlap([end(0, 0, 0)], [[]]).share == 1.0


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=5))
def test_the_overlap_equals_a_count_of_every_second(spans: list[tuple[int, int]]) -> None:
    spans = [(min(span), max(span)) for span in spans]
    at_once = [sum(first <= second < last for first, last in spans) for second in range(21)]
    expected = Overlap(
        any_s=sum(count >= 1 for count in at_once),
        two_s=sum(count >= 2 for count in at_once),
        all_s=sum(count == len(spans) for count in at_once),
    )
    measured = overlap([end(copy) for copy in range(len(spans))], [[ran(*span)] for span in spans])
    assert measured == expected


@pytest.mark.parametrize(
    ("measured", "copies", "is_noted"),
    [
        (Overlap(any_s=2.0, two_s=0.5), 2, True),
        (Overlap(any_s=2.0, two_s=1.0), 2, False),
        (Overlap(any_s=0.9), 2, False),
        (Overlap(any_s=2.0), 1, False),
        (Overlap(), 2, False),
    ],
)
def test_a_note_says_that_copies_took_turns_if_their_tests_lasted_a_second(
    measured: Overlap, copies: int, is_noted: bool
) -> None:
    assert overlap_notes(measured, copies) == ([RAN_AT_ONCE.format(percent=25)] if is_noted else [])


TAKES_TURNS = """
import os, pathlib, time
def pytest_runtestloop(session):
    folder = pathlib.Path(os.environ["PARASUITE_COPY_DIR"])
    if os.environ["PARASUITE_COPY"] == "1":
        while not (folder.parent / "000" / "done").exists(): time.sleep(0.01)
def pytest_sessionfinish(session):
    (pathlib.Path(os.environ["PARASUITE_COPY_DIR"]) / "done").touch()
"""


def test_run_json_says_that_copies_took_turns(parasuite: Parasuite, suite: Callable[[str, str], Path]) -> None:
    suite("def test_it(): pass\n", "test_it.py")
    suite(TAKES_TURNS, "conftest.py")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert finished.code == 0, finished.stdout
    measured = finished.run["overlap"]
    assert (measured["two_s"], measured["all_s"]) == (0.0, 0.0)
    assert measured["any_s"] > 0


def test_run_json_says_how_long_copies_ran_at_once(parasuite: Parasuite, suite: Callable[[str, str], Path]) -> None:
    meet = (
        "import os, pathlib, time\n"
        "def test_it():\n"
        "    folder = pathlib.Path(os.environ['PARASUITE_COPY_DIR'])\n"
        "    (folder / 'here').touch()\n"
        "    while len(list(folder.parent.glob('*/here'))) < 2: time.sleep(0.01)\n"
        "    (folder / 'ready').touch()\n"
        "    while len(list(folder.parent.glob('*/ready'))) < 2: time.sleep(0.01)\n"
    )
    suite(meet, "test_it.py")
    finished = parasuite.run_pytest("-j", "2", "tests/")
    assert finished.code == 0
    assert finished.run["overlap"]["two_s"] > 0


def test_run_json_keeps_seeds_and_limits(parasuite: Parasuite, suite: Callable[[str, str], Path]) -> None:
    real_tools.package("pytest_randomly")
    suite("def test_it(): pass\n", "test_it.py")
    finished = parasuite.run_pytest("-j", "2", "tests/", environ={"PYTHONHASHSEED": "7"})
    seeds = finished.run["seeds"]
    assert seeds["hash_seed"] == "7"
    assert all(isinstance(copy["pytest-randomly"], int) for copy in seeds["copies"])
    assert len(seeds["copies"]) == 2
    conditions = finished.run["conditions"]
    assert conditions["processors"] >= 1
    assert {"affinity", "load", "resource_limits", "cgroup", "copies_max"} <= set(conditions)


def test_run_json_keeps_a_seed_that_the_user_gave(parasuite: Parasuite, suite: Callable[[str, str], Path]) -> None:
    real_tools.package("pytest_randomly")
    suite("def test_it(): pass\n", "test_it.py")
    finished = parasuite.run_pytest("-j", "2", "tests/", "--", "--randomly-seed=4711")
    assert finished.run["seeds"] == {"hash_seed": None, "copies": [{"pytest-randomly": 4711}] * 2}
