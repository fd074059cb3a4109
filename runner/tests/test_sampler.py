"""The sampler on real sockets of this process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.events import Endpoint, Event, Seen, StrangerSeen
from parasuite.model.words import Protocol, SocketState
from parasuite.sensors import sampler


def own() -> sampler.Sampler:
    """A sampler for which this process is copy 3."""
    return sampler.Sampler(lambda: {os.getpid(): 3}, lambda _copy: "", with_strangers=True)


def ports(made: sampler.Sampler) -> set[int]:
    return {event.endpoint.port for event in made.sample() if isinstance(event, Seen)}


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::ffff:127.0.0.1")],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_listener_of_a_copy_is_seen(family: int, host: str, kind: socket.SocketKind) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind((host, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        assert sock.getsockname()[1] in ports(own())


def strangers(events: list[Event], port: int) -> list[StrangerSeen]:
    return [event for event in events if isinstance(event, StrangerSeen) and event.endpoint.port == port]


def test_a_listener_of_a_process_outside_the_run_is_reported_with_its_name_until_it_is_gone() -> None:
    made = sampler.Sampler(dict, lambda _copy: "", with_strangers=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(Protocol.TCP, *listener.getsockname())
        (seen,) = strangers(made.sample(), endpoint.port)
        (holder,) = seen.holders
        assert (seen.endpoint, holder.party, holder.pid) == (endpoint, None, os.getpid())
        assert (holder.name, holder.state) == (psutil.Process().name(), SocketState.LISTEN)
        assert holder.command
        assert holder.start_s == psutil.Process().create_time()
        assert strangers(made.sample(), endpoint.port) == []
    (gone,) = strangers(made.sample(), endpoint.port)
    assert (gone.is_gone, gone.socket, gone.holders) == (True, seen.socket, ())


def test_beside_another_sensor_only_strangers_on_a_port_of_a_copy_are_reported() -> None:
    program = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    with socket.socket() as stranger, socket.create_server(("127.0.0.1", 0)) as unrelated:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        listen = f"import socket; s = socket.create_server(('127.0.0.1', {port}), reuse_port=True); "
        with subprocess.Popen([*program[:2], listen + program[2]], stdout=subprocess.PIPE) as child:
            try:
                assert child.stdout is not None
                child.stdout.readline()
                beside = sampler.Sampler(lambda: {child.pid: 3}, lambda _copy: "")
                seen = [event for event in beside.sample() if isinstance(event, StrangerSeen)]
            finally:
                child.kill()
    assert [event.endpoint.port for event in seen] == [port]
    assert [holder.pid for event in seen for holder in event.holders] == [os.getpid()]
    assert unrelated.fileno() < 0


@pytest.mark.parametrize("made", [own(), sampler.Sampler(dict, lambda _copy: "")], ids=["a copy's", "not asked for"])
def test_a_listener_of_a_copy_and_one_that_was_not_asked_for_are_no_strangers(made: sampler.Sampler) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert strangers(made.sample(), listener.getsockname()[1]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names a socket by its inode")
def test_an_address_is_not_told_of_the_socket_that_has_its_descriptor_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as later:
        name_of = sampler._socket_id
        monkeypatch.setattr(sampler, "_socket_id", lambda pid, _descriptor: name_of(pid, later.fileno()))
        assert listener.getsockname()[1] not in ports(own())


@given(st.floats(0, 1000))
def test_a_sample_is_due_at_most_once_a_second_and_takes_a_tenth_of_a_processor_at_most(spent_s: float) -> None:
    period_s = sampler.period_s(spent_s, beside_exact=False)
    assert period_s >= 1
    assert spent_s <= period_s / 10 * (1 + 1e-9)


@given(st.floats(0, 1000))
def test_beside_an_exact_sensor_a_sample_takes_a_hundredth_of_a_processor_at_most(spent_s: float) -> None:
    period_s = sampler.period_s(spent_s, beside_exact=True)
    assert period_s >= 1
    assert spent_s <= period_s / 100 * (1 + 1e-9)
