"""Reports of series, made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.run_summary import TestCount

from runner.tests.summaries import RECORD, a_failure, a_finding, a_run, history_of, torn

PASSED, FAILED = TestCount(2, 0), TestCount(1, 1)


def a_series(*runs: Any, **changes: Any) -> SeriesReport:
    history = history_of(*runs)
    report = SeriesReport(
        record=RECORD,
        folder=".parasuite/series/s",
        history=history,
        paths=[f".parasuite/runs/{run.run_id}" for run in history.runs],
        pages=[f"../../runs/{run.run_id}/report.html" for run in history.runs],
        missing=[],
        code=ExitCode.TEST_FAILED,
        reason="tests failed in 1 of 3 rounds",
        exit_code=1,
    )
    return replace(report, **changes)


def three_rounds(**changes: Any) -> SeriesReport:
    """A finding in each round, which did harm in the second; so a test failed there. The third is torn."""
    return a_series(
        a_run(0, findings=(a_finding(),), tests={"t::steady": PASSED, "t::shaky": PASSED}),
        a_run(1, findings=(a_failure(),), tests={"t::steady": PASSED, "t::shaky": FAILED}, code=1),
        torn(2, findings=(a_finding(),), tests={"t::steady": PASSED}),
        **changes,
    )
