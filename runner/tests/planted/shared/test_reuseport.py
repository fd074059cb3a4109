"""Two copies listen on one port at once by SO_REUSEPORT, and nothing fails."""

import socket


def test_a_server_shares_its_port(port, until_all_seen):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        until_all_seen(port)
