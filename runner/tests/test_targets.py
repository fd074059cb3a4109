"""A target: how its copies are launched, and how it is recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from parasuite.model.run_record import TargetKind
from parasuite.plan.targets import Command, Corpus, PytestTree, Target, read_target

TARGETS: list[Target] = [
    Corpus(Path("/site/converted_tests")),
    PytestTree("tests/test_it.py::test_one"),
    Command(("./check.sh", "a word")),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
def test_a_target_is_read_back_from_its_record(target: Target) -> None:
    assert read_target(target.record()) == target


def test_every_kind_of_target_can_be_read_back() -> None:
    assert {target.kind for target in TARGETS} == set(TargetKind)


def test_only_pytest_targets_get_the_plug_in_and_pytest_arguments() -> None:
    argvs = [
        target.argv(python="py", pytest_args=("-x",), folder=Path("/run/copies/000"), scratch=Path("/tmp/s/0"))
        for target in TARGETS
    ]
    pytest_call = ("py", "-m", "pytest", "-p", "_parasuite_pytest", "--basetemp=/tmp/s/0/b")
    assert argvs == [
        (*pytest_call, "-c", "/site/converted_tests/pytest.ini", "/site/converted_tests", "-x"),
        (*pytest_call, "-o", "cache_dir=/run/copies/000/pytest-cache", "tests/test_it.py::test_one", "-x"),
        ("./check.sh", "a word"),
    ]
