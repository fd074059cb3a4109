"""The sampler on real sockets of this process."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.events import Seen
from parasuite.sensors import sampler


def own() -> sampler.Sampler:
    """A sampler for which this process is copy 3."""
    return sampler.Sampler(lambda: {os.getpid(): 3}, lambda _copy: "")


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
