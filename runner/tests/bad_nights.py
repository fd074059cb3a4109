"""The report of a run in which all went wrong that can: for the tests of reports and their readers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parasuite.judge.findings import Explanation
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.copy_life import CopyEnd
from parasuite.model.results import TestResult
from parasuite.model.words import CopyPhase, Role, Severity, TestOutcome

from runner.tests.building import a_finding, a_report, a_side, an_effect

COPIES = 8
FAILED, LOST = "tests/test_it.py::test_fails_in_copy_5", "tests/test_it.py::test_lost"
FOUND = a_finding(
    severity=Severity.ERROR,
    title="TCP port 8025 is fixed: 2 parties asked for it",
    effects=(
        an_effect(
            sides=(
                a_side(1, Role.WANTED, line="tests/conftest.py:12:server", test=FAILED),
                a_side(0, Role.HELD, line="tests/helpers.py:7:serve"),
            )
        ),
    ),
    sides=(),
)
PARTS = {
    "finding": FOUND.id,
    "failure": "test_fails_in_copy_5",
    "its copy": "1 of 8 copies (5)",
    "lost test": "test_lost",
    "dead copy": "killed by SIGKILL",
}


def bad_night(**changes: Any) -> Report:
    """Eight copies: one finding, a test that fails in copy 5 only, a test that was lost with copy 7, which died."""
    passed = [TestResult(id=test, outcome=TestOutcome.PASSED) for test in (FAILED, LOST)]
    results = [list(passed) for _ in range(COPIES)]
    text = "def test():\n>   serve()\n\ntests/test_it.py:9: \ntests/conftest.py:12: OSError"
    results[5][0] = TestResult(id=FAILED, outcome=TestOutcome.FAILED, message="OSError: in use", text=text)
    results[7][1] = TestResult(id=LOST, outcome=TestOutcome.LOST, message="it was running when its copy died")
    ends = [CopyEnd(copy=copy, how=CopyPhase.EXITED, status=0) for copy in range(COPIES)]
    ends[5] = replace(ends[5], status=1)
    ends[7] = replace(ends[7], status=-9)
    made = a_report(
        copy_ends=ends,
        results=results,
        findings=[FOUND],
        verdict=Verdict(code=ExitCode.TEST_FAILED, reason="failed"),
        explanations={(5, FAILED): Explanation(FOUND.id, is_certain=True)},
        root="/home/me/it",
    )
    return replace(made, **changes)
