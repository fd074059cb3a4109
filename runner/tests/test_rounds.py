"""A series of rounds: what is run, what is left in its folder, and what can be said of it whatever ended it."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
from parasuite.gather import assemble_series
from parasuite.judge.series import NO_END
from parasuite.judge.verdict import ExitCode
from parasuite.model.words import RunEnd
from parasuite.plan.options import origins, setting_options
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.targets import Command
from parasuite.record.output_folder import replace_file
from parasuite.record.retention import RUNS_KEPT
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.reports.wording import COPIES_COUNTED
from parasuite.run.progress import LogProgress
from parasuite.run.rounds import run_series
from rich.console import Console

from runner.tests.conftest import Finished, Parasuite
from runner.tests.run_records import a_record
from runner.tests.summaries import RECORD

# Copies of a command that looks at how many runs there are, and so knows its round.
ROUND = 'round=$(ls "$PARASUITE_COPY_DIR/../../.." | wc -l); '
NO_SENSOR = ("run", "-j", "1", "--sensors", "none")


def shell(script: str) -> tuple[str, ...]:
    return ("--", "sh", "-c", ROUND + script)


def series_json(finished: Finished) -> dict[str, Any]:
    """The findings.json of a series, which `latest` points at."""
    written: dict[str, Any] = json.loads((finished.folder / "findings.json").read_text())
    return written


def rounds(finished: Finished) -> list[int]:
    """The exit code of each round."""
    return [each["exit_code"] for each in series_json(finished)["rounds"]]


def last_line(finished: Finished) -> str:
    return finished.stdout.splitlines()[-1]


def test_each_round_is_a_run_and_one_report_is_about_all_of_them(parasuite: Parasuite) -> None:
    finished = parasuite(*NO_SENSOR, "--repeat", "3", *shell('[ "$round" != 2 ]'))
    assert (finished.code, rounds(finished)) == (1, [0, 1, 0]), finished.stderr
    assert last_line(finished) == "tests failed in 1 of 3 rounds"
    assert "passed in 2 of 3 rounds (67 %, 95 % interval 21 to 94 %); 1 of 3 executions failed" in finished.stdout
    assert "\nround 2 of 3: copy 0 ended: exit status 1" in finished.stderr
    written = json.loads((finished.folder / "series.json").read_text())
    assert [RunFolder(finished.folder / run).read_record().exit_code for run in written["runs"]] == [0, 1, 0]


def test_report_shows_the_series_again_or_one_of_its_rounds(parasuite: Parasuite) -> None:
    finished = parasuite(*NO_SENSOR, "--repeat", "2", *shell("exit 0"))
    assert [parasuite("report", *folder).stdout for folder in ((), (str(finished.folder),))] == [finished.stdout] * 2
    one = series_json(finished)["rounds"][0]["folder"]
    assert COPIES_COUNTED.format(good=1, copies=1) in parasuite("report", one).stdout


def test_the_junit_file_of_a_series_has_a_case_for_each_test_with_its_rate(
    parasuite: Parasuite, suite: Callable[[str], Path]
) -> None:
    suite(
        "import os\n"
        "def test_steady(): pass\n"
        "def test_flaky(): assert len(os.listdir('.parasuite/runs')) != 2\n"
        "def test_skipped(): __import__('pytest').skip()\n"
    )
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "--repeat", "2", "tests/")
    tree = ElementTree.parse(finished.folder / "junit.xml")
    cases = {case.get("name"): [child.tag for child in case] for case in tree.iter("testcase")}
    assert cases == {
        "test_steady": ["system-out"],
        "test_flaky": ["failure"],
        "test_skipped": ["skipped"],
        "coverage": ["system-out"],
    }
    assert [child.get("message") for child in tree.iter("failure")] == [
        "passed in 1 of 2 rounds (50 %, 95 % interval 9 to 91 %); 1 of 2 executions failed"
    ]


@pytest.mark.parametrize(
    ("options", "script", "codes"),
    [
        (("--until", "failure"), '[ "$round" != 3 ]', [0, 0, 1]),
        (("--repeat", "2", "--until", "failure"), "exit 0", [0, 0]),
        # No round is started when the time is over, and the first one always is.
        (("--duration", "0.001"), "exit 0", [0]),
    ],
)
def test_a_series_ends_when_enough_is_known(
    parasuite: Parasuite, options: tuple[str, ...], script: str, codes: list[int]
) -> None:
    assert rounds(parasuite(*NO_SENSOR, *options, *shell(script))) == codes


def test_a_series_until_a_finding_ends_with_the_first_that_fails_the_run(
    parasuite: Parasuite, suite: Callable[[str], Path], port_outside_the_ephemeral_range: int
) -> None:
    # In the first round only one copy asks for the port, which is a note.
    suite(
        "import os, socket\n"
        "def test_one():\n"
        "    if len(os.listdir('.parasuite/runs')) == 2 or os.environ['PARASUITE_COPY'] == '0':\n"
        f"        socket.create_server(('127.0.0.1', {port_outside_the_ephemeral_range})).close()\n"
    )
    until = ("--until", "finding", "--fail-on", "warning", "--repeat", "3")
    finished = parasuite.run_pytest("-j", "2", *until, "tests/")
    assert (finished.code in (ExitCode.FINDINGS, ExitCode.TEST_FAILED), len(rounds(finished))) == (True, 2)
    # If the copies met there, it is an error.
    assert {"warning", "error"} & {each["severity"] for each in series_json(finished)["findings"]}


def test_a_series_is_printed_in_every_format(parasuite: Parasuite) -> None:
    finished = parasuite(*NO_SENSOR, "--repeat", "2", *shell('[ "$round" != 2 ]'), environ={"GITHUB_ACTIONS": ""})
    printed = {
        form: parasuite("report", "--output-format", form) for form in ("json", "markdown", "sarif", "concise")
    }
    assert printed["json"].stdout == (finished.folder / "findings.json").read_text()
    assert printed["markdown"].stdout.startswith("## parasuite: tests failed in 1 of 2 rounds\n")
    (run,) = json.loads(printed["sarif"].stdout)["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["failed-test"]
    assert printed["concise"].stdout.splitlines()[-1] == "tests failed in 1 of 2 rounds"
    assert {each.code for each in printed.values()} == {1}


def test_a_killed_parasuite_leaves_a_series_with_the_rounds_before_and_the_torn_one(
    parasuite: Parasuite,
) -> None:
    process = parasuite.start(*NO_SENSOR, "--repeat", "9", *shell('[ "$round" != 3 ] || exec sleep 600'))
    assert process.stderr is not None
    while not process.stderr.readline().startswith("round 3 of 9: 1 copy"):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    parasuite.finish(process)
    finished = parasuite("report")
    assert (finished.code, rounds(finished)) == (ExitCode.BLIND, [0, 0, 3])
    assert (last_line(finished), "\n3 of 9 rounds, 2 of them conclusive\n" in finished.stdout) == (NO_END, True)
    assert "round 3 proves nothing: unfinished: parasuite itself was killed; " in finished.stdout


def test_an_interrupted_series_starts_no_further_round_and_is_reported(parasuite: Parasuite) -> None:
    process = parasuite.start(*NO_SENSOR, "--repeat", "9", *shell('[ "$round" != 2 ] || exec sleep 600'))
    assert process.stderr is not None
    while not process.stderr.readline().startswith("round 2 of 9: 1 copy"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    finished = parasuite.finish(process)
    assert (finished.code, rounds(finished)) == (ExitCode.INTERRUPTED, [0, 130])
    assert parasuite("report").code == ExitCode.INTERRUPTED


def test_a_full_disk_ends_the_series_and_leaves_the_rounds_before(
    parasuite: Parasuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def replace_until_full(folder: Path, name: str, text: str) -> None:
        if name == "series.json":
            written.append(name)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(folder, name, text)

    monkeypatch.setattr("parasuite.record.series.replace_file", replace_until_full)
    monkeypatch.chdir(parasuite.cwd)
    context = click.Command("run", params=setting_options()).make_context("run", ["--repeat", "9", *NO_SENSOR[1:]])
    spec = RunSpec(target=Command(("true",)), pytest_args=(), origins=origins(context), **context.params)
    progress = LogProgress(Console(file=io.StringIO()))
    report, problems = run_series(
        spec, python="", cwd=parasuite.cwd, work_dir=parasuite.cwd, environ=parasuite.environ, progress=progress
    )
    assert ([run.code for run in report.history.runs], problems) == ([0], [])
    assert (report.code, "No space left" in report.reason) == (ExitCode.BLIND, True)
    assert len(list((parasuite.cwd / ".parasuite" / "runs").iterdir())) == 1


def test_until_finding_is_refused_where_no_finding_fails(parasuite: Parasuite) -> None:
    finished = parasuite("run", "--until", "finding", "--fail-on", "never", "--", "true")
    assert (finished.code, finished.stderr) == (
        2,
        "parasuite: --until finding would never stop: --fail-on never lets no finding fail\n",
    )


def ended_run(base: Path, name: str) -> None:
    (base / "runs" / name).mkdir(parents=True)
    (base / "runs" / name / "run.json").write_text(json.dumps({"ended": "complete", "pid": 0}))


def ended_series(base: Path, number: int, rounds: int) -> None:
    """A series of some *rounds*, all begun in minute *number*."""
    runs = [f"20260101T00{number:02d}{second:02d}Z-0000" for second in range(rounds)]
    for run in runs:
        ended_run(base, run)
    folder = base / "series" / f"20260101T00{number:02d}00Z-0000"
    folder.mkdir(parents=True)
    (folder / "series.json").write_text(json.dumps({"runs": [f"../../runs/{run}" for run in runs]}))


def left(base: Path) -> list[str]:
    return sorted(path.name for kind in ("runs", "series") for path in (base / kind).iterdir())


def test_a_series_counts_as_one_run_and_is_removed_with_its_runs(tmp_path: Path) -> None:
    for number in range(RUNS_KEPT):
        ended_series(tmp_path, number, rounds=3)
    newest = RunFolder.create(tmp_path, 1).run_id
    assert [name[:13] for name in left(tmp_path)] == sorted(
        [f"20260101T00{number:02d}" for number in range(1, RUNS_KEPT)] * 4 + [newest[:13]]
    )


def test_the_runs_of_a_series_that_is_being_written_are_not_removed(tmp_path: Path) -> None:
    series = SeriesFolder.create(tmp_path)
    names = []
    for _ in range(RUNS_KEPT + 3):
        run = RunFolder.create(tmp_path, 1, is_latest=False)
        names.append(series.relative(run.path))
        series.write_record(replace(RECORD, runs=tuple(names)))
        run.write_record(a_record(ended=RunEnd.COMPLETE))
        run.close()
    assert len(left(tmp_path)) == RUNS_KEPT + 3 + 1
    series.close()


def test_a_hostile_series_json_makes_retention_remove_nothing_outside(tmp_path: Path) -> None:
    base = tmp_path / "base"
    victim = tmp_path / "victim"
    victim.mkdir()
    for number in range(RUNS_KEPT + 2):
        folder = base / "series" / f"20260101T00{number:02d}00Z-0000"
        folder.mkdir(parents=True)
        runs = ["../../../victim", "../../runs/../../victim", str(victim), 3, None]
        (folder / "series.json").write_text(json.dumps({"runs": runs}))
    RunFolder.create(base, 1)
    assert (victim.exists(), len(list((base / "series").iterdir()))) == (True, RUNS_KEPT - 1)


def test_a_run_that_is_missing_is_named_and_the_others_are_reported(tmp_path: Path) -> None:
    series = SeriesFolder.create(tmp_path)
    series.write_record(replace(RECORD, runs=("../../runs/gone",), ended=RunEnd.COMPLETE))
    report = assemble_series(series)
    assert (report.code, len(report.missing)) == (ExitCode.BLIND, 1)
    assert "runs/gone is missing: " in report.missing[0]


def test_a_series_json_that_is_damaged_is_refused(tmp_path: Path) -> None:
    series = SeriesFolder.create(tmp_path)
    series.write("series.json", "{")
    with pytest.raises(RunFolderError, match=r"series\.json cannot be read"):
        assemble_series(series)
