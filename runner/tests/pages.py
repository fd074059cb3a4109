"""Reports to make pages of, and what a page contains."""

from __future__ import annotations

import json
import re
from typing import Any

from parasuite.judge.findings import Explanation
from parasuite.judge.ledger import Hold
from parasuite.judge.report import Report
from parasuite.judge.timeline import Timeline
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.results import TestResult
from parasuite.model.run_record import Overlap
from parasuite.model.words import CopyPhase, Evidence, Protocol, Role, Severity, TestOutcome

from runner.tests.building import a_finding, a_report, a_side, an_effect, by, tcp

START_NS = 7_000_000_000
LINE = "tests/conftest.py:12:server"


def at(seconds: float) -> int:
    """*seconds* after the start of the run, as the clock of events has it."""
    return START_NS + int(seconds * 1e9)


def a_hold(copy: int, port: int, start_s: float, end_s: float, **more: Any) -> Hold:
    """*copy* holds TCP *port* in that time."""
    return Hold(
        endpoint=tcp(port),
        caller=by(copy, pid=100 + copy, **more),
        socket=f"cookie:{copy}-{port}-{start_s}",
        start_ns=at(start_s),
        end_ns=at(end_s),
        evidence=Evidence.EXACT,
        asked_port=port if port < 32768 else 0,
    )


def a_collision(name: str = "tests/test_mail.py::test_quit") -> Report:
    """Two copies: copy 1 was refused port 8025 in *name* at 2.5 s, and reached copy 0's server at 3 s."""
    wanted = a_side(
        1, Role.WANTED, line=f"{LINE} tests/test_mail.py:40:test_quit", test=name, at_ns=at(2.5), pid=4712
    )
    held = a_side(0, Role.HELD, line=LINE, test="tests/test_mail.py::test_help", at_ns=at(2), pid=4711)
    client = a_side(1, Role.CLIENT, test="tests/test_api.py::test_talk", at_ns=at(3))
    found = a_finding(
        id="aaaaaaaaaa",
        severity=Severity.ERROR,
        title="TCP port 8025 is fixed: 2 parties asked for it",
        sides=(wanted, held),
        effects=(an_effect(EffectKind.REFUSED, wanted, held), an_effect(EffectKind.CROSSTALK, client, held)),
        failed_tests=(name,),
    )
    drew = a_side(0, Role.DREW, line="tests/conftest.py:30:free_port", at_ns=at(4))
    bound = a_side(0, Role.HOLDER, line="tests/conftest.py:34:api", at_ns=at(4.5))
    lost = a_finding(
        Cause.LOST_PORT,
        id="bbbbbbbbbb",
        sides=(drew, bound),
        endpoint=tcp(40001),
        window_ms=400.0,
        title="it was lost",
    )
    passed = [
        TestResult(
            id=f"tests/test_other.py::test_{number}", outcome=TestOutcome.PASSED, duration_s=0.5, started_ns=at(0.1)
        )
        for number in range(3)
    ]
    failed = TestResult(
        id=name,
        outcome=TestOutcome.FAILED,
        duration_s=1.0,
        started_ns=at(2),
        message="EADDRINUSE",
        text="E x",
    )
    ends = [CopyEnd(copy=copy, how=CopyPhase.EXITED, status=copy, ended_ns=at(6)) for copy in range(2)]
    return a_report(
        duration_s=6.0,
        start_ns=START_NS,
        copy_ends=ends,
        results=[passed, [*passed, failed]],
        findings=(found, lost),
        verdict=Verdict(code=ExitCode.TEST_FAILED, reason="failed"),
        overlap=Overlap(any_s=6.0, two_s=5.0, all_s=5.0),
        explanations={(1, name): Explanation("aaaaaaaaaa", True)},
        timeline=Timeline(
            holds=(
                a_hold(0, 40000, 0.5, 1.0),
                a_hold(0, 8025, 2.0, 5.0, test="tests/test_mail.py::test_help", line=LINE),
                a_hold(1, 40002, 2.0, 3.0),
            ),
            end_ns=at(6),
        ),
    )


def with_name_everywhere(name: str) -> Report:
    """`a_collision`, with *name* in every place whose text comes from outside parasuite."""
    frames = (Location(name, 7, name),)
    side = a_side(0, process=name, command=name, test=name, stranger=name, at_ns=at(1), frames=frames)
    unix = Endpoint(Protocol.UNIX, name)
    found = a_finding(
        id="cccccccccc",
        title=name,
        hint=name,
        endpoint=unix,
        sides=(side, side),
        effects=(an_effect(EffectKind.SHARED, side, side),),
    )
    collided = a_collision(name)
    hold = a_hold(0, 8026, 1.0, 2.0, test=name)
    result = TestResult(id=name + "2", outcome=TestOutcome.ERROR, message=name, text=f"{name}\n{name}")
    return a_report(
        folder=name,
        target=name,
        host=name,
        root=name,
        copy_ends=[CopyEnd(copy=0, how=CopyPhase.FAILED, why=name)],
        results=[[*collided.results[1], result]],
        findings=[found],
        verdict=Verdict(code=ExitCode.BLIND, reason=name),
        cannot_see=[name],
        notes=[name],
        explanations={(0, name): Explanation("cccccccccc", True)},
        timeline=Timeline(holds=(hold,), end_ns=at(3)),
    )


def data_of(page: str, element: str) -> dict[str, Any]:
    """The JSON in the script element *element*."""
    match = re.search(rf'<script type="application/json" id="{element}">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    found: dict[str, Any] = json.loads(match.group(1))
    return found
