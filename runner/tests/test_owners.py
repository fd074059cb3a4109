"""Which process has a socket: found by one walk of all descriptors, not by one for each question."""

from __future__ import annotations

import os
import socket
import sys

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


def test_a_socket_that_no_walk_has_seen_costs_no_walk_so_soon_after_the_last(
    walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_WALK_PAUSE", 1e9)
    known = SocketProcesses()
    with socket.socket() as first:
        assert known.of(inode_of(first)) == os.getpid()
        with socket.socket() as second:
            assert known.of(inode_of(second)) == 0
    assert len(walks) == 1


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


def test_a_process_that_has_closed_its_socket_has_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_WALK_PAUSE", 1e9)
    known = SocketProcesses()
    with socket.socket() as sock:
        inode = inode_of(sock)
        assert known.of(inode) == os.getpid()
    assert known.of(inode) == 0
