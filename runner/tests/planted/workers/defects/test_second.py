"""What one worker does to another, the other's half."""

import os
import socket

import pytest


def test_refused(meeting, fixed_port, listening):
    meeting.hear("listening")
    with pytest.raises(OSError, match="in use"):
        listening(fixed_port)
    meeting.tell("refused")


def test_crosstalk(meeting, listening):
    with listening(meeting.hear("released")):
        meeting.tell("listening")
        meeting.hear("connected")


def test_shared(meeting, fixed_port):
    meeting.hear("bound")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", int(fixed_port)))
        meeting.tell("bound beside it")


def test_hard_coded_name(meeting):
    meeting.hear("closed")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0" + os.environ["PLANTED_NAME"])
