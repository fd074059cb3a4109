"""A port that was drawn and given back, and that the kernel gave to another copy before the server was bound."""

import socket

import sockets


def draw():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_server_on_a_drawn_port(meet, copy):
    said = meet("drawn", str(draw()) if copy == 0 else "")
    taken = sockets.assigned(int(said[0])) if copy == 1 else None
    meet("taken")
    try:
        if copy == 0:
            socket.create_server(("127.0.0.1", int(said[0])))
    finally:
        meet("tried")
        if taken:
            taken.close()
