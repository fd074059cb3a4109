"""Findings that a project lives with: which rows can be used, what each fits, and how every report shows it."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from parasuite.judge.history import HistoryBuilder
from parasuite.judge.series import SeriesReport
from parasuite.judge.suppressions import EXPIRED, FITS, FITS_NOTHING, with_suppressions
from parasuite.judge.verdict import ExitCode, is_failing
from parasuite.model.causes import Cause
from parasuite.model.run_summary import FindingSummary
from parasuite.model.series_record import SeriesRecord
from parasuite.model.suppression import Remark, Suppressed, Suppression
from parasuite.model.words import FailOn, Severity, SuppressedBy
from parasuite.plan.errors import ConfigError
from parasuite.plan.suppress import suppressions
from parasuite.reports.finding_text import finding_lines
from parasuite.reports.findings_json import findings_json
from parasuite.reports.junit_xml import junit, junit_merged
from parasuite.reports.series_json import series_json
from parasuite.reports.series_junit import series_junit
from parasuite.reports.series_markdown import series_markdown
from parasuite.reports.series_terminal import series_terminal
from parasuite.reports.terminal import terminal

from runner.tests.building import a_finding, a_report, a_side
from runner.tests.conftest import Finished, Parasuite, planted
from runner.tests.findings_schema import VALIDATOR
from runner.tests.summaries import a_run

FILE = Path("pyproject.toml")
ROW = "row 1 of [[tool.parasuite.suppress]]"
DAY = "2026-11-22"
FINDING = a_finding(
    sides=(
        a_side(0, line="tests/helpers.py:7:serve", test="tests/test_a.py::test_one[x]"),
        a_side(1, line="tests/test_b.py:9:test_two", test="tests/test_b.py::test_two"),
    )
)


def rows(text: str) -> tuple[Suppression, ...]:
    """Those in TOML, each below [[suppress]]."""
    return suppressions(tomllib.loads(text)["suppress"], FILE)


@pytest.mark.parametrize(
    ("row", "suppression"),
    [
        ("id = '0123456789'", Suppression(reason="why", id="0123456789")),
        ("cause = 'exposed'", Suppression(reason="why", cause=Cause.EXPOSED)),
        (
            "cause = 'hard-coded'\nport = 8025\nplace = 'tests/*'\ntest = '*::test_x'",
            Suppression(reason="why", cause=Cause.HARD_CODED, port=8025, place="tests/*", test="*::test_x"),
        ),
        ("cause = 'reuse'\nuntil = 2027-03-31", Suppression(reason="why", cause=Cause.REUSE, until="2027-03-31")),
        ("cause = 'reuse'\nuntil = '2027-03-31'", Suppression(reason="why", cause=Cause.REUSE, until="2027-03-31")),
    ],
)
def test_a_row_is_a_suppression(row: str, suppression: Suppression) -> None:
    assert rows(f"[[suppress]]\n{row}\nreason = 'why'") == (suppression,)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("idd = 1\nreason = 'x'", "has an unknown key 'idd'; did you mean id?"),
        ("reason = 'x'", "needs id, or cause for every finding of a cause, and not both"),
        ("id = '0123456789'\ncause = 'reuse'\nreason = 'x'", "needs id, or cause for every finding of a cause"),
        ("cause = 'reuse'", "needs reason: why the finding may stay, for those who read the report"),
        ("cause = 'reuse'\nreason = ''", "reason must be text that is not empty, not ''"),
        ("cause = 'hardcoded'\nreason = 'x'", "has an unknown cause 'hardcoded'; did you mean hard-coded?"),
        ("cause = 7\nreason = 'x'", "cause must be text that is not empty, not 7"),
        ("id = '0123'\nreason = 'x'", "id must be ten hexadecimal digits, as the report shows them, not '0123'"),
        ("id = '0123456789'\nport = 1\nreason = 'x'", "has port beside id; an id names one finding"),
        ("cause = 'reuse'\nport = 0\nreason = 'x'", "port must be a whole number from 1 to "),
        ("cause = 'reuse'\nplace = ''\nreason = 'x'", "place must be text that is not empty, not ''"),
        ("cause = 'reuse'\nuntil = 'soon'\nreason = 'x'", "until must be a date such as 2027-03-31, not 'soon'"),
        ("cause = 'reuse'\nuntil = 2027\nreason = 'x'", "until must be text that is not empty, not 2027"),
        ("cause = 'reuse'\nuntil = 2027-03-31T10:00:00\nreason = 'x'", "until must be text that is not empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_an_error_that_names_it(row: str, message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        rows(f"[[suppress]]\n{row}")
    assert str(failure.value).startswith(f"{FILE}: {ROW} {message}")


toml_values = st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.datetimes()
keys = st.sampled_from(["id", "cause", "port", "place", "test", "until", "reason"])


@given(found=st.lists(st.dictionaries(keys, toml_values | st.sampled_from(["0123456789", *Cause]))) | toml_values)
def test_any_rows_are_suppressions_or_a_documented_error(found: object) -> None:
    with contextlib.suppress(ConfigError):
        assert all(bool(row.id) != bool(row.cause) and row.reason for row in suppressions(found, FILE))


def the_row(**changes: object) -> Suppression:
    """A row for every hard-coded port, with *changes*."""
    return replace(Suppression(reason="the device", cause=Cause.HARD_CODED), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "row",
    [
        Suppression(reason="the device", id=FINDING.id),
        the_row(),
        the_row(port=8025),
        the_row(place="tests/*"),
        the_row(place="*e*:*e*"),
        the_row(test="tests/test_?.py::*"),
        the_row(until=DAY),
    ],
)
def test_a_row_fits_the_finding(row: Suppression) -> None:
    (marked,) = with_suppressions([FINDING], [row], (), (), DAY).findings
    assert marked.suppressed == Suppressed(SuppressedBy.PROJECT, "the device", row.until)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(Suppression(reason="x", id="aaaaaaaaaa"), id="another id"),
        pytest.param(the_row(cause=Cause.REUSE), id="another cause"),
        pytest.param(the_row(port=8026), id="another port"),
        pytest.param(the_row(place="tests/helpers.py"), id="one place of two"),
        pytest.param(the_row(place="helpers.py"), id="a part of a path"),
        pytest.param(the_row(test="tests/test_a.py::*"), id="one test of two"),
        pytest.param(the_row(until="2026-11-21"), id="the day before"),
    ],
)
def test_a_row_leaves_the_finding_as_it_is(row: Suppression) -> None:
    (marked,) = with_suppressions([FINDING], [row], (), (), DAY).findings
    assert marked.suppressed is None


def test_brackets_in_a_pattern_stand_for_themselves() -> None:
    one = a_finding(sides=(a_side(0, test="tests/test_a.py::test_one[x]"),))
    (marked,) = with_suppressions([one], [the_row(test="*::test_one[x]")], (), (), DAY).findings
    assert marked.suppressed is not None


@pytest.mark.parametrize("row", [the_row(place="*"), the_row(test="*")])
def test_no_pattern_fits_what_is_not_known(row: Suppression) -> None:
    (marked,) = with_suppressions([a_finding()], [row], (), (), DAY).findings
    assert marked.suppressed is None


def test_the_first_row_that_fits_and_has_not_expired_gives_the_reason() -> None:
    gone, first, second = the_row(until="2026-01-01"), the_row(reason="first"), the_row(reason="second")
    (marked,) = with_suppressions([FINDING], [gone, first, second], (), (), DAY).findings
    assert (marked.suppressed, marked.expired) == (Suppressed(SuppressedBy.PROJECT, "first"), None)


def test_a_row_that_has_expired_is_told_with_the_finding_that_it_fits() -> None:
    row = the_row(until="2026-11-21")
    marked = with_suppressions([FINDING], [the_row(port=1), row], (), (), DAY)
    assert marked.findings[0].expired == Suppressed(SuppressedBy.PROJECT, "the device", "2026-11-21")
    assert marked.remarks == [Remark(EXPIRED.format(number=2, until=row.until, what=FITS.format(ids=FINDING.id)))]


def test_a_row_that_has_expired_and_fits_nothing_is_told() -> None:
    row = the_row(until="2026-11-21")
    said = EXPIRED.format(number=1, until=row.until, what=FITS_NOTHING)
    assert with_suppressions([], [row], (), (), DAY).remarks == [Remark(said)]


@pytest.mark.parametrize("fail_on", [FailOn.WARNING, FailOn.ERROR])
def test_a_suppressed_finding_does_not_fail_a_run(fail_on: FailOn) -> None:
    error = a_finding(severity=Severity.ERROR)
    marked = replace(error, suppressed=Suppressed(SuppressedBy.PROJECT, "x"))
    assert (is_failing(error, fail_on), is_failing(marked, fail_on)) == (True, False)


HOSTILE = "why\x1b[2J\nerror [reuse] forged <b> & ]]> \u202e\udc80"


@pytest.mark.parametrize("reason", ["the device", HOSTILE])
def test_every_report_shows_what_is_suppressed_and_why(reason: str) -> None:
    marked = a_finding(suppressed=Suppressed(SuppressedBy.PROJECT, reason, "2027-03-31"))
    report = a_report(findings=[marked])
    lines = [line.plain for line in terminal(report)]
    shown = [line for line in lines if "suppressed until 2027-03-31: " in line]
    assert (len(shown), all(line.isprintable() for line in lines)) == (1, True)
    assert marked.id in shown[0]
    assert "no finding, 1 suppressed" in lines[-3]
    for layout in (junit, junit_merged):
        skipped = etree.fromstring(layout(report).encode()).find(".//testsuite[@name='parasuite.ports']//skipped")
        assert skipped is not None
        assert skipped.get("message", "").startswith("suppressed until 2027-03-31: ")
    written = json.loads(findings_json(report))
    VALIDATOR.validate(written)
    told = written["findings"][0]["suppressed"]
    assert told == {"by": "pyproject.toml", "reason": reason, "until": "2027-03-31"}


def test_a_suppressed_finding_that_explains_a_failure_is_shown_in_full() -> None:
    marked = a_finding(suppressed=Suppressed(SuppressedBy.PROJECT, "x"), failed_tests=("t.py::test",))
    lines = [line.plain for line in terminal(a_report(findings=[marked]))]
    assert [line.strip() for line in lines[1:3]] == list(finding_lines(marked, 0, is_brief=True))[1:3]


def test_every_report_shows_what_has_expired() -> None:
    expired = Suppressed(SuppressedBy.PROJECT, "the device", "2026-11-21")
    report = a_report(findings=[a_finding(expired=expired)], notes=["row 1 expired"])
    said = "no longer suppressed, since 2026-11-21 is over: the device"
    lines = [line.plain.strip() for line in terminal(report)]
    assert [said in lines, "note: row 1 expired" in lines] == [True, True]
    for layout in (junit, junit_merged):
        assert [text in layout(report) for text in (said, "row 1 expired")] == [True, True]
    written = json.loads(findings_json(report))
    VALIDATOR.validate(written)
    assert written["findings"][0]["expired_suppression"]["until"] == "2026-11-21"
    assert written["run"]["notes"] == ["row 1 expired"]


def test_a_run_whose_notes_stand_beside_nothing_else_has_them_in_its_junit_files() -> None:
    bare = a_report(cannot_see=(), notes=["row 1 expired"])
    assert "row 1 expired" in junit(bare)


def run_of_a_fixed_port(parasuite: Parasuite, port: int) -> Finished:
    arguments = ["-j", "2", "--fail-on", "warning", planted("hard_coded")]
    return parasuite.run_pytest(*arguments, environ={"PLANTED_PORT": str(port)})


def test_a_run_whose_findings_are_suppressed_passes_and_a_later_report_says_the_same(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int
) -> None:
    project = parasuite.cwd / "pyproject.toml"
    project.write_text(
        "[[tool.parasuite.suppress]]\ncause = 'hard-coded'\n"
        f"port = {port_outside_the_ephemeral_range}\nreason = 'the device under test'\n"
    )
    finished = run_of_a_fixed_port(parasuite, port_outside_the_ephemeral_range)
    assert finished.code == 0, finished.stdout
    assert [finding["suppressed"]["reason"] for finding in finished.findings] == ["the device under test"]
    project.write_text("")
    again = parasuite("report")
    assert (again.code, again.stdout) == (0, finished.stdout)


def test_a_suppression_that_expired_fails_the_run_again(
    parasuite: Parasuite, port_outside_the_ephemeral_range: int
) -> None:
    (parasuite.cwd / "pyproject.toml").write_text(
        "[[tool.parasuite.suppress]]\ncause = 'hard-coded'\nreason = 'the device'\nuntil = 2020-02-29\n"
    )
    finished = run_of_a_fixed_port(parasuite, port_outside_the_ephemeral_range)
    assert finished.code == 66, finished.stdout
    assert "no longer suppressed, since 2020-02-29 is over: the device" in finished.stdout
    (finding,) = finished.findings
    fits = FITS.format(ids=finding["id"])
    assert f"note: {EXPIRED.format(number=1, until='2020-02-29', what=fits)}" in finished.stdout


@pytest.mark.parametrize("row", ["cause = 'reuse'", "cause = 'reuse'\nreason = 'x'\nuntill = 2027-01-01"])
def test_a_row_with_a_mistake_stops_a_run_before_it_starts(parasuite: Parasuite, row: str) -> None:
    (parasuite.cwd / "pyproject.toml").write_text(f"[[tool.parasuite.suppress]]\n{row}\n")
    finished = parasuite("run", "-j", "1", "--", "true")
    assert (finished.code, finished.stderr.count("\n")) == (2, 1)
    assert ROW in finished.stderr


SERIES_REPORTS: dict[str, Callable[[SeriesReport], str]] = {
    "terminal": lambda series: "\n".join(line.plain for line in series_terminal(series)),
    "json": series_json,
    "junit": series_junit,
    "markdown": series_markdown,
}


@pytest.mark.parametrize("name", SERIES_REPORTS)
def test_every_report_of_a_series_tells_of_suppressed_findings_and_of_suppressions_that_do_not_count(
    name: str,
) -> None:
    known = FindingSummary(
        id=FINDING.id, cause=Cause.REUSE, severity=Severity.WARNING, title="x", suppressed="the device"
    )
    rounds = HistoryBuilder()
    rounds.add(a_run(0, findings=(known,), remarks=("row 1 has expired",)))
    rounds.add(a_run(1, findings=(known,), remarks=("row 1 has expired", "row 2 has expired")))
    series = SeriesReport(
        record=SeriesRecord(series_id="s", parasuite="0", started_s=0.0, host="h", described="pytest tests/"),
        folder="series",
        history=rounds.history(),
        paths=["runs/0", "runs/1"],
        missing=(),
        code=ExitCode.PASSED,
        reason="passed",
        exit_code=0,
    )
    text = SERIES_REPORTS[name](series)
    assert [text.count(f"row {number} has expired") for number in (1, 2)] == [1, 1]
    assert "suppressed" in text
