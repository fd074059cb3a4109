"""A listener that other hosts can reach."""

import socket


def test_a_server_on_every_address(until_seen):
    with socket.create_server(("0.0.0.0", 0)) as server:
        until_seen(server.getsockname()[1])
