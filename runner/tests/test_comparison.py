"""Tests that some copies collected and others did not."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.comparison import Comparison, compare
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome

REASON = "Skipped: database port busy"


def passed(*ids: str) -> list[TestResult]:
    return [TestResult(id=test_id, outcome=TestOutcome.PASSED) for test_id in ids]


def of_collection(test_id: str, outcome: TestOutcome) -> TestResult:
    return TestResult(id=test_id, outcome=outcome, message=REASON, is_of_collection=True)


def outcomes(comparison: Comparison) -> list[dict[str, str]]:
    return [{result.id: result.outcome for result in copy} for copy in comparison.results]


def test_a_test_that_only_other_copies_collected_is_not_collected() -> None:
    compared = compare([passed("t.py::a", "t.py::b"), passed("t.py::a"), passed("t.py::a")], [True] * 3)
    lacking = TestResult(
        id="t.py::b", outcome=TestOutcome.NOT_COLLECTED, message="collected in 1 of 3 copies (0), not in this one"
    )
    assert compared.results[1:] == [[*passed("t.py::a"), lacking]] * 2


def test_the_tests_of_a_skipped_module_are_skipped_with_its_reason() -> None:
    skipped = [*passed("o.py::o"), of_collection("d/t.py", TestOutcome.SKIPPED)]
    compared = compare([passed("d/t.py::C::a", "o.py::o"), skipped], [True] * 2)
    assert compared.results[1] == [
        *passed("o.py::o"),
        TestResult(id="d/t.py::C::a", outcome=TestOutcome.SKIPPED, message=REASON),
    ]


def test_a_module_that_every_copy_skipped_keeps_its_own_result() -> None:
    skipped = [of_collection("t.py", TestOutcome.SKIPPED)]
    assert compare([skipped, skipped], [True] * 2) == Comparison([skipped, skipped], [])


def test_a_module_whose_collection_failed_is_one_error_and_not_one_per_test() -> None:
    failed = [of_collection("t.py", TestOutcome.ERROR)]
    assert compare([passed("t.py::a", "t.py::b"), failed], [True] * 2).results[1] == failed


def test_a_module_whose_name_is_only_a_prefix_does_not_contain_the_test() -> None:
    skipped = [of_collection("t", TestOutcome.SKIPPED), *passed("s.py::s")]
    assert outcomes(compare([passed("t.py::a", "s.py::s"), skipped], [True] * 2))[1]["t.py::a"] == TestOutcome.SKIPPED
    skipped = [of_collection("t.p", TestOutcome.SKIPPED), *passed("s.py::s")]
    assert (
        outcomes(compare([passed("t.py::a", "s.py::s"), skipped], [True] * 2))[1]["t.py::a"]
        == TestOutcome.NOT_COLLECTED
    )


def test_a_copy_that_died_during_collection_lacks_nothing() -> None:
    copies = [passed("t.py::a"), []]
    assert compare(copies, [True, False]) == Comparison(copies, [])


def test_parameters_that_differ_between_copies_are_a_note_and_not_an_error() -> None:
    copies = [passed("t.py::a[17]", "t.py::a[x]"), passed("t.py::a[23]", "t.py::a[x]")]
    compared = compare(copies, [True] * 2)
    assert compared.results == copies
    assert compared.notes == [
        "tests whose parameters differ between copies, so that they cannot be compared: 2, such as t.py::a[17]; "
        "each copy ran as many of them"
    ]


def test_a_copy_with_fewer_parameters_lacks_a_test() -> None:
    compared = compare([passed("t.py::a[1]", "t.py::a[2]"), passed("t.py::a[1]")], [True] * 2)
    assert outcomes(compared)[1] == {
        "t.py::a[1]": TestOutcome.PASSED,
        "t.py::a[2]": TestOutcome.NOT_COLLECTED,
    }


names = st.sets(st.sampled_from([f"{module}.py::{test}" for module in "xyz" for test in "abc"]))


@given(st.lists(names, min_size=1, max_size=5), st.randoms())
def test_every_copy_has_a_result_for_each_test_that_any_copy_collected(
    copies: list[set[str]], shuffler: random.Random
) -> None:
    def shuffled(ids: set[str]) -> list[TestResult]:
        order = sorted(ids)
        shuffler.shuffle(order)
        return passed(*order)

    found = outcomes(compare([shuffled(ids) for ids in copies], [True] * len(copies)))
    everything = set().union(*copies)
    assert found == [
        {test_id: TestOutcome.PASSED if test_id in ids else TestOutcome.NOT_COLLECTED for test_id in everything}
        for ids in copies
    ]
