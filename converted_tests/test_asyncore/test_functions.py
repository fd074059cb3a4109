"""asyncore's functions pass an event to the channel that it belongs to, and clean up after channels that fail.

The promise is in the library reference of Python 3.11, "asyncore"; the flags are those of poll(2).
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

from converted_tests.test_asyncore.support import (
    PASSED_ON,
    Events,
    Recorder,
    StubSocket,
    channel_map,
    channel_over,
    needs_poll,
)

library: Any = asyncore
"""asyncore without types: the type stubs leave out what its reference does not name."""

ONE_EVENT_EACH = [
    pytest.param(library.read, "read", id="read"),
    pytest.param(library.write, "write", id="write"),
    pytest.param(library._exception, "expt", id="exception"),
]

DISCONNECTED = [errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED, errno.EPIPE, errno.EBADF]


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
def test_close_all_raises_the_error_of_a_channel_unless_asked_to_ignore_all(failure: Exception) -> None:
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


def test_compact_traceback_gives_the_innermost_frame_and_one_line_of_all_frames() -> None:
    def inner() -> None:
        raise ValueError("too deep")

    parts: Any = None
    try:
        inner()
    except ValueError:
        thrown = sys.exc_info()
        parts = asyncore.compact_traceback()
    failure = thrown[1]
    assert failure is not None
    assert failure.__traceback__ is not None
    outer_line, inner_line = failure.__traceback__.tb_lineno, inner.__code__.co_firstlineno + 1
    test_name = sys._getframe().f_code.co_name
    one_line = f"[{__file__}|{test_name}|{outer_line}] [{__file__}|inner|{inner_line}]"
    assert parts == ((__file__, "inner", str(inner_line)), ValueError, failure, one_line)


def test_compact_traceback_needs_an_exception() -> None:
    with pytest.raises(AssertionError, match=r"^traceback does not exist$"):
        asyncore.compact_traceback()


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the back-port of asyncore does not call itself deprecated")
def test_importing_the_module_warns_and_names_the_replacement() -> None:
    advice = (
        "The asyncore module is deprecated and will be removed in Python 3.12. The recommended replacement is asyncio"
    )
    with pytest.warns(DeprecationWarning, match=f"^{re.escape(advice)}$"):
        runpy.run_path(asyncore.__file__, run_name="asyncore")


def test_a_channel_joins_and_leaves_the_given_map_or_else_its_own() -> None:
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
