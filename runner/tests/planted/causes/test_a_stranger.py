"""Two clients of a server that runs outside of the run."""

import socket


def test_a_client_of_a_stranger(ports):
    socket.create_connection(("127.0.0.1", ports["stranger"])).close()


def test_another_client_of_the_stranger(ports):
    socket.create_connection(("127.0.0.1", ports["stranger"])).close()
