"""findings.json: what it says of a run and its findings, and that its schema says the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import Effect, Finding, Side
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.control import Control, ControlAnswer
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.proof import ProofOutcome
from parasuite.model.results import TestResult
from parasuite.model.words import (
    AttributedBy,
    CopyPhase,
    Evidence,
    NetworkMode,
    Protocol,
    Role,
    RunEnd,
    SensorStatus,
    Severity,
    SocketOption,
    SocketState,
    SuppressedBy,
    TestOutcome,
)
from parasuite.reports.findings_json import findings_json

from runner.tests.bad_nights import FAILED, FOUND, LOST, bad_night
from runner.tests.building import a_finding, a_report, a_side, an_effect
from runner.tests.findings_schema import SCHEMA, VALIDATOR


def valid(report: Report) -> dict[str, Any]:
    """The file's content, which must be valid."""
    written: dict[str, Any] = json.loads(findings_json(report))
    VALIDATOR.validate(written)
    return written


def test_the_file_says_of_the_run_what_a_reader_of_the_findings_must_know() -> None:
    ended = a_report(
        ended=RunEnd.INTERRUPTED, root="/home/me/it", verdict=Verdict(code=ExitCode.INTERRUPTED, reason="interrupted")
    )
    assert valid(ended) == {
        "format": 2,
        "run": {
            "id": "20261122T095746Z-k3f9",
            "started_at": "2026-11-22T09:57:46Z",
            "ended": "interrupted",
            "exit_code": 130,
            "verdict": "interrupted",
            "target": "pytest tests/",
            "copies": 2,
            "root": "/home/me/it",
            "network": "host",
            "visibility": {
                "sensors": {"sampler": "down"},
                "proven": "",
                "blind": "",
                "cannot_see": ["a listener that lives for a moment"],
                "listeners": 2,
                "calls": 0,
                "samples": 3,
            },
            "overlap_s": {"any": 0.0, "two": 0.0, "all": 0.0},
            "duration_s": 12.346,
            "notes": [],
        },
        "findings": [],
        "tests": [],
        "copies": [
            {
                "copy": copy,
                "state": "exited",
                "status": 0,
                "ended": "exit status 0",
                "ended_well": True,
                "duration_s": 0.0,
                "results": {},
                "message": "",
            }
            for copy in range(2)
        ],
    }


def test_a_test_that_failed_or_was_lost_is_written_with_its_copies_and_what_explains_it() -> None:
    control = Control(test=FAILED, answer=ControlAnswer.COLLISION, passed=3, runs=3)
    written = valid(bad_night(controls=[control]))
    assert written["tests"] == [
        {
            "id": FAILED,
            "copies": {"failed": [5]},
            "message": "OSError: in use",
            "explained_by": [{"finding": FOUND.id, "is_certain": True}],
            "alone": {"answer": "collision", "passed": 3, "runs": 3},
        },
        {
            "id": LOST,
            "copies": {"lost": [7]},
            "message": "it was running when its copy died",
            "explained_by": [],
            "alone": None,
        },
    ]


def test_a_copy_that_died_is_written_with_how_it_ended_and_its_results() -> None:
    *_, good, dead = valid(bad_night())["copies"]
    assert (good["ended_well"], good["results"]) == (True, {"passed": 2})
    assert dead == {
        "copy": 7,
        "state": "exited",
        "status": -9,
        "ended": "killed by SIGKILL",
        "ended_well": False,
        "duration_s": 0.0,
        "results": {"lost": 1, "passed": 1},
        "message": "",
    }


def test_a_copy_that_failed_as_a_whole_says_why() -> None:
    whole = TestResult(id="copy", outcome=TestOutcome.ERROR, message="no test ran", is_of_copy=True)
    written = valid(a_report(results=[[whole], []]))
    assert [copy["message"] for copy in written["copies"]] == ["no test ran", ""]
    assert written["tests"] == []


def test_a_finding_is_written_with_its_sides_and_what_came_of_them() -> None:
    holder = a_side(
        0,
        Role.HELD,
        worker="gw3",
        line="tests/conftest.py:12:server tests/test_it.py:40:test_quit",
        pid=4711,
        process="python",
        command="python -m pytest",
        test="tests/test_it.py::test_quit",
        attribution=AttributedBy.THREAD,
        at_ns=2_500_000_000,
        options=(SocketOption.REUSEADDR,),
        state=SocketState.LISTEN,
    )
    stranger = a_side(None, Role.HELD, process="redis-server", stranger="redis-server of user redis")
    made = a_finding(
        evidence=Evidence.ATTEMPTED,
        title="port 8025 is hard-coded",
        hint="bind port 0",
        related=("aaaaaaaaaa",),
        is_ephemeral=True,
        parties=(Party(0, "gw3"), Party(1)),
        failed_tests=("tests/test_it.py::test_help",),
        sides=(holder,),
        effects=(an_effect(EffectKind.REFUSED, stranger, recovered=True, count=3, window_ms=1.23456),),
    )
    (written,) = valid(a_report(findings=[made], start_ns=500_000_000))["findings"]
    assert written == {
        "id": "0123456789",
        "cause": "hard-coded",
        "severity": "warning",
        "evidence": "attempted",
        "title": "port 8025 is hard-coded",
        "hint": "bind port 0",
        "docs": "docs/findings/hard-coded.md",
        "related": ["aaaaaaaaaa"],
        "proof": None,
        "endpoint": {"protocol": "tcp", "address": "127.0.0.1", "port": 8025},
        "ephemeral_range": True,
        "drawn_at_random": False,
        "parties": [{"copy": 0, "worker": "gw3"}, {"copy": 1, "worker": ""}],
        "places": [{"file": "tests/conftest.py", "line": 12, "function": "server"}],
        "tests": ["tests/test_it.py::test_quit"],
        "failed_tests": ["tests/test_it.py::test_help"],
        "suppressed": None,
        "expired_suppression": None,
        "window_ms": None,
        "sides": [
            {
                "role": "held",
                "party": {"copy": 0, "worker": "gw3"},
                "process": {"pid": 4711, "name": "python", "command": "python -m pytest"},
                "test": "tests/test_it.py::test_quit",
                "attribution": "thread",
                "frames": [
                    {"file": "tests/conftest.py", "line": 12, "function": "server"},
                    {"file": "tests/test_it.py", "line": 40, "function": "test_quit"},
                ],
                "at_s": 2.0,
                "options": ["reuseaddr"],
                "state": "listen",
            }
        ],
        "effects": [
            {
                "kind": "refused",
                "severity": "error",
                "recovered": True,
                "count": 3,
                "window_ms": 1.235,
                "sides": [
                    {
                        "role": "held",
                        "party": None,
                        "process": {"pid": 0, "name": "redis-server", "command": ""},
                        "test": "",
                        "attribution": "",
                        "frames": [],
                        "at_s": None,
                        "options": [],
                        "stranger": "redis-server of user redis",
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("endpoint", "written"),
    [
        (Endpoint(Protocol.UNIX, "/tmp/x.sock"), {"protocol": "unix", "path": "/tmp/x.sock"}),
        (Endpoint(Protocol.VSOCK, "any", 1234), {"protocol": "vsock", "address": "any", "port": 1234}),
        (Endpoint(Protocol.UDP, "::1", 5353), {"protocol": "udp", "address": "::1", "port": 5353}),
    ],
)
def test_a_unix_socket_has_a_path_and_everything_else_an_address_and_a_port(
    endpoint: Endpoint, written: dict[str, object]
) -> None:
    (found,) = valid(a_report(findings=[a_finding(endpoint=endpoint)]))["findings"]
    assert found["endpoint"] == written


text = st.text(max_size=10)
places = st.builds(Location, text, st.integers(0, 10_000), text)
parties = st.builds(Party, st.integers(0, 999), text)
endpoints = st.builds(Endpoint, st.sampled_from(Protocol), text, st.integers(0, 65_535))
sides = st.builds(
    Side,
    role=st.sampled_from(Role),
    party=st.none() | parties,
    pid=st.integers(0, 1 << 22),
    process=text,
    command=text,
    test=text,
    attribution=st.sampled_from(AttributedBy),
    frames=st.lists(places, max_size=3).map(tuple),
    at_ns=st.none() | st.integers(-(1 << 63), 1 << 63),
    options=st.lists(st.sampled_from(SocketOption), max_size=2).map(tuple),
    state=st.none() | st.sampled_from(SocketState),
    stranger=text,
)
several_sides = st.lists(sides, max_size=3).map(tuple)
windows = st.none() | st.floats(0, 1e9)
effects = st.builds(
    Effect,
    kind=st.sampled_from(EffectKind),
    severity=st.sampled_from(Severity),
    evidence=st.sampled_from(Evidence),
    endpoint=endpoints,
    sides=several_sides,
    recovered=st.booleans(),
    count=st.integers(1, 1_000),
    window_ms=windows,
)
findings = st.builds(
    Finding,
    id=st.from_regex("[0-9a-f]{10}", fullmatch=True),
    cause=st.sampled_from(Cause),
    severity=st.sampled_from(Severity),
    evidence=st.sampled_from(Evidence),
    title=text,
    hint=text,
    endpoint=endpoints,
    parties=st.lists(parties, max_size=3).map(tuple),
    sides=several_sides,
    effects=st.lists(effects, max_size=3).map(tuple),
    port=st.integers(0, 65_535),
    is_ephemeral=st.booleans(),
    window_ms=windows,
    failed_tests=st.lists(text, max_size=2).map(tuple),
)


@given(st.lists(findings, max_size=3))
def test_whatever_is_found_makes_a_valid_file(found: list[Finding]) -> None:
    assert len(valid(a_report(findings=found))["findings"]) == len(found)


def enumerations_in(schema: object) -> Iterator[list[str]]:
    """Every list of allowed words in *schema*."""
    if isinstance(schema, dict):
        if "enum" in schema:
            yield schema["enum"]
        for part in schema.values():
            yield from enumerations_in(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from enumerations_in(part)


# What can be the last that is known of a copy.
_ENDS = (
    *(CopyPhase.FAILED, CopyPhase.TIMED_OUT, CopyPhase.INTERRUPTED),
    *(CopyPhase.STOPPED_EARLY, CopyPhase.EXITED, CopyPhase.LOST),
)


def test_the_words_of_the_schema_are_those_of_the_enumerations() -> None:
    closed: list[type[StrEnum]] = [Cause, EffectKind, Severity, Evidence, Role, AttributedBy, SocketOption]
    closed += [SocketState, SensorStatus, RunEnd, SuppressedBy, ProofOutcome, NetworkMode, ControlAnswer, TestOutcome]
    with_port = tuple(protocol for protocol in Protocol if protocol is not Protocol.UNIX)
    bad = tuple(outcome for outcome in TestOutcome if outcome.is_bad)
    expected = {*(tuple(words) for words in closed), with_port, bad, _ENDS}
    assert {tuple(words) for words in enumerations_in(SCHEMA)} == expected


def objects_in(schema: object) -> Iterator[dict[str, Any]]:
    """Every object with named properties that *schema* describes."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for part in schema.values():
            yield from objects_in(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects_in(part)


def test_the_schema_allows_no_key_that_it_does_not_name() -> None:
    described = list(objects_in(SCHEMA))
    assert len(described) > 5
    assert [each for each in described if each["additionalProperties"] is not False] == []


def test_a_key_too_many_or_too_few_is_not_valid() -> None:
    written = valid(a_report(findings=[a_finding()]))
    too_many = {**written, "extra": 1}
    too_few = {**written, "findings": [{"id": "0123456789"}]}
    assert [VALIDATOR.is_valid(each) for each in (written, too_many, too_few)] == [True, False, False]
