"""Two helpers draw: the one that other files use, too, and one of its own."""

import socket

import helpers


def test_with_another_helpers_port():
    socket.create_server(("127.0.0.1", helpers.unused_port())).close()


def own_draw():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_with_its_own_helpers_port():
    socket.create_server(("127.0.0.1", own_draw())).close()
