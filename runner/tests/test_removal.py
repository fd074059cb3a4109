"""Removing and copying a suite's files touches nothing outside of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.record.mounts import has_openat2, opened
from parasuite.record.removal import remove_tree
from parasuite.record.tree_copy import TreeCopy

from runner.tests.conftest import Parasuite

if sys.platform != "linux":
    pytest.skip("mounts are made as Linux makes them", allow_module_level=True)

MAY_MOUNT = subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0
needs_mounts = pytest.mark.skipif(not MAY_MOUNT, reason="unshare -m is refused here")


def in_mount_namespace(script: str, *arguments: str | Path, cwd: Path | None = None) -> str:
    """What a shell script prints in a mount namespace of its own; $0 is Python, $1 the first of *arguments*."""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-euc", script, sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder outside, whose mode and files must stay."""
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "file").write_text("here")
    folder.chmod(0o755)
    return folder


def is_untouched(folder: Path) -> bool:
    return (folder / "file").read_text() == "here" and folder.stat().st_mode & 0o777 == 0o755


@pytest.fixture(params=["openat2", "mount ids", "device numbers"])
def way(request: pytest.FixtureRequest) -> str:
    """Python code that makes the product recognise mounts in one of its three ways."""
    return {
        "openat2": "",
        "mount ids": "mounts.has_openat2 = lambda: False; ",
        "device numbers": "mounts.has_openat2 = lambda: False; mounts._mount = lambda fd: os.fstat(fd).st_dev; ",
    }[request.param]


REMOVE = "import os, sys; from pathlib import Path; from parasuite.record import mounts, removal; "


@needs_mounts
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_mount_inside_a_tree_is_left_and_named(tmp_path: Path, precious: Path, way: str, kind: str) -> None:
    if "_mount" in way and kind == "bind":
        pytest.skip("a bind mount of the same file system has the same device number")
    (tmp_path / "tree" / "below" / "mnt").mkdir(parents=True)
    (tmp_path / "tree" / "file").touch()
    mount = "--bind $1/precious" if kind == "bind" else "-t tmpfs none"
    said = in_mount_namespace(
        f"mount {mount} $1/tree/below/mnt; touch $1/tree/below/mnt/inside; "
        f"$0 -c '{REMOVE}{way}print(removal.remove_tree(Path(sys.argv[1])))' $1/tree; ls $1/tree/below/mnt",
        tmp_path,
    )
    assert f"{tmp_path}/tree/below/mnt: something is mounted there" in said
    assert "inside" in said.splitlines()
    assert is_untouched(precious)
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["below"]


@needs_mounts
def test_a_tree_that_is_itself_a_mount_point_is_left(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "tree").mkdir()
    said = in_mount_namespace(
        f"mount --bind $1/precious $1/tree; $0 -c '{REMOVE}print(removal.remove_tree(Path(sys.argv[1])))' $1/tree",
        tmp_path,
    )
    assert said.strip() == f"{tmp_path}/tree could not be removed: {tmp_path}/tree: something is mounted there"
    assert is_untouched(precious)


@needs_mounts
def test_a_file_that_is_a_mount_point_is_left(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").touch()
    said = in_mount_namespace(
        "mount --bind $1/precious/file $1/tree/file; "
        f"$0 -c '{REMOVE}print(removal.remove_tree(Path(sys.argv[1])))' $1/tree",
        tmp_path,
    )
    assert f"{tmp_path}/tree/file: Device or resource busy" in said
    assert is_untouched(precious)


def test_a_link_is_removed_and_not_followed(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(precious)
    assert (remove_tree(tmp_path / "tree"), (tmp_path / "tree").exists()) == ("", False)
    assert is_untouched(precious)


def test_a_link_in_place_of_the_tree_is_left(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "tree").symlink_to(precious)
    assert "could not be removed" in remove_tree(tmp_path / "tree")
    assert is_untouched(precious)


def deep_folder(top: Path, depth: int) -> None:
    """A folder of that *depth*, which no path can name whole."""
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a-rather-long-name", dir_fd=folder)
        os.close(os.open("file", os.O_CREAT, dir_fd=folder))
        inner = os.open("a-rather-long-name", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # If it were left, pytest could not remove it either.
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", tmp_path / "tree"], check=True))
    deep_folder(tmp_path / "tree", 1500)
    assert (remove_tree(tmp_path / "tree"), list(tmp_path.iterdir())) == ("", [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no permission")
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o500])
def test_folders_without_permissions_are_removed(tmp_path: Path, mode: int) -> None:
    (tmp_path / "tree" / "closed" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "closed" / "file").touch()
    (tmp_path / "tree" / "closed").chmod(mode)
    assert (remove_tree(tmp_path / "tree"), list(tmp_path.iterdir())) == ("", [])


def test_a_missing_tree_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert remove_tree(gone) == f"{gone} could not be removed: {gone}: No such file or directory"


@needs_mounts
@pytest.mark.usefixtures("precious")
def test_mounts_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "from" / "mnt").mkdir(parents=True)
    (tmp_path / "from" / "evidence").write_text("own")
    (tmp_path / "to").mkdir()
    said = in_mount_namespace(
        "mount --bind $1/precious $1/from/mnt; "
        f"$0 -c '{REMOVE}from parasuite.record.tree_copy import TreeCopy\n"
        "copying = TreeCopy(1000)\n"
        "source, target = map(Path, sys.argv[1:])\n"
        "with mounts.opened(source) as reading, mounts.opened(target) as writing: copying.copy(reading, writing)\n"
        "print(copying.left_out)' $1/from $1/to",
        tmp_path,
    )
    assert said.strip() == "['mnt: something is mounted there']"
    assert sorted(path.name for path in (tmp_path / "to").rglob("*")) == ["evidence"]


def test_files_folders_and_links_are_copied_and_pipes_are_not(tmp_path: Path) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    (source / "below").mkdir(parents=True)
    target.mkdir()
    (source / "below" / "evidence").write_text("here")
    (source / "large").write_bytes(bytes(2000))
    (source / "link").symlink_to("/dev/zero")
    os.mkfifo(source / "pipe")
    copying = TreeCopy(1000)
    with opened(source) as reading, opened(target) as writing:
        copying.copy(reading, writing)
    assert copying.left_out == ["large: 0 MiB, too large to copy"]
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == ["below", "below/evidence", "link"]
    assert (target / "below" / "evidence").read_text() == "here"


def test_openat2_is_used_where_the_kernel_has_it() -> None:
    version = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    assert has_openat2() or version < (5, 6)


@needs_mounts
@pytest.mark.parametrize("status", [0, 1])
def test_a_bind_mount_that_a_suite_leaves_behind_is_not_entered(
    parasuite: Parasuite, suite: Callable[[str], Path], precious: Path, status: int
) -> None:
    suite(
        "import os, subprocess\n"
        "def test_one():\n"
        "    mnt = os.environ['TMPDIR'] + '/mnt'\n"
        "    os.mkdir(mnt)\n"
        f"    subprocess.run(['mount', '--bind', {str(precious)!r}, mnt], check=True)\n"
        f"    assert {status} == 0\n"
    )
    script = "$0 -m parasuite run -j 1 --sensors none --python $0 tests/ 2>&1 || test $? = $1"
    said = in_mount_namespace(script, str(status), cwd=parasuite.cwd)
    assert is_untouched(precious)
    if status == 0:
        assert "mnt: something is mounted there" in said


@needs_mounts
def test_pruning_does_not_enter_a_mount_in_an_old_run(tmp_path: Path, precious: Path) -> None:
    runs = [tmp_path / "out" / "runs" / f"20260101T0000{number:02d}Z-0000" for number in range(12)]
    for run in runs:
        (run / "copies" / "000" / "tmp" / "mnt").mkdir(parents=True)
        (run / "run.json").write_text('{"ended": "complete"}')
    said = in_mount_namespace(
        "mount --bind $1/precious $2/copies/000/tmp/mnt; "
        "$0 -c 'import sys; from pathlib import Path; from parasuite.record.run_folder import RunFolder\n"
        'print(RunFolder.create(Path(sys.argv[1]) / "out", 1).notes)\' $1',
        tmp_path,
        runs[0],
    )
    assert "tmp/mnt: something is mounted there" in said
    assert is_untouched(precious)
    assert not runs[1].exists()
