"""bind_port and what uses it: the kernel picks the port, the socket stays open, and no option shares the port."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsupport import (
    HOST,
    HOSTv4,
    HOSTv6,
    PortGuardError,
    bind_port,
    bind_unix_socket,
    bound_socket,
    find_unused_port,
    listening_socket,
)

FAMILIES = {socket.AF_INET: HOSTv4, socket.AF_INET6: HOSTv6}
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
SO_EXCLUSIVEADDRUSE_WINDOWS = -5


class FakeSocket:
    """A socket of another system: its options have the values that this system would return. It binds nothing."""

    def __init__(self, family: int, kind: int, options: dict[int, int | OSError] | None = None) -> None:
        self.family, self.type = family, kind
        self._options = options or {}
        self.calls: list[tuple[Any, ...]] = []

    def getsockopt(self, _level: int, option: int) -> int:
        value = self._options.get(option, 0)
        if isinstance(value, OSError):
            raise value
        return value

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.calls.append(("setsockopt", level, option, value))

    def bind(self, address: tuple[str, int]) -> None:
        self.calls.append(("bind", address))

    def getsockname(self) -> tuple[str, int]:
        return HOST, 49_152


def fake_bind_port(fake: FakeSocket) -> int:
    return bind_port(fake)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_bind_port_returns_the_port_that_the_socket_has(family: int, kind: int) -> None:
    with socket.socket(family, kind) as sock:
        port = bind_port(sock, FAMILIES[socket.AddressFamily(family)])
        assert port == sock.getsockname()[1] > 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_a_socket_that_would_share_its_port_is_an_error_that_names_the_option(
    family: int, kind: int, name: str
) -> None:
    if not hasattr(socket, name):
        pytest.skip(f"this system has no {name}")
    with socket.socket(family, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 1)
        with pytest.raises(
            PortGuardError, match=f"^{name} is set on this (TCP|UDP) socket.*do not set {name} before"
        ):
            bind_port(sock, FAMILIES[socket.AddressFamily(family)])
        assert sock.getsockname()[1] == 0


@given(
    value=st.integers(-(2**31), 2**31 - 1).filter(bool),
    name=st.sampled_from(["SO_REUSEADDR", "SO_REUSEPORT"]),
    family=st.sampled_from(list(FAMILIES)),
    kind=st.sampled_from(KINDS),
)
def test_any_value_but_zero_counts_as_set_on_a_fake_socket(value: int, name: str, family: int, kind: int) -> None:
    fake = FakeSocket(family, kind, {getattr(socket, name): value})
    with pytest.raises(PortGuardError, match=name):
        fake_bind_port(fake)
    assert fake.calls == []


@pytest.mark.parametrize(("name", "raw_flag"), [("SO_REUSEADDR", 4), ("SO_REUSEPORT", 512)])
def test_the_raw_flags_of_bsd_and_macos_count_as_set_on_a_fake_socket(name: str, raw_flag: int) -> None:
    with pytest.raises(PortGuardError, match=name):
        fake_bind_port(FakeSocket(socket.AF_INET, socket.SOCK_STREAM, {getattr(socket, name): raw_flag}))


def test_a_kernel_that_does_not_know_an_option_cannot_share_by_it() -> None:
    unknown = OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
    assert fake_bind_port(FakeSocket(socket.AF_INET, socket.SOCK_STREAM, {socket.SO_REUSEPORT: unknown})) == 49_152


def test_an_option_that_the_system_does_not_have_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows, which has no SO_REUSEPORT: a fake socket."""
    absent = socket.SO_REUSEPORT
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    assert fake_bind_port(FakeSocket(socket.AF_INET, socket.SOCK_STREAM, {absent: 1})) == 49_152


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_fake_windows_socket_the_port_is_made_exclusive_before_it_is_bound(
    monkeypatch: pytest.MonkeyPatch, family: int, kind: int
) -> None:
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", SO_EXCLUSIVEADDRUSE_WINDOWS, raising=False)
    fake = FakeSocket(family, kind)
    fake_bind_port(fake)
    assert fake.calls == [
        ("setsockopt", socket.SOL_SOCKET, SO_EXCLUSIVEADDRUSE_WINDOWS, 1),
        ("bind", (HOST, 0)),
    ]


def test_a_socket_of_another_family_is_bound_without_the_guard() -> None:
    fake = FakeSocket(99, socket.SOCK_STREAM, {socket.SO_REUSEADDR: 1})
    assert fake_bind_port(fake) == 49_152


def test_sockets_that_are_open_at_once_have_different_ports() -> None:
    sockets = [bound_socket() for _ in range(30)]
    assert len({sock.getsockname()[1] for sock in sockets}) == 30
    for sock in sockets:
        sock.close()


@pytest.mark.skipif(sys.platform != "linux", reason="private networks need Linux namespaces")
def test_a_full_range_is_named_when_a_port_of_the_kernels_choice_cannot_be_bound(scene: Any) -> None:
    said = scene("a_full_ephemeral_range")["bind_port"]
    assert said.endswith(
        "the kernel has no port left for 127.0.0.1 in its ephemeral range; close sockets or widen it"
    )


@pytest.mark.parametrize("host", [HOSTv4, HOSTv6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_socket_is_of_the_family_of_its_address(host: str, kind: socket.SocketKind) -> None:
    with bound_socket(host, kind) as sock:
        assert (sock.getsockname()[0], sock.type) == (host, kind)


@pytest.mark.parametrize("host", [HOSTv4, HOSTv6])
def test_a_listening_socket_accepts_connections_at_once(host: str) -> None:
    with listening_socket(host) as server, socket.create_connection(server.getsockname()[:2]) as client:
        connection, peer = server.accept()
        connection.close()
        assert peer == client.getsockname()


@pytest.mark.parametrize("make", [bound_socket, listening_socket])
def test_a_socket_that_cannot_be_bound_is_closed(make: Any) -> None:
    # 192.0.2.1 belongs to documentation (RFC 5737), so no host has it. An unclosed socket would warn, an error here.
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        make("192.0.2.1")


def test_a_socket_that_cannot_listen_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Deaf(socket.socket):
        def listen(self, _backlog: int = 0, /) -> None:
            made.append(self)
            raise OSError(errno.EADDRINUSE, "listen")

    monkeypatch.setattr(socket, "socket", Deaf)
    with pytest.raises(OSError, match="listen"):
        listening_socket()
    assert [sock.fileno() for sock in made] == [-1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_find_unused_port_gives_a_port_for_each_family_and_kind(
    family: socket.AddressFamily, kind: socket.SocketKind
) -> None:
    assert 0 < find_unused_port(family, kind) < 65_536


@pytest.mark.parametrize("as_type", [str, os.fsencode, Path])
def test_a_unix_socket_is_bound_to_a_path_of_any_type(tmp_path: Path, as_type: Any) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        bind_unix_socket(sock, as_type(path))
    assert path.is_socket()


@given(excess=st.integers(1, 4_000))
def test_a_path_that_is_too_long_is_an_error_with_its_length(excess: int) -> None:
    limit = 107 if sys.platform == "linux" else 103
    with socket.socket(socket.AF_UNIX) as sock:
        with pytest.raises(ValueError, match=f"at most {limit} bytes, and this one has {limit + excess}: 'x"):
            bind_unix_socket(sock, "x" * (limit + excess))


def test_a_path_is_measured_in_bytes_and_not_in_characters(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ValueError, match="this one has"):
        bind_unix_socket(sock, str(tmp_path / ("ü" * 54)))


def test_a_file_in_the_way_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("mine")
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
        bind_unix_socket(sock, path)
    assert path.read_text() == "mine"
