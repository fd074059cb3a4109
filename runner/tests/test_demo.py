"""`parasuite demo`: a collision that nobody would have noticed, and its cure."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from parasuite.cli.demo import FOLDER_IN_USE

from runner.tests.conftest import Finished, Parasuite

README = Path(__file__).resolve().parents[2] / "README.md"


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


def without_what_differs(text: str) -> list[str]:
    """The lines of *text*, without numbers, ids, paths and the order in which the copies ended."""
    text = re.sub(r"run by \S+,|\d{8}T\d{6}Z-\w+|\b(?:id|explain) \w{10}|python[\d.]*|[\d.]+", "", text)
    lines = text.replace("samples", "sample").replace("shop", "").replace("parasuite-demo", "").splitlines()
    return sorted(line.rstrip() for line in lines)


def test_the_readme_shows_what_the_demo_prints(demo: Finished, parasuite: Parasuite) -> None:
    run = json.loads((parasuite.cwd / "shop" / ".parasuite" / "latest" / "run.json").read_text())
    if "seccomp" not in run["sensors_in_use"]:
        pytest.skip("no seccomp sensor here, so the sides have other details")
    shown = re.search(r"\$ parasuite demo\n(.*?)```", README.read_text(), re.DOTALL)
    assert shown is not None
    assert without_what_differs(shown[1]) == without_what_differs(demo.stderr + demo.stdout)
