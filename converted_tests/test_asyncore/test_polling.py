"""asyncore waits by select or by poll for what the channels of a map want, round after round.

The promise is in the library reference of Python 3.11, "asyncore", and in select(2) and poll(2).
"""

from __future__ import annotations

import asyncore
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.test_asyncore.support import (
    PASSED_ON,
    Events,
    needs_poll,
)

library: Any = asyncore
"""asyncore without types: the type stubs leave out what its reference does not name."""

READ_FLAGS = select.POLLIN | select.POLLPRI


def test_poll_asks_select_for_what_each_channel_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def nothing_ready(*lists: object) -> tuple[list[int], list[int], list[int]]:
        asked.append(lists)
        return [], [], []

    monkeypatch.setattr(select, "select", nothing_ready)
    channels = {
        3: Events(writable=False),
        4: Events(readable=False),
        5: Events(),
        6: Events(readable=False, writable=False),
        7: Events(accepting=True),
        8: Events(readable=False, accepting=True),
    }
    asyncore.poll(0.25, channels)
    assert asked == [([3, 5, 7], [4, 5], [3, 4, 5, 7, 8], 0.25)]


def test_poll_reads_then_writes_then_reports_exceptional_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[int] = []
    channels = {number: Events(then=lambda number=number: order.append(number)) for number in (3, 4, 5)}  # type: ignore[misc]
    monkeypatch.setattr(select, "select", lambda *_lists: ([5, 4], [4, 3], [3, 5]))
    asyncore.poll(0.0, channels)
    assert order == [5, 4, 4, 3, 3, 5]
    assert [channels[number].calls for number in (3, 4, 5)] == [
        ["write", "expt"],
        ["read", "write"],
        ["read", "expt"],
    ]


@pytest.mark.parametrize(
    "ready",
    [
        pytest.param(([3, 4, 5], [], []), id="to read"),
        pytest.param(([], [3, 4, 5], []), id="to write"),
        pytest.param(([], [], [3, 4, 5]), id="exceptional"),
    ],
)
def test_poll_passes_over_a_channel_that_left_the_map_in_the_same_round(
    ready: tuple[list[int], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, last = Events(), Events()
    channels = {4: gone, 5: last}
    channels[3] = Events(then=lambda: channels.pop(4))
    monkeypatch.setattr(select, "select", lambda *_lists: ready)
    asyncore.poll(0.0, channels)
    assert (len(channels[3].calls), gone.calls, len(last.calls)) == (1, [], 1)


def test_poll_sleeps_when_no_channel_waits_for_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(library.time, "sleep", slept.append)
    monkeypatch.setattr(select, "select", None)
    asyncore.poll(1.5, {5: Events(readable=False, writable=False)})
    assert slept == [1.5]


def test_poll_returns_at_once_from_an_empty_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.time, "sleep", None)
    monkeypatch.setattr(select, "select", None)
    asyncore.poll(1.5, {})


@pytest.mark.parametrize("function", [asyncore.poll, pytest.param(asyncore.poll2, marks=needs_poll)])
def test_polling_is_by_default_a_look_at_the_default_map_without_waiting(
    function: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = socket.socketpair()
    quiet, loud = Events(writable=False), Events(writable=False)
    monkeypatch.setattr(asyncore, "socket_map", {left.fileno(): quiet, right.fileno(): loud})
    with left, right:
        left.send(b"!")
        function()
    assert (quiet.calls, loud.calls) == ([], ["read"])


class StubPoll:
    """A stand-in for select.poll() whose result is prepared."""

    def __init__(self, answer: list[tuple[int, int]]) -> None:
        self.answer = answer
        self.registered: dict[int, int] = {}
        self.timeouts_ms: list[int | None] = []

    def register(self, fd: int, flags: int) -> None:
        self.registered[fd] = flags

    def poll(self, timeout_ms: int | None) -> list[tuple[int, int]]:
        self.timeouts_ms.append(timeout_ms)
        return self.answer


@needs_poll
def test_poll2_registers_what_each_channel_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pollster = StubPoll([])
    monkeypatch.setattr(select, "poll", lambda: pollster)
    channels = {
        3: Events(writable=False),
        4: Events(readable=False),
        5: Events(),
        6: Events(readable=False, writable=False),
        7: Events(accepting=True),
    }
    asyncore.poll2(0.0, channels)
    wanted = {3: READ_FLAGS, 4: select.POLLOUT, 5: READ_FLAGS | select.POLLOUT, 7: READ_FLAGS}
    assert pollster.registered == wanted


@needs_poll
@pytest.mark.parametrize(
    ("timeout_s", "timeout_ms"),
    [
        pytest.param(0.25, 250, id="milliseconds"),
        pytest.param(0.0019, 1, id="rounded down"),
        pytest.param(None, None, id="for ever"),
    ],
)
def test_poll2_counts_its_timeout_in_milliseconds(
    timeout_s: Any, timeout_ms: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pollster = StubPoll([])
    monkeypatch.setattr(select, "poll", lambda: pollster)
    asyncore.poll2(timeout_s, {5: Events()})
    assert pollster.timeouts_ms == [timeout_ms]


@needs_poll
def test_poll2_passes_over_a_channel_that_left_the_map_in_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, last = Events(), Events()
    channels = {4: gone, 5: last}
    channels[3] = Events(then=lambda: channels.pop(4))
    pollster = StubPoll([(3, select.POLLIN), (4, select.POLLIN), (5, select.POLLOUT)])
    monkeypatch.setattr(select, "poll", lambda: pollster)
    asyncore.poll2(0.0, channels)
    assert (channels[3].calls, gone.calls, last.calls) == (["read"], [], ["write"])


@needs_poll
def test_poll2_does_not_wait_for_an_empty_map(monkeypatch: pytest.MonkeyPatch) -> None:
    pollster = StubPoll([])
    monkeypatch.setattr(select, "poll", lambda: pollster)
    asyncore.poll2(30.0, {})
    assert pollster.timeouts_ms == []


def test_poll3_is_another_name_of_poll2() -> None:
    assert library.poll3 is library.poll2


Rounds = list[tuple[str, Any, Any]]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """Instead of waiting, note which function the loop calls and with what."""
    noted: Rounds = []
    for name in ("poll", "poll2"):
        monkeypatch.setattr(asyncore, name, lambda timeout, map, name=name: noted.append((name, timeout, map)))
    return noted


@pytest.mark.parametrize("count", [0, 1, 3])
def test_loop_ends_after_count_rounds(count: int, rounds: Rounds) -> None:
    channels = {5: Events()}
    asyncore.loop(1.5, map=channels, count=count)
    assert rounds == [("poll", 1.5, channels)] * count


@needs_poll
def test_loop_calls_poll2_when_asked_to_use_poll(rounds: Rounds) -> None:
    channels = {5: Events()}
    asyncore.loop(0.5, use_poll=True, map=channels, count=2)
    assert rounds == [("poll2", 0.5, channels)] * 2


def test_loop_calls_poll_where_select_has_no_poll(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    channels = {5: Events()}
    asyncore.loop(use_poll=True, map=channels, count=1)
    assert rounds == [("poll", 30.0, channels)]


def test_loop_waits_thirty_seconds_a_round_over_the_default_map(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = {5: Events()}
    monkeypatch.setattr(asyncore, "socket_map", channels)
    asyncore.loop(count=1)
    assert rounds == [("poll", 30.0, channels)]
    assert rounds[0][2] is channels


@pytest.mark.parametrize("count", [None, 5])
def test_loop_ends_when_its_map_is_empty(count: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    channels = {5: Events(), 6: Events(), 7: Events()}
    monkeypatch.setattr(asyncore, "poll", lambda _timeout, map: map.popitem())
    asyncore.loop(map=channels, count=count)
    assert channels == {}


def test_loop_over_an_empty_map_does_nothing(rounds: Rounds) -> None:
    asyncore.loop(map={}, count=3)
    asyncore.loop(map={})
    assert rounds == []


@pytest.mark.parametrize("failure", PASSED_ON)
def test_a_handler_can_end_the_loop_by_what_ends_the_program(failure: type[BaseException]) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.send(b"!")
        with pytest.raises(failure):
            asyncore.loop(map={right.fileno(): Events(failure(), writable=False)})
