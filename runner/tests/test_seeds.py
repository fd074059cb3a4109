"""--seed: each copy of each round has a seed of its own, which follows from one number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.plan.seeds import SEED_MAX, copy_seed, round_seed
from parasuite.run.session import SEEDED

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite


@pytest.mark.parametrize("seed", [0, 7, SEED_MAX])
def test_the_seeds_of_copies_and_rounds_differ_and_each_round_can_be_repeated_alone(seed: int) -> None:
    rounds = [round_seed(seed, number) for number in range(1, 6)]
    seeds = [copy_seed(each, copy) for each in rounds for copy in range(8)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= each <= SEED_MAX for each in [*rounds, *seeds])
    assert [round_seed(each, 1) for each in rounds] == rounds


def test_the_seeds_are_the_same_in_every_version() -> None:
    assert (round_seed(7, 2), copy_seed(7, 0), copy_seed(7, 1)) == (2261763384, 1389819707, 34710646)


def test_a_copy_finds_its_seed_and_pytest_s_plug_ins_have_it_too(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    real_tools.package("pytest_randomly")
    suite("import os\ndef test_one(): assert os.environ['PARASUITE_SEED'] == os.environ['PYTHONHASHSEED']\n")
    finished = parasuite.run_pytest("-j", "2", "--sensors", "none", "--seed", "7", "tests/")
    seeds = [copy_seed(7, copy) for copy in range(2)]
    assert finished.code == 0, finished.stdout
    assert finished.run["seeds"]["copies"] == [
        {"PYTHONHASHSEED": seed, "pytest-randomly": seed, "hypothesis": str(seed)} for seed in seeds
    ]
    assert SEEDED.format(seed=7) in finished.stdout


def test_a_seed_that_the_user_gives_a_plug_in_is_kept(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    real_tools.package("pytest_randomly")
    suite("def test_one(): pass\n")
    arguments = ("tests/", "--", "-p", "randomly", "--randomly-seed=3")
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "--seed", "7", *arguments)
    assert finished.run["seeds"]["copies"][0]["pytest-randomly"] == 3


def test_the_rounds_of_a_series_have_seeds_of_their_own(parasuite: Parasuite) -> None:
    script = 'echo "$PARASUITE_SEED" >> seeds'
    series = ("run", "-j", "1", "--sensors", "none", "--seed", "7", "--repeat", "2")
    finished = parasuite(*series, "--", "sh", "-c", script)
    seeds = [copy_seed(round_seed(7, number), 0) for number in (1, 2)]
    assert (finished.code, (parasuite.cwd / "seeds").read_text().split()) == (0, list(map(str, seeds)))
