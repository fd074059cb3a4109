"""One helper starts two services and ignores that one is refused: the second is no way out for the first."""

import socket


def start(port):
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def test_a_stack_of_services(ports, meet):
    api = start(ports["api"])
    admin = start(0)
    meet("up")
    for server in (api, admin):
        if server:
            server.close()
