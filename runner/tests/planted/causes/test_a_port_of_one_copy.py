"""A fixed port that one copy alone asks for: it may have been drawn."""

import socket


def test_a_server_of_one_copy(ports, copy):
    if copy == 0:
        socket.create_server(("127.0.0.1", ports["alone"])).close()
