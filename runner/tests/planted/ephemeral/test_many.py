"""300 listeners on ports of the kernel's choice: numbers come again in other copies, by chance and by right."""

import socket


def test_three_hundred_listeners(until_seen):
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(300)]
    until_seen(*(server.getsockname()[1] for server in servers))
    for server in servers:
        server.close()
