"""A fixture with two fixed ports: refused both, it goes on without the first, and fails at the second."""

import contextlib
import socket

import pytest


@pytest.fixture
def services(ports, meet, copy):
    first, second = ports["fixture_first"], ports["fixture_second"]
    with contextlib.ExitStack() as stack:
        if copy == 0:
            stack.enter_context(socket.create_server(("127.0.0.1", first)))
            stack.enter_context(socket.create_server(("127.0.0.1", second)))
        meet("held")
        try:
            if copy != 0:
                with contextlib.suppress(OSError):
                    stack.enter_context(socket.create_server(("127.0.0.1", first)))
                stack.enter_context(socket.create_server(("127.0.0.1", second)))
        finally:
            meet("tried")
        yield


def test_with_two_services(services):
    pass
