"""How many copies a machine can run, for this user and in this container."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from parasuite.plan.capacity import Groups

from runner.tests.conftest import Parasuite

MEBIBYTE = 1 << 20


def tree(root: Path, **files: str) -> None:
    """Write files. In their names, two underscores stand for a slash and a hyphen for a dot."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def groups(tmp_path: Path, membership: str, files: dict[str, str]) -> Groups:
    tree(tmp_path / "mounted", **files)
    (tmp_path / "membership").write_text(membership)
    return Groups(tmp_path / "membership", tmp_path / "mounted")


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    found = Groups(tmp_path / "none", tmp_path)
    assert (found.cpu_quota(), found.room("pids.max"), found.room("memory.max")) == (None, None, None)


def test_of_nested_groups_the_one_with_least_room_sets_the_limit(tmp_path: Path) -> None:
    files = {
        "a__pids-max": "100\n",
        "a__pids-current": "90\n",
        "a__b__pids-max": "50\n",
        "a__b__pids-current": "10\n",
        "a__memory-max": "max\n",
        "a__b__memory-max": f"{100 * MEBIBYTE}\n",
        "a__b__memory-current": f"{90 * MEBIBYTE}\n",
        # Cached files, which the kernel frees before it refuses memory.
        "a__b__memory-stat": f"anon 1\nactive_file {20 * MEBIBYTE}\ninactive_file {30 * MEBIBYTE}\n",
        "a__cpu-max": "250000 100000\n",
        "a__b__cpu-max": "max 100000\n",
    }
    found = groups(tmp_path, "0::/a/b\n", files)
    assert found.room("pids.max") == (100, 10)
    assert found.room("memory.max") == (100 * MEBIBYTE, 60 * MEBIBYTE)
    assert found.cpu_quota() == 2.5


def test_the_groups_of_version_1_are_read_from_one_tree_per_controller(tmp_path: Path) -> None:
    files = {
        "pids__a__pids-max": "70\n",
        "pids__a__pids-current": "30\n",
        "memory__memory-limit_in_bytes": "9223372036854771712\n",
        "memory__a__memory-limit_in_bytes": f"{64 * MEBIBYTE}\n",
        "memory__a__memory-usage_in_bytes": f"{60 * MEBIBYTE}\n",
        "memory__a__memory-stat": f"active_file 7\ntotal_active_file {MEBIBYTE}\ntotal_inactive_file {MEBIBYTE}\n",
        "cpu__a__cpu-cfs_quota_us": "150000\n",
        "cpu__a__cpu-cfs_period_us": "100000\n",
        "cpu__cpu-cfs_quota_us": "-1\n",
        "cpu__cpu-cfs_period_us": "100000\n",
        "unified__cgroup-procs": "",
    }
    found = groups(tmp_path, "4:cpu,cpuacct:/a\n3:pids:/a\n2:memory:/a\n1:name=systemd:/\n0::/\n", files)
    assert found.room("pids.max") == (70, 40)
    assert found.room("memory.max") == (64 * MEBIBYTE, 6 * MEBIBYTE)
    assert found.cpu_quota() == 1.5


def test_a_container_that_sees_its_group_as_the_root_has_the_limits_of_the_root(tmp_path: Path) -> None:
    found = groups(tmp_path, "0::/system.slice/docker-1.scope\n", {"pids-max": "20\n", "pids-current": "5\n"})
    assert found.room("pids.max") == (20, 15)
    found = groups(tmp_path, "0::/../../other\n", {})
    assert found.room("pids.max") == (20, 15)


@pytest.fixture
def process_group() -> Iterator[Path]:
    """An empty control group, of version 1 or 2, that allows 40 processes."""
    roots = [Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    root = next((root for root in roots if (root / "cgroup.procs").exists()), None)
    if root is None:
        pytest.skip("no control groups here")
    folder = root / f"parasuite-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error.strerror}")
    try:
        (folder / "pids.max").write_text("40")
    except OSError as error:
        folder.rmdir()
        pytest.skip(f"processes cannot be counted in a control group here: {error.strerror}")
    yield folder
    folder.rmdir()


def test_the_process_limit_of_a_real_control_group_limits_the_copies(
    process_group: Path, parasuite: Parasuite
) -> None:
    def enter() -> None:
        (process_group / "cgroup.procs").write_text(str(os.getpid()))

    process = parasuite.start("run", "-j", "20", "--", "true", preexec_fn=enter)
    finished = parasuite.finish(process)
    assert finished.code == 2
    # parasuite itself is one of the 40.
    assert "processes of the cgroup: 13 (the cgroup's pids.max is 40, 39 free, 3 a copy)" in finished.stderr
    assert "use -j 13, or set PARASUITE_IGNORE_LIMITS=1 to run them anyway" in finished.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_by_default_there_are_as_many_copies_as_usable_processors_and_at_least_two() -> None:
    show = "from parasuite.plan.options import settings_not_given; from parasuite.plan.capacity import processors;"
    one = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {show}"
    done = subprocess.run(
        [sys.executable, "-c", one + " print(processors(), settings_not_given().copies)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1 2\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no resource limits on this system")
def test_a_limit_on_the_processes_of_a_user_counts_only_that_user_s_processes() -> None:
    """Root becomes a user that has no other process; any other user gets a limit far above what is in use."""
    show = (
        "import os, resource, sys; from parasuite.plan.capacity import bounds;"
        "resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]),) * 2);"
        "os.geteuid() or (os.setgroups([]), os.setgid(64321), os.setuid(64321));"
        "print([bound.detail for bound in bounds() if bound.resource == 'processes of this user'])"
    )
    done = subprocess.run([sys.executable, "-c", show, "4000"], capture_output=True, text=True)
    if os.geteuid() == 0:
        assert done.stdout == "['ulimit -u is 4,000, 3,999 free, 3 a copy']\n", done.stderr
    else:
        assert "ulimit -u is 4,000, " in done.stdout, done.stderr


def test_a_limit_that_the_user_ignores_becomes_a_warning(parasuite: Parasuite) -> None:
    command = ("run", "-j", "2", "--sensors", "none", "--", "true")

    def few_descriptors() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (15, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    refused = parasuite.finish(parasuite.start(*command, preexec_fn=few_descriptors))
    assert (refused.code, "file descriptors: 1 (ulimit -n is 15, 8 a copy)" in refused.stderr) == (2, True)
    ignoring = {"PARASUITE_IGNORE_LIMITS": "1"}
    tried = parasuite.finish(parasuite.start(*command, preexec_fn=few_descriptors, environ=ignoring))
    assert "parasuite: warning: 2 copies are more than this machine can run: " in tried.stderr
    assert tried.code != 2, tried.stderr
