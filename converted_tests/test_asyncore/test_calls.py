"""A dispatcher's calls never wait; on a dead connection they close the channel, on an idle one they do nothing.

The promise is in the library reference of Python 3.11, "asyncore"; the error numbers are those of connect(2),
accept(2), send(2) and recv(2).
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from converted_tests.test_asyncore.support import Channels, Recorder, StubSocket, channel_map, channel_over

DISCONNECTED = [errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN, errno.ECONNABORTED, errno.EPIPE, errno.EBADF]

IDLE = {"connected": False, "accepting": False, "connecting": False}


@pytest.mark.parametrize("code", [errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK], ids=errno.errorcode.get)
def test_a_connect_that_takes_time_leaves_the_channel_connecting(code: int) -> None:
    channel = channel_over(StubSocket(connect_ex=code), connected=True)
    channel.connect(("127.0.0.1", 80))
    assert (channel.flags, channel.addr) == ({**IDLE, "connecting": True}, ("127.0.0.1", 80))
    assert channel.socket.calls == [("connect_ex", ("127.0.0.1", 80))]


@pytest.mark.parametrize("code", [pytest.param(0, id="at once"), pytest.param(errno.EISCONN, id="EISCONN")])
def test_a_connect_that_is_done_calls_handle_connect(code: int) -> None:
    channel = channel_over(StubSocket(connect_ex=code, getsockopt=0))
    channel.connect("/run/it")
    assert (channel.flags, channel.addr, channel.events) == ({**IDLE, "connected": True}, "/run/it", ["connect"])


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EINVAL], ids=errno.errorcode.get)
@pytest.mark.skipif(os.name == "nt", reason="on Windows EINVAL means that the connection takes time")
def test_a_connect_that_fails_raises_the_number_and_its_name(code: int) -> None:
    channel = channel_over(StubSocket(connect_ex=code))
    with pytest.raises(OSError) as caught:
        channel.connect(("127.0.0.1", 80))
    assert caught.value.args == (code, errno.errorcode[code])
    assert (channel.addr, channel.events) == (None, [])


def test_accept_gives_the_connection_and_its_address() -> None:
    connection = object()
    channel = channel_over(StubSocket(accept=(connection, ("127.0.0.1", 80))))
    assert channel.accept() == (connection, ("127.0.0.1", 80))


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(OSError(errno.EWOULDBLOCK, "nobody"), id="EWOULDBLOCK"),
        pytest.param(OSError(errno.EAGAIN, "nobody"), id="EAGAIN"),
        pytest.param(OSError(errno.ECONNABORTED, "gone"), id="ECONNABORTED"),
        pytest.param(TypeError("None is no pair"), id="a socket that gives None"),
    ],
)
def test_accept_returns_none_if_the_connection_has_gone(nothing: Exception) -> None:
    assert channel_over(StubSocket(accept=nothing)).accept() is None


def call_accept(channel: Recorder) -> object:
    return channel.accept()


def call_send(channel: Recorder) -> object:
    return channel.send(b"data")


def call_recv(channel: Recorder) -> object:
    return channel.recv(10)


@pytest.mark.parametrize("call", [call_accept, call_send, call_recv])
def test_an_error_of_another_kind_is_raised(call: Callable[[Recorder], object]) -> None:
    failure = OSError(errno.EIO, "broken")
    channel = channel_over(StubSocket(accept=failure, send=failure, recv=failure))
    with pytest.raises(OSError) as caught:
        call(channel)
    assert (caught.value, channel.events) == (failure, [])


def test_recv_raises_when_there_is_nothing_to_read_yet() -> None:
    left, right = socket.socketpair()
    with left, right, channel_map() as channels, pytest.raises(BlockingIOError):
        Recorder(left, channels).recv(10)


@pytest.mark.parametrize("code", DISCONNECTED, ids=errno.errorcode.get)
@pytest.mark.parametrize(("call", "nothing"), [(call_send, 0), (call_recv, b"")])
def test_send_and_recv_on_a_dead_connection_close_and_give_nothing(
    call: Callable[[Recorder], object], nothing: object, code: int
) -> None:
    failure = OSError(code, "gone")
    channel = channel_over(StubSocket(send=failure, recv=failure, close=None))
    assert (call(channel), channel.events) == (nothing, ["close"])


def test_recv_at_the_end_of_file_closes_and_gives_nothing() -> None:
    channel = channel_over(StubSocket(recv=b"", close=None))
    assert (channel.recv(10), channel.events) == (b"", ["close"])
    assert channel.socket.calls == [("recv", 10), ("close",)]


def test_recv_gives_what_came_up_to_the_size() -> None:
    channel = channel_over(StubSocket(recv=b"data"))
    assert (channel.recv(10), channel.events, channel.socket.calls) == (b"data", [], [("recv", 10)])


def test_send_gives_how_many_bytes_went_out() -> None:
    channel = channel_over(StubSocket(send=3))
    assert (channel.send(b"data"), channel.socket.calls) == (3, [("send", b"data")])


def test_send_into_a_full_buffer_sends_nothing_and_does_not_close() -> None:
    channel = channel_over(StubSocket(send=OSError(errno.EWOULDBLOCK, "full")))
    assert (channel.send(b"data"), channel.events) == (0, [])


def test_close_leaves_the_map_and_resets_every_flag() -> None:
    channels: Channels = {}
    channel = Recorder(map=channels)
    sock: Any = StubSocket(fileno=5, close=None)
    channel.set_socket(sock)
    channel.connected = channel.accepting = channel.connecting = True
    assert channels == {5: channel}
    channel.close()
    assert (channel.flags, channels, sock.calls) == (IDLE, {}, [("fileno",), ("close",)])


def test_closing_a_channel_without_a_socket_is_allowed() -> None:
    channel = Recorder(map={})
    channel.close()
    assert channel.flags == IDLE


@pytest.mark.parametrize("code", [errno.ENOTCONN, errno.EBADF], ids=errno.errorcode.get)
def test_close_ignores_that_the_socket_is_gone(code: int) -> None:
    channel = channel_over(StubSocket(close=OSError(code, "gone")), connected=True)
    channel.close()
    assert channel.flags == IDLE


def test_close_raises_any_other_error() -> None:
    failure = OSError(errno.EIO, "broken")
    with pytest.raises(OSError) as caught:
        channel_over(StubSocket(close=failure)).close()
    assert caught.value is failure


def test_set_reuse_addr_gives_up_quietly_where_the_option_is_refused() -> None:
    channel = channel_over(StubSocket(getsockopt=OSError(errno.ENOPROTOOPT, "unknown")))
    channel.set_reuse_addr()
    assert channel.socket.calls == [("getsockopt", socket.SOL_SOCKET, socket.SO_REUSEADDR)]


def test_set_reuse_addr_keeps_the_bits_that_were_set() -> None:
    channel = channel_over(StubSocket(getsockopt=4, setsockopt=None))
    channel.set_reuse_addr()
    assert channel.socket.calls[1:] == [("setsockopt", socket.SOL_SOCKET, socket.SO_REUSEADDR, 5)]


@pytest.mark.skipif(os.name == "nt", reason="Windows takes no backlog above 5")
def test_listen_passes_on_the_backlog_and_its_result() -> None:
    channel: Any = channel_over(StubSocket(listen="done"))
    assert (channel.listen(7), channel.socket.calls, channel.accepting) == ("done", [("listen", 7)], True)


def test_bind_keeps_the_address_and_passes_it_on() -> None:
    channel: Any = channel_over(StubSocket(bind="done"))
    assert channel.bind(("127.0.0.1", 0)) == "done"
    assert (channel.addr, channel.socket.calls) == (("127.0.0.1", 0), [("bind", ("127.0.0.1", 0))])
