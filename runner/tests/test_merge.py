"""`parasuite merge`: runs from anywhere become one series; each is reported, and none is lost."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from parasuite.gather import assemble_series, listed_runs
from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.run_summary import FILE_NAME, RunSummary, summary_lines
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.reports.series_junit import series_junit
from parasuite.reports.series_terminal import series_terminal
from parasuite.run.merging import SAME_ID, SAME_RUN, merge

from runner.tests.conftest import Parasuite
from runner.tests.run_records import a_record
from runner.tests.summaries import a_failure, a_run


def make_run(base: Path, summary: RunSummary, **record: Any) -> Path:
    """A run below *base* that has ended, with *summary*."""
    path = base / "runs" / summary.run_id
    path.mkdir(parents=True)
    folder = RunFolder(path)
    ended = {"run_id": summary.run_id, "host": summary.host, "started_s": summary.started_s, "verdict_code": 0}
    folder.write_record(a_record(**{**ended, **record}))
    folder.write(FILE_NAME, "".join(summary_lines(summary)))
    return path


def merged(tmp_path: Path, *sources: Path) -> SeriesReport:
    series = SeriesFolder.create(tmp_path / "merged")
    merge(sources, series)
    series.close()
    return assemble_series(series)


def test_artifacts_of_several_jobs_become_one_series_that_names_the_hosts(tmp_path: Path) -> None:
    for number, job in enumerate(("job1", "job2/.parasuite", "job3")):
        found = (a_failure(),) if number else ()
        make_run(tmp_path / "artifacts" / job, a_run(number, host=f"host{number}", findings=found))
    report = merged(tmp_path, tmp_path / "artifacts")
    assert ([run.host for run in report.history.runs], report.missing) == (["host0", "host1", "host2"], [])
    assert "    on 2 of 3 hosts: host1, host2" in [line.plain for line in series_terminal(report)]


def test_the_same_run_twice_is_counted_once_and_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", a_run())
    copied = tmp_path / "b" / run.name
    shutil.copytree(run, copied)
    report = merged(tmp_path, run, copied, tmp_path / "a")
    assert len(report.history.runs) == 1
    assert report.remarks == (SAME_RUN.format(path=copied, first=run), SAME_RUN.format(path=run, first=run))


def test_two_runs_that_claim_one_id_both_count_and_are_told(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", a_run(host="one", findings=(a_failure(),)))
    second = make_run(tmp_path / "b", a_run(host="two", findings=(a_failure(),)))
    report = merged(tmp_path, first, second)
    assert ([run.host for run in report.history.runs], len(report.history.findings)) == (["one", "two"], 1)
    assert report.remarks == (SAME_ID.format(path=second, first=first),)
    assert any(str(second) in line.plain for line in series_terminal(report))


def test_a_run_that_cannot_be_read_is_an_error_and_the_others_are_reported(tmp_path: Path) -> None:
    newer, damaged = (make_run(tmp_path / name, a_run(number)) for number, name in enumerate(("newer", "damaged")))
    record = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps({**record, "format": 999}))
    (damaged / "run.json").write_text("{")
    good = make_run(tmp_path / "good", a_run(2))
    report = merged(tmp_path, newer, damaged, good)
    assert (report.code, len(report.history.runs), len(report.missing)) == (ExitCode.BLIND, 1, 2)
    assert "was written by a newer parasuite" in report.missing[0]


def test_a_series_is_merged_run_by_run(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, a_run(number)) for number, name in enumerate(("a", "b"))]
    inner = SeriesFolder.create(tmp_path / "inner")
    merge(runs, inner)
    inner.close()
    assert len(merged(tmp_path, inner.path).history.runs) == 2


def archived(tmp_path: Path, name: str, *runs: Path) -> Path:
    """An archive of the output folder of *runs*, as a CI job makes one."""
    path = tmp_path / "artifacts" / f"{name}.tar.gz"
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for run in runs:
            archive.add(run, f".parasuite/runs/{run.name}")
    return path


def test_archives_are_merged_like_the_folders_that_they_contain(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, a_run(number)) for number, name in enumerate(("a", "b", "c"))]
    first = archived(tmp_path, "first", *runs[:2])
    second = archived(tmp_path, "second", runs[2])
    by_folder = merged(tmp_path, first.parent)
    by_name = merged(tmp_path, first, second)
    assert [len(report.history.runs) for report in (by_folder, by_name)] == [3, 3]
    assert (by_folder.code, by_folder.missing) == (ExitCode.PASSED, [])


def test_an_archive_that_was_cut_short_is_an_error_and_the_others_are_reported(tmp_path: Path) -> None:
    whole = archived(tmp_path, "whole", make_run(tmp_path / "a", a_run()))
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(whole.read_bytes()[:60])
    report = merged(tmp_path, torn, whole)
    assert (len(report.history.runs), report.code) == (1, ExitCode.BLIND)
    assert report.record.errors[0].startswith(f"{torn} is cut short or damaged")
    assert (f"{report.record.errors[0]}" in series_junit(report), "<error" in series_junit(report)) == (True, True)


def test_a_series_that_lacks_a_run_is_an_error_in_junit_also_if_a_test_failed_in_another(tmp_path: Path) -> None:
    failed = make_run(tmp_path / "a", a_run(code=1, exit_code=1), verdict_code=1)
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(b"no archive")
    report = merged(tmp_path, torn, failed)
    assert (report.code, "<error" in series_junit(report)) == (ExitCode.TEST_FAILED, True)


def test_runs_that_a_series_of_an_output_folder_contains_are_merged_too(tmp_path: Path) -> None:
    archive = archived(tmp_path, "other_host", make_run(tmp_path / "a", a_run()))
    assert len(merged(tmp_path, archive).history.runs) == 1
    assert len(merged(tmp_path, tmp_path / "merged").history.runs) == 1


def test_merged_runs_are_counted_where_runs_are_listed(tmp_path: Path) -> None:
    make_run(tmp_path / "job1", a_run(1))
    merged(tmp_path, tmp_path / "job1")
    shutil.move(tmp_path / "job1", tmp_path / "job")
    make_run(tmp_path / "job2", a_run(2))
    merged(tmp_path, tmp_path / "job2")
    assert sorted(run.rounds or 0 for run in listed_runs(tmp_path / "merged")) == [0, 1]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="contains no run"):
        merged(tmp_path, tmp_path)


def test_the_command_writes_the_series_where_it_is_told_and_has_its_exit_code(parasuite: Parasuite) -> None:
    for base, command in (("a", "true"), ("b", "false")):
        parasuite("run", "-j", "1", "--sensors", "none", "--output-dir", base, "--", command)
    finished = parasuite("merge", "a", "b", "-o", "out")
    assert (finished.code, finished.stdout.splitlines()[-1]) == (1, "tests failed in 1 of 2 rounds")
    assert parasuite("report", "out").code == 1
    again = parasuite("merge", "a", "-o", "out")
    assert (again.code, again.stderr) == (2, "parasuite: out exists: name a folder that does not\n")
