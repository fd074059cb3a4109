"""One fixed port for TCP and UDP."""

import socket

import pytest


def datagrams(port):
    sock = socket.socket(type=socket.SOCK_DGRAM)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def is_refused(server, port):
    with pytest.raises(OSError, match="in use"):
        server(port)


def test_streams(ports, in_the_way):
    port = ports["both"]
    in_the_way(lambda: _stream(port), lambda: is_refused(_stream, port))


def _stream(port):
    return socket.create_server(("127.0.0.1", port))


def test_datagrams(ports, in_the_way):
    port = ports["both"]
    in_the_way(lambda: datagrams(port), lambda: is_refused(datagrams, port))
