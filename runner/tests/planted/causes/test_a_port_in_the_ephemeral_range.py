"""A fixed port from the range that the kernel draws from."""

import socket


def test_a_server_in_the_ephemeral_range(ports, in_turn):
    in_turn(lambda: socket.create_server(("127.0.0.1", ports["ephemeral"])).close())
