"""The report on a terminal: no name in it can control the terminal or add a line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import Finding, Side
from parasuite.judge.health import Health
from parasuite.judge.report import COPY_ITSELF, Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Endpoint
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.results import Attempt, TestResult
from parasuite.model.words import CopyPhase, Evidence, Protocol, Role, SensorStatus, Severity, TestOutcome
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import printable

from runner.tests.conftest import Parasuite

FORGED = "passed: everything fine"


def report(name: str) -> Report:
    """A report with *name* in every place whose text comes from outside parasuite."""
    side = Side(
        role=Role.HOLDER, party=Party(0), process=name, command=name, test=name, location=Location(name, 0, "")
    )
    return Report(
        run_id="r",
        folder=name,
        target=name,
        wall="2026-11-22T09:57:46",
        host=name,
        duration_s=1.0,
        start_ns=0,
        fail_on="error",
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
                TestResult(id=COPY_ITSELF, outcome=TestOutcome.ERROR, message=name, text=name),
                TestResult(id="u" + name, outcome=TestOutcome.SKIPPED, message=name, attempts=(Attempt(name),)),
            ],
        ],
        findings=[
            Finding(
                id=name,
                kind=FindingKind.SHARED,
                severity=Severity.ERROR,
                evidence=Evidence.EXACT,
                endpoint=Endpoint(Protocol.UNIX, name),
                parties=(Party(0), Party(1)),
                count=1,
                message=name,
                hint=name,
                sides=(side, side),
            )
        ],
        health=Health(sensors={name: SensorStatus.DOWN}, calls=1, proven=name),
        verdict=Verdict(code=ExitCode.BLIND, reason=name),
        cannot_see=[name],
        notes=[name],
    )


@given(st.text(max_size=20))
def test_each_line_of_the_report_is_one_printable_line_whatever_a_name_contains(name: str) -> None:
    lines = [line.plain for line in terminal(report(name))]
    assert all(line.isprintable() for line in lines)
    usual = list(terminal(report("x")))
    # A name of several lines does not add lines. Only the end of a copy's output may have several.
    assert len([line for line in lines if not line.startswith("    | ")]) <= len(usual)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1b[1A", "\x85", "\u2028", "\b" * 80])
def test_no_name_can_forge_a_line(end: str) -> None:
    lines = [line.plain for line in terminal(report(f"name{end}{FORGED}"))]
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
    assert r"1 copy of true a\x1b]0;title\x07\nforged; " in finished.stderr
