"""asyncore's functions ask every channel of a map what it waits for, and call its handlers when that has come.

The promise is in the library reference of Python 3.11, "asyncore", and in select(2) and poll(2).
"""

from __future__ import annotations

import asyncore
import errno
import re
import runpy
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.test_asyncore.loops import Recorder, StubSocket, channel_map, channel_over, needs_poll

library: Any = asyncore
"""asyncore without types: the type stubs leave out what its reference does not name."""

READ_FLAGS = select.POLLIN | select.POLLPRI

ONE_EVENT_EACH = [
    pytest.param(library.read, "read", id="read"),
    pytest.param(library.write, "write", id="write"),
    pytest.param(library._exception, "expt", id="exception"),
]

PASSED_ON = [asyncore.ExitNow, KeyboardInterrupt, SystemExit]

DISCONNECTED = [errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED, errno.EPIPE, errno.EBADF]


class Events:
    """All that asyncore's functions ask of a channel; `calls` lists the handlers, `failure` is raised by each."""

    def __init__(
        self,
        failure: BaseException | None = None,
        *,
        readable: bool = True,
        writable: bool = True,
        accepting: bool = False,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.calls: list[str] = []
        self.caught: list[BaseException | None] = []
        self.accepting = accepting
        self.failure = failure
        self.readable = lambda: readable
        self.writable = lambda: writable
        self.then = then

    def _happens(self, name: str) -> None:
        self.calls.append(name)
        self.then()
        if self.failure is not None:
            raise self.failure

    def handle_read_event(self) -> None:
        self._happens("read")

    def handle_write_event(self) -> None:
        self._happens("write")

    def handle_expt_event(self) -> None:
        self._happens("expt")

    def handle_close(self) -> None:
        self.calls.append("close")

    def handle_error(self) -> None:
        self.calls.append("error")
        self.caught.append(sys.exc_info()[1])


@pytest.mark.parametrize(("function", "event"), ONE_EVENT_EACH)
def test_a_function_calls_the_handler_of_its_event_alone(function: Callable[[object], None], event: str) -> None:
    channel = Events()
    function(channel)
    assert channel.calls == [event]


@pytest.mark.parametrize("failure", PASSED_ON)
@pytest.mark.parametrize(("function", "event"), ONE_EVENT_EACH)
def test_what_ends_the_program_passes_through_a_function(
    function: Callable[[object], None], event: str, failure: type[BaseException]
) -> None:
    channel = Events(failure())
    with pytest.raises(failure):
        function(channel)
    assert channel.calls == [event]


@pytest.mark.parametrize("failure", [ValueError("bad"), OSError(errno.EPIPE, "gone"), GeneratorExit()], ids=repr)
@pytest.mark.parametrize(("function", "event"), ONE_EVENT_EACH)
def test_any_other_exception_of_a_handler_goes_to_handle_error(
    function: Callable[[object], None], event: str, failure: BaseException
) -> None:
    channel = Events(failure)
    function(channel)
    assert (channel.calls, channel.caught) == ([event, "error"], [failure])


@needs_poll
@pytest.mark.parametrize(
    ("flags", "calls"),
    [
        pytest.param(0, [], id="nothing"),
        pytest.param(select.POLLIN, ["read"], id="POLLIN"),
        pytest.param(select.POLLOUT, ["write"], id="POLLOUT"),
        pytest.param(select.POLLPRI, ["expt"], id="POLLPRI"),
        pytest.param(select.POLLHUP, ["close"], id="POLLHUP"),
        pytest.param(select.POLLERR, ["close"], id="POLLERR"),
        pytest.param(select.POLLNVAL, ["close"], id="POLLNVAL"),
        pytest.param(select.POLLIN | select.POLLOUT, ["read", "write"], id="both ways"),
        pytest.param(select.POLLOUT | select.POLLPRI | select.POLLERR, ["write", "expt", "close"], id="no POLLIN"),
        pytest.param(0x3F, ["read", "write", "expt", "close"], id="everything at once"),
    ],
)
def test_readwrite_calls_one_handler_for_each_flag_in_a_fixed_order(flags: int, calls: list[str]) -> None:
    channel = Events()
    asyncore.readwrite(channel, flags)
    assert channel.calls == calls


@needs_poll
@pytest.mark.parametrize("failure", PASSED_ON)
def test_what_ends_the_program_passes_through_readwrite(failure: type[BaseException]) -> None:
    channel = Events(failure())
    with pytest.raises(failure):
        asyncore.readwrite(channel, select.POLLIN)
    assert channel.calls == ["read"]


@needs_poll
@pytest.mark.parametrize("failure", [ValueError("bad"), OSError(errno.EIO, "broken"), GeneratorExit()], ids=repr)
def test_any_other_exception_in_readwrite_goes_to_handle_error(failure: BaseException) -> None:
    channel = Events(failure)
    asyncore.readwrite(channel, select.POLLPRI | select.POLLERR)
    assert (channel.calls, channel.caught) == (["expt", "error"], [failure])


@needs_poll
@pytest.mark.parametrize("code", DISCONNECTED, ids=errno.errorcode.get)
def test_an_error_that_means_disconnected_closes_in_readwrite(code: int) -> None:
    channel = Events(OSError(code, "gone"))
    asyncore.readwrite(channel, select.POLLOUT | select.POLLPRI)
    assert channel.calls == ["write", "close"]


def test_close_all_closes_every_channel_of_a_map_and_empties_it() -> None:
    pair = socket.socketpair()
    with channel_map() as channels:
        left, right = (Recorder(sock, channels) for sock in pair)
        asyncore.close_all(channels)
        assert (channels, [sock.fileno() for sock in pair]) == ({}, [-1, -1])
        assert (left.events, right.events) == ([], [])


def test_close_all_without_a_map_closes_the_channels_of_the_default_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncore, "socket_map", {})
    pair = socket.socketpair()
    for sock in pair:
        Recorder(sock)
    assert sorted(asyncore.socket_map) == sorted(sock.fileno() for sock in pair)
    asyncore.close_all()
    assert (asyncore.socket_map, [sock.fileno() for sock in pair]) == ({}, [-1, -1])


def test_close_all_empties_a_map_even_of_channels_that_stay_in_it() -> None:
    channels = {5: StubSocket(close=None)}
    asyncore.close_all(channels)
    assert channels == {}


def test_close_all_goes_on_when_a_descriptor_was_closed_already() -> None:
    last = StubSocket(close=None)
    channels = {5: StubSocket(close=OSError(errno.EBADF, "closed already")), 6: last}
    asyncore.close_all(channels)
    assert (channels, last.calls) == ({}, [("close",)])


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(OSError(errno.EIO, "broken"), id="another OSError"),
        pytest.param(ValueError("bad"), id="no OSError"),
    ],
)
def test_close_all_raises_the_error_of_a_channel_unless_told_to_ignore_all(failure: Exception) -> None:
    last = StubSocket(close=None)
    channels = {5: StubSocket(close=failure), 6: last}
    with pytest.raises(type(failure)) as caught:
        asyncore.close_all(channels)
    assert (caught.value, sorted(channels), last.calls) == (failure, [5, 6], [])

    asyncore.close_all(channels, ignore_all=True)
    assert (channels, last.calls) == ({}, [("close",)])


@pytest.mark.parametrize("failure", PASSED_ON)
def test_close_all_never_ignores_what_ends_the_program(failure: type[BaseException]) -> None:
    with pytest.raises(failure):
        asyncore.close_all({5: StubSocket(close=failure())}, ignore_all=True)


def test_compact_traceback_tells_the_innermost_frame_and_one_line_of_all_frames() -> None:
    def inner() -> None:
        raise ValueError("too deep")

    told: Any = None
    try:
        inner()
    except ValueError:
        thrown = sys.exc_info()
        told = asyncore.compact_traceback()
    failure = thrown[1]
    assert failure is not None
    assert failure.__traceback__ is not None
    outer_line, inner_line = failure.__traceback__.tb_lineno, inner.__code__.co_firstlineno + 1
    test_name = sys._getframe().f_code.co_name
    one_line = f"[{__file__}|{test_name}|{outer_line}] [{__file__}|inner|{inner_line}]"
    assert told == ((__file__, "inner", str(inner_line)), ValueError, failure, one_line)


def test_compact_traceback_needs_an_exception() -> None:
    with pytest.raises(AssertionError, match=r"^traceback does not exist$"):
        asyncore.compact_traceback()


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


def test_poll_reads_then_writes_then_tells_exceptional_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """What select.poll gives, with the answer known beforehand."""

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


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the back-port of asyncore does not call itself deprecated")
def test_importing_the_module_tells_what_to_use_instead() -> None:
    advice = (
        "The asyncore module is deprecated and will be removed in Python 3.12. The recommended replacement is asyncio"
    )
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(advice)}$"):
        runpy.run_path(asyncore.__file__, run_name="asyncore")


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


def test_a_channel_joins_and_leaves_the_map_it_is_told_or_else_its_own() -> None:
    own: dict[int, Any] = {}
    other: dict[int, Any] = {}
    channel = Recorder(map=own)
    channel._fileno = 5  # type: ignore[attr-defined]
    channel.add_channel()
    channel.add_channel(other)
    assert (own, other) == ({5: channel}, {5: channel})

    channel.del_channel(other)
    assert (own, other, channel._fileno) == ({5: channel}, {}, None)  # type: ignore[attr-defined]

    channel._fileno = 5  # type: ignore[attr-defined]
    channel.del_channel()
    assert own == {}


def test_leaving_a_map_twice_is_allowed() -> None:
    channel = channel_over(StubSocket(close=None))
    channel.close()
    channel.close()
    assert channel.socket.calls == [("close",), ("close",)]
