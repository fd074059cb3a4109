"""A test that leaves its listener open, and a later one that wants the port."""

import socket

LEFT = []


def left_open():
    LEFT.append(socket.create_server(("127.0.0.1", 0)))


def test_that_leaves_its_listener():
    left_open()


def test_that_wants_the_port():
    try:
        socket.create_server(LEFT[0].getsockname())
    finally:
        LEFT.pop().close()
