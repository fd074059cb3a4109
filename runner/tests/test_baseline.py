"""The baseline: a file that people can write into, what counts as new in a run, and what is stale."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.cli.baseline import INCONCLUSIVE
from parasuite.judge.suppressions import STALE, STALE_AFTER, stale, stale_remark, with_suppressions
from parasuite.model.causes import Cause
from parasuite.model.run_record import RunRecord
from parasuite.model.run_summary import FindingSummary
from parasuite.model.suppression import BaselineEntry, Suppressed
from parasuite.model.words import Severity, SuppressedBy
from parasuite.plan.baseline import REASON, Baseline, new_baseline, read_baseline
from parasuite.plan.errors import ConfigError
from parasuite.record.history_file import HISTORY, append_to_history
from parasuite.reports.terminal import terminal
from parasuite.reports.wording import IN_BASELINE_COUNTED
from parasuite.run.baseline import baseline_entries

from runner.tests.building import a_finding, a_report
from runner.tests.conftest import Parasuite
from runner.tests.run_records import a_record
from runner.tests.summaries import a_run

IDS = ["0123456789", "4f0c1d2e3a", "abcdef0123"]


def read(folder: Path, text: str) -> Baseline:
    """The baseline in a file with this *text*."""
    path = folder / "baseline.toml"
    path.write_bytes(text.encode("utf-8"))
    found = read_baseline(path)
    assert found is not None
    return found


WRITTEN = new_baseline(a_record()).changed({IDS[1]: "b", IDS[0]: "a"}, ()).text()


def test_a_new_file_has_a_sorted_line_for_each_finding_with_a_comment() -> None:
    below = WRITTEN[WRITTEN.index("[findings]") :].splitlines()
    assert below == ["[findings]", f'{IDS[0]} = "baseline"  # a', f'{IDS[1]} = "baseline"  # b']
    table = tomllib.loads(WRITTEN)
    assert (table["target"], table["copies"]) == ("pytest tests/", 1)


def test_a_file_that_is_read_and_written_stays_as_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, WRITTEN).text() == WRITTEN


HAND_WRITTEN = f"""\
# ours
target = "pytest tests/"   # all of them

[findings]  # sorted
# see the ticket
{IDS[1]} = 'the "device" has #1 only'   # hard-coded: TCP port 8025
{IDS[0]} = "baseline"
# the end
"""


def test_an_update_keeps_what_people_have_written(tmp_path: Path) -> None:
    changed = read(tmp_path, HAND_WRITTEN).changed({IDS[2]: "reuse: new"}, [IDS[0]])
    assert changed.text() == (
        '# ours\ntarget = "pytest tests/"   # all of them\n\n[findings]  # sorted\n# see the ticket\n'
        f'{IDS[1]} = "the \\"device\\" has #1 only"  # hard-coded: TCP port 8025\n'
        f'{IDS[2]} = "baseline"  # reuse: new\n# the end\n'
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = ", "cannot be read: "),
        ("finding = 1", "unknown key 'finding'; did you mean findings?"),
        ("findings = 1", "findings must be a table, below [findings], not 1"),
        ("[findings]\n0123 = 'x'", "a key below [findings] must be the id of a finding, ten hexadecimal digits"),
        (f"[findings]\n{IDS[0]} = ''", f"the reason of {IDS[0]} must be text that is not empty, not ''"),
        (f"[findings]\n{IDS[0]} = 7", f"the reason of {IDS[0]} must be text that is not empty, not 7"),
        ("copies = 0", "copies must be a whole number, 1 or more, not 0"),
        ("arguments = 'x'", "arguments must be a list of texts, not 'x'"),
        ("target = 7", "target must be text, not 7"),
        (f"findings = {{{IDS[0]} = 'x'}}", "each finding must have one line of its own"),
        (f'[findings]\n{IDS[0]} = """\nx"""', "each finding must have one line of its own"),
    ],
)
def test_a_file_that_is_no_baseline_is_an_error_that_names_it(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as failure:
        read(tmp_path, text)
    assert str(failure.value).startswith(f"{tmp_path / 'baseline.toml'}")
    assert complaint in str(failure.value)


def test_a_file_that_is_missing_is_no_baseline_and_a_folder_is_an_error(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "none.toml") is None
    with pytest.raises(ConfigError, match="is not a file"):
        read_baseline(tmp_path)


ids = st.text("0123456789abcdef", min_size=10, max_size=10)
# As far as JSON writes them as TOML does: without pairs of surrogates and DEL.
texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1)


@given(reasons=st.dictionaries(ids, texts.filter(str.strip), max_size=4))
def test_any_reasons_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, reasons: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("baseline")
    lines = "".join(f"{finding} = {json.dumps(reason)}\n" for finding, reason in reasons.items())
    again = read(folder, read(folder, "[findings]\n" + lines).text())
    assert {finding: entry.reason for finding, entry in again.entries.items()} == reasons


def test_what_is_in_the_baseline_is_suppressed() -> None:
    known, new = a_finding(id=IDS[0]), a_finding(id=IDS[1])
    marked = with_suppressions([known, new], (), (), [BaselineEntry(IDS[0], "later")], "2026-11-22").findings
    assert [finding.suppressed for finding in marked] == [Suppressed(SuppressedBy.BASELINE, "later"), None]


def test_the_terminal_only_counts_what_is_in_the_baseline() -> None:
    marked = [a_finding(id=name, suppressed=Suppressed(SuppressedBy.BASELINE, REASON)) for name in IDS]
    lines = [line.plain for line in terminal(a_report(findings=marked))]
    assert lines[0] == IN_BASELINE_COUNTED.format(findings="3 findings")


@pytest.mark.parametrize(
    ("unseen_runs", "is_found", "is_stale"),
    [
        (STALE_AFTER - 1, False, True),
        (STALE_AFTER - 2, False, False),
        (STALE_AFTER - 1, True, False),
        (None, False, False),
    ],
)
def test_an_entry_is_stale_once_enough_runs_in_a_row_have_not_seen_it(
    unseen_runs: int | None, is_found: bool, is_stale: bool
) -> None:
    entry = BaselineEntry(IDS[0], REASON, unseen_runs)
    assert stale([entry], [a_finding(id=IDS[0])] if is_found else []) == ([entry] if is_stale else [])


def past_run(base: Path, number: int, found: Collection[str], **changes: object) -> None:
    """A run in the history in *base*, the newer the greater its *number*."""
    findings = tuple(FindingSummary(id=each, cause=Cause.REUSE, severity=Severity.ERROR, title="x") for each in found)
    assert append_to_history(base, a_run(number, **{"copies": 1, "findings": findings, **changes})) == ""


def unseen(base: Path, record: RunRecord | None = None) -> list[int | None]:
    """For how many runs IDS[0] and IDS[1] have not been seen when the run of *record* starts."""
    known = new_baseline(a_record()).changed(dict.fromkeys(IDS[:2], ""), ())
    return [entry.unseen_runs for entry in baseline_entries(known, record or a_record(), base)]


def test_the_latest_runs_in_a_row_that_did_not_see_an_entry_are_counted(tmp_path: Path) -> None:
    for number, found in enumerate([[], IDS[:1], IDS[1:2], []]):
        past_run(tmp_path, number, found)
    assert unseen(tmp_path) == [2, 1]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"selection": ("-k", "other")}, id="of other tests"),
        pytest.param({"target": "pytest other"}, id="of another target"),
        pytest.param({"is_conclusive": False}, id="stopped or blind"),
        pytest.param(
            {"findings": (FindingSummary(id="x", cause=Cause.REUSE, severity=Severity.NOTE, title="x"),) * 999},
            id="with more findings than the history keeps",
        ),
    ],
)
def test_a_run_that_proves_nothing_about_an_entry_is_not_counted(tmp_path: Path, changes: dict[str, object]) -> None:
    past_run(tmp_path, 0, [])
    past_run(tmp_path, 1, [], **changes)
    assert unseen(tmp_path) == [1, 1]


def test_a_run_of_fewer_copies_is_not_counted(tmp_path: Path) -> None:
    past_run(tmp_path, 0, [], copies=1)
    past_run(tmp_path, 1, [], copies=2)
    known = new_baseline(a_record(copies=2)).changed({IDS[0]: ""}, ())
    assert [entry.unseen_runs for entry in baseline_entries(known, a_record(copies=2), tmp_path)] == [1]
    assert [entry.unseen_runs for entry in baseline_entries(known, a_record(copies=1), tmp_path)] == [None]


def test_the_slash_behind_a_folder_makes_no_other_target(tmp_path: Path) -> None:
    past_run(tmp_path, 0, [], target="pytest tests")
    assert unseen(tmp_path) == [1, 1]


def test_a_command_that_is_longer_than_the_history_keeps_is_recognised(tmp_path: Path) -> None:
    long = a_record(described="make " + "x" * 999)
    past_run(tmp_path, 0, [], target=long.described)
    known = new_baseline(long).changed({IDS[0]: ""}, ())
    assert [entry.unseen_runs for entry in baseline_entries(known, long, tmp_path)] == [1]


def test_in_a_run_of_other_tests_nothing_is_stale(tmp_path: Path) -> None:
    past_run(tmp_path, 0, [])
    assert unseen(tmp_path, a_record(pytest_args=("-k", "x"))) == [None, None]


def test_a_history_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / HISTORY).mkdir()
    assert unseen(tmp_path) == [0, 0]


def test_without_runs_nothing_is_known_to_be_unseen(tmp_path: Path) -> None:
    assert unseen(tmp_path) == [0, 0]


def output_folder(parasuite: Parasuite) -> Path:
    folder = parasuite.cwd / ".parasuite"
    folder.mkdir(exist_ok=True)
    return folder


SUITE = """\
import os, socket

def test_one(): socket.create_server(("", 0)).close()
def test_two(): os.path.exists("second") and socket.create_server(("", 0)).close()
"""


def test_a_run_fails_only_for_what_is_not_in_the_baseline(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite(SUITE)
    path = parasuite.cwd / "parasuite-baseline.toml"
    run = ("-j", "1", "--fail-on", "warning", "--sensors", "recorder", "tests/")
    assert parasuite.run_pytest(*run).code == 66
    written = parasuite("baseline")
    assert (written.code, written.stdout) == (0, f"{path.name}: 1 finding added, 1 entry in all\n")
    assert parasuite.run_pytest(*run).code == 0

    (parasuite.cwd / "second").touch()
    new = parasuite.run_pytest(*run)
    suppressed = {finding["places"][0]["function"]: finding["suppressed"] for finding in new.findings}
    assert (new.code, suppressed["test_two"]) == (66, None)
    assert suppressed["test_one"] == {"by": "baseline", "reason": "baseline", "until": None}

    path.write_text(path.read_text().replace('"baseline"  #', '"the point of the test"  #'))
    again = parasuite("baseline")
    assert (again.code, again.stdout, again.stderr.count("\n")) == (2, "", 1)
    assert parasuite("baseline", "--update").stdout == f"{path.name}: 1 finding added, 2 entries in all\n"
    reasons = sorted(tomllib.loads(path.read_text())["findings"].values())
    assert reasons == ["baseline", "the point of the test"]


def test_a_stale_entry_is_told_by_the_run_and_removed_by_an_update_unless_somebody_gave_a_reason(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("def test_one(): pass\n")
    known = Baseline(head=('target = "pytest tests/"', "[findings]"), target="pytest tests/")
    path = parasuite.cwd / "parasuite-baseline.toml"
    path.write_text(known.changed({IDS[0]: "gone"}, ()).text() + f'{IDS[1]} = "keep me"\n')
    for number in range(STALE_AFTER - 1):
        past_run(output_folder(parasuite), number, [])
    finished = parasuite.run_pytest("-j", "1", "--sensors", "recorder", "tests/")
    entries = [BaselineEntry(finding, REASON) for finding in IDS[:2]]
    (remark,) = stale_remark(entries)
    assert f"note: {remark.text}" in finished.stdout
    said = STALE.format(entries="2 entries", runs=STALE_AFTER, ids=", ".join(IDS[:2]))
    for name in ("findings.json", "junit.xml", "junit-merged.xml"):
        assert said in (finished.folder / name).read_text()
    updated = parasuite("baseline", "--update")
    assert updated.stdout.splitlines() == [
        f"{path.name}: 0 findings added, 1 stale entry removed, 1 entry in all",
        f"stale, but kept since it has a reason of its own: {IDS[1]} (keep me)",
    ]
    assert tomllib.loads(path.read_text())["findings"] == {IDS[1]: "keep me"}


def test_after_a_run_that_proves_nothing_an_update_removes_nothing_and_says_so(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("")
    known = Baseline(head=('target = "pytest tests/"', "[findings]"), target="pytest tests/")
    path = parasuite.cwd / "parasuite-baseline.toml"
    path.write_text(known.changed({IDS[0]: "gone"}, ()).text())
    for number in range(STALE_AFTER):
        past_run(output_folder(parasuite), number, [])
    finished = parasuite.run_pytest("-j", "1", "--sensors", "recorder", "tests/")
    updated = parasuite("baseline", "--update")
    assert (finished.code, updated.stdout.splitlines()) == (
        4,
        [
            f"{path.name}: 0 findings added, 1 entry in all",
            INCONCLUSIVE.format(run=finished.folder.name, reason=finished.run["verdict"]),
        ],
    )


def test_a_run_of_other_tests_is_not_written_into_the_baseline(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite("def test_one(): pass\n")
    (parasuite.cwd / "parasuite-baseline.toml").write_text('target = "pytest other"\n')
    parasuite.run_pytest("-j", "1", "--sensors", "none", "tests/")
    finished = parasuite("baseline", "--update")
    assert (finished.code, finished.stderr.count("\n")) == (2, 1)
    assert "was written from a run of pytest other, and this one is of pytest tests/" in finished.stderr


def test_a_baseline_with_a_mistake_stops_a_run_before_it_starts(parasuite: Parasuite) -> None:
    (parasuite.cwd / "mine.toml").write_text("finding = 1\n")
    finished = parasuite("run", "-j", "1", "--baseline", "mine.toml", "--", "true")
    assert (finished.code, finished.stderr.count("\n")) == (2, 1)
    assert "unknown key 'finding'; did you mean findings?" in finished.stderr


def test_a_baseline_that_the_command_line_names_must_be_there(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--baseline", "mine.toml", "--", "true")
    assert finished.code == 2
    assert finished.stderr.startswith(f"parasuite: no such file: {parasuite.cwd / 'mine.toml'}; ")
    assert "`parasuite baseline --baseline mine.toml`" in finished.stderr
    assert not (parasuite.cwd / ".parasuite").exists()


def test_the_baseline_of_a_project_is_found_from_a_folder_below(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text("[tool.parasuite]\nbaseline = 'known.toml'\n")
    (parasuite.cwd / "known.toml").write_text("finding = 1\n")
    below = parasuite.cwd / "below"
    below.mkdir()
    finished = Parasuite(below, parasuite.environ)("run", "-j", "1", "--", "true")
    assert str(parasuite.cwd / "known.toml") in finished.stderr


def test_a_baseline_of_a_series_has_the_findings_of_every_round(parasuite: Parasuite) -> None:
    (parasuite.cwd / "tests").mkdir()
    (parasuite.cwd / "tests" / "test_it.py").write_text(
        "import os, socket\n"
        "def test_one():\n"
        "    if not os.path.exists('seen'):\n"
        "        open('seen', 'w').close()\n"
        "        socket.create_server(('', 0)).close()\n"
    )
    run = ("-j", "1", "--sensors", "recorder", "--fail-on", "warning", "--repeat", "2", "tests/")
    assert parasuite.run_pytest(*run).code == 66
    assert parasuite("baseline").stdout == "parasuite-baseline.toml: 1 finding added, 1 entry in all\n"
