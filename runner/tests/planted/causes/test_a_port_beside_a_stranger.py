"""A server that a process outside the run has let in beside itself, in one copy."""

import socket


def test_a_server_beside_a_stranger(ports, copy):
    if copy == 0:
        socket.create_server(("127.0.0.1", ports["beside"]), reuse_port=True).close()
