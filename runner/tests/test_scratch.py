"""The temporary files of a failed copy are moved into the run folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from parasuite.record.untrusted import Unreadable
from parasuite.run.scratch import keep_folder


def make_files(folder: Path) -> None:
    """A small file, a sparse file of 1 GiB, a pipe."""
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "evidence").write_text("here")
    (folder / "hole").touch()
    os.truncate(folder / "hole", 1 << 30)
    os.mkfifo(folder / "pipe")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one copy."""
    (tmp_path / "run" / "copies" / "000").mkdir(parents=True)
    return tmp_path / "run"


TARGET = "copies/000/tmp"


def test_on_the_same_file_system_everything_is_kept_without_taking_space(tmp_path: Path, run: Path) -> None:
    make_files(tmp_path / "from")
    assert keep_folder(tmp_path / "from", run, TARGET) == []
    assert (run / TARGET / "below" / "evidence").read_text() == "here"
    assert (run / TARGET / "hole").stat().st_size == 1 << 30
    assert (run / TARGET / "hole").stat().st_blocks == 0
    assert not (tmp_path / "from").exists()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the run's."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_on_another_file_system_a_file_too_large_to_copy_is_named_instead(elsewhere: Path, run: Path) -> None:
    make_files(elsewhere / "from")
    assert keep_folder(elsewhere / "from", run, TARGET) == ["hole: 1,024 MiB, too large to copy"]
    assert [path.name for path in sorted((run / TARGET).rglob("*"))] == ["below", "evidence"]


def test_an_empty_folder_is_not_kept(tmp_path: Path, run: Path) -> None:
    (tmp_path / "from").mkdir()
    assert (keep_folder(tmp_path / "from", run, TARGET), (run / TARGET).exists()) == ([], False)


def test_files_that_cannot_be_moved_are_an_error(tmp_path: Path, run: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keep_folder(tmp_path / "gone", run, TARGET)


def test_a_target_that_exists_is_not_replaced(tmp_path: Path, run: Path) -> None:
    make_files(tmp_path / "from")
    (run / TARGET).mkdir()
    (run / TARGET / "own").touch()
    with pytest.raises(FileExistsError):
        keep_folder(tmp_path / "from", run, TARGET)
    assert [path.name for path in (run / TARGET).iterdir()] == ["own"]


def test_files_are_not_moved_through_a_link(tmp_path: Path, run: Path) -> None:
    make_files(tmp_path / "from")
    outside = tmp_path / "outside"
    outside.mkdir()
    (run / "copies" / "000").rmdir()
    (run / "copies" / "000").symlink_to(outside)
    with pytest.raises(Unreadable, match="copies/000 is a link, not a folder"):
        keep_folder(tmp_path / "from", run, TARGET)
    assert list(outside.iterdir()) == []
