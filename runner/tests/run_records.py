"""A record of a run, as small as one can be: for the tests of what is stored in run.json."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parasuite.model.run_record import RunRecord, Seeds, TargetKind, TargetRecord
from parasuite.model.words import ExitCodeFrom, FailOn

_RECORD = RunRecord(
    run_id="20260101T000000Z-0000",
    parasuite="0",
    pid=0,
    pid_started_s=0.0,
    started_s=0.0,
    host="host",
    system="Linux",
    python="3.11",
    copies=1,
    target=TargetRecord(TargetKind.PYTEST, path="tests/"),
    described="pytest tests/",
    interpreter="python",
    fail_on=FailOn.ERROR,
    exit_code_from=ExitCodeFrom.PARASUITE,
    timeout_s=None,
    conditions={},
    seeds=Seeds(),
    sensors=("auto",),
    sensors_by_name=(),
    pytest_args=(),
    collect_junit=None,
    origins={},
)


def a_record(**changes: Any) -> RunRecord:
    """A record of a run that has not ended, with *changes*."""
    return replace(_RECORD, **changes)
