"""`parasuite demo`: a collision that nobody would have noticed, and its cure."""

from __future__ import annotations

import pytest
from parasuite.cli.demo import FOLDER_IN_USE

from runner.tests.conftest import Finished, Parasuite


@pytest.fixture
def demo(parasuite: Parasuite) -> Finished:
    """A demo that has run in the folder "shop"."""
    return parasuite("demo", "shop")


def test_the_tests_of_the_demo_pass_and_one_of_them_reached_the_server_of_the_other_copy(
    parasuite: Parasuite, demo: Finished
) -> None:
    assert demo.code == 66
    findings = Finished(demo.code, demo.stdout, demo.stderr, parasuite.cwd / "shop").findings
    (finding,) = (each for each in findings if each["cause"] == "hard-coded")
    assert {effect["kind"] for effect in finding["effects"]} == {"refused", "crosstalk"}
    assert not finding["failed_tests"]


def test_the_demo_ends_with_its_cure(parasuite: Parasuite, demo: Finished) -> None:
    assert demo.stdout.splitlines()[-1].endswith("cd shop && parasuite run cured")
    cured = Parasuite(parasuite.cwd / "shop", parasuite.environ)("run", "cured")
    assert cured.code == 0
    assert not cured.findings


def test_a_demo_is_written_over_an_older_one(parasuite: Parasuite, demo: Finished) -> None:
    assert parasuite("demo", "shop").code == demo.code


def test_a_demo_is_not_written_into_a_folder_with_other_files(parasuite: Parasuite) -> None:
    mine = parasuite.cwd / "shop" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    refused = parasuite("demo", "shop")
    assert refused.code == 2
    assert FOLDER_IN_USE.format(folder="shop") in refused.stderr
    assert list(mine.parent.iterdir()) == [mine]
