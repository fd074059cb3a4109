"""The abstract name of a Unix socket that is the same in every copy."""

import os
import socket


def test_a_server_on_a_name(in_turn):
    in_turn(on_name)


def on_name():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0" + os.environ["PLANTED_NAME"])
