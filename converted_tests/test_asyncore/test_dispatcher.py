"""An asyncore dispatcher wraps one socket, keeps its state in three flags and turns each event into a handler.

The promise is in the library reference of Python 3.11, "asyncore".
"""

from __future__ import annotations

import asyncore
import errno
import os
import re
import socket
from typing import Any

import pytest

from converted_tests.test_asyncore.support import Channels, Recorder, StubSocket, channel_map, channel_over

library: Any = asyncore

IDLE = {"connected": False, "accepting": False, "connecting": False}


class Failing(Recorder):
    """A channel whose repr fails."""

    def __repr__(self) -> str:
        raise ValueError("no name")


class Talkative(asyncore.dispatcher):
    """A channel that ignores no type of log message."""

    ignore_log_types: frozenset[str] = frozenset()


def test_a_fresh_dispatcher_is_readable_and_writable_and_nothing_else() -> None:
    channel: Any = asyncore.dispatcher(map={})
    assert (channel.readable(), channel.writable()) == (True, True)
    assert (channel.socket, channel.addr, channel._fileno) == (None, None, None)
    assert (channel.connected, channel.accepting, channel.connecting, channel.closing, channel.debug) == (False,) * 5


def test_a_dispatcher_takes_the_default_map_unless_given_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncore, "socket_map", {})
    own: Channels = {}
    default_channel, own_channel = library.dispatcher(), library.dispatcher(map=own)
    assert default_channel._map is asyncore.socket_map
    assert own_channel._map is own


def test_a_connected_socket_makes_a_connected_channel_that_does_not_block() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        with channel_map() as channels:
            channel = Recorder(sock, channels)
            assert channels == {sock.fileno(): channel}
            assert (channel.addr, channel.connected, sock.gettimeout()) == (listener.getsockname(), True, 0.0)


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EINVAL], ids=errno.errorcode.get)
def test_a_socket_without_a_peer_makes_an_unconnected_channel(code: int) -> None:
    sock: Any = StubSocket(setblocking=None, fileno=5, getpeername=OSError(code, "no peer"))
    channels: Channels = {}
    channel = Recorder(sock, channels)
    assert (channel.addr, channel.connected, channels) == (None, False, {5: channel})
    assert sock.calls == [("setblocking", False), ("fileno",), ("getpeername",)]


def test_a_broken_socket_raises_and_stays_out_of_the_map() -> None:
    failure = OSError(errno.EIO, "broken")
    sock: Any = StubSocket(setblocking=None, fileno=5, getpeername=failure)
    channels: Channels = {}
    with pytest.raises(OSError) as caught:
        Recorder(sock, channels)
    assert (caught.value, channels) == (failure, {})


class Named(Recorder):
    """A channel whose repr is compared."""


CLASS = f"{Named.__module__}.Named"


@pytest.mark.parametrize(
    ("address", "flags", "text"),
    [
        pytest.param(None, {}, CLASS, id="fresh"),
        pytest.param(("127.0.0.1", 80), {}, f"{CLASS} 127.0.0.1:80", id="address alone"),
        pytest.param(("127.0.0.1", 80), {"connected": True}, f"{CLASS} connected 127.0.0.1:80", id="connected"),
        pytest.param(None, {"connected": True}, f"{CLASS} connected", id="connected without an address"),
        pytest.param(("127.0.0.1", 80), {"accepting": True}, f"{CLASS} listening 127.0.0.1:80", id="listening"),
        pytest.param(None, {"accepting": True}, CLASS, id="listening without an address"),
        pytest.param("", {"accepting": True, "connected": True}, f"{CLASS} connected ''", id="unnamed Unix socket"),
        pytest.param("/run/it", {"accepting": True}, f"{CLASS} listening '/run/it'", id="Unix path"),
        pytest.param(("::1", 80, 0, 0), {"connected": True}, f"{CLASS} connected ('::1', 80, 0, 0)", id="IPv6"),
    ],
)
def test_repr_shows_class_state_and_address(address: object, flags: dict[str, bool], text: str) -> None:
    channel = channel_over(None, Named, **flags)
    channel.addr = address
    assert repr(channel) == f"<{text} at {id(channel):#x}>"


def test_log_writes_a_line_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    asyncore.dispatcher(map={}).log(["a", 1])
    assert capsys.readouterr() == ("", "log: ['a', 1]\n")


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        pytest.param(("text",), "info: text\n", id="info by default"),
        pytest.param(("text", "error"), "error: text\n", id="error"),
        pytest.param(("text", "warning"), "", id="warning is ignored"),
    ],
)
def test_log_info_prints_type_and_text_unless_the_type_is_ignored(
    arguments: tuple[str, ...], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncore.dispatcher(map={}).log_info(*arguments)
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize(
    ("handler", "warned"),
    [
        pytest.param("handle_expt", "warning: unhandled incoming priority event\n", id="priority"),
        pytest.param("handle_read", "warning: unhandled read event\n", id="read"),
        pytest.param("handle_write", "warning: unhandled write event\n", id="write"),
        pytest.param("handle_connect", "warning: unhandled connect event\n", id="connect"),
        pytest.param("handle_close", "warning: unhandled close event\n", id="close"),
    ],
)
def test_an_event_without_a_handler_prints_a_warning(
    handler: str, warned: str, capsys: pytest.CaptureFixture[str]
) -> None:
    getattr(Talkative(map={}), handler)()
    assert capsys.readouterr() == (warned, "")


def test_an_unhandled_close_closes_the_channel() -> None:
    channel: Any = asyncore.dispatcher(map={})
    channel.socket = StubSocket(close=None)
    channel.handle_close()
    assert channel.socket.calls == [("close",)]


def test_an_unhandled_connection_is_closed_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    connection = StubSocket(close=None)
    channel: Any = Talkative(map={})
    channel.socket = StubSocket(accept=(connection, ("127.0.0.1", 80)))
    channel.handle_accept()
    assert (connection.calls, capsys.readouterr().out) == ([("close",)], "warning: unhandled accepted event\n")


def test_handle_accept_passes_on_no_connection_when_there_is_none() -> None:
    channel: Any = channel_over(StubSocket(accept=OSError(errno.EAGAIN, "none")))
    channel.handle_accepted = None
    channel.handle_accept()
    assert channel.socket.calls == [("accept",)]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        pytest.param(errno.EPIPE, os.strerror(errno.EPIPE), id="known"),
        pytest.param(2**70, f"Unknown error {2**70}", id="not a C int"),
    ],
)
def test_strerror_gives_a_text_for_every_number(code: int, text: str) -> None:
    assert library._strerror(code) == text


def test_strerror_of_an_unknown_number_is_not_empty() -> None:
    assert library._strerror(-1) == os.strerror(-1) != ""


@pytest.mark.parametrize(("code", "text"), [(errno.EPIPE, "EPIPE"), (-1, "Unknown error -1")])
@pytest.mark.parametrize("refusal", [ValueError, OverflowError, NameError])
def test_strerror_falls_back_on_the_name_of_the_number(
    refusal: type[Exception], code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "strerror", StubSocket(strerror=refusal()).strerror)
    assert library._strerror(code) == text


@pytest.mark.parametrize(
    ("flags", "events"),
    [
        pytest.param({"accepting": True, "connecting": True}, ["accept"], id="accepting"),
        pytest.param({"connected": True, "connecting": True}, ["read"], id="connected"),
        pytest.param({"connecting": True}, ["connect event", "read"], id="connecting"),
        pytest.param({}, ["read"], id="never connected"),
    ],
)
def test_a_read_event_is_an_accept_a_connect_or_a_read(flags: dict[str, bool], events: list[str]) -> None:
    assert handlers_called("handle_read_event", flags) == events


@pytest.mark.parametrize(
    ("flags", "events"),
    [
        pytest.param({"accepting": True, "connecting": True}, [], id="accepting"),
        pytest.param({"connected": True, "connecting": True}, ["write"], id="connected"),
        pytest.param({"connecting": True}, ["connect event", "write"], id="connecting"),
        pytest.param({}, ["write"], id="never connected"),
    ],
)
def test_a_write_event_is_a_connect_or_a_write(flags: dict[str, bool], events: list[str]) -> None:
    assert handlers_called("handle_write_event", flags) == events


def handlers_called(event: str, flags: dict[str, bool]) -> list[str]:
    """Which handlers the method *event* calls on a channel with *flags*."""
    channel: Any = channel_over(None, Recorder, **flags)
    called: list[str] = []
    for name in ("accept", "connect_event", "read", "write"):
        setattr(channel, f"handle_{name}", lambda name=name: called.append(name.replace("_", " ")))
    getattr(channel, event)()
    return called


SO_ERROR_ASKED = ("getsockopt", socket.SOL_SOCKET, socket.SO_ERROR)


def test_a_connect_event_without_an_error_connects() -> None:
    channel = channel_over(StubSocket(getsockopt=0), connecting=True)
    channel.handle_connect_event()
    assert (channel.flags, channel.events) == ({**IDLE, "connected": True}, ["connect"])
    assert channel.socket.calls == [SO_ERROR_ASKED]


@pytest.mark.parametrize("code", [1, errno.ECONNREFUSED])
def test_a_connect_event_with_an_error_raises_it(code: int) -> None:
    channel = channel_over(StubSocket(getsockopt=code), connecting=True)
    with pytest.raises(OSError) as caught:
        channel.handle_connect_event()
    assert caught.value.args == (code, os.strerror(code))
    assert (channel.flags, channel.events) == ({**IDLE, "connecting": True}, [])


@pytest.mark.parametrize(
    ("code", "events"),
    [
        pytest.param(0, ["expt"], id="urgent data"),
        pytest.param(1, ["close"], id="an error"),
        pytest.param(errno.ECONNRESET, ["close"], id="reset"),
    ],
)
def test_an_exceptional_condition_is_an_error_or_urgent_data(code: int, events: list[str]) -> None:
    channel = channel_over(StubSocket(getsockopt=code, close=None))
    channel.handle_expt_event()
    assert channel.events == events
    assert channel.socket.calls[0] == SO_ERROR_ASKED


def test_an_unhandled_error_is_logged_and_closes_the_channel(capsys: pytest.CaptureFixture[str]) -> None:
    channel: Any = asyncore.dispatcher(map={})
    channel.socket = StubSocket(close=None)
    where = repr(channel)
    try:
        raise ValueError("bad luck")
    except ValueError:
        channel.handle_error()
    printed = capsys.readouterr().out
    begin = f"error: uncaptured python exception, closing channel {where} (<class 'ValueError'>:bad luck ["
    assert printed.startswith(begin)
    assert re.fullmatch(r"[^|]*\|test_an_unhandled_error_is_logged[^|]*\|\d+\]\)\n", printed[len(begin) :])
    assert channel.socket.calls == [("close",)]


def test_an_unhandled_error_is_logged_even_for_a_channel_without_a_repr(capsys: pytest.CaptureFixture[str]) -> None:
    channel = channel_over(StubSocket(close=None), Failing)
    try:
        raise ValueError("bad luck")
    except ValueError:
        asyncore.dispatcher.handle_error(channel)
    unnamed = (
        f"closing channel <__repr__(self) failed for object at {id(channel):0x}> (<class 'ValueError'>:bad luck ["
    )
    assert unnamed in capsys.readouterr().out
    assert channel.events == ["close"]
