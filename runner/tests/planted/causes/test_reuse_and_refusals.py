"""A fixed port with SO_REUSEPORT: two copies share it, the others, without the option, are refused."""

import socket

import pytest


def server(port, reuse_port):
    return socket.create_server(("127.0.0.1", port), reuse_port=reuse_port)


def test_shared_and_refused(ports, meet, copy):
    shared = server(ports["reuse"], True) if copy < 2 else None
    meet("shared")
    if copy >= 2:
        with pytest.raises(OSError, match="in use"):
            server(ports["reuse"], False)
    meet("refused")
    if shared:
        shared.close()
