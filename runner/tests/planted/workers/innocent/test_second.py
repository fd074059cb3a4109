"""What two workers may do at once, the other's half."""

import socket

import pytest


def test_a_server_that_both_use(meeting):
    port = int(meeting.hear("address"))
    socket.create_connection(("127.0.0.1", port)).close()
    meeting.tell("connected")


def test_a_worker_refuses_itself(meeting, listening):
    meeting.hear("here")
    with listening() as server, pytest.raises(OSError, match="in use"):
        listening(server.getsockname()[1])


def test_a_server_that_forks_before_it_listens(meeting):
    meeting.hear("here")
