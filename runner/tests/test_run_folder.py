"""The folder of a run: made, appended to, read back, pruned."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from parasuite.model.events import Endpoint, Release, Seen
from parasuite.model.words import Protocol, RunEnd
from parasuite.record.event_log import EventLog
from parasuite.record.retention import RUNS_KEPT
from parasuite.record.run_folder import RunFolder, RunFolderError

from runner.tests.run_records import a_record


def test_events_of_several_writers_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    first, second = EventLog(folder.path, "a"), EventLog(folder.path, "b")
    for log, t_ns in ((first, 1), (second, 2), (second, 4), (first, 3)):
        log.append(Release(t_ns=t_ns))
    first.close()
    second.close()
    assert [event.t_ns for event in folder.events(lambda: False)] == [1, 2, 3, 4]


def test_torn_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    (folder.path / "events" / "a.jsonl").write_text('{"kind":"release","t_ns":1}\n{"kind":"rel')
    assert [event.t_ns for event in folder.events(lambda: False)] == [1]
    assert folder.losses.lines == 1


def test_latest_points_at_the_newest_run_and_opens_it(tmp_path: Path) -> None:
    for _ in range(2):
        folder = RunFolder.create(tmp_path, 1)
        folder.write_record(a_record())
    assert RunFolder.open(tmp_path).path == folder.path.resolve()


def test_a_folder_without_a_run_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_a_run_json_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"run\.json cannot be read"):
        RunFolder.open(tmp_path).read_record()


def test_the_newest_ended_runs_are_kept_and_an_unfinished_run_is_never_removed(tmp_path: Path) -> None:
    names = [f"20260101T0000{number:02d}Z-0000" for number in range(RUNS_KEPT + 5)]
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        ended = "" if name == names[0] else "complete"
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"ended": ended, "pid": os.getpid()}))
    RunFolder.create(tmp_path, 1)
    kept = sorted(path.name for path in (tmp_path / "runs").iterdir())[:-1]
    assert kept == [names[0], *names[-(RUNS_KEPT - 1) :]]


def test_a_log_on_a_full_disk_keeps_its_failure_and_raises_nothing(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    (folder.path / "events" / "full.jsonl").symlink_to("/dev/full")
    log = EventLog(folder.path, "full")
    log.append(Seen(t_ns=1, endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 1), socket="inode:1"))
    log.close()
    assert log.failure == "events could not be written: No space left on device"


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    folder.write("x.txt", "old")
    before = sorted(path.name for path in folder.path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.write("x.txt", "new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert (folder.path / "x.txt").read_text() == "old"
    assert sorted(path.name for path in folder.path.iterdir()) == before


def test_two_threads_can_write_one_file_at_the_same_time(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, 1)
    failures: list[OSError] = []

    def write(text: str) -> None:
        try:
            for _ in range(200):
                folder.write("x.txt", text)
        except OSError as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(text * 1000,)) for text in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert set((folder.path / "x.txt").read_text()) in ({"a"}, {"b"})


def test_two_runs_that_draw_the_same_id_get_different_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("parasuite.record.output_folder.secrets.token_hex", lambda _: next(draws))
    monkeypatch.setattr("parasuite.record.output_folder.time.strftime", lambda *_: "20261130T000000Z")
    first = RunFolder.create(tmp_path, 1)
    (first.path / "precious").touch()
    second = RunFolder.create(tmp_path, 1)
    assert [second.run_id, (first.path / "precious").exists()] == ["20261130T000000Z-bbbb", True]


def test_a_folder_that_cannot_be_made_leaves_other_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RunFolder.create(tmp_path, 1)
    monkeypatch.setattr("parasuite.record.output_folder.secrets.token_hex", lambda _: first.run_id.rpartition("-")[2])
    monkeypatch.setattr("parasuite.record.output_folder.time.strftime", lambda *_: first.run_id.rpartition("-")[0])
    with pytest.raises(RunFolderError, match="100 names were taken"):
        RunFolder.create(tmp_path, 1)
    assert first.path.exists()


def in_other_process(folder: Path, run_json: str) -> subprocess.Popen[bytes]:
    """A process that has made a run with that *run_json*, and keeps it locked until its input ends."""
    code = (
        "import sys; from pathlib import Path; from parasuite.record.run_folder import RunFolder\n"
        "folder = RunFolder.create(Path(sys.argv[1]), 1)\n"
        "folder.write('run.json', sys.argv[2])\n"
        "print(flush=True); sys.stdin.read()"
    )
    environ = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", code, str(folder), run_json]
    process = subprocess.Popen(argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"\n"
    return process


def old_runs(folder: Path) -> None:
    for number in range(RUNS_KEPT + 5):
        run = folder / "runs" / f"29990101T0000{number:02d}Z-0000"
        run.mkdir(parents=True)
        (run / "run.json").write_text('{"ended": "complete", "pid": 0}')


@pytest.mark.skipif(sys.platform == "win32", reason="without locks there is only the pid to go by")
@pytest.mark.parametrize("ended", ["", "complete"])
def test_a_run_that_another_process_works_in_is_kept_whatever_its_pid(tmp_path: Path, ended: str) -> None:
    # The pid of a process in another pid namespace means nothing here; no process has the pid 0.
    with in_other_process(tmp_path, json.dumps({"ended": ended, "pid": 0})) as process:
        (run,) = (tmp_path / "runs").iterdir()
        old_runs(tmp_path)
        RunFolder.create(tmp_path, 1).close()
        assert run.exists()
        process.kill()
    RunFolder.create(tmp_path, 1).close()
    assert not run.exists()


def test_an_output_folder_that_existed_before_gets_no_gitignore(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, 1).close()
    RunFolder.create(tmp_path / "new" / "one", 1).close()
    assert list(tmp_path.rglob(".gitignore")) == [tmp_path / "new" / "one" / ".gitignore"]


@pytest.mark.parametrize("name", ["latest", ".gitignore"])
def test_a_file_of_the_user_in_the_output_folder_is_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    RunFolder.create(tmp_path, 1).close()
    assert (tmp_path / name).read_text() == "mine"


def test_a_dangling_link_in_the_output_folder_creates_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitignore").symlink_to(tmp_path / "elsewhere")
    RunFolder.create(tmp_path / "out", 1).close()
    assert not (tmp_path / "elsewhere").exists()


def test_folders_that_are_not_runs_are_never_removed(tmp_path: Path) -> None:
    for number in range(RUNS_KEPT + 5):
        (tmp_path / "runs" / f"mine-{number}").mkdir(parents=True)
        (tmp_path / "runs" / f"mine-{number}" / "run.json").write_text('{"ended": "complete"}')
    folder = RunFolder.create(tmp_path, 1)
    assert len(list((tmp_path / "runs").iterdir())) == RUNS_KEPT + 6
    folder.close()


def test_only_the_compiled_files_of_other_months_are_removed(tmp_path: Path) -> None:
    for name in ("parasuite-202001", "parasuite-299912", "mine"):
        (tmp_path / "bytecode" / name / "below").mkdir(parents=True)
    folder = RunFolder.create(tmp_path, 1)
    current = tmp_path / "bytecode" / f"parasuite-{folder.run_id[:6]}"
    current.mkdir()
    folder.close()
    RunFolder.create(tmp_path, 1).close()
    assert sorted((tmp_path / "bytecode").iterdir()) == sorted([tmp_path / "bytecode" / "mine", current])


def test_the_end_of_a_run_is_written_into_reserved_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path, 1)
    folder.write_record(a_record())
    folder.reserve_space()
    # A full disk is played by a folder that refuses every new file.
    monkeypatch.setattr(folder, "write", _disk_full)
    for record in (a_record(ended=RunEnd.COMPLETE), a_record(ended=RunEnd.COMPLETE, exit_code=0)):
        folder.write_end(record)
        assert folder.read_record() == record
    folder.close()
    assert sorted(path.name for path in folder.path.iterdir()) == ["copies", "events", "lock", "run.json"]


def _disk_full(*_: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
