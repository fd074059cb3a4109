"""A client of a port that was given back: it expects that nobody answers, and another copy's server does."""

import socket

import pytest
import sockets


def given_back():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_client_that_is_answered(meet, copy):
    said = meet("drawn", str(given_back()) if copy == 0 else "")
    taken = sockets.assigned(int(said[0])) if copy == 1 else None
    meet("taken")
    try:
        if copy == 0:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(said[0]))).close()
    finally:
        meet("tried")
        if taken:
            taken.close()
