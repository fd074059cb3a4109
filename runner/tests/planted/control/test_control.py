"""A test for each answer of a control run, named by it."""

import os
import socket
import sys

COPIES = int(os.environ["PARASUITE_COPIES"])


def test_collision(meet, copy, port):
    server = None
    try:
        for number in range(COPIES):
            if number == copy:
                server = socket.create_server(("127.0.0.1", port))
            meet(f"tried-{number}")
    finally:
        for number in range(copy, COPIES):
            meet(f"tried-{number}")
        if server is not None:
            server.close()


def test_flaky():
    """Fails once in three runs, whoever runs it: the file counts them all."""
    with open(os.environ["PLANTED_COUNTER"], "ab", buffering=0) as counter:
        counter.write(b".")
        assert counter.tell() % 3 != 1


def test_that_does_not_bear_company():
    assert COPIES == 1


def test_fails_alone():
    raise AssertionError("not a port problem")


def test_only_observed():
    assert "_parasuite_recorder" not in sys.modules
