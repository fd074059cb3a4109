"""One helper that draws a port and gives it back, used by twelve tests."""

import socket

import helpers
import pytest


@pytest.mark.parametrize("number", range(12))
def test_with_a_drawn_port(number):
    socket.create_server(("127.0.0.1", helpers.free_port())).close()
