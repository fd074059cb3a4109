"""One finding a test, and what its test does if someone else has the port. With PLANTED_CURED=1, all are cured."""

import os
import socket

import pytest

HERE = "127.0.0.1"
PORTS = {name: int(port) for name, _, port in (pair.partition("=") for pair in os.environ["PLANTED_PORTS"].split(","))}
CURED = os.environ.get("PLANTED_CURED") == "1"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


def fixed(name):
    return 0 if CURED else PORTS[name]


def bound(kind, port, option=None):
    sock = socket.socket(type=kind)
    try:
        if kind == STREAM:  # Or a connection of the copy before, in TIME_WAIT, would be in the way.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if option is not None and not CURED:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind((HERE, port))
        if kind == STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    sock.settimeout(5)
    return sock


def drawn(kind):
    with bound(kind, 0) as sock:
        return sock.getsockname()[1]


@pytest.fixture(autouse=True)
def turn(meet, copy):
    """The copies take turns, so that none is in another's way: only whoever provokes them is."""
    for number in range(copy):
        meet(f"turn-{number}")
    yield
    for number in range(copy, int(os.environ["PARASUITE_COPIES"])):
        meet(f"turn-{number}")


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM], ids=["tcp", "udp"])
def test_fixed(kind):
    bound(kind, fixed("fixed")).close()


def lost_tcp():
    return 0 if CURED else drawn(STREAM)


def lost_udp():
    return 0 if CURED else drawn(DATAGRAM)


@pytest.mark.parametrize(("kind", "draw"), [(STREAM, lost_tcp), (DATAGRAM, lost_udp)], ids=["tcp", "udp"])
def test_lost(kind, draw):
    bound(kind, draw()).close()


def test_closed():
    if CURED:
        return
    with bound(STREAM, 0) as server:
        address = server.getsockname()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address).close()


def test_reuse_udp():
    with bound(DATAGRAM, 0, socket.SO_REUSEADDR) as server, bound(DATAGRAM, 0) as client:
        client.sendto(b"hello", server.getsockname())
        assert server.recv(9) == b"hello"


def test_reuse_tcp():
    with bound(STREAM, fixed("reuse"), socket.SO_REUSEPORT) as server:
        with socket.create_connection(server.getsockname()):
            server.accept()[0].close()


def test_that_talks_to_whom_it_finds():
    try:
        server = bound(STREAM, fixed("crosstalk"))
    except OSError:
        server = None
    socket.create_connection(server.getsockname() if server else (HERE, PORTS["crosstalk"])).close()
    if server:
        server.close()


def test_that_waits_for_an_answer():
    try:
        server = bound(STREAM, fixed("hang"))
    except OSError:
        server = None
    with socket.create_connection(server.getsockname() if server else (HERE, PORTS["hang"])) as client:
        if server:
            server.accept()[0].close()
        client.recv(1)
    if server:
        server.close()


def test_that_tries_the_next_port():
    for name in ("first", "second"):
        try:
            bound(STREAM, fixed(name)).close()
            return
        except OSError:
            continue


def test_exposed():
    socket.create_server(("", 0)).close()
