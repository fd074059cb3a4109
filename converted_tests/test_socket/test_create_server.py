"""create_server gives a listening socket with the options that its platform needs, on one family or on both.

Source: the library reference, socket.create_server and socket.has_dualstack_ipv6; ipv6(7); RFC 3493 section 5.3.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from converted_tests.peers import TIMEOUT_S, OfThisHost
from netsupport import HOSTv4, HOSTv6, bind_port

REUSE_ADDRESS = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
REUSE_PORT = (socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 0))
ONLY_V6 = (getattr(socket, "IPPROTO_IPV6", 41), getattr(socket, "IPV6_V6ONLY", 26))

needs_reuse_port = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")


@pytest.fixture
def dual_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the test where no socket takes both families; keep its servers to this host where they do.

    No loopback address serves both families, so a dual-stack server is bound to the wildcard.
    """
    if not socket.has_dualstack_ipv6():
        pytest.skip("no socket takes both IPv4 and IPv6 here")
    monkeypatch.setattr(socket, "socket", OfThisHost)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every socket that the module makes from now on; each remembers its calls as `name, arguments`."""
    sockets: list[Any] = []

    class Watched(socket.socket):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.calls: list[tuple[Any, ...]] = []
            self.refused_option: Any = refused_option
            sockets.append(self)

        def setsockopt(self, *arguments: Any) -> None:
            self.calls.append(("setsockopt", *arguments))
            if arguments[:2] == self.refused_option:
                raise OSError(errno.ENOPROTOOPT, "not today")
            super().setsockopt(*arguments)

        def bind(self, address: Any) -> None:
            self.calls.append(("bind", address))
            super().bind(address)

        def listen(self, *arguments: int) -> None:
            self.calls.append(("listen", *arguments))
            super().listen(*arguments)

    refused_option: Any = None
    monkeypatch.setattr(socket, "socket", Watched)
    yield sockets
    for sock in sockets:
        sock.close()


def _exchange(server: socket.socket, address: tuple[str, int]) -> tuple[str, bytes]:
    """Connect to *address* and let *server* accept. Returns the host that it saw, and what it received."""
    server.settimeout(TIMEOUT_S)
    with socket.create_connection(address, TIMEOUT_S) as client:
        accepted, peer = server.accept()
        with accepted:
            client.sendall(b"text")
            accepted.settimeout(TIMEOUT_S)
            return peer[0], accepted.recv(100)


def test_a_server_listens_at_its_address() -> None:
    with socket.create_server((HOSTv4, 0)) as server:
        host, port = server.getsockname()
        assert type(server) is socket.socket
        assert (server.family, server.type, server.proto, host) == (socket.AF_INET, socket.SOCK_STREAM, 0, HOSTv4)
        assert port > 0
        assert server.gettimeout() is None
        assert _exchange(server, (HOSTv4, port)) == (HOSTv4, b"text")


@pytest.mark.usefixtures("ipv6")
def test_an_ipv6_server_listens_at_its_address() -> None:
    with socket.create_server((HOSTv6, 0), family=socket.AF_INET6) as server:
        assert (server.family, server.getsockname()[0]) == (socket.AF_INET6, HOSTv6)
        assert _exchange(server, server.getsockname()[:2]) == (HOSTv6, b"text")


def test_the_steps_of_making_a_server(made: list[Any]) -> None:
    socket.create_server((HOSTv4, 0))
    (server,) = made
    assert server.calls == [("setsockopt", *REUSE_ADDRESS, 1), ("bind", (HOSTv4, 0)), ("listen",)]


@pytest.mark.usefixtures("ipv6")
def test_the_steps_of_making_an_ipv6_server(made: list[Any]) -> None:
    socket.create_server((HOSTv6, 0), family=socket.AF_INET6)
    (server,) = made
    assert server.calls == [
        ("setsockopt", *REUSE_ADDRESS, 1),
        ("setsockopt", *ONLY_V6, 1),
        ("bind", (HOSTv6, 0)),
        ("listen",),
    ]


@pytest.mark.parametrize("backlog", [0, 1, 7])
def test_the_backlog_is_passed_to_listen(made: list[Any], backlog: int) -> None:
    socket.create_server((HOSTv4, 0), backlog=backlog)
    assert made[0].calls[-1] == ("listen", backlog)


def test_all_but_the_address_are_keywords() -> None:
    arguments: Any = ((HOSTv4, 0), socket.AF_INET)
    with pytest.raises(TypeError):
        socket.create_server(*arguments)


@pytest.mark.skipif(os.name != "posix", reason="POSIX needs the option, others must not set it")
def test_the_address_may_be_reused_while_old_connections_fade() -> None:
    with socket.create_server((HOSTv4, 0)) as server:
        assert server.getsockopt(*REUSE_ADDRESS) != 0


@pytest.mark.parametrize("system", ["nt", "cygwin"])
def test_windows_does_not_let_others_have_the_address(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", system)
        socket.create_server((HOSTv4, 0))
    assert made[0].calls == [("bind", (HOSTv4, 0)), ("listen",)]


def test_a_system_without_the_option_goes_without_it(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_socket, "SO_REUSEADDR")
    socket.create_server((HOSTv4, 0))
    assert made[0].calls == [("bind", (HOSTv4, 0)), ("listen",)]


def test_a_refused_option_is_left_to_bind_to_complain_about(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(socket.socket):
        def setsockopt(self, *_arguments: Any) -> None:
            raise OSError(errno.ENOPROTOOPT, "not today")

    monkeypatch.setattr(socket, "socket", Stubborn)
    with socket.create_server((HOSTv4, 0)) as server:
        assert server.getsockname()[0] == HOSTv4
        assert server.getsockopt(*REUSE_ADDRESS) == 0


@needs_reuse_port
def test_the_port_is_not_shared_unless_asked_for() -> None:
    with socket.create_server((HOSTv4, 0)) as server:
        assert server.getsockopt(*REUSE_PORT) == 0
    with socket.create_server((HOSTv4, 0), reuse_port=True) as server:
        assert server.getsockopt(*REUSE_PORT) != 0


@needs_reuse_port
def test_two_servers_that_agree_share_a_port(made: list[Any]) -> None:
    with socket.create_server((HOSTv4, 0), reuse_port=True) as first:
        with socket.create_server(first.getsockname(), reuse_port=True) as second:
            assert second.getsockname() == first.getsockname()
    assert made[0].calls[:2] == [("setsockopt", *REUSE_ADDRESS, 1), ("setsockopt", *REUSE_PORT, 1)]


def test_sharing_a_port_is_refused_where_the_system_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_socket, "SO_REUSEPORT", raising=False)
    with pytest.raises(ValueError, match=r"^SO_REUSEPORT not supported on this platform$"):
        socket.create_server((HOSTv4, 0), reuse_port=True)
    with socket.create_server((HOSTv4, 0)) as server:
        assert server.getsockname()[0] == HOSTv4


def test_an_address_in_use_is_named_in_the_error(made: list[Any]) -> None:
    with socket.socket() as owner:
        address = (HOSTv4, bind_port(owner))
        owner.listen()
        with pytest.raises(OSError) as caught:
            socket.create_server(address)
    text = f"{os.strerror(errno.EADDRINUSE)} (while attempting to bind on address {address!r})"
    assert (caught.value.errno, caught.value.strerror) == (errno.EADDRINUSE, text)
    assert caught.value.__suppress_context__
    assert made[-1].fileno() == -1


def test_a_server_that_cannot_listen_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Deaf(socket.socket):
        def listen(self, *_arguments: int) -> None:
            made.append(self)
            raise OSError(errno.EOPNOTSUPP, "deaf")

    monkeypatch.setattr(socket, "socket", Deaf)
    with pytest.raises(OSError, match="deaf"):
        socket.create_server((HOSTv4, 0))
    assert [sock.fileno() for sock in made] == [-1]


@pytest.mark.usefixtures("ipv6")
@pytest.mark.skipif(not hasattr(socket, "IPV6_V6ONLY"), reason="no IPV6_V6ONLY here")
def test_an_ipv6_server_takes_no_ipv4_clients_by_default() -> None:
    with socket.create_server((HOSTv6, 0), family=socket.AF_INET6) as server:
        assert server.getsockopt(*ONLY_V6) == 1


@pytest.mark.usefixtures("ipv6", "dual_stack")
def test_a_dual_stack_server_is_an_ipv6_socket_that_takes_both() -> None:
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert (server.family, server.getsockopt(*ONLY_V6)) == (socket.AF_INET6, 0)


@pytest.mark.usefixtures("ipv6", "dual_stack")
def test_dual_stack_is_requested_whatever_the_systems_default_is(made: list[Any]) -> None:
    socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    assert made[-1].calls == [
        ("setsockopt", *REUSE_ADDRESS, 1),
        ("setsockopt", *ONLY_V6, 0),
        ("bind", ("", 0)),
        ("listen",),
    ]


@pytest.mark.usefixtures("ipv6", "dual_stack")
@pytest.mark.parametrize(("host", "seen"), [(HOSTv4, f"::ffff:{HOSTv4}"), (HOSTv6, HOSTv6)], ids=["ipv4", "ipv6"])
def test_a_client_of_either_family_reaches_a_dual_stack_server(host: str, seen: str) -> None:
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert _exchange(server, (host, server.getsockname()[1])) == (seen, b"text")


@pytest.mark.usefixtures("dual_stack")
def test_dual_stack_needs_the_ipv6_family() -> None:
    with pytest.raises(ValueError, match=r"^dualstack_ipv6 requires AF_INET6 family$"):
        socket.create_server((HOSTv4, 0), dualstack_ipv6=True)


def test_dual_stack_is_refused_where_the_system_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with pytest.raises(ValueError, match=r"^dualstack_ipv6 not supported on this platform$"):
        socket.create_server((HOSTv6, 0), family=socket.AF_INET6, dualstack_ipv6=True)


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("missing", ["IPV6_V6ONLY", "IPPROTO_IPV6"])
def test_a_system_without_the_ipv6_option_goes_without_it(
    made: list[Any], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.delattr(_socket, missing)
    socket.create_server((HOSTv6, 0), family=socket.AF_INET6)
    assert made[0].calls == [("setsockopt", *REUSE_ADDRESS, 1), ("bind", (HOSTv6, 0)), ("listen",)]


@pytest.mark.usefixtures("ipv6")
def test_a_build_without_ipv6_sets_no_ipv6_option(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    socket.create_server((HOSTv6, 0), family=socket.AF_INET6)
    assert made[0].calls == [("setsockopt", *REUSE_ADDRESS, 1), ("bind", (HOSTv6, 0)), ("listen",)]


@pytest.mark.usefixtures("ipv6")
def test_dual_stack_is_known_from_a_socket_that_takes_the_option(made: list[Any]) -> None:
    assert socket.has_dualstack_ipv6() is True
    (probe,) = made
    assert (probe.family, probe.type, probe.fileno()) == (socket.AF_INET6, socket.SOCK_STREAM, -1)
    assert probe.calls == [("setsockopt", *ONLY_V6, 0)]


@pytest.mark.parametrize("missing", ["IPV6_V6ONLY", "IPPROTO_IPV6"])
def test_there_is_no_dual_stack_without_its_constants(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delattr(_socket, missing, raising=False)
    assert socket.has_dualstack_ipv6() is False


def test_there_is_no_dual_stack_in_a_build_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_ipv6", False)
    assert socket.has_dualstack_ipv6() is False


def test_there_is_no_dual_stack_where_no_ipv6_socket_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EAFNOSUPPORT, "no IPv6 today")

    monkeypatch.setattr(socket, "socket", refuse)
    assert socket.has_dualstack_ipv6() is False
