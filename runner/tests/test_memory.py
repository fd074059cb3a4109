"""history.jsonl and `parasuite history`, `diff` and `runs`: what is remembered, and what is compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.gather import histories_of
from parasuite.judge.difference import (
    FEWER_COPIES,
    NO_EVIDENCE,
    NOT_CONCLUSIVE,
    OTHER_SELECTION,
    TESTS_MISSING,
    Difference,
    difference,
)
from parasuite.judge.verdict import ExitCode
from parasuite.model.history_line import LINE_BYTES_MAX, history_line, read_history_line
from parasuite.model.run_summary import RunSummary, TestCount
from parasuite.model.words import TableFormat
from parasuite.record import history_file
from parasuite.record.history_file import HISTORY, append_to_history, read_history
from parasuite.reports.difference_report import difference_json, difference_sections
from parasuite.reports.history_report import NOT_IN_LAST, history_json, history_sections
from parasuite.reports.sections import as_markdown, as_text

from runner.tests.conftest import Parasuite
from runner.tests.summaries import a_failure, a_finding, a_run, history_of, torn

NO_SENSOR = ("run", "-j", "1", "--sensors", "none")


def remembered(base: Path, *runs: RunSummary) -> list[str]:
    return [append_to_history(base, run) for run in runs]


def test_runs_that_were_appended_are_read_back_each_once_and_the_oldest_first(tmp_path: Path) -> None:
    runs = [a_run(number, findings=(a_failure(),) * (number % 2)) for number in range(4)]
    assert remembered(tmp_path, *reversed(runs), runs[0]) == [""] * 5
    assert (read_history(tmp_path).runs, read_history(tmp_path).unreadable) == (runs, 0)


def test_lines_that_are_torn_or_foreign_are_counted_and_cost_no_other_run(tmp_path: Path) -> None:
    remembered(tmp_path, a_run(0))
    with open(tmp_path / HISTORY, "ab") as stream:
        stream.write(b'\0\xff\n[]\n{"format": 99}\n\n{"format": 1, "run_')
    remembered(tmp_path, a_run(1))
    found = read_history(tmp_path)
    assert ([run.started_s for run in found.runs], found.unreadable) == ([0.0, 1.0], 4)


def test_without_a_history_no_run_is_remembered(tmp_path: Path) -> None:
    assert read_history(tmp_path).runs == []


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_a_suite_put_in_the_place_of_the_history_is_reported_and_not_waited_for(
    tmp_path: Path, make: Callable[[str], None]
) -> None:
    make(str(tmp_path / HISTORY))
    (why,) = remembered(tmp_path, a_run())
    assert why.startswith("history.jsonl could not be written: ")


def test_a_history_that_has_grown_large_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_file, "BYTES_MAX", len(history_line(a_run(0))) - 1)
    remembered(tmp_path, a_run(0), a_run(1), a_run(2))
    assert [run.started_s for run in read_history(tmp_path).runs] == [2.0]
    assert len((tmp_path / "history.old.jsonl").read_text().splitlines()) == 2


_TEXT = st.text(max_size=2000)


@given(title=_TEXT, target=_TEXT, words=st.lists(_TEXT, max_size=3), findings=st.integers(0, 300))
def test_a_line_is_bounded_and_keeps_the_gravest_findings(
    title: str, target: str, words: list[str], findings: int
) -> None:
    found = tuple(a_failure(id=str(number), title=title) for number in range(findings))
    line = history_line(a_run(target=target, selection=tuple(words), findings=found))
    read = read_history_line(line.encode())
    assert len(line) <= LINE_BYTES_MAX
    assert [finding.id for finding in read.findings] == [str(number) for number in range(len(read.findings))]
    assert json.loads(line)["findings_left_out"] == findings - len(read.findings)


def test_a_finding_of_other_tests_is_not_missed_in_runs_that_did_not_select_them() -> None:
    histories = histories_of([a_run(0, findings=(a_failure(),)), a_run(1, selection=("-k", "x")), a_run(2)])
    assert {target: len(history.runs) for target, history in histories.items()} == {
        "pytest tests/": 2,
        "pytest tests/ -k x": 1,
    }
    assert next(iter(histories.values())).findings[0].seen.of == 2


def test_history_says_how_often_when_first_and_when_last_in_every_format() -> None:
    day = 86400
    seen = {0: a_failure(), 2: a_failure(), 5: a_finding()}
    runs = [a_run(number, findings=(seen[number],) if number in seen else ()) for number in range(7)]
    histories = histories_of([RunSummary(**{**_fields(run), "started_s": run.started_s * day}) for run in runs])
    text = "\n".join(as_text(list(history_sections(histories, 3))))
    assert "pytest tests/: 7 runs, 1970-01-01 to 1970-01-07; 7 conclusive:" in text
    assert "seen in 3 of 7 runs (43 %, 95 % interval 16 to 75 %)" in text
    assert f"first seen 1970-01-01, last seen 1970-01-06; {NOT_IN_LAST}" in text
    assert "left out as unreadable: 3 lines of history.jsonl" in text
    assert "- error \\[lost\\-port\\] a port was lost" in "\n".join(as_markdown(list(history_sections(histories, 3))))
    written = json.loads(history_json(histories, 3))
    (finding,) = written["targets"][0]["findings"]
    assert (written["unreadable_lines"], finding["seen"]["rounds"], finding["last_seen"]) == (
        3,
        3,
        "1970-01-06T00:00:00Z",
    )


def _fields(run: RunSummary) -> dict[str, Any]:
    return {name: getattr(run, name) for name in RunSummary.__dataclass_fields__}


def nights() -> Difference:
    """Two nights with one finding new, one gone, one still there."""
    old = [a_run(n, findings=(a_finding(id="gone"), a_failure(id="still"))) for n in range(2)]
    new = [a_run(n + 9, findings=(a_failure(id="new", title="<script>"), a_finding(id="still"))) for n in range(2)]
    return difference(history_of(*old), history_of(*new))


def test_diff_tells_the_new_the_gone_and_those_still_there_in_every_format() -> None:
    found = nights()
    by_kind = {
        "new": [each.worst.id for each in found.new],
        "gone": [each.finding.worst.id for each in found.gone],
        "still": [each.new.worst.id for each in found.still],
    }
    assert by_kind == {"new": ["new"], "gone": ["gone"], "still": ["still"]}
    sections = list(difference_sections(found))
    text = list(as_text(sections))
    headings = [line for line in text if not line.startswith(" ")]
    assert headings == ["new (1):", "not seen any more (1):", "still there (1):"]
    markdown = "\n".join(as_markdown(sections))
    assert ("### new \\(1\\)" in markdown, "<script>" in markdown) == (True, False)
    written = json.loads(difference_json(found))
    assert [each["id"] for each in written["new"]] == ["new"]
    assert [each["id"] for each in written["gone"]] == ["gone"]
    assert [each["old"]["severity"] for each in written["still"]] == ["error"]


def test_what_is_gone_says_how_likely_it_is_to_be_missed_by_chance() -> None:
    old = history_of(*[a_run(n, findings=(a_finding(),) if n < 4 else ()) for n in range(20)])
    for rounds, percent in ((1, 92), (20, 19), (60, 1)):
        (gone,) = difference(old, history_of(*[a_run(n) for n in range(rounds)])).gone
        assert round(100 * gone.chance) == percent
    (after_nothing,) = difference(old, history_of(torn())).gone
    assert after_nothing.chance == 1.0


def test_diff_says_what_makes_absence_prove_less() -> None:
    old = history_of(a_run(tests={"a": TestCount(2, 0), "b": TestCount(2, 0)}, copies=4), torn())
    new = history_of(a_run(tests={"a": TestCount(2, 0)}, copies=2, selection=("-k", "a")))
    assert difference(old, new).caveats == (
        OTHER_SELECTION.format(old="all", new="-k a"),
        FEWER_COPIES.format(old=4, new=2),
        NOT_CONCLUSIVE.format(count=1, of=2, side="old"),
        TESTS_MISSING.format(count=1),
    )
    assert NO_EVIDENCE in difference(old, history_of(torn())).caveats
    assert difference(new, new).caveats == ()


def test_diff_names_the_tests_that_fail_now_and_those_that_pass_again() -> None:
    good, bad, none = TestCount(2, 0), TestCount(1, 1), TestCount(0, 0)
    old = history_of(a_run(tests={"breaks": good, "mends": bad, "stays bad": bad, "skipped now": bad}))
    new = history_of(a_run(tests={"breaks": bad, "mends": good, "stays bad": bad, "skipped now": none, "new": bad}))
    found = difference(old, new)
    assert {test.id for test in found.broken} == {"breaks", "new"}
    assert [test.id for test in found.mended] == ["mends"]


def test_a_run_and_a_series_are_compared_remembered_and_listed(parasuite: Parasuite) -> None:
    first = parasuite(*NO_SENSOR, "--", "true").folder.name
    second = parasuite(*NO_SENSOR, "--repeat", "2", "--", "sh", "-c", "exit 1", "true").folder.name
    compared = parasuite("diff", first, second)
    assert (compared.code, "  sh\n" in compared.stdout) == (ExitCode.TEST_FAILED, True), compared.stdout
    assert json.loads(parasuite("diff", "--output-format", "json", first, second).stdout)["new"] == []
    same = parasuite("diff", first, str(parasuite.cwd / ".parasuite" / "runs" / first))
    assert (same.code, same.stdout.splitlines()[0]) == (0, "no finding and no failing test on either side")
    assert parasuite("history").stdout.count(": 1 run, ") == 1
    assert parasuite("history").stdout.count(": 2 runs, ") == 1
    listed = [line.split()[0] for line in parasuite("runs").stdout.splitlines()]
    assert (listed[0], listed[-1], len(listed)) == (second, first, 4)
    missing = parasuite("diff", first, "nothing")
    assert (missing.code, missing.stderr.count("\n")) == (2, 1)
    assert "`parasuite runs` lists those that are kept" in missing.stderr


def test_the_history_outlives_the_folders_of_its_runs(parasuite: Parasuite) -> None:
    finished = parasuite(*NO_SENSOR, "--", "true")
    for path in sorted(finished.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    finished.folder.rmdir()
    assert parasuite("history").stdout.startswith("true: 1 run, ")
    assert parasuite("runs").stdout == "no run is kept in .parasuite\n"


@pytest.mark.parametrize("output_format", TableFormat)
def test_commands_say_so_if_nothing_is_remembered(parasuite: Parasuite, output_format: TableFormat) -> None:
    finished = parasuite("history", "--output-format", output_format)
    assert (finished.code, finished.stderr) == (0, "")
