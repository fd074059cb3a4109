"""The report on a terminal: no name in it can control the terminal or add a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import Explanation, Finding
from parasuite.judge.health import Health
from parasuite.judge.report import COPY_ITSELF, Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.results import Attempt, TestResult
from parasuite.model.words import (
    AttributedBy,
    CopyPhase,
    Protocol,
    Role,
    SensorStatus,
    Severity,
    SocketState,
    TestOutcome,
)
from parasuite.reports.finding_text import effects_counted
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import (
    EXPLAINS,
    ID,
    LIMITS_COUNTED,
    NOTES_COUNTED,
    WINDOW,
    explained_by,
    failures_explained,
    not_seen_by,
    plural,
    printable,
)

from runner.tests.building import a_finding, a_report, a_side, an_effect
from runner.tests.conftest import Parasuite

FORGED = "passed: everything fine"


def report(name: str) -> Report:
    """A report with *name* in every place whose text comes from outside parasuite."""
    side = a_side(0, process=name, command=name, test=name, frames=(Location(name, 0, name),), stranger=name)
    found = a_finding(
        id=name,
        severity=Severity.ERROR,
        endpoint=Endpoint(Protocol.UNIX, name),
        title=name,
        hint=name,
        sides=(side, side),
        related=(name,),
        failed_tests=(name, name),
    )
    effect = an_effect(EffectKind.SHARED, side, side, endpoint=Endpoint(Protocol.UNIX, name + "2"))
    return a_report(
        folder=name,
        target=name,
        host=name,
        duration_s=1.0,
        copy_ends=[
            CopyEnd(copy=0, how=CopyPhase.FAILED, why=name),
            CopyEnd(copy=1, how=CopyPhase.EXITED, status=0, left_behind=1),
        ],
        results=[
            [
                TestResult(id=name, outcome=TestOutcome.FAILED, message=name),
                TestResult(id="u" + name, outcome=TestOutcome.PASSED),
            ],
            [
                TestResult(id=COPY_ITSELF, outcome=TestOutcome.ERROR, message=name, text=name, is_of_copy=True),
                TestResult(id="u" + name, outcome=TestOutcome.SKIPPED, message=name, attempts=(Attempt(name),)),
            ],
        ],
        findings=[found, a_finding(id=name, title=name, hint=name, sides=(side,), effects=(effect, effect))],
        health=Health(sensors={name: SensorStatus.DOWN}, calls=1, proven=name),
        verdict=Verdict(code=ExitCode.BLIND, reason=name),
        cannot_see=[name],
        notes=[name],
        explanations={(0, name): Explanation(name, True), (1, COPY_ITSELF): Explanation(name, False)},
        stacks=[(name,), ()],
    )


def printed(shown: Report) -> list[str]:
    return [line.plain for line in terminal(shown)]


def block(*findings: Finding, start_ns: int = 0) -> list[str]:
    """The lines about *findings*: all that a report without them lacks."""
    usual = printed(a_report())
    return [line for line in printed(a_report(findings=findings, start_ns=start_ns)) if line not in usual][:-1]


def last_line(finding: Finding) -> str:
    return "    " + ID.format(id=finding.id, evidence=finding.evidence, topic=finding.id)


def test_a_finding_without_an_effect_says_where_it_is_and_who_does_it() -> None:
    found = a_finding(
        title="port 8025 is hard-coded: 2 copies use it",
        hint="bind port 0",
        window_ms=1.25,
        related=("aaaaaaaaaa",),
        sides=(
            a_side(
                0, worker="gw3", line="tests/conftest.py:12:server", pid=4711, process="python", at_ns=2_500_000_000
            ),
            a_side(1, line="tests/conftest.py:12:server", test="tests/test_it.py::test_quit"),
            a_side(2),
        ),
    )
    assert block(found, start_ns=500_000_000) == [
        "warning [hard-coded] port 8025 is hard-coded: 2 copies use it",
        "    at tests/conftest.py:12 server",
        "    holder: copy 0, gw3, python pid 4711, tests/conftest.py:12 server, at +2.00 s",
        "    holder: copy 1, tests/test_it.py::test_quit, tests/conftest.py:12 server",
        "    and 1 more side: see findings.json",
        f"    {WINDOW.format(ms='1.2')}",
        "    see also: aaaaaaaaaa",
        "    hint: bind port 0",
        last_line(found),
    ]


def test_the_effects_of_one_kind_are_one_line_with_the_sides_of_the_first() -> None:
    held = a_side(0, Role.HELD, worker="gw0", pid=1, process="python", state=SocketState.LISTEN)
    refused = [
        an_effect(
            EffectKind.REFUSED,
            a_side(copy, Role.WANTED, worker=f"gw{number}", test=f"test_{number}"),
            held,
            count=2,
            window_ms=3.0 if number == 0 else None,
        )
        for copy in (1, 2)
        for number in range(3)
    ]
    talked = an_effect(EffectKind.CROSSTALK, a_side(1, Role.CLIENT), a_side(0, Role.SERVER))
    found = a_finding(title="t", hint="h", effects=(*refused, talked), failed_tests=("test_0", "test_1", "test_2"))
    assert effects_counted(refused) == "refused 12 times, in 3 tests of 6 workers"
    assert block(found) == [
        "warning [hard-coded] t",
        f"    {effects_counted(refused)}; first:",
        "      wanted: copy 1, gw0, test_0",
        "      held: copy 0, gw0, python pid 1 (listen)",
        f"      {WINDOW.format(ms='3.0')}",
        f"    {effects_counted([talked])}; first:",
        "      client: copy 1",
        "      server: copy 0",
        f"    {EXPLAINS.format(tests='test_0 and 2 more tests')}",
        "    hint: h",
        last_line(found),
    ]


def test_what_a_program_recovered_from_is_counted_apart() -> None:
    lost = an_effect(EffectKind.REFUSED)
    recovered = an_effect(EffectKind.REFUSED, recovered=True, severity=Severity.WARNING)
    lines = block(a_finding(effects=(lost, recovered, recovered)))
    assert f"    {effects_counted([lost])}; first:" in lines
    assert f"    {effects_counted([recovered, recovered])}; first:" in lines
    assert effects_counted([lost]) != effects_counted([recovered])


def test_an_effect_on_another_endpoint_than_the_finding_names_it() -> None:
    walked = an_effect(endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 9001))
    assert "      on 127.0.0.1:9001" in block(a_finding(effects=(walked,)))


def test_a_process_outside_the_run_is_named() -> None:
    stranger = a_side(None, Role.HELD, process="redis-server", pid=12, stranger="redis of user redis")
    lines = block(a_finding(Cause.STRANGER, effects=(an_effect(EffectKind.FOREIGN, stranger),)))
    assert "      held: outside the run, redis of user redis, redis-server pid 12" in lines


def test_a_test_that_only_happened_to_run_is_marked_as_a_guess() -> None:
    sides = [a_side(0, test="a", attribution=how) for how in (AttributedBy.THREAD, AttributedBy.FIRST_SAMPLE)]
    assert block(a_finding(sides=tuple(sides)))[1:3] == [
        "    holder: copy 0, a",
        f"    holder: copy 0, a ({AttributedBy.FIRST_SAMPLE})",
    ]


def test_notes_are_only_counted() -> None:
    notes = [a_finding(severity=Severity.NOTE)] * 3
    counted = NOTES_COUNTED.format(findings=plural(3, "finding"))
    *lines, ports = [line for line in printed(a_report(findings=notes)) if line not in printed(a_report())]
    assert (lines, "ports: 3 notes" in ports) == ([counted], True)


def test_a_note_that_explains_a_failure_is_shown() -> None:
    note = a_finding(severity=Severity.NOTE, title="t", failed_tests=("test_0",))
    assert block(note)[0] == "note [hard-coded] t"
    assert "ports: 1 note," in printed(a_report(findings=[note]))[-3]


def on_port(port: int, number: int) -> Finding:
    """A finding about *port*, with an id of its own."""
    return a_finding(id=f"{number:010x}", title=f"port {port}", port=port)


def headings(lines: Sequence[str]) -> list[str]:
    return [line.partition("] ")[2] for line in lines if line.startswith(("error [", "warning ["))]


def test_at_most_twenty_findings_are_printed_and_each_port_is_among_them() -> None:
    many = [on_port(8130, number) for number in range(25)] + [on_port(8131, 25), on_port(8132, 26)]
    lines = block(*many)
    assert headings(lines) == ["port 8130"] * 18 + ["port 8131", "port 8132"]
    assert lines[-1] == "... and 7 more findings: see findings.json"


def test_ports_beyond_twenty_are_listed_by_cause() -> None:
    exposed = a_finding(Cause.EXPOSED, title="listener of tests/a.py:serve is exposed")
    lines = block(*(on_port(8100 + number, number) for number in range(22)), exposed)
    assert (len(headings(lines)), lines[-3:]) == (
        20,
        [
            "... and 3 more findings: see findings.json",
            "    hard-coded: tcp 8120, tcp 8121",
            "    exposed: listener of tests/a.py:serve is exposed",
        ],
    )


def failures(
    explanations: Mapping[tuple[int, str], Explanation], *tests: str, findings: Sequence[Finding] = (a_finding(),)
) -> Report:
    """A report of two copies in which *tests* failed, or passed if their name says so."""
    results = [
        TestResult(id=test, outcome=TestOutcome.PASSED if "pass" in test else TestOutcome.FAILED, message="no")
        for test in tests
    ]
    return a_report(results=[results, results], explanations=explanations, findings=findings)


CERTAIN, POSSIBLE = Explanation("0123456789", True), Explanation("0123456789", False)


def test_a_failed_test_names_the_finding_that_explains_it() -> None:
    found = a_finding(title="TCP port 8025 is fixed: 2 parties asked for it")
    explanations = {(0, "a"): CERTAIN, (1, "a"): CERTAIN, (0, "b"): POSSIBLE}
    lines = printed(failures(explanations, "a", "b", "c", findings=[found]))
    named = replace(found, title="TCP port 8025 is fixed")
    start = lines.index("failed a in 2 of 2 copies (0, 1)")
    assert lines[start : lines.index(not_seen_by(["sampler"]))] == [
        "failed a in 2 of 2 copies (0, 1)",
        "    no",
        f"    {explained_by(named, is_certain=True)}",
        "failed b in 2 of 2 copies (0, 1)",
        "    no",
        f"    {explained_by(named, is_certain=False)} (in 1 of 2 copies (0))",
        "failed c in 2 of 2 copies (0, 1)",
        "    no",
    ]


def test_findings_come_first_then_failures_and_the_verdict_last() -> None:
    lines = printed(failures({(0, "a"): CERTAIN}, "a", "pass"))
    finding = lines.index(f"warning [hard-coded] {a_finding().title}")
    failure = lines.index("failed a in 2 of 2 copies (0, 1)")
    assert (finding, finding < failure, lines[-1]) == (0, True, "passed")


@pytest.mark.parametrize(
    ("explanations", "said"),
    [
        pytest.param([], "", id="none"),
        pytest.param([CERTAIN] * 3, "3 of 4 failures explained by 1 finding", id="certain"),
        pytest.param([CERTAIN, Explanation("b", True)], "2 of 4 failures explained by 2 findings", id="two findings"),
        pytest.param([POSSIBLE], "1 of 4 failures may be explained by 1 finding", id="possible"),
        pytest.param(
            [CERTAIN, POSSIBLE, POSSIBLE], "1 of 4 failures explained by 1 finding, 2 more may be", id="both"
        ),
    ],
)
def test_how_many_failures_are_explained_is_counted(explanations: list[Explanation], said: str) -> None:
    assert failures_explained(4, explanations) == said


def test_the_report_says_how_many_failures_are_explained_and_counts_no_test_that_passed() -> None:
    explanations = {(0, "a"): CERTAIN, (1, "a"): CERTAIN, (0, "b"): CERTAIN, (0, "pass"): CERTAIN}
    assert failures_explained(4, [CERTAIN] * 3) in printed(failures(explanations, "a", "b", "pass"))


def test_two_sides_are_beside_each_other_on_a_wide_terminal() -> None:
    wanted = a_side(1, Role.WANTED, pid=12, process="python", test="t.py::" + "x" * 60, line="t.py:40:server")
    held = a_side(0, Role.HELD, pid=11, process="日本", line="t.py:40:server")
    found = a_finding(title="t", hint="h", effects=(an_effect(EffectKind.REFUSED, wanted, held),))
    lines = [line.plain for line in terminal(a_report(findings=[found]), columns=100)]
    assert lines[2:8] == [
        f"      {'wanted':<48}held",
        f"      {'copy 1':<48}copy 0",
        f"      {'python pid 12':<48}日本 pid 11",
        f"      {'t.py::' + 'x' * 40:<48}t.py:40 server",
        f"      {'x' * 20}",
        "      t.py:40 server",
    ]
    assert max(map(len, lines[2:8])) <= 100


@pytest.mark.parametrize("columns", [0, 80, 99])
def test_two_sides_are_a_line_each_in_a_log_and_on_a_narrow_terminal(columns: int) -> None:
    found = a_finding(effects=(an_effect(EffectKind.REFUSED, a_side(1, Role.WANTED), a_side(0, Role.HELD)),))
    lines = [line.plain for line in terminal(a_report(findings=[found]), columns=columns)]
    assert lines[2:4] == ["      wanted: copy 1", "      held: copy 0"]


EXACT = Health(sensors={"seccomp": SensorStatus.DOWN, "recorder": SensorStatus.DOWN}, calls=3)
FAILED_OF_A_PORT = TestResult(id="a", outcome=TestOutcome.FAILED, message="OSError: Address already in use")


@pytest.mark.parametrize(
    ("changes", "is_listed"),
    [
        pytest.param({"health": EXACT}, False, id="exact"),
        pytest.param({}, True, id="sampled"),
        pytest.param({"health": EXACT, "findings": [a_finding(Cause.UNKNOWN)]}, True, id="a cause is unknown"),
        pytest.param({"health": EXACT, "results": [[FAILED_OF_A_PORT], []]}, True, id="a failure is unexplained"),
        pytest.param(
            {"health": EXACT, "results": [[FAILED_OF_A_PORT], []], "explanations": {(0, "a"): CERTAIN}},
            False,
            id="it is explained",
        ),
    ],
)
def test_the_limits_of_the_sensors_are_listed_where_they_may_have_hidden_something(
    changes: dict[str, object], is_listed: bool
) -> None:
    shown = a_report(**changes)
    listed, counted = not_seen_by(shown.health.sensors), LIMITS_COUNTED.format(limits="1 known limit")
    assert [line for line in printed(shown) if line in (listed, counted)] == [listed if is_listed else counted]


def test_the_report_ends_with_what_was_counted_and_the_verdict_alone() -> None:
    ended = a_report(verdict=Verdict(code=ExitCode.TEST_FAILED, reason="failed"))
    assert printed(ended)[-5:] == [
        "copies: 2 of 2 ended well",
        "tests: 0 passed, 0 failed",
        "ports: no finding, 2 listeners seen in 3 samples",
        "time: 12.3 s; everything is in .parasuite/runs/20261122T095746Z-k3f9",
        "failed",
    ]


@given(st.text(max_size=20))
def test_each_line_of_the_report_is_one_printable_line_whatever_a_name_contains(name: str) -> None:
    lines = printed(report(name))
    assert all(line.isprintable() for line in lines)
    usual = list(terminal(report("x")))
    # A name of several lines does not add lines. Only the end of a copy's output may have several.
    assert len([line for line in lines if not line.startswith("    | ")]) <= len(usual)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1b[1A", "\x85", "\u2028", "\b" * 80])
def test_no_name_can_forge_a_line(end: str) -> None:
    lines = printed(report(f"name{end}{FORGED}"))
    assert not [line for line in lines if line.lstrip().startswith(FORGED)]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain [red]text[/red] ü 日本", "plain [red]text[/red] ü 日本"),
        ("\x1b]0;t\x07", r"\x1b]0;t\x07"),
        ("\x9b2J\x85", r"\x9b2J\x85"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("a\u200bb\ufeffc\u00add\u034fe\u3164", r"a\u200bb\ufeffc\xadd\u034fe\u3164"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_a_character_that_a_terminal_obeys_or_hides_is_shown_as_an_escape(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@given(st.text())
def test_a_printable_line_contains_no_control_and_no_format_character(text: str) -> None:
    assert not [char for char in printable(text) if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


EVIL = """
import pytest
class Item(pytest.Item):
    def runtest(self):
        assert 0, "boom \\x1b[31m"
class File(pytest.File):
    def collect(self):
        yield Item.from_parent(self, name="\\x1b]0;title\\x07\\x1b[2J[red]x[/red]\\n\\rpassed: everything fine")
def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".evil":
        return File.from_parent(parent, path=file_path)
"""


def test_the_name_of_a_test_can_neither_move_the_cursor_nor_forge_a_verdict(
    parasuite: Parasuite, suite: Callable[[str, str], Path]
) -> None:
    suite("", "a.evil")
    suite(EVIL, "conftest.py")
    finished = parasuite.run_pytest("-j", "2", "tests/", environ={"NO_COLOR": "1"})
    shown = r"failed tests/a.evil::\x1b]0;title\x07\x1b[2J[red]x[/red]\n\rpassed: everything fine in 2 of 2 copies"
    assert finished.code == 1
    assert finished.stdout.startswith(shown)
    assert "\x1b" not in finished.stdout + finished.stderr
    assert [line for line in finished.stdout.splitlines() if line.startswith("passed")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--", "no\x1b[2J\nforged"),
        ("run", "no\x1b[2J\nforged"),
        ("run", "--no\x1b[2J\nforged"),
        ("no\x1b\nforged",),
    ],
    ids=["command", "tree", "option", "word"],
)
def test_an_error_message_shows_escapes_in_an_argument(parasuite: Parasuite, arguments: tuple[str, ...]) -> None:
    finished = parasuite(*arguments)
    assert finished.code == 2
    assert r"\nforged" in finished.stderr
    assert "\x1b" not in finished.stderr


def test_the_first_line_of_a_run_shows_escapes_in_the_command(parasuite: Parasuite) -> None:
    finished = parasuite("run", "-j", "1", "--", "true", "a\x1b]0;title\x07\nforged")
    assert finished.code == 0
    assert r"1 copy of true 'a\x1b]0;title\x07\nforged', " in finished.stderr
