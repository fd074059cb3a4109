"""What the processes of a run send one another."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import get_args

import pytest
from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.messages import (
    AdoptInit,
    Described,
    DumpStacks,
    EnableSensor,
    EndImporter,
    ForkInit,
    ImporterEnded,
    ImporterReady,
    InitLost,
    InitReady,
    KillImporter,
    KillInit,
    KillTree,
    MainExited,
    Message,
    NoSubreaper,
    NoteCpuTime,
    Ping,
    Pong,
    Provoke,
    RunMainProcess,
    SignalMain,
    SignalTree,
    SpawnImporter,
    SpawnInit,
    StartCopy,
    Started,
    StartFailed,
    StartImporter,
    TreeGone,
    TreeKilled,
    from_json,
    to_json,
)

NOT_UTF8 = "caf\udce9\n"
MESSAGES: list[Message] = [
    SignalTree(copy=1, signal=2),
    SignalMain(copy=1, signal=2),
    NoteCpuTime(copy=1),
    DumpStacks(copy=1, list_path=NOT_UTF8),
    KillTree(copy=1),
    KillInit(copy=1),
    Ping(),
    EnableSensor(
        events_path="e", addresses=("::1",), page_folders=("a", "b"), is_recorded=True, events_bytes_max=1 << 40
    ),
    Provoke(cause="lost-port", protocol="udp", port=0, places=("a.py:b",), programs=("node",)),
    StartCopy(copy=1, argv=("a", NOT_UTF8), env={"A": NOT_UTF8}, cwd="/", output="o", ignored=(1,)),
    SpawnInit(copy=1),
    StartImporter(argv=("a",), env={}, cwd="/", output="o"),
    EndImporter(is_at_once=True),
    SpawnImporter(),
    KillImporter(),
    ImporterEnded(),
    ForkInit(copy=1),
    AdoptInit(copy=1, pid=2),
    ImporterReady(why="a"),
    RunMainProcess(argv=("a",), env={}, cwd="/", output="o", ignored=(), descriptors=(1024, 4096)),
    Started(copy=1, t_ns=1 << 60, pid=2, init=3),
    StartFailed(copy=1, t_ns=2, why=NOT_UTF8, status=127),
    MainExited(copy=1, t_ns=2, status=-9),
    Described(copy=1, t_ns=2, why=""),
    TreeKilled(copy=1, t_ns=2, count=3, left=()),
    InitLost(copy=1, t_ns=2, left=("su (pid 1, user 0)",)),
    TreeGone(copy=1, t_ns=2),
    Pong(),
    InitReady(pid=1, no_subreaper=""),
    NoSubreaper(why="no"),
]


def test_every_message_is_tested_here() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_decoding_a_message_undoes_encoding_it(message: Message) -> None:
    text = to_json(message)
    assert b"\n" not in text
    assert from_json(text) == message


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


def test_sending_to_a_peer_that_does_not_read_returns_and_nothing_is_lost(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    sent = [DumpStacks(copy=copy, list_path="x" * 50_000) for copy in range(50)]
    for message in sent:
        ours.send(message)
    assert ours.has_unsent
    received: list[Message] = []
    for _ in range(10_000):
        received += theirs.receive()
        ours.flush()
        if len(received) == len(sent):
            break
    assert received == sent
    assert not ours.has_unsent


def test_end_of_file_is_seen_and_sending_to_a_peer_that_has_gone_is_no_error(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.send(Pong())
    theirs.close()
    assert list(ours.receive()) == [Pong()]
    assert not ours.at_end
    assert list(ours.receive()) == []
    assert ours.at_end
    ours.send(Ping())
    assert not ours.has_unsent
