"""Summaries of runs, as small as they can be: for the tests of what is said about many runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parasuite.judge.history import History, HistoryBuilder
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.run_summary import FindingSummary, RunSummary
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import RunEnd, Severity

_RUN = RunSummary(
    run_id="20260101T000000Z-0000",
    started_s=0.0,
    host="host",
    target="pytest tests/",
    copies=2,
    ended=RunEnd.COMPLETE,
    code=0,
    exit_code=0,
    verdict="passed",
    is_conclusive=True,
)
_FINDING = FindingSummary(id="0123456789", cause=Cause.LOST_PORT, severity=Severity.WARNING, title="a port was lost")
RECORD = SeriesRecord(
    series_id="s", parasuite="0", started_s=0.0, host="host", described="tests", runs=("../../runs/a",)
)


def a_run(number: int = 0, **changes: Any) -> RunSummary:
    """A run that passed, begun at second *number*, with *changes*."""
    return replace(_RUN, run_id=f"20260101T0000{number:02d}Z-0000", started_s=float(number), **changes)


def torn(number: int = 0, **changes: Any) -> RunSummary:
    """A run whose parasuite was killed."""
    end = {"ended": RunEnd.NONE, "code": 3, "exit_code": 3, "verdict": "unfinished", "is_conclusive": False}
    return a_run(number, **{**end, **changes})


def a_finding(**changes: Any) -> FindingSummary:
    """A warning that had no effect, with *changes*."""
    return replace(_FINDING, **changes)


def a_failure(**changes: Any) -> FindingSummary:
    """The same finding as an error that fails its run."""
    return a_finding(severity=Severity.ERROR, effects=(EffectKind.REFUSED,), is_failing=True, **changes)


def history_of(*runs: RunSummary) -> History:
    """What *runs* say together."""
    builder = HistoryBuilder()
    for run in runs:
        builder.add(run)
    return builder.history()
