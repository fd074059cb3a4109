"""UDP port 0 with SO_REUSEADDR."""

import socket


def test_datagrams_of_a_reusable_port():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
