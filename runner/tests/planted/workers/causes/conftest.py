"""What both workers do: a port for each of them, a port that their controller has drawn, a database that they share."""

import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

COPY_DIR = Path(os.environ["PARASUITE_COPY_DIR"])
HERE = "127.0.0.1"


def pytest_configure_node(node):
    """In the controller: draw a port for all workers."""
    if not hasattr(node.config, "drawn_port"):
        node.config.drawn_port = draw()
    node.workerinput["drawn_port"] = node.config.drawn_port


def draw():
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        return sock.getsockname()[1]


@pytest.fixture
def drawn_port(request):
    return request.config.workerinput["drawn_port"]


@pytest.fixture(scope="session")
def own_server():
    """A server on the port of this worker. Copies take turns, so that none is refused."""
    ports = dict(pair.split("=") for pair in os.environ["PLANTED_PORTS"].split(","))
    with (COPY_DIR.parent / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with socket.create_server((HERE, int(ports[os.environ["PYTEST_XDIST_WORKER"]]))):
            pass


@pytest.fixture(scope="session")
def database():
    """The address of a server that the first worker starts, and all workers use."""
    told = COPY_DIR / "database"
    with (COPY_DIR / "database.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = None
        if not told.exists():
            server = socket.create_server((HERE, 0))
            threading.Thread(target=_serve, args=(server,), daemon=True).start()
            told.write_text(str(server.getsockname()[1]))
    yield HERE, int(told.read_text())
    if server:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def _serve(server):
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        client.close()
