"""What two workers may do at once, this one's half."""

import os
import socket

import pytest


def test_a_server_that_both_use(meeting, listening):
    with listening() as server:
        meeting.tell("address", server.getsockname()[1])
        meeting.hear("connected")


def test_a_worker_refuses_itself(meeting, listening):
    meeting.tell("here")
    with listening() as server, pytest.raises(OSError, match="in use"):
        listening(server.getsockname()[1])


def test_a_server_that_forks_before_it_listens(meeting):
    meeting.tell("here")
    with socket.socket() as parent:
        parent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        parent.bind(("127.0.0.1", 0))
        parent.listen()
        children = [os.fork() for _ in range(2)]
        if 0 in children:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind(parent.getsockname())
                sock.listen()
            os._exit(0)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
