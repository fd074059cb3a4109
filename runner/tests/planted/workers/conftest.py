"""For two test files that two workers of pytest-xdist run at once (--dist loadfile): one is `first`, one `second`."""

import os
import socket
from pathlib import Path

import pytest

COPY_DIR = Path(os.environ["PARASUITE_COPY_DIR"])


class Meeting:
    """Of the two tests of one name. What one *tells*, the other *hears*; both wait until it is said."""

    def __init__(self, name, wait_until):
        self._name = name
        self._wait_until = wait_until

    def tell(self, what, value=""):
        path = COPY_DIR / f"{self._name}.{what}"
        path.with_suffix(".new").write_text(str(value))
        path.with_suffix(".new").rename(path)

    def hear(self, what):
        path = COPY_DIR / f"{self._name}.{what}"
        self._wait_until(path.exists, f"the other worker never said {path.name}")
        return path.read_text()


@pytest.fixture
def meeting(request, wait_until):
    return Meeting(request.node.name, wait_until)


@pytest.fixture
def fixed_port(request):
    """A number that the outer test has reserved for the tests of this name."""
    return dict(pair.split("=") for pair in os.environ["PLANTED_PORTS"].split(","))[request.node.name]


@pytest.fixture
def listening():
    """A listener on a port, 0: any."""

    def listen(port=0):
        return socket.create_server(("127.0.0.1", int(port)))

    return listen
