"""asyncore's dispatcher_with_send keeps what the socket does not take yet and sends it later, in order.

The promise is in the library reference of Python 3.11, "asyncore".
"""

from __future__ import annotations

import asyncore
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.test_asyncore.support import Channels, Scenario, SlowSocket, StubSocket, in_every_scenario

library: Any = asyncore


class Buffered(library.dispatcher_with_send):  # type: ignore[misc]
    """A client that keeps what is not sent yet."""

    def handle_connect(self) -> None:
        """Nothing to do."""

    def handle_read(self) -> None:
        self.recv(64)


@in_every_scenario
def test_what_is_sent_in_two_goes_arrives_whole_and_in_order(scenario: Scenario, channels: Channels) -> None:
    first, second = bytes(range(256)) * 2000, b"the end"
    listener = scenario.listen(channels)
    client = scenario.dial(listener.socket.getsockname(), channels, Buffered)
    scenario.run(lambda: client.connected and listener.accepted, channels)
    client.send(first)
    client.send(second)
    assert client.out_buffer.endswith(second)
    scenario.run(lambda: not client.out_buffer, channels)
    client.close()
    server = listener.accepted[0]
    scenario.run(lambda: "close" in server.events, channels)
    assert server.received == first + second


def buffered_over(**answers: Any) -> Any:
    channel = Buffered(map={})
    channel.socket = StubSocket(**answers)
    return channel


def test_a_buffered_send_offers_the_socket_64_kilobytes_at_a_time() -> None:
    channel = buffered_over(send=65536)
    channel.send(b"a" * 65537)
    assert (channel.socket.calls, channel.out_buffer) == ([("send", b"a" * 65536)], b"a")


def test_a_buffered_send_keeps_what_the_socket_did_not_take() -> None:
    channel = buffered_over(send=3)
    channel.send(b"abcde")
    channel.send(b"fgh")
    channel.handle_write()
    assert channel.socket.calls == [("send", b"abcde"), ("send", b"defgh"), ("send", b"gh")]
    assert channel.out_buffer == b""


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(0, 9), max_size=20))
def test_everything_arrives_in_order_however_little_the_socket_takes(pieces: list[bytes], sizes: list[int]) -> None:
    channel = buffered_over()
    channel.socket = SlowSocket(sizes)
    for piece in pieces:
        channel.send(piece)
    for _ in range(len(sizes) + 1):
        channel.handle_write()
    assert (channel.socket.sent, channel.out_buffer) == (b"".join(pieces), b"")


def test_a_buffered_channel_is_writable_while_unconnected_or_unsent() -> None:
    channel = buffered_over()
    assert (channel.out_buffer, channel.writable()) == (b"", True)
    channel.connected = True
    assert not channel.writable()
    channel.out_buffer = b"data"
    assert channel.writable()


@pytest.mark.parametrize(("debug", "printed"), [(False, ""), (True, "info: sending b'data'\n")])
def test_a_buffered_send_is_logged_when_debugging(
    debug: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    channel = buffered_over(send=4)
    channel.debug = debug
    channel.send(b"data")
    assert capsys.readouterr().out == printed


def test_a_buffered_channel_takes_a_socket_and_a_map(channels: Channels) -> None:
    left, right = socket.socketpair()
    with right:
        channel = Buffered(left, channels)
        assert (channels, channel.connected) == ({left.fileno(): channel}, True)
