"""A helper that waits until its fixed port is free: the copies queue up."""

import socket

import pytest


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_that_waits_for_its_port(ports, in_the_way, wait_until):
    port = ports["probed"]
    in_the_way(lambda: socket.create_server(("127.0.0.1", port)), lambda: is_free(port))
    wait_until(lambda: is_free(port), "the port was never free")
