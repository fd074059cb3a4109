"""create_connection tries each address of a name in turn and gives the first connection, or else the errors.

Source: the library reference, socket.create_connection.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, Peer, Say, TakeAll, listening, open_listener
from converted_tests.test_socket.support import echo, refusing
from netsupport import HOSTv4, HOSTv6, bind_port

Info = tuple[int, int, int, str, Any]


class Lookup:
    """A stub for getaddrinfo: returns *answer* and records its arguments."""

    def __init__(self, answer: list[Info]) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> list[Info]:
        self.asked.append(arguments)
        return self.answer


def _tcp(address: tuple[str, int]) -> Info:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


def _missing(folder: Path) -> Info:
    """An address whose connection fails with FileNotFoundError."""
    return (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", str(folder / "missing"))


def hearing() -> Peer:
    yield TakeAll()


@pytest.fixture
def restored_default() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


def test_a_connection_is_made_to_host_and_port() -> None:
    with listening(echo()) as server, socket.create_connection((server.host, server.port)) as client:
        assert type(client) is socket.socket
        assert (client.family, client.type, client.proto) == (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        assert client.getpeername() == server.address
        client.settimeout(TIMEOUT_S)
        client.sendall(b"text\n")
        assert client.recv(100) == b"text\n"


@pytest.mark.usefixtures("ipv6")
def test_an_ipv6_address_gives_an_ipv6_connection() -> None:
    with listening(hearing(), family=socket.AF_INET6) as server:
        with socket.create_connection((HOSTv6, server.port), TIMEOUT_S) as client:
            assert client.family is socket.AF_INET6
            assert client.getpeername() == (HOSTv6, server.port, 0, 0)


@pytest.mark.parametrize("address", [(), (HOSTv4,), (HOSTv4, 1, 2)])
def test_an_address_is_a_pair(address: Any) -> None:
    with pytest.raises(ValueError, match="values to unpack"):
        socket.create_connection(address)


@pytest.mark.parametrize("default", [None, 7.5])
@pytest.mark.usefixtures("restored_default")
def test_without_a_timeout_the_default_counts(default: float | None) -> None:
    socket.setdefaulttimeout(default)
    with open_listener() as listener, socket.create_connection(listener.getsockname()) as client:
        assert client.gettimeout() == default


def test_no_timeout_is_stronger_than_the_default(process_timeout_s: float) -> None:
    with open_listener() as listener, socket.create_connection(listener.getsockname(), timeout=None) as client:
        assert (client.gettimeout(), socket.getdefaulttimeout()) == (None, process_timeout_s)


def test_a_timeout_is_given_by_position_or_by_keyword() -> None:
    with open_listener() as listener:
        with socket.create_connection(listener.getsockname(), 30) as by_position:
            with socket.create_connection(listener.getsockname(), timeout=30) as by_keyword:
                assert (by_position.gettimeout(), by_keyword.gettimeout()) == (30, 30)


def test_a_timeout_is_set_before_the_connection_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts = []

    class Watched(socket.socket):
        def connect(self, address: Any) -> None:
            timeouts.append(self.gettimeout())
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Watched)
    with open_listener() as listener, socket.create_connection(listener.getsockname(), 2.5):
        assert timeouts == [2.5]


@pytest.mark.skipif(
    os.name != "posix" or os.uname().sysname != "Linux", reason="127.0.0.2 is a local address on Linux"
)
def test_the_source_address_is_where_the_server_sees_the_client() -> None:
    with open_listener() as listener:
        with socket.create_connection(listener.getsockname(), TIMEOUT_S, ("127.0.0.2", 0)) as client:
            accepted, address = listener.accept()
            with accepted:
                assert address == client.getsockname()
                assert address[0] == "127.0.0.2"


def test_the_source_port_is_bound_before_the_connection_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, Any]] = []

    class Watched(socket.socket):
        def bind(self, address: Any) -> None:
            steps.append(("bind", address))

        def connect(self, address: Any) -> None:
            steps.append(("connect", address))

    monkeypatch.setattr(socket, "socket", Watched)
    # Nothing is bound and nothing is connected: the ports are only compared.
    with socket.create_connection((HOSTv4, 4), source_address=("", 5)):
        assert steps == [("bind", ("", 5)), ("connect", (HOSTv4, 4))]


def test_a_source_port_in_use_is_an_error() -> None:
    with socket.socket() as owner, open_listener() as listener:
        port = bind_port(owner)
        with pytest.raises(OSError) as caught:
            socket.create_connection(listener.getsockname(), TIMEOUT_S, source_address=(HOSTv4, port))
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("source_address", [None, (), ""])
def test_without_a_source_address_nothing_is_bound(monkeypatch: pytest.MonkeyPatch, source_address: Any) -> None:
    class Unbound(socket.socket):
        def bind(self, address: Any) -> None:
            raise AssertionError(address)

    with open_listener() as listener:
        monkeypatch.setattr(socket, "socket", Unbound)
        with socket.create_connection(listener.getsockname(), TIMEOUT_S, source_address) as client:
            assert client.getpeername() == listener.getsockname()


def test_a_refused_connection_passes_its_error_number_on() -> None:
    with refusing() as address, pytest.raises(ConnectionRefusedError) as caught:
        socket.create_connection(address, TIMEOUT_S)
    assert caught.value.errno == errno.ECONNREFUSED


def test_the_name_is_looked_up_for_streams_of_any_family(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_listener() as listener:
        lookup = Lookup([_tcp(listener.getsockname())])
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with socket.create_connection(("host.example", 25), TIMEOUT_S) as client:
            assert client.getpeername() == listener.getsockname()
    assert lookup.asked == [("host.example", 25, 0, socket.SOCK_STREAM)]


def test_the_next_address_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def greeting() -> Peer:
        yield Say(b"welcome")

    with refusing() as refuser, listening(greeting()) as server:
        answer = [_tcp(refuser), _missing(tmp_path), (4242, 4243, 0, "", None), _tcp((server.host, server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", Lookup(answer))
        with socket.create_connection(("host.example", 25), TIMEOUT_S) as client:
            assert client.recv(100) == b"welcome"


def test_the_first_connection_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_listener() as first, open_listener() as second:
        monkeypatch.setattr(
            socket, "getaddrinfo", Lookup([_tcp(listener.getsockname()) for listener in (first, second)])
        )
        with socket.create_connection(("host.example", 25), TIMEOUT_S) as client:
            assert client.getpeername() == first.getsockname()
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.accept()


@pytest.mark.parametrize("last", ["refused", "missing", "unknown family"])
def test_the_last_error_is_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: str) -> None:
    with refusing() as refuser:
        infos = {"refused": _tcp(refuser), "missing": _missing(tmp_path), "unknown family": (4242, 1, 0, "", None)}
        infos[last] = infos.pop(last)
        monkeypatch.setattr(socket, "getaddrinfo", Lookup(list(infos.values())))
        with pytest.raises(OSError) as caught:
            socket.create_connection(("host.example", 25), TIMEOUT_S)
    expected = {"refused": errno.ECONNREFUSED, "missing": errno.ENOENT, "unknown family": errno.EAFNOSUPPORT}
    assert caught.value.errno == expected[last]


def test_all_errors_come_as_a_group_in_the_order_of_the_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with refusing() as refuser:
        monkeypatch.setattr(socket, "getaddrinfo", Lookup([_tcp(refuser), _missing(tmp_path), _tcp(refuser)]))
        with pytest.raises(ExceptionGroup) as caught:
            socket.create_connection(("host.example", 25), TIMEOUT_S, all_errors=True)
    assert caught.value.message == "create_connection failed"
    assert [type(error) for error in caught.value.exceptions] == [
        ConnectionRefusedError,
        FileNotFoundError,
        ConnectionRefusedError,
    ]


def test_all_errors_of_one_address_are_a_group_of_one() -> None:
    with refusing() as address, pytest.raises(ExceptionGroup) as caught:
        socket.create_connection(address, TIMEOUT_S, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


def test_all_errors_is_a_keyword() -> None:
    arguments: Any = ((HOSTv4, 1), TIMEOUT_S, None, True)
    with pytest.raises(TypeError):
        socket.create_connection(*arguments)


@pytest.mark.parametrize("all_errors", [False, True])
def test_a_name_without_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch, all_errors: bool) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Lookup([]))
    with pytest.raises(OSError, match=r"^getaddrinfo returns an empty list$"):
        socket.create_connection(("host.example", 25), all_errors=all_errors)


def test_a_failed_lookup_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> list[Info]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror, match="no such name"):
        socket.create_connection(("host.example", 25), TIMEOUT_S, all_errors=True)


class Refused(ConnectionRefusedError):
    """A refusal that can be referred to weakly."""


class Refusing(socket.socket):
    """Refuses every address but one; notes its refusals, weakly, and its descriptors after closing."""

    accepted: Any = None
    refusals: list[weakref.ref[Refused]] = []
    closed: list[int] = []

    def _refusal(self) -> Refused:
        # As a local variable of connect it would form a cycle: error, traceback, frame, error.
        error = Refused(errno.ECONNREFUSED, "refused")
        self.refusals.append(weakref.ref(error))
        return error

    def connect(self, address: Any) -> None:
        if address != self.accepted:
            raise self._refusal()

    def close(self) -> None:
        super().close()
        self.closed.append(self.fileno())


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Refused]]]:
    """The refusals so far, of every connection but to port 2; nothing is collected but by reference counts."""
    monkeypatch.setattr(Refusing, "refusals", [])
    monkeypatch.setattr(Refusing, "closed", [])
    monkeypatch.setattr(Refusing, "accepted", (HOSTv4, 2))
    monkeypatch.setattr(socket, "socket", Refusing)
    gc.disable()
    yield Refusing.refusals
    gc.enable()


@pytest.mark.parametrize("all_errors", [False, True])
def test_a_failure_leaves_no_reference_cycle(refusals: list[weakref.ref[Refused]], all_errors: bool) -> None:
    with contextlib.suppress(OSError, ExceptionGroup):
        socket.create_connection((HOSTv4, 1), all_errors=all_errors)
    assert [reference() for reference in refusals] == [None]


@pytest.mark.parametrize("all_errors", [False, True])
def test_a_success_after_a_failure_leaves_no_reference_cycle(
    refusals: list[weakref.ref[Refused]], monkeypatch: pytest.MonkeyPatch, all_errors: bool
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Lookup([_tcp((HOSTv4, 1)), _tcp((HOSTv4, 2))]))
    with socket.create_connection(("host.example", 25), all_errors=all_errors):
        assert [reference() for reference in refusals] == [None]


def test_sockets_that_failed_are_closed(
    refusals: list[weakref.ref[Refused]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Lookup([_tcp((HOSTv4, 1)), _tcp((HOSTv4, 3))]))
    with pytest.raises(Refused):
        socket.create_connection(("host.example", 25))
    assert (len(refusals), Refusing.closed) == (2, [-1, -1])


@pytest.mark.parametrize("all_errors", [False, True])
def test_a_timeout_stays_a_timeout(monkeypatch: pytest.MonkeyPatch, all_errors: bool) -> None:
    class Slow(socket.socket):
        def connect(self, _address: Any) -> None:
            raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "socket", Slow)
    with pytest.raises((TimeoutError, ExceptionGroup)) as caught:
        socket.create_connection((HOSTv4, 1), 1, all_errors=all_errors)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert [(type(error), str(error)) for error in errors] == [(TimeoutError, "timed out")]
    assert isinstance(caught.value, ExceptionGroup) == all_errors
