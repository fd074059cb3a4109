"""A program with a fixed port: refused in all copies but one, whose server answers their tests."""

import subprocess
import sys

import pytest

SERVER = """
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(ports):
    started = []

    def run():
        argv = [sys.executable, "-c", SERVER, str(ports["program"])]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        return process.stdout.readline().strip()

    yield run
    for process in started:
        process.communicate()


def test_that_needs_its_server(start, meet, copy):
    said = start() if copy == 0 else ""
    meet("held")
    try:
        assert (said or start()) == "up"
    finally:
        meet("tried")
