"""Two listeners that other hosts can reach, opened by one function."""

import socket


def anywhere():
    return socket.create_server(("0.0.0.0", 0))


def test_a_server_for_everybody():
    anywhere().close()


def test_another_server_for_everybody():
    anywhere().close()
