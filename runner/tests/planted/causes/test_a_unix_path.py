"""The path of a Unix socket that is the same in every copy."""

import os
import socket


def test_a_server_on_a_path(in_turn):
    in_turn(on_path)


def on_path():
    path = os.environ["PLANTED_PATH"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    os.unlink(path)
