"""A lock per port, and the ports that the kernel never assigns."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsupport import locks
from netsupport.tests.conftest import python

PORT = 1
"""No lease is ever given for it, so no other process locks it in earnest."""

Locker = Callable[[int], locks.Lock | None]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "locks"
    monkeypatch.setenv("NETSUPPORT_LOCK_DIR", str(folder))
    return folder


def of_this_test(port: int) -> locks.Lock | None:
    """An abstract name that no other test process uses: the number is this process's id, far above any port."""
    return locks.abstract_name_lock(100_000 + os.getpid() + port)


LOCKERS = [
    pytest.param(
        of_this_test,
        id="abstract name",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="abstract Unix names are Linux's"),
    ),
    pytest.param(locks.file_lock, id="file"),
]


@pytest.mark.parametrize("lock", LOCKERS)
def test_a_lock_keeps_a_second_owner_out_until_it_is_closed(lock: Locker) -> None:
    first = lock(PORT)
    assert first is not None
    assert lock(PORT) is None
    first.close()
    again = lock(PORT)
    assert again is not None
    again.close()


@pytest.mark.parametrize("lock", LOCKERS)
def test_a_lock_is_for_one_port(lock: Locker) -> None:
    owned = [lock(PORT), lock(PORT + 1)]
    assert None not in owned
    for each in owned:
        assert each is not None
        assert os.fstat(each.fileno())
        each.close()


def test_the_files_of_locks_are_private_and_stay(own_folder: Path) -> None:
    lock = locks.file_lock(PORT)
    assert lock is not None
    lock.close()
    assert [path.name for path in own_folder.iterdir()] == ["port-1.lock"]
    assert own_folder.stat().st_mode & 0o777 == 0o700


def test_a_file_lock_ends_with_the_process_that_took_it(own_folder: Path) -> None:
    code = "import os, signal; from netsupport import locks; locks.file_lock(1); os.kill(os.getpid(), signal.SIGKILL)"
    assert python("-c", code).returncode == -9
    lock = locks.file_lock(PORT)
    assert lock is not None
    lock.close()
    assert (own_folder / "port-1.lock").exists()


@pytest.mark.parametrize(
    "spoil", [lambda folder: folder.mkdir() or folder.chmod(0o777), lambda folder: folder.touch()]
)
def test_a_folder_that_others_can_write_to_or_a_file_in_its_place_is_refused(
    own_folder: Path, spoil: Callable[[Path], Any]
) -> None:
    spoil(own_folder)
    with pytest.raises(
        PermissionError, match="only this user can write to; remove it, or set NETSUPPORT_LOCK_DIR to another"
    ):
        locks.file_lock(PORT)


def test_a_symbolic_link_in_place_of_the_folder_is_refused(own_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    own_folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError):
        locks.file_lock(PORT)


def test_the_folder_of_locks_does_not_depend_on_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NETSUPPORT_LOCK_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert not locks.lock_folder().is_relative_to(tmp_path)


def test_any_other_failure_of_a_file_lock_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match="no locks"):
        locks.file_lock(PORT)


def test_a_system_without_abstract_names_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, _address: Any, /) -> None:
            raise OSError(errno.EINVAL, "no such names")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(OSError, match="no such names"):
        locks.abstract_name_lock(PORT)


def test_the_self_test_finds_that_locks_exclude() -> None:
    assert locks.why_no_lock() == ""


def test_the_self_test_passes_while_another_process_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "port_lock", lambda _port: None)
    assert locks.why_no_lock() == ""


def test_the_self_test_finds_locks_that_do_not_exclude(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(2))
    monkeypatch.setattr(locks, "port_lock", lambda _port: of_this_test(next(numbers)))
    assert locks.why_no_lock() == "this system let two owners take the same lock"


def test_the_ephemeral_range_is_the_kernels() -> None:
    first, last = locks.ephemeral_range()
    assert 0 < first < last <= 65_535


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_if_the_range_cannot_be_read_it_is_the_one_of_rfc_6335(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def unreadable(_name: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "no /proc")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(locks, "proc_text", unreadable)
    assert locks.ephemeral_range() == (49_152, 65_535)
    assert locks.reserved_ports() == frozenset()


@pytest.mark.parametrize(
    ("text", "ports"),
    [("\n", set()), ("8080\n", {8080}), ("8080,9100-9102\n", {8080, 9100, 9101, 9102})],
)
def test_reserved_ports_are_read_as_numbers_and_spans(
    monkeypatch: pytest.MonkeyPatch, text: str, ports: set[int]
) -> None:
    monkeypatch.setattr(locks, "proc_text", lambda _name: text)
    assert locks.reserved_ports() == ports


PORTS = st.integers(1, 65_535)
SPANS = st.tuples(PORTS, PORTS).map(sorted)


@settings(max_examples=30)
@given(ephemeral=SPANS, asked=SPANS | st.none())
def test_no_port_to_lease_is_one_that_the_kernel_assigns(ephemeral: list[int], asked: list[int] | None) -> None:
    first, last = asked or (locks.LOWEST, locks.HIGHEST)
    ranges = locks.lease_ranges((ephemeral[0], ephemeral[1]), f"{first}-{last}" if asked else "")
    expected = {port for port in range(first, last + 1) if not ephemeral[0] <= port <= ephemeral[1]}
    walked = list(locks.from_a_random_start(ranges))
    assert (len(walked), set(walked)) == (len(expected), expected)


@pytest.mark.parametrize("asked", ["many", "0-5", "5-4", "1-65536", "-3", "1-2-3"])
def test_an_invalid_range_is_an_error_that_names_the_variable(asked: str) -> None:
    with pytest.raises(ValueError, match=f"NETSUPPORT_PORT_RANGE is '{asked}'; it must be"):
        locks.lease_ranges((32_768, 60_999), asked)


def test_two_processes_start_at_different_ports() -> None:
    whole = locks.lease_ranges((32_768, 60_999))
    starts = {next(locks.from_a_random_start(whole)) for _ in range(64)}
    # 64 equal ones out of 17,304: less likely than any other failure of this machine.
    assert len(starts) > 1
