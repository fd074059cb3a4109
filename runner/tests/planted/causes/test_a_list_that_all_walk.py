"""A function with a list of ports that takes the first that is free."""

import socket


def first_free(ports):
    for port in ports:
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.close()
            continue
        sock.listen()
        return sock
    raise RuntimeError("no port is free")


def test_the_first_free_port(ports, meet):
    with first_free([ports[f"list_{number}"] for number in range(6)]):
        meet("up")
