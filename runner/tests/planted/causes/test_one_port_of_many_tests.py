"""One fixed port, used by 40 tests in every copy; all but one copy are refused."""

import socket

import pytest


@pytest.mark.parametrize("number", range(40))
def test_with_a_server(number, ports, in_the_way):
    port = ports["many"]
    in_the_way(lambda: socket.create_server(("127.0.0.1", port)), lambda: socket.create_server(("127.0.0.1", port)))
