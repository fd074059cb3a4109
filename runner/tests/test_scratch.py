"""What a failed copy's temporary files become."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

import pytest
from parasuite.scratch import keep, remove


def make_files(folder: Path) -> None:
    """A small file, one of 1 GiB that is all hole, a pipe."""
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "evidence").write_text("here")
    (folder / "hole").touch()
    os.truncate(folder / "hole", 1 << 30)
    os.mkfifo(folder / "pipe")


def test_on_one_file_system_everything_is_kept_and_takes_no_room(tmp_path: Path) -> None:
    make_files(tmp_path / "from")
    assert keep(tmp_path / "from", tmp_path / "to") == []
    assert (tmp_path / "to" / "below" / "evidence").read_text() == "here"
    assert (tmp_path / "to" / "hole").stat().st_size == 1 << 30
    assert (tmp_path / "to" / "hole").stat().st_blocks == 0
    assert not (tmp_path / "from").exists()


def test_on_another_file_system_what_is_too_large_is_named_instead_of_copied(tmp_path: Path) -> None:
    make_files(tmp_path / "from")
    with mock.patch.object(Path, "rename", side_effect=OSError(errno.EXDEV, "Invalid cross-device link")):
        assert keep(tmp_path / "from", tmp_path / "to") == ["hole: 1,024 MiB, too large to copy"]
    assert [path.name for path in sorted((tmp_path / "to").rglob("*"))] == ["below", "evidence"]


def test_files_that_cannot_be_moved_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        keep(tmp_path / "gone", tmp_path / "to")


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no permission")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_without_permissions_is_removed_and_nothing_that_a_link_in_it_points_to(
    tmp_path: Path, mode: int
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    closed = tmp_path / "scratch" / "0" / "closed"
    make_files(closed)
    (tmp_path / "scratch" / "link").symlink_to(outside)
    closed.chmod(mode)
    assert (remove(tmp_path / "scratch"), (tmp_path / "scratch").exists()) == ("", False)
    assert outside.stat().st_mode & 0o777 == 0o500


def test_a_folder_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    assert remove(
        tmp_path / "gone"
    ) == f"{tmp_path / 'gone'} could not be removed: {tmp_path / 'gone'}: " + os.strerror(errno.ENOENT)
