"""What reserve_port gives, what it says of it, and what a lease is in a program's hands."""

from __future__ import annotations

import copy
import errno
import gc
import itertools
import os
import pickle
import socket
import sys
import time
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsupport import (
    Guarantee,
    HOSTv4,
    HOSTv6,
    LeaseError,
    PortLease,
    leases,
    locks,
    refused_port,
    reserve_port,
    reserve_ports,
    wildcards,
)
from netsupport.claims import Claim, close_each

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the rungs that Linux has")
KINDS: list[leases.Kind] = ["tcp", "udp", "both"]


@pytest.fixture
def no_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "why_no_hold_through", lambda: "no hold here")


@pytest.fixture
def no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "why_no_lock", lambda: "no lock here")


def given_by(**options: Any) -> tuple[Guarantee, str]:
    with reserve_port(**options) as lease:
        return lease.guarantee, lease.reason


@LINUX
@pytest.mark.parametrize(
    ("options", "guarantee", "reason"),
    [
        ({}, Guarantee.HOLD_THROUGH, ""),
        ({"child_reuses_address": False}, Guarantee.LEASE, "SO_REUSEADDR, and this one does not"),
        ({"kind": "udp"}, Guarantee.LEASE, "SO_REUSEADDR, and UDP servers do not"),
        ({"kind": "both"}, Guarantee.LEASE, "SO_REUSEADDR, and UDP servers do not"),
    ],
)
def test_the_best_guarantee_is_given_with_the_reason_why_it_is_no_better(
    options: dict[str, Any], guarantee: Guarantee, reason: str
) -> None:
    given, why = given_by(**options)
    assert given == guarantee
    assert why.endswith(reason)


@pytest.mark.usefixtures("no_hold")
def test_where_nothing_can_be_held_a_lease_is_given() -> None:
    assert given_by() == (Guarantee.LEASE, "no hold here")


@pytest.mark.usefixtures("no_hold", "no_lock")
@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_can_be_kept_a_port_is_picked(kind: leases.Kind) -> None:
    guarantee, reason = given_by(kind=kind)
    assert guarantee == Guarantee.PICK
    assert reason.endswith("; no lock here")


def test_no_other_socket_can_bind_a_held_port() -> None:
    with refused_port() as lease:
        assert lease.guarantee == Guarantee.HOLD
        with pytest.raises(OSError, match="in use"):
            wildcards.claim_everywhere(lease.port, socket.SOCK_STREAM)


@LINUX
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "0.0.0.0", "::1", "::"])
def test_a_server_that_reuses_its_address_listens_through_a_hold(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loopback = {"0.0.0.0": HOSTv4, "::": HOSTv6}.get(host, host)
    with reserve_port(host) as lease, socket.create_server((host, lease.port), family=family) as server:
        assert server.getsockname()[1] == lease
        with socket.create_connection((loopback, lease.port)):
            pass


@LINUX
def test_a_second_server_binds_through_a_hold_when_the_first_has_ended() -> None:
    with reserve_port() as lease:
        for _ in range(2):
            with socket.create_server((HOSTv4, lease.port)) as server, socket.create_connection((HOSTv4, lease.port)):
                server.accept()[0].close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_leased_port_can_be_bound_without_any_option(kind: leases.Kind) -> None:
    with reserve_port(kind=kind, child_reuses_address=False) as lease:
        for each in {"tcp": (1,), "udp": (2,), "both": (1, 2)}[kind]:
            wildcards.close_all(wildcards.claim_everywhere(lease.port, socket.SocketKind(each)))


def test_a_leased_port_lies_outside_the_ephemeral_range_and_is_locked() -> None:
    first, last = locks.ephemeral_range()
    with reserve_port(child_reuses_address=False) as lease:
        assert not first <= lease.port <= last
        assert locks.port_lock(lease.port) is None


def test_leases_are_limited_to_the_range_that_the_user_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSUPPORT_PORT_RANGE", "21000-21999")
    with reserve_ports(5, child_reuses_address=False) as several:
        assert {lease.port // 1000 for lease in several} == {21}


@pytest.mark.parametrize("host", [HOSTv4, HOSTv6])
def test_a_refused_port_refuses_connections_for_as_long_as_it_is_held(host: str) -> None:
    with refused_port(host) as lease:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, lease.port))


def test_several_ports_are_all_different_and_released_together() -> None:
    with reserve_ports(20) as several:
        assert len(set(several)) == 20
    assert all(lease.released for lease in several)


def test_if_one_of_several_ports_cannot_be_reserved_none_stays_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[PortLease] = []

    def twice(*arguments: Any, **options: Any) -> PortLease:
        if len(given) == 2:
            raise LeaseError("no third")
        given.append(reserve_port(*arguments, **options))
        return given[-1]

    monkeypatch.setattr(leases, "reserve_port", twice)
    with pytest.raises(LeaseError, match="no third"):
        reserve_ports(3)
    assert [lease.released for lease in given] == [True, True]


def test_a_lease_can_be_used_as_its_port_number() -> None:
    with reserve_port() as lease:
        plain = lease.port
        assert (f"{lease}", f"{lease:06d}", str(lease), int(lease), hex(lease), hash(lease)) == (
            f"{plain}",
            f"{plain:06d}",
            str(plain),
            plain,
            hex(plain),
            hash(plain),
        )


def test_a_lease_equals_its_port_and_nothing_else() -> None:
    with reserve_ports(2) as (lease, other):
        assert lease == lease.port
        assert lease != other
        assert lease != str(lease)


def test_the_resolver_accepts_the_port_of_a_lease() -> None:
    with refused_port() as lease, pytest.raises(ConnectionRefusedError):
        socket.create_connection((lease.host, lease.port))


@pytest.mark.parametrize("state", ["hold-through", "released"])
def test_a_lease_shows_what_it_is(state: str) -> None:
    lease = reserve_port()
    if state == "released":
        lease.release()
    elif sys.platform != "linux":
        state = "lease"
    assert repr(lease) == f"<PortLease {lease.port} on 127.0.0.1: {state}>"
    lease.release()


@pytest.mark.parametrize("passed_on", [copy.copy, copy.deepcopy, lambda lease: pickle.loads(pickle.dumps(lease))])
def test_a_copy_of_a_lease_is_the_plain_port_number(passed_on: Any) -> None:
    with reserve_port() as lease:
        assert (type(passed_on(lease)), passed_on(lease)) == (int, lease.port)


@pytest.mark.parametrize("passed_on", [copy.copy, copy.deepcopy, lambda several: pickle.loads(pickle.dumps(several))])
def test_a_copy_of_several_leases_has_the_plain_port_numbers(passed_on: Any) -> None:
    with reserve_ports(2) as several:
        plain = passed_on(several)
        assert (type(plain), [type(each) for each in plain]) == (tuple, [int, int])
        assert plain == several


def test_a_lease_knows_the_address_it_was_asked_for() -> None:
    with reserve_port(HOSTv6) as lease:
        assert lease.host == HOSTv6


def test_a_released_lease_is_over_and_may_be_released_again() -> None:
    lease = reserve_port()
    assert not lease.released
    lease.release()
    lease.release()
    assert lease.released


POSIX = pytest.mark.skipif(os.name != "posix", reason="exec(3) is POSIX")


@POSIX
def test_without_high_descriptors_the_inheritable_copies_are_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel answers this as it answers 200 under a low `ulimit -n`.
    monkeypatch.setattr(leases, "_INHERITED_FROM", (2**30, 10))
    with refused_port() as lease:
        copies = lease.inheritable_copies()
        assert copies
        for each in copies:
            assert each >= 10
            assert os.get_inheritable(each)
            os.close(each)


@POSIX
def test_either_all_inheritable_copies_of_a_lease_are_made_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def only_one(descriptor: int) -> int:
        if made:
            raise OSError(errno.EMFILE, "too many open files")
        made.append(os.dup(descriptor))
        return made[0]

    monkeypatch.setattr(leases, "_high_copy", only_one)
    with PortLease(0, HOSTv4, Guarantee.HOLD, "", socket.socket(), socket.socket()) as lease:
        with pytest.raises(OSError, match="too many open files"):
            lease.inheritable_copies()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(made[0])


def test_a_lease_that_is_dropped_warns_with_its_port() -> None:
    kept = [reserve_port()]
    port = kept[0].port
    with pytest.warns(ResourceWarning, match=f"port {port} .* was dropped and never released"):
        kept.clear()


def test_a_lease_that_is_released_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with reserve_port() as lease:
            pass
        del lease
        gc.collect()


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0", "[::1]"])
def test_a_host_name_is_an_error_because_names_are_not_looked_up(host: str) -> None:
    with pytest.raises(ValueError, match="names are not looked up"):
        reserve_port(host)


def test_an_address_of_another_host_is_refused() -> None:
    # 192.0.2.1 belongs to documentation (RFC 5737).
    with pytest.raises(LeaseError, match=r"no server can bind 192\.0\.2\.1 here: .*use an address of this host"):
        reserve_port("192.0.2.1")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is 'sctp'; it must be 'tcp', 'udp' or 'both'"):
        reserve_port(kind="sctp")  # type: ignore[arg-type]


def test_a_self_test_runs_once_unless_it_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[str | OSError] = [OSError(24, "too many open files"), "no", "not reached"]

    def self_test() -> str:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(locks, "why_no_lock", self_test)
    reasons = [leases.why_no_lock() for _ in range(3)]
    assert reasons == ["the self-test could not run: [Errno 24] too many open files", "no", "no"]
    assert answers == ["not reached"]


def test_this_hosts_self_tests_pass() -> None:
    assert leases.why_no_lock() == ""
    if sys.platform == "linux":
        assert leases.why_no_hold_through() == ""


def test_a_failure_other_than_in_use_ends_a_draw_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(_family: int, _kind: int) -> Any:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(leases, "_checked", lambda _host, _kind: (socket.SOCK_STREAM,))
    monkeypatch.setattr(socket, "socket", exhausted)
    with pytest.raises(OSError, match="too many open files"):
        refused_port()


@pytest.mark.usefixtures("no_hold")
def test_a_probe_that_fails_otherwise_releases_its_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []
    real_lock = locks.port_lock

    def exhausted(port: int, _kind: int) -> Any:
        locked.append(port)
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(wildcards, "claim_everywhere", exhausted)
        with pytest.raises(OSError, match="too many open files"):
            reserve_port()
    lock = real_lock(locked[0])
    assert lock is not None
    lock.close()


def test_a_draw_passes_over_a_port_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    rests = iter([True, True, False])
    monkeypatch.setattr(leases, "_rests", lambda _port, **_: next(rests))
    with refused_port() as lease:
        assert lease.guarantee == Guarantee.HOLD
    assert next(rests, "asked three times") == "asked three times"


@LINUX
def test_in_a_full_range_reserve_port_gives_a_lease_and_then_an_error(scene: Any) -> None:
    seen = scene("a_full_ephemeral_range")
    assert seen["reserve"][0] == "lease"
    assert seen["refused"] == ("the kernel has no port left in its ephemeral range; close sockets or widen the range")
    assert seen["nothing outside either"].endswith("close sockets or widen the host's ephemeral range")


@LINUX
def test_if_the_range_fills_up_after_the_self_test_a_lease_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_draw", lambda _kinds: None)
    assert given_by() == (Guarantee.LEASE, "the kernel has no port left in its ephemeral range")


@pytest.mark.usefixtures("no_hold")
def test_if_no_port_can_be_reserved_in_any_way_the_error_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_draw", lambda _kinds: None)
    monkeypatch.setattr(locks, "lease_ranges", lambda *_: (range(0), range(0)))
    with pytest.raises(LeaseError, match=r"no hold here; no port is free outside .*; and the kernel"):
        reserve_port()
    with pytest.raises(LeaseError, match="no port left in its ephemeral range; close sockets"):
        refused_port()


def test_if_every_drawn_port_rests_there_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_rests", lambda _port, **_: True)
    with pytest.raises(LeaseError, match="no port left"):
        refused_port()


def test_a_lease_is_never_a_port_reserved_locked_or_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with reserve_ports(4, child_reuses_address=False) as four, socket.socket() as stranger:
        reserved, locked, used, free = (lease.port for lease in four)
        stranger.bind(("127.0.0.9", used))
        # The leases above hold the real locks, so the test brings its own.
        locks_taken = {locked}
        monkeypatch.setattr(leases, "_rests", lambda _port, **_: False)
        monkeypatch.setattr(locks, "reserved_ports", lambda: frozenset({reserved}))
        monkeypatch.setattr(locks, "from_a_random_start", lambda _ranges: iter([reserved, locked, used, free]))
        monkeypatch.setattr(locks, "port_lock", lambda port: None if port in locks_taken else UnixLock())
        with reserve_port(child_reuses_address=False) as lease:
            assert lease.port == free


class UnixLock(locks.Lock):
    """A lock on nothing."""

    def __init__(self) -> None:
        super().__init__(socket.socket(), -1)


@LINUX
def test_where_the_kernel_assigns_every_port_udp_is_picked_and_tcp_is_held(scene: Any) -> None:
    seen = scene("no_port_outside_the_ephemeral_range")
    assert {kind: guarantee for kind, (guarantee, _) in seen.items()} == {
        "tcp": "hold-through",
        "udp": "pick",
        "both": "pick",
    }
    assert seen["udp"][1].endswith("no port is free outside the ephemeral range")


@LINUX
def test_a_lease_passes_over_ports_in_use_reserved_or_locked(scene: Any) -> None:
    seen = scene("a_busy_port_outside_the_range")
    assert seen["first"] == [20_006, "lease"]
    assert seen["second"][0] == "pick"


@LINUX
def test_a_host_with_few_ports_does_not_run_out_of_them(scene: Any) -> None:
    given = scene("one_process_after_another")
    assert len(given) == 64
    assert all(earlier != later for earlier, later in itertools.pairwise(given))


@LINUX
def test_a_forked_child_does_not_keep_its_parents_ports(scene: Any) -> None:
    assert scene("a_forked_child") == {
        "released in the child": [True, True],
        "kept by the parent": True,
        "free while the child lives": True,
    }


@LINUX
@pytest.mark.parametrize("rung", ["hold-through", "lease"])
def test_a_child_forked_by_another_thread_does_not_keep_a_port_that_has_no_lease_yet(scene: Any, rung: str) -> None:
    assert scene("a_fork_in_the_middle", rung) == {"free while the child lives": True}


@LINUX
def test_a_small_range_of_leases_gives_the_port_that_rested_longest(scene: Any) -> None:
    guarantees, given = scene("a_small_range_of_leases")
    assert guarantees == ["lease"]
    assert set(given[:4]) == {20_001, 20_002, 20_003, 20_004}
    assert given[4:] == given[:4] * 2


def test_claims_are_closed_together_and_once() -> None:
    sockets = [socket.socket(), socket.socket()]
    claims = [Claim((sock,)) for sock in sockets]
    close_each(claims)
    close_each(claims)
    assert [sock.fileno() for sock in sockets] == [-1, -1]


@given(
    releases=st.lists(st.tuples(st.integers(1, 20), st.floats(0, 5))),
    asked=st.integers(1, 20),
    rest_s=st.floats(0, 10),
    capacity_max=st.integers(1, 8),
)
def test_the_quarantine_holds_the_last_ports_until_their_time_is_over(
    releases: list[tuple[int, float]], asked: int, rest_s: float, capacity_max: int
) -> None:
    quarantine = leases.Quarantine(rest_s, capacity_max)
    now_s, last_release_s, order = 0.0, {}, list[int]()
    for port, pause_s in releases:
        now_s += pause_s
        quarantine.add(port, now_s)
        last_release_s[port] = now_s
        order = [each for each in order if each != port] + [port]
    kept = asked in order[-capacity_max:]
    assert quarantine.until_s(asked) == (last_release_s[asked] + rest_s if kept else 0)
    assert quarantine.holds(asked, now_s) == (kept and last_release_s[asked] + rest_s > now_s)


def test_resting_ports_are_leased_last_and_the_longest_resting_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quarantine = leases.Quarantine(rest_s=30.0, capacity_max=9)
    for port, released_s in [(1, 0.0), (5, 50.0), (2, 60.0)]:
        quarantine.add(port, released_s)
    monkeypatch.setattr(leases, "_quarantine", lambda **_: quarantine)
    monkeypatch.setattr(leases, "_now_s", lambda: 70.0)
    assert list(leases._rested_first([1, 2, 3, 4, 5])) == [1, 3, 4, 5, 2]


def test_the_time_of_the_quarantine_never_goes_back() -> None:
    assert leases._now_s is time.monotonic
