"""How ftplib opens the control connection: which address it dials, from where, and how long it waits.

The library reference of ftplib promises the defaults; RFC 959 section 5.2 gives the port, 21.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from converted_tests.peers import SHORT_S, Dialled, InMemory, Peer, Silence, dialled, listening, transcript
from converted_tests.test_ftplib.support import FileServer, visit
from netsupport import HOSTv4, HOSTv6, bind_port

DEFAULT = socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]
FROM = (HOSTv4, 0)
FOR_EVER: Any = None
IS_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 from the start")


@contextlib.contextmanager
def dialling() -> Iterator[list[Dialled]]:
    """What was dialled; the connection is welcomed, and no kernel knows of it."""
    with dialled(InMemory(b"220 ready\r\n")) as calls:  # type: ignore[arg-type]
        yield calls


# --- which address ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connect", "address"),
    [
        pytest.param(lambda: ftplib.FTP("a.example"), ("a.example", 21), id="by the constructor"),
        pytest.param(lambda: ftplib.FTP().connect("a.example"), ("a.example", 21), id="by connect"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", 1), ("a.example", 1), id="with a port"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", 0), ("a.example", 21), id="port 0 is no port"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", -1), ("a.example", 21), id="nor is a negative one"),
        pytest.param(lambda: ftplib.FTP().connect(), ("", 21), id="nowhere"),
    ],
)
def test_connecting_dials_the_host_and_the_standard_port(
    connect: Callable[[], object], address: tuple[str, int]
) -> None:
    with dialling() as calls:
        connect()
    assert calls == [Dialled(address, DEFAULT, None)]


def test_the_standard_port_is_21() -> None:
    assert (ftplib.FTP_PORT, ftplib.FTP.port) == (21, 21)


def test_connecting_again_without_arguments_dials_the_same_server() -> None:
    ftp = ftplib.FTP()
    for arguments in [("a.example", 2121, 7.5, FROM), ()]:
        with dialling() as calls:
            ftp.connect(*arguments)  # type: ignore[arg-type]
        assert calls == [Dialled(("a.example", 2121), 7.5, FROM)]
    assert (ftp.host, ftp.port, ftp.timeout, ftp.source_address) == ("a.example", 2121, 7.5, FROM)


def test_the_source_address_may_be_given_to_the_constructor() -> None:
    with dialling() as calls:
        ftplib.FTP("a.example", source_address=FROM)
    assert calls == [Dialled(("a.example", 21), DEFAULT, FROM)]


def test_the_source_address_given_to_connect_replaces_the_constructors() -> None:
    with dialling() as calls:
        ftplib.FTP(source_address=FROM).connect("a.example", source_address=(HOSTv4, 1))
    assert calls == [Dialled(("a.example", 21), DEFAULT, (HOSTv4, 1))]


def test_a_port_without_a_listener_refuses_the_connection() -> None:
    with socket.socket() as silent:
        port = bind_port(silent)
        with ftplib.FTP() as ftp, pytest.raises(ConnectionRefusedError):
            ftp.connect(HOSTv4, port)


def test_the_connection_is_of_the_servers_family() -> None:
    with visit(FileServer()) as ftp:
        assert (ftp.af, ftp.host) == (socket.AF_INET, HOSTv4)


@pytest.mark.usefixtures("ipv6")
def test_the_connection_to_an_IPv6_server_is_of_that_family() -> None:
    with visit(FileServer(), family=socket.AF_INET6) as ftp:
        assert ftp.sock is not None
        assert (ftp.af, ftp.sock.getpeername()[0]) == (socket.AF_INET6, HOSTv6)


@IS_LINUX
def test_the_control_connection_comes_from_the_source_address() -> None:
    with listening(transcript("S: 220 ready\nC: QUIT\nS: 221 bye")) as (host, port), ftplib.FTP() as ftp:
        ftp.connect(str(host), int(port), source_address=("127.0.0.2", 0))
        assert ftp.sock is not None
        assert ftp.sock.getsockname()[0] == "127.0.0.2"


@IS_LINUX
def test_a_passive_data_connection_comes_from_the_source_address_too() -> None:
    server = FileServer({b"NLST": b"a\r\n"})
    with visit(server, ftplib.FTP(source_address=("127.0.0.2", 0))) as ftp:
        assert ftp.nlst() == ["a"]
    assert [host for host, _ in server.data_peers] == ["127.0.0.2"]


# --- how long it waits --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connect", "timeout_s"),
    [
        pytest.param(lambda: ftplib.FTP("a.example", timeout=7.5), 7.5, id="constructor"),
        pytest.param(lambda: ftplib.FTP("a.example", timeout=None), None, id="constructor, None"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", timeout=7.5), 7.5, id="connect"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", timeout=FOR_EVER), None, id="connect, None"),
        pytest.param(lambda: ftplib.FTP(timeout=3).connect("a.example"), 3, id="constructor, then connect"),
        pytest.param(lambda: ftplib.FTP(timeout=3).connect("a.example", timeout=7.5), 7.5, id="connect after all"),
        pytest.param(lambda: ftplib.FTP(timeout=3).connect("a.example", timeout=FOR_EVER), None, id="None after all"),
    ],
)
def test_the_timeout_asked_for_is_passed_on(connect: Callable[[], object], timeout_s: float | None) -> None:
    with dialling() as calls:
        connect()
    assert calls == [Dialled(("a.example", 21), timeout_s, None)]


def test_the_timeout_may_be_an_attribute_of_the_client() -> None:
    ftp = ftplib.FTP()
    ftp.timeout = 7.5
    with dialling() as calls:
        ftp.connect("a.example")
    assert calls == [Dialled(("a.example", 21), 7.5, None)]


def test_without_a_timeout_the_connection_has_the_processs_own(process_timeout_s: float) -> None:
    with visit(FileServer()) as ftp:
        assert ftp.sock is not None
        assert ftp.sock.gettimeout() == process_timeout_s


def test_the_timeout_None_means_to_wait_for_ever(process_timeout_s: float) -> None:
    assert process_timeout_s is not None
    with visit(FileServer(), ftplib.FTP(timeout=None)) as ftp:
        assert ftp.sock is not None
        assert ftp.sock.gettimeout() is None


def test_a_timeout_is_the_connections() -> None:
    with visit(FileServer(), ftplib.FTP(timeout=7.5)) as ftp:
        assert ftp.sock is not None
        assert ftp.sock.gettimeout() == 7.5


@pytest.mark.parametrize(
    "connect",
    [
        pytest.param(lambda: ftplib.FTP("a.example", timeout=0), id="constructor"),
        pytest.param(lambda: ftplib.FTP().connect("a.example", timeout=0.0), id="connect"),
    ],
)
def test_a_timeout_of_zero_is_refused_before_anything_is_dialled(connect: Callable[[], object]) -> None:
    with (
        dialling() as calls,
        pytest.raises(ValueError, match=r"^Non-blocking socket \(timeout=0\) is not supported$"),
    ):
        connect()
    assert calls == []


def silent() -> Peer:
    yield Silence()


def test_a_server_that_says_nothing_is_TimeoutError() -> None:
    with listening(silent()) as (host, port), contextlib.closing(ftplib.FTP(timeout=SHORT_S)) as ftp:
        with pytest.raises(TimeoutError):
            ftp.connect(str(host), int(port))
