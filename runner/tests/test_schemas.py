"""The schemas of series, diff and history say what these write; test_findings_json.py is about that of a run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from parasuite.judge.difference import difference
from parasuite.judge.history import History
from parasuite.judge.series import SeriesReport
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.run_summary import FindingSummary, RunSummary, TestCount
from parasuite.model.words import Severity
from parasuite.reports.difference_report import difference_json
from parasuite.reports.history_report import history_json
from parasuite.reports.series_json import series_json

from runner.tests.findings_schema import DIFF, HISTORY, SERIES
from runner.tests.series_reports import a_series, three_rounds
from runner.tests.summaries import a_failure, a_finding, a_run, history_of

findings = st.builds(
    FindingSummary,
    id=st.sampled_from(["0123456789", "abcdef0123"]),
    cause=st.sampled_from(Cause),
    severity=st.sampled_from(Severity),
    title=st.text(max_size=5),
    effects=st.lists(st.sampled_from(EffectKind), unique=True).map(tuple),
    suppressed=st.sampled_from(["", "why"]),
)
runs = st.builds(
    a_run,
    st.integers(0, 50),
    findings=st.lists(findings, max_size=2, unique_by=lambda each: each.id).map(tuple),
    tests=st.dictionaries(st.sampled_from("ab"), st.builds(TestCount, st.integers(0, 3), st.integers(0, 3))),
    is_conclusive=st.booleans(),
)
histories = st.lists(runs, min_size=1, max_size=3).map(lambda found: history_of(*found))


def valid(validator: Draft202012Validator, text: str) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(text)
    validator.validate(written)
    return written


def test_a_series_is_written_as_its_schema_says() -> None:
    written = valid(SERIES, series_json(three_rounds()))
    assert [len(written[key]) for key in ("rounds", "findings", "tests")] == [3, 1, 1]


@given(st.lists(runs, max_size=3))
def test_whatever_runs_are_a_series_makes_a_valid_file(found: list[RunSummary]) -> None:
    report: SeriesReport = a_series(*found)
    assert len(valid(SERIES, series_json(report))["rounds"]) == len(found)


@given(histories, histories)
def test_whatever_differs_makes_a_valid_object(old: History, new: History) -> None:
    valid(DIFF, difference_json(difference(old, new)))


@given(histories)
def test_whatever_was_seen_makes_a_valid_object(found: History) -> None:
    valid(HISTORY, history_json({"pytest tests/": found}, 3))


@pytest.mark.parametrize("kind", ["new", "gone", "still"])
def test_a_difference_with_a_key_too_many_is_not_valid(kind: str) -> None:
    seen = a_failure(id="abcdef0123"), a_finding(id="0123456789")
    old, new = (
        history_of(a_run(0, findings=seen)),
        history_of(a_run(1, findings=(a_finding(id="fedcba9876"), seen[1]))),
    )
    written = valid(DIFF, difference_json(difference(old, new)))
    written[kind][0]["extra"] = 1
    assert not DIFF.is_valid(written)
