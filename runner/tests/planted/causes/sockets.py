"""Sockets for the causes. The tests below call them from lines of their own."""

import socket

HERE = "127.0.0.1"
IP_LOCAL_PORT_RANGE = 51  # ip(7), Linux 6.3


def assigned(port):
    """A listener that asked for port 0 and that the kernel gave *port*, as it may give it to any process."""
    server = socket.socket()
    server.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, (port << 16 | port).to_bytes(4, "little"))
    server.bind((HERE, 0))
    server.listen()
    return server
