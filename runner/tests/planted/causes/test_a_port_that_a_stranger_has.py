"""A fixed port that a process outside the run has."""

import socket


def test_a_server_in_the_strangers_way(ports):
    socket.create_server(("127.0.0.1", ports["foreign"]))
