"""socketpair gives two connected sockets, by the kernel or, where it has no such call, by a connection to oneself.

Source: socketpair(2); the library reference, socket.socketpair.
"""

from __future__ import annotations

import _socket
import socket
import sys
from types import ModuleType
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S
from converted_tests.test_socket.support import loaded_again
from netsupport import HOSTv4, HOSTv6


def test_the_default_pair_is_a_unix_stream() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert [(sock.family, sock.type, sock.proto) for sock in (left, right)] == [
            (socket.AF_UNIX, socket.SOCK_STREAM, 0)
        ] * 2
        assert [type(sock) for sock in (left, right)] == [socket.socket] * 2


def test_a_pair_carries_both_directions() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"rightwards")
        right.sendall(b"leftwards")
        assert (left.recv(100), right.recv(100)) == (b"leftwards", b"rightwards")


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_pair_of_another_kind_keeps_messages_apart(kind: int) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right:
        assert (left.type, right.type) == (kind, kind)
        left.send(b"one")
        left.send(b"two")
        assert (right.recv(100), right.recv(100)) == (b"one", b"two")


def test_a_family_that_has_no_pairs_is_refused_by_the_kernel() -> None:
    with pytest.raises(OSError):
        socket.socketpair(socket.AF_INET)


def test_without_unix_sockets_the_default_family_is_the_internets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(*arguments: int) -> None:
        asked.append(arguments)
        raise OSError("no pairs today")

    monkeypatch.delattr(_socket, "AF_UNIX")
    again = loaded_again()
    monkeypatch.setattr(_socket, "socketpair", refuse)
    with pytest.raises(OSError, match="no pairs today"):
        again.socketpair()
    assert asked == [(again.AF_INET, again.SOCK_STREAM, 0)]


def test_a_pair_explains_itself() -> None:
    text = str(socket.socketpair.__doc__)
    assert text.startswith("socketpair([family[, type[, proto]]]) -> (socket object, socket object)\n")
    assert text.endswith("if defined on the platform; otherwise, the default is AF_INET.\n")


@pytest.fixture
def without_pairs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module on a system whose kernel makes no pairs."""
    monkeypatch.delattr(_socket, "socketpair")
    return loaded_again()


@pytest.mark.parametrize("arguments", [(), (socket.AF_INET,), (socket.AF_INET, socket.SOCK_STREAM, 0)])
def test_the_substitute_is_a_connection_over_the_loop(without_pairs: ModuleType, arguments: tuple[int, ...]) -> None:
    left, right = without_pairs.socketpair(*arguments)
    with left, right:
        left.settimeout(TIMEOUT_S)
        right.settimeout(TIMEOUT_S)
        assert (left.family, left.type, left.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
        assert left.getsockname() == right.getpeername()
        assert left.getpeername() == right.getsockname()
        assert left.getsockname()[0] == HOSTv4
        left.sendall(b"rightwards")
        right.sendall(b"leftwards")
        assert (left.recv(100), right.recv(100)) == (b"leftwards", b"rightwards")


def test_the_substitute_is_blocking_at_both_ends(without_pairs: ModuleType) -> None:
    assert without_pairs.__all__.count("socketpair") >= 1
    left, right = without_pairs.socketpair()
    with left, right:
        assert [sock.gettimeout() for sock in (left, right)] == [None, None]
        assert [sock.getblocking() for sock in (left, right)] == [True, True]


@pytest.mark.usefixtures("ipv6")
def test_the_substitute_speaks_ipv6(without_pairs: ModuleType) -> None:
    left, right = without_pairs.socketpair(socket.AF_INET6)
    with left, right:
        assert (left.family, left.getpeername()[0]) == (socket.AF_INET6, HOSTv6)
        left.sendall(b"text")
        assert right.recv(100) == b"text"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            (socket.AF_UNIX,), "Only AF_INET and AF_INET6 socket address families are supported", id="another family"
        ),
        pytest.param(
            (socket.AF_INET, socket.SOCK_DGRAM), "Only SOCK_STREAM socket type is supported", id="another kind"
        ),
        pytest.param(
            (socket.AF_INET, socket.SOCK_STREAM, 6), "Only protocol zero is supported", id="another protocol"
        ),
    ],
)
def test_the_substitute_refuses_what_a_connection_cannot_be(
    without_pairs: ModuleType, arguments: tuple[int, ...], text: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{text}$"):
        without_pairs.socketpair(*arguments)


class Failure(Exception):
    """Not an OSError, as an interrupt would not be."""


@pytest.mark.parametrize("call", ["listen", "connect", "accept"])
def test_a_substitute_that_fails_leaves_no_socket_open(
    without_pairs: ModuleType, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made: list[socket.socket] = []

    def fail(*_arguments: object) -> None:
        raise Failure(call)

    class Failing(without_pairs.socket):  # type: ignore[misc, name-defined]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    setattr(Failing, call, fail)
    monkeypatch.setattr(without_pairs, "socket", Failing)
    with pytest.raises(Failure, match=call):
        without_pairs.socketpair()
    assert [sock.fileno() for sock in made] == [-1] * (1 if call == "listen" else 2)


def test_a_substitute_whose_connection_is_still_under_way_is_waited_for(
    without_pairs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = []

    class Slow(without_pairs.socket):  # type: ignore[misc, name-defined]
        def bind(self, address: object) -> None:
            bound.append(address)
            super().bind(address)

        def connect(self, address: object) -> None:
            assert self.gettimeout() == 0
            super().connect(address)
            raise BlockingIOError

    monkeypatch.setattr(without_pairs, "socket", Slow)
    left, right = without_pairs.socketpair()
    with left, right:
        assert left.getpeername() == right.getsockname()
    assert bound == [(HOSTv4, 0)]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the substitute checks who connected since Python 3.13")
def test_the_substitute_refuses_a_stranger_who_came_first(
    without_pairs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = []

    class Outrun(without_pairs.socket):  # type: ignore[misc, name-defined]
        def connect(self, address: object) -> None:
            stranger = socket.create_connection(address, TIMEOUT_S)  # type: ignore[arg-type]
            strangers.append(stranger)
            super().connect(address)

    monkeypatch.setattr(without_pairs, "socket", Outrun)
    try:
        # The comparison of names notices it, or already the call before, if the late connection has no name.
        with pytest.raises(OSError):
            without_pairs.socketpair()
    finally:
        for stranger in strangers:
            stranger.close()
