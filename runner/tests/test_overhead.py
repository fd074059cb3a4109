"""The intervals of `runner.benchmarks.overhead`."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.benchmarks.overhead import Ratio, Suite


def test_equal_ratios_have_no_spread() -> None:
    ratio = Ratio.of([2.0, 2.0, 2.0])
    assert (ratio.mean, ratio.low, ratio.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_interval_of_a_known_sample() -> None:
    # The logarithms are 0, 1 and 2: mean 1, standard deviation 1, and t is 4.303 with two degrees of freedom.
    ratio = Ratio.of([1.0, math.e, math.e**2])
    half = 4.303 / math.sqrt(3)
    assert (ratio.low, ratio.high) == pytest.approx((math.exp(1 - half), math.exp(1 + half)))


def test_nothing_is_known_of_the_spread_of_one_ratio() -> None:
    assert Ratio.of([2.0]) == Ratio(2.0, 0.0, math.inf)


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=40))
def test_a_ratio_and_its_inverse_have_the_same_interval(ratios: list[float]) -> None:
    forward, backward = Ratio.of(ratios), Ratio.of([1 / ratio for ratio in ratios])
    assert (forward.low, forward.high) == pytest.approx((1 / backward.high, 1 / backward.low))


def test_a_suite_is_a_folder_and_the_arguments_of_pytest(tmp_path: Path) -> None:
    suite = Suite.parse(f"{tmp_path} : tests -k 'one or two'")
    assert (suite.folder, suite.arguments) == (tmp_path, ("tests", "-k", "one or two"))
