"""The folder of a run: made, appended to, read back, pruned."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from parasuite.events import Endpoint, Release, Seen
from parasuite.run_folder import RUNS_KEPT, EventLog, RunFolder, RunFolderError


def test_events_of_several_writers_come_in_the_order_of_time(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    first, second = EventLog(folder, "a"), EventLog(folder, "b")
    for log, t_ns in ((first, 1), (second, 2), (second, 4), (first, 3)):
        log.append(Release(t_ns=t_ns))
    first.close()
    second.close()
    assert [event.t_ns for event in folder.events()] == [1, 2, 3, 4]


def test_torn_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    (folder.path / "events" / "a.jsonl").write_text('{"kind":"release","t_ns":1}\n{"kind":"rel')
    assert [event.t_ns for event in folder.events()] == [1]
    assert folder.unreadable_lines == 1


def test_latest_points_at_the_newest_run_and_opens_it(tmp_path: Path) -> None:
    for _ in range(2):
        folder = RunFolder.create(tmp_path, 1)
        folder.write_run({"pid": 0})
    assert RunFolder.open(tmp_path).path == folder.path.resolve()
    assert (tmp_path / ".gitignore").read_text() == "*\n"


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_a_run_json_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunFolder.open(tmp_path).read_run()


@pytest.mark.parametrize("text", ["[]", "7", "{}", '{"copies": "2"}'])
def test_a_run_json_that_no_report_can_be_made_of_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError, match="is not of this version of parasuite: without copies, target"):
        RunFolder.open(tmp_path).read_run()


def test_the_newest_ended_runs_are_kept_and_a_run_without_an_end_is_never_removed(tmp_path: Path) -> None:
    names = [f"20260101T0000{number:02d}Z-0000" for number in range(RUNS_KEPT + 5)]
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        ended = "" if name == names[0] else "complete"
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"ended": ended, "pid": os.getpid()}))
    RunFolder.create(tmp_path, 1)
    kept = sorted(path.name for path in (tmp_path / "runs").iterdir())[:-1]
    assert kept == [names[0], *names[-(RUNS_KEPT - 1) :]]


def test_a_log_that_cannot_be_written_keeps_its_failure_and_raises_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    (folder.path / "events" / "full.jsonl").symlink_to("/dev/full")
    log = EventLog(folder, "full")
    log.append(Seen(t_ns=1, endpoint=Endpoint("tcp", "127.0.0.1", 1), socket="inode:1"))
    log.close()
    assert log.failure == "events could not be written: No space left on device"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    folder.write("x.txt", "old")
    (folder.path / "x.txt.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        folder.write("x.txt", "new")
    assert (folder.path / "x.txt").read_text() == "old"
