"""A client that was told the port of another copy's server."""

import socket


def test_a_client_of_another_copy(meet, copy):
    server = socket.create_server(("127.0.0.1", 0)) if copy == 1 else None
    said = meet("up", str(server.getsockname()[1]) if server else "")
    if copy == 0:
        socket.create_connection(("127.0.0.1", int(said[1]))).close()
    meet("met")
    if server:
        server.close()
