"""Which process has a socket: found by one walk of all descriptors, not by one for each question."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

if sys.platform != "linux":
    pytest.skip("/proc is Linux only", allow_module_level=True)

from parasuite.sensors import proc
from parasuite.sensors.seccomp import owners
from parasuite.sensors.seccomp.owners import SocketProcesses, sockets_of


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A 1 for each walk so far."""
    made: list[int] = []
    pids = proc.pids

    def counted() -> list[int]:
        made.append(1)
        return pids()

    monkeypatch.setattr(proc, "pids", counted)
    return made


def test_the_process_of_a_socket_is_found_among_those_asked() -> None:
    with socket.socket() as sock:
        assert sockets_of([1 << 22, os.getpid()])[inode_of(sock)][0] == os.getpid()
        assert sockets_of([]) == {}


def test_one_walk_finds_the_process_of_every_socket(walks: list[int]) -> None:
    known = SocketProcesses()
    with socket.socket() as first, socket.socket() as second:
        assert [known.of(inode_of(sock)) for sock in (first, second, first)] == [os.getpid()] * 3
    assert len(walks) == 1


@pytest.fixture
def _one_walk_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_WALK_PAUSE", 1e9)


OPENS = "import os, socket; input(); s = socket.socket(); print(os.fstat(s.fileno()).st_ino, flush=True); input()"


@contextlib.contextmanager
def other_process() -> Iterator[tuple[int, Callable[[], int]]]:
    """Its pid, and a function that has it open a socket and returns the inode. It runs until the end of the body."""
    command = [sys.executable, "-I", "-S", "-c", OPENS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def opened() -> int:
            stdin.write(b"\n")
            return int(stdout.readline())

        yield process.pid, opened
        process.kill()


@pytest.mark.usefixtures("_one_walk_of_each_kind")
def test_a_new_socket_of_a_process_that_was_found_before_needs_no_second_walk_of_all() -> None:
    known = SocketProcesses()
    with socket.socket() as first:
        assert known.of(inode_of(first)) == os.getpid()
        with socket.socket() as second:
            assert known.of(inode_of(second)) == os.getpid()


@pytest.mark.usefixtures("_one_walk_of_each_kind")
def test_a_socket_of_a_process_that_was_started_after_a_walk_needs_no_second_walk_of_all() -> None:
    known = SocketProcesses()
    with socket.socket() as first:
        assert known.of(inode_of(first)) == os.getpid()
    with other_process() as (pid, opened):
        assert known.of(opened()) == pid


@pytest.mark.usefixtures("_one_walk_of_each_kind")
def test_a_new_socket_of_an_old_process_that_was_never_found_waits_for_the_next_walk_of_all() -> None:
    known = SocketProcesses()
    with other_process() as (pid, opened), socket.socket() as first:
        assert known.of(inode_of(first)) == os.getpid()
        inode = opened()
        assert known.of(inode) == 0
        known._next_walk_s = 0
        assert known.of(inode) == pid


@pytest.mark.usefixtures("_one_walk_of_each_kind")
def test_a_socket_that_no_walk_has_seen_costs_no_walk_so_soon_after_the_last(walks: list[int]) -> None:
    known = SocketProcesses()
    with socket.socket() as first, socket.socket() as second:
        assert known.of(inode_of(first)) == os.getpid()
        assert known.of(1 << 40) == 0  # A short walk: no process has this socket.
        assert len(walks) == 2
        with socket.socket() as third:
            assert [known.of(inode_of(sock)) for sock in (third, second)] == [0, os.getpid()]
    assert len(walks) == 2


def test_a_socket_that_was_opened_after_a_walk_is_found_by_the_next(
    walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_WALK_PAUSE", 0)
    known = SocketProcesses()
    with socket.socket() as first:
        assert known.of(inode_of(first)) == os.getpid()
        with socket.socket() as second:
            assert known.of(inode_of(second)) == os.getpid()
    assert len(walks) == 2


@pytest.mark.usefixtures("_one_walk_of_each_kind")
def test_a_process_that_has_closed_its_socket_has_it_no_more() -> None:
    known = SocketProcesses()
    with socket.socket() as sock:
        inode = inode_of(sock)
        assert known.of(inode) == os.getpid()
    assert known.of(inode) == 0
