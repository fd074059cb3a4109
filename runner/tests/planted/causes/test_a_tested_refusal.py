"""A test that is refused a port by a server of its own session, and by one of its own: nothing to fix."""

import socket

import pytest


@pytest.fixture(scope="session")
def server():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_second_server_is_refused(server):
    with pytest.raises(OSError, match="in use"):
        socket.create_server(server.getsockname())


def test_a_second_server_of_one_test_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as first, pytest.raises(OSError, match="in use"):
        socket.create_server(first.getsockname())
