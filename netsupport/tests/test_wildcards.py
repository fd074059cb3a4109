"""One port on every address, and the self-test of hold-through."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from netsupport import reserve_port, wildcards

TCP, UDP = (socket.SOCK_STREAM,), (socket.SOCK_DGRAM,)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="hold-through is available on Linux only")


@pytest.fixture
def hold() -> Iterator[tuple[socket.socket, ...]]:
    claimed = wildcards.draw_everywhere((socket.SOCK_STREAM,))
    yield claimed
    wildcards.close_all(claimed)


def port_of(sockets: tuple[socket.socket, ...]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


@pytest.mark.parametrize("kinds", [TCP, UDP, TCP + UDP])
def test_a_draw_is_one_port_on_both_wildcards_for_each_kind(kinds: tuple[socket.SocketKind, ...]) -> None:
    claimed = wildcards.draw_everywhere(kinds)
    port = port_of(claimed)
    assert [(sock.type, *sock.getsockname()[:2]) for sock in claimed] == [
        (kind, address, port) for kind in kinds for address in ("0.0.0.0", "::")
    ]
    wildcards.close_all(claimed)


@LINUX
@pytest.mark.parametrize("taken_on", ["::1 tcp", "127.0.0.2 udp"])
def test_a_draw_goes_on_until_the_port_is_free_in_both_families_and_for_both_protocols(
    scene: Any, taken_on: str
) -> None:
    address, protocol = taken_on.split()
    assert scene("one_port_is_free_everywhere", address, protocol) == {"drawn": 40_007, "self-test": ""}


@LINUX
def test_where_no_port_is_free_everywhere_a_draw_and_the_self_test_say_so(scene: Any) -> None:
    said = "[Errno 98] the kernel has no port left that is free on every address"
    assert scene("no_port_is_free_everywhere") == dict.fromkeys(["::1", "127.0.0.1", "self-test"], said)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.3"), (socket.AF_INET6, "::1")])
def test_a_port_that_is_used_on_any_address_cannot_be_claimed(family: int, host: str) -> None:
    with reserve_port(child_reuses_address=False) as lease, socket.socket(family) as stranger:
        stranger.bind((host, int(lease)))
        with pytest.raises(OSError) as refusal:
            wildcards.claim_everywhere(lease.port, socket.SOCK_STREAM)
    assert refusal.value.errno == errno.EADDRINUSE


class WithoutIPv6(socket.socket):
    """A socket on a host that was started without IPv6: a fake of its refusal."""

    refusal = errno.EAFNOSUPPORT

    def __init__(self, family: int = -1, *rest: Any, **named: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(self.refusal, "no IPv6")
        super().__init__(family, *rest, **named)


class WithoutIPv6Addresses(socket.socket):
    """A socket on a host that has IPv6 sockets and no IPv6 address: a fake of its refusal."""

    refusal = errno.EADDRNOTAVAIL

    def bind(self, address: Any, /) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(self.refusal, "no IPv6")
        super().bind(address)


@pytest.mark.parametrize("fake", [WithoutIPv6, WithoutIPv6Addresses])
def test_a_host_without_ipv6_is_claimed_by_its_ipv4_alone(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    monkeypatch.setattr(socket, "socket", fake)
    claimed = wildcards.draw_everywhere(TCP)
    assert [sock.getsockname()[0] for sock in claimed] == ["0.0.0.0"]
    wildcards.close_all(claimed)


@pytest.mark.parametrize("fake", [WithoutIPv6, WithoutIPv6Addresses])
def test_any_other_failure_of_ipv6_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch, fake: Any) -> None:
    monkeypatch.setattr(socket, "socket", fake)
    monkeypatch.setattr(fake, "refusal", errno.EMFILE)
    with pytest.raises(OSError, match="no IPv6"):
        wildcards.draw_everywhere(TCP)


def test_on_windows_a_claim_sets_so_exclusiveaddruse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake sockets: this option does not exist on this system, so it is recorded and not set."""
    asked: list[int] = []

    class Recording(socket.socket):
        def setsockopt(self, *arguments: Any) -> None:
            asked.append(arguments[1])

        def bind(self, _address: Any, /) -> None:
            pass

    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    monkeypatch.setattr(socket, "socket", Recording)
    wildcards.close_all(wildcards.draw_everywhere(TCP))
    assert asked == [-5, socket.IPV6_V6ONLY, -5]


@LINUX
@pytest.mark.parametrize("reuse", [False, True])
def test_only_a_socket_that_reuses_addresses_can_bind_a_held_port(
    hold: tuple[socket.socket, ...], reuse: bool
) -> None:
    wildcards.let_children_in(hold)
    port = port_of(hold)
    outcomes = {
        host: wildcards.binds(family, host, port, reuse=reuse)
        for family, host in (
            (socket.AF_INET, "127.0.0.1"),
            (socket.AF_INET, "127.0.0.2"),
            (socket.AF_INET, "0.0.0.0"),
            (socket.AF_INET6, "::1"),
            (socket.AF_INET6, "::"),
        )
    }
    assert set(outcomes.values()) == {reuse}, outcomes


@LINUX
def test_a_hold_never_joins_a_foreign_socket_that_reuses_its_address() -> None:
    with reserve_port(child_reuses_address=False) as lease, socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", int(lease)))
        with pytest.raises(OSError) as refusal:
            wildcards.claim_everywhere(lease.port, socket.SOCK_STREAM)
    assert refusal.value.errno == errno.EADDRINUSE


@LINUX
def test_only_this_host_can_connect_to_the_self_tests_listeners() -> None:
    with socket.socket() as sock:
        wildcards.keep_to_this_host(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"


@LINUX
@pytest.mark.parametrize("reuse", [False, True])
def test_a_device_changes_nothing_about_what_is_refused(
    hold: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch, reuse: bool
) -> None:
    wildcards.let_children_in(hold)
    with_device = wildcards.binds(socket.AF_INET, "0.0.0.0", port_of(hold), reuse=reuse)
    monkeypatch.setattr(wildcards, "keep_to_this_host", lambda _sock: None)
    assert with_device is reuse is wildcards.binds(socket.AF_INET, "0.0.0.0", port_of(hold), reuse=reuse)


@LINUX
def test_where_the_device_is_refused_the_self_test_works_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unprivileged(socket.socket):
        """As before Linux 5.7: a fake of its refusal."""

        def setsockopt(self, *arguments: Any) -> None:
            if arguments[1] == socket.SO_BINDTODEVICE:
                raise PermissionError(errno.EPERM, "no CAP_NET_RAW")
            super().setsockopt(*arguments)

    monkeypatch.setattr(socket, "socket", Unprivileged)
    assert wildcards.why_no_hold_through() == ""


@LINUX
def test_this_kernel_holds_through() -> None:
    assert wildcards.why_no_hold_through() == ""


def test_the_self_test_says_where_hold_through_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert wildcards.why_no_hold_through() == "hold-through is available on Linux only, and this is darwin"


@LINUX
@pytest.mark.parametrize(
    ("lie", "answer", "complaint"),
    [
        ("binds", True, "let a second socket bind 127.0.0.1"),
        ("binds", False, "does not let a socket with SO_REUSEADDR bind a held port on 0.0.0.0"),
        ("drawn", True, "assigned the held port"),
    ],
)
def test_the_self_test_says_what_a_kernel_gets_wrong(
    monkeypatch: pytest.MonkeyPatch, lie: str, answer: bool, complaint: str
) -> None:
    monkeypatch.setattr(wildcards, lie, lambda *_args, **_named: answer)
    assert complaint in wildcards.why_no_hold_through()


@LINUX
def test_the_self_tests_draw_gives_an_unused_port(scene: Any) -> None:
    assert scene("a_draw_of_an_unused_port") is True


@LINUX
def test_a_draw_is_recognised_by_the_port_that_the_socket_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without the option would assign any port; this fake does too."""

    class Generous(socket.socket):
        def setsockopt(self, *_arguments: Any) -> None:
            pass

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", 4_711

    monkeypatch.setattr(socket, "socket", Generous)
    assert wildcards.drawn(socket.AF_INET, "127.0.0.1", 4_711)
    assert not wildcards.drawn(socket.AF_INET, "127.0.0.1", 4_712)


def test_an_unexpected_error_is_raised_and_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wildcards, "TAKEN", frozenset())
    with reserve_port(child_reuses_address=False) as lease, socket.socket() as stranger:
        stranger.bind(("127.0.0.1", int(lease)))
        with pytest.raises(OSError, match="in use"):
            wildcards.binds(socket.AF_INET, "127.0.0.1", lease.port, reuse=False)


@LINUX
def test_a_hold_keeps_its_port_from_every_draw_of_an_exhausted_range(scene: Any) -> None:
    seen = scene("draws_beside_a_hold")
    assert seen["missed"] == dict.fromkeys(seen["missed"], seen["held"])
    assert len(seen["missed"]) == 13


@LINUX
def test_without_ipv6_addresses_hold_through_and_lease_work_on_ipv4(scene: Any) -> None:
    assert scene("no_ipv6") == {
        "given": ["hold-through", "lease"],
        "child binds it": True,
        "::1": "no server can bind ::1 here: [Errno 99] Cannot assign requested address; use an address of this host",
    }
