"""What one worker does to another, this one's half."""

import os
import socket


def test_refused(meeting, fixed_port, listening):
    with listening(fixed_port):
        meeting.tell("listening")
        meeting.hear("refused")


def test_crosstalk(meeting, listening):
    with listening() as drawn:
        address = drawn.getsockname()
    meeting.tell("released", address[1])
    meeting.hear("listening")
    socket.create_connection(address).close()
    meeting.tell("connected")


def test_shared(meeting, fixed_port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", int(fixed_port)))
        meeting.tell("bound")
        meeting.hear("bound beside it")


def test_hard_coded_name(meeting):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0" + os.environ["PLANTED_NAME"])
    meeting.tell("closed")
