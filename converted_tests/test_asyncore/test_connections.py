"""Over real connections asyncore calls each handler when its event happens, with select and with poll.

The promise is in the library reference of Python 3.11, "asyncore"; what a kernel reports is in tcp(7), unix(7),
select(2) and poll(2).
"""

from __future__ import annotations

import asyncore
import errno
import os
import select
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, Peer, Reset, listening, open_listener, transcript
from converted_tests.test_asyncore.support import (
    Channels,
    Listener,
    Recorder,
    Scenario,
    in_every_scenario,
    needs_poll,
    over_tcp,
    run_until,
    with_select,
)

CONNECTED = {"connected": True, "accepting": False, "connecting": False}

IDLE = {"connected": False, "accepting": False, "connecting": False}

LISTENING = {"connected": False, "accepting": True, "connecting": False}

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""For SO_LINGER: abort the connection by the close."""


@in_every_scenario
def test_handle_connect_is_called_at_the_client_once_it_is_connected(scenario: Scenario, channels: Channels) -> None:
    with open_listener(scenario.family, scenario.path) as listener:
        client = scenario.dial(listener.getsockname(), channels)
        scenario.run(lambda: client.connected, channels)
        assert (client.events, client.flags, client.addr) == (["connect"], CONNECTED, listener.getsockname())


class ByHand(Listener):
    """Accepts connections itself, which by default are accepted for handle_accepted."""

    def handle_accept(self) -> None:
        self.pair: Any = self.accept()


@in_every_scenario
def test_handle_accept_is_called_on_a_listener_where_accept_gives_a_pair(
    scenario: Scenario, channels: Channels
) -> None:
    listener = ByHand(scenario.family, scenario.address, channels)
    with socket.socket(scenario.family) as client:
        client.connect(listener.socket.getsockname())
        scenario.run(lambda: hasattr(listener, "pair"), channels)
        connection, address = listener.pair
        with connection:
            assert connection.getsockname() == client.getpeername()
            assert (address, listener.flags, listener.events) == (client.getsockname(), LISTENING, [])
        assert listener.accept() is None


@in_every_scenario
def test_handle_accepted_gets_the_connection_and_its_address(scenario: Scenario, channels: Channels) -> None:
    listener = scenario.listen(channels)
    with socket.socket(scenario.family) as client:
        client.connect(listener.socket.getsockname())
        scenario.run(lambda: listener.accepted, channels)
        assert listener.events == [f"accepted {client.getsockname()!r}"]
        server = listener.accepted[0]
        assert (server.flags, server.addr) == (CONNECTED, client.getsockname())
        assert set(channels.values()) == {listener, server}


@in_every_scenario
def test_handle_read_is_called_when_data_arrives(scenario: Scenario, channels: Channels) -> None:
    client, server = scenario.connect(channels)
    server.socket.send(b"here you are")
    scenario.run(lambda: client.received, channels)
    assert (client.events, client.received, server.events) == (["read"], b"here you are", [])


@in_every_scenario
def test_handle_write_is_called_when_the_socket_takes_data(scenario: Scenario, channels: Channels) -> None:
    client, server = scenario.connect(channels)
    client.outgoing = b"here you are"
    scenario.run(lambda: server.received, channels)
    assert (client.events, server.events, server.received) == (["write"], ["read"], b"here you are")


@in_every_scenario
def test_handle_close_is_called_when_the_peer_closes(scenario: Scenario, channels: Channels) -> None:
    client, server = scenario.connect(channels)
    server.close()
    scenario.run(lambda: client.events, channels)
    assert (client.events, client.flags, channels) == (["close"], IDLE, {})


def lose_the_peer_while_sending(scenario: Scenario, channels: Channels) -> Recorder:
    """A client that has noticed that its peer closed without reading most of what the client sent."""
    client, server = scenario.connect(channels)
    server.readable = lambda: False  # type: ignore[method-assign]
    client.outgoing = bytes(8_000_000)
    scenario.run(lambda: client.events, channels)
    server.close()
    scenario.run(lambda: client.closes, channels)
    return client


@in_every_scenario
def test_a_peer_that_disappears_during_sending_closes_the_channel(scenario: Scenario, channels: Channels) -> None:
    client = lose_the_peer_while_sending(scenario, channels)
    assert (client.events[-1], client.flags, channels) == ("close", IDLE, {})


@with_select
def test_with_select_handle_close_is_called_once_after_the_peer_has_gone(
    scenario: Scenario, channels: Channels
) -> None:
    assert lose_the_peer_while_sending(scenario, channels).closes == 1


@needs_poll
def test_by_poll_each_sign_of_the_end_calls_handle_close(channels: Channels) -> None:
    left, right = socket.socketpair()
    channel = Recorder(left, channels)
    right.close()
    asyncore.readwrite(channel, select.POLLIN | select.POLLHUP)
    assert (channel.closes, channel.flags, channels) == (2, IDLE, {})


@over_tcp
def test_an_urgent_byte_calls_handle_expt(scenario: Scenario, channels: Channels) -> None:
    client, server = scenario.connect(channels)
    client.socket.send(b"!", socket.MSG_OOB)
    scenario.run(lambda: server.events, channels)
    assert (server.events[0], server.socket.recv(1, socket.MSG_OOB)) == ("expt", b"!")


class Careless(Recorder):
    """Its handler for reading fails; what that led to is in `errors`."""

    def __init__(self, sock: socket.socket | None = None, map: Channels | None = None) -> None:
        self.errors: list[BaseException | None] = []
        super().__init__(sock, map)

    def handle_read(self) -> None:
        raise ValueError("what is this?")

    def handle_error(self) -> None:
        self.errors.append(sys.exc_info()[1])


@in_every_scenario
def test_an_exception_in_a_handler_calls_handle_error_while_it_is_handled(
    scenario: Scenario, channels: Channels
) -> None:
    with open_listener(scenario.family, scenario.path) as listener:
        client = scenario.dial(listener.getsockname(), channels, Careless)
        server, _address = listener.accept()
        with server:
            scenario.run(lambda: client.connected, channels)
            server.send(b"!")
            scenario.run(lambda: client.errors, channels)
        assert [repr(error) for error in client.errors] == ["ValueError('what is this?')"]


@in_every_scenario
def test_flags_follow_the_life_of_a_connection(scenario: Scenario, channels: Channels) -> None:
    listener = Recorder(map=channels)
    assert listener.flags == IDLE
    listener.create_socket(scenario.family)
    listener.bind(scenario.address)
    assert listener.flags == IDLE
    listener.close()
    scenario.path.unlink(missing_ok=True)

    listener = scenario.listen(channels)
    assert listener.flags == LISTENING
    client = scenario.dial(listener.socket.getsockname(), channels)
    assert client.flags in (CONNECTED, {**IDLE, "connecting": True})
    scenario.run(lambda: client.connected and listener.accepted, channels)
    server = listener.accepted[0]
    assert (listener.flags, client.flags, server.flags) == (LISTENING, CONNECTED, CONNECTED)

    server.close()
    assert (server.flags, client.flags) == (IDLE, CONNECTED)
    scenario.run(lambda: not client.connected, channels)
    listener.close()
    assert (client.flags, listener.flags, channels) == (IDLE, IDLE, {})


@in_every_scenario
def test_create_socket_makes_a_stream_socket_that_neither_blocks_nor_is_inherited(
    scenario: Scenario, channels: Channels
) -> None:
    channel: Any = Recorder(map=channels)
    channel.create_socket(scenario.family)
    sock = channel.socket
    assert (sock.family, sock.type) == channel.family_and_type == (scenario.family, socket.SOCK_STREAM)
    assert (sock.gettimeout(), os.get_inheritable(sock.fileno())) == (0.0, False)
    assert channels == {sock.fileno(): channel}


def test_create_socket_makes_a_tcp_socket_by_default(channels: Channels) -> None:
    stream: Any = Recorder(map=channels)
    stream.create_socket()
    datagram: Any = Recorder(map=channels)
    datagram.create_socket(type=socket.SOCK_DGRAM)
    kinds = [(channel.socket.family, channel.socket.type) for channel in (stream, datagram)]
    assert kinds == [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)]


@over_tcp
def test_binding_a_port_that_another_channel_has_raises(scenario: Scenario, channels: Channels) -> None:
    taken = scenario.listen(channels).socket.getsockname()
    other = Recorder(map=channels)
    other.create_socket(scenario.family)
    with pytest.raises(OSError) as caught:
        other.bind(taken)
    assert caught.value.errno == errno.EADDRINUSE


@over_tcp
def test_set_reuse_addr_sets_the_option_which_is_off_before(scenario: Scenario, channels: Channels) -> None:
    channel = Recorder(map=channels)
    channel.create_socket(scenario.family)
    before = channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    channel.set_reuse_addr()
    after = channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert (bool(before), bool(after)) == (False, True)


@in_every_scenario
def test_a_client_that_connects_and_resets_at_once_does_not_break_the_server(
    scenario: Scenario, channels: Channels
) -> None:
    listener = scenario.listen(channels)
    with socket.socket(scenario.family) as hasty:
        hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        hasty.connect(listener.socket.getsockname())
    scenario.run(lambda: len(listener.accepted) == 1 and not listener.accepted[0].connected, channels)

    with socket.socket(scenario.family) as patient:
        patient.connect(listener.socket.getsockname())
        patient.send(b"hello")
        scenario.run(lambda: listener.accepted[-1].received, channels)
    assert (len(listener.accepted), listener.accepted[1].received) == (2, b"hello")


@over_tcp
def test_a_refused_connection_raises_out_of_the_connect_event(scenario: Scenario, channels: Channels) -> None:
    with socket.socket(scenario.family) as nobody:
        nobody.bind(scenario.address)
        client = scenario.dial(nobody.getsockname(), channels)
        assert client.flags == {**IDLE, "connecting": True}
        with pytest.raises(ConnectionRefusedError):
            scenario.run(lambda: client.connected, channels)
        assert client.flags == {**IDLE, "connecting": True}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Unix sockets are missing on this platform")
def test_a_connect_that_is_refused_at_once_raises(tmp_path: Path, channels: Channels) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(path)
        client = Recorder(map=channels)
        client.create_socket(socket.AF_UNIX)
        with pytest.raises(OSError) as caught:
            client.connect(path)
    assert caught.value.args == (errno.ECONNREFUSED, "ECONNREFUSED")
    assert client.events == []


class Chatter(Recorder):
    """Answers each line with the line in capitals and hangs up after `bye`."""

    def handle_read(self) -> None:
        super().handle_read()
        while b"\r\n" in self.received:
            line, self.received = self.received.split(b"\r\n", 1)
            self.outgoing += line.upper() + b"\r\n"

    def handle_write(self) -> None:
        super().handle_write()
        if self.outgoing == b"" and self.received == b"bye":
            self.close()


@in_every_scenario
def test_a_dialogue_with_a_server_ends_the_loop_by_itself(scenario: Scenario, channels: Channels) -> None:
    script = transcript("""
        S: hello
        C: HELLO
        S: how are you?
        C: HOW ARE YOU?
    """)
    with listening(script, family=scenario.family, path=scenario.path) as server:
        client = scenario.dial(server.address, channels, Chatter)
        asyncore.loop(TIMEOUT_S, scenario.use_poll, channels)
    assert client.events == ["connect", "read", "write", "read", "write", "close"]


def aborts_after_one_line() -> Peer:
    yield b"hello\r\n"
    yield Reset()


@over_tcp
def test_a_reset_by_the_server_is_a_close(scenario: Scenario, channels: Channels) -> None:
    with listening(aborts_after_one_line(), family=scenario.family) as server:
        client = scenario.dial(server.address, channels, Chatter)
        client.outgoing = b"go on\r\n"
        scenario.run(lambda: not channels, channels)
    assert client.events[-1] == "close"


@needs_poll
def test_a_descriptor_closed_behind_the_loops_back_closes_its_channel(channels: Channels) -> None:
    left, right = socket.socketpair()
    with right:
        channel = Recorder(left, channels)
        os.close(left.detach())
        run_until(lambda: channel.events, channels, use_poll=True)
    assert (channel.events, channels) == (["close"], {})
