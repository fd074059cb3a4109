"""A state machine that reserves, serves and releases in any order, against a model of which ports are reserved."""

from __future__ import annotations

import contextlib
import socket
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from netsupport import (
    Guarantee,
    HOSTv4,
    HOSTv6,
    PortLease,
    leases,
    locks,
    refused_port,
    reserve_port,
    reserve_ports,
    wildcards,
)

KINDS: list[leases.Kind] = ["tcp", "udp", "both"]
LIVE_MAX = 40


class Reservations(RuleBasedStateMachine):
    """The model: the ports that are reserved, and when each port was last released, on the test's own clock."""

    reserved = Bundle("reserved")

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = contextlib.ExitStack()
        self.now_s = 1_000.0
        self.cleanup.enter_context(mock.patch.object(leases, "_now_s", self.now))
        # Its own quarantine, because the ports of other tests rest by the real clock.
        quarantine = leases.Quarantine(leases.QUARANTINE_S, 1_000)
        self.cleanup.enter_context(mock.patch.object(leases, "_quarantine", return_value=quarantine))
        self.live: dict[int, PortLease] = {}
        self.released_s: dict[int, float] = {}

    def now(self) -> float:
        return self.now_s

    def took(self, lease: PortLease) -> PortLease:
        """Note *lease* in the model, which must have room for it."""
        assert lease.port not in self.live
        rested_s = self.now_s - self.released_s.get(lease.port, float("-inf"))
        assert rested_s >= leases.QUARANTINE_S
        self.live[lease.port] = lease
        return lease

    @precondition(lambda self: len(self.live) < LIVE_MAX)
    @rule(target=reserved, kind=st.sampled_from(KINDS), reuses=st.booleans(), host=st.sampled_from([HOSTv4, HOSTv6]))
    def reserve(self, kind: leases.Kind, reuses: bool, host: str) -> PortLease:
        return self.took(reserve_port(host, kind=kind, child_reuses_address=reuses))

    @precondition(lambda self: len(self.live) < LIVE_MAX)
    @rule(target=reserved, count=st.integers(0, 5), reuses=st.booleans())
    def reserve_several(self, count: int, reuses: bool) -> object:
        return multiple(*map(self.took, reserve_ports(count, child_reuses_address=reuses)))

    @precondition(lambda self: len(self.live) < LIVE_MAX)
    @rule(target=reserved)
    def reserve_refused(self) -> PortLease:
        return self.took(refused_port())

    @rule(lease=consumes(reserved), twice=st.booleans())
    def release(self, lease: PortLease, twice: bool) -> None:
        for _ in range(1 + twice):
            lease.release()
        del self.live[lease.port]
        self.released_s[lease.port] = self.now_s

    @rule(lease=reserved)
    def a_server_listens_and_ends(self, lease: PortLease) -> None:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if lease.guarantee is Guarantee.HOLD:
                with pytest.raises(OSError, match="in use"):
                    server.bind(("127.0.0.1", lease.port))
            else:
                server.bind(("127.0.0.1", lease.port))
                server.listen()

    @rule(pause_s=st.sampled_from([0.5, 10.0, leases.QUARANTINE_S]))
    def time_passes(self, pause_s: float) -> None:
        self.now_s += pause_s

    @invariant()
    def every_port_is_kept_as_guaranteed(self) -> None:
        for port, lease in self.live.items():
            assert not lease.released
            if lease.guarantee is Guarantee.LEASE:
                assert locks.port_lock(port) is None
            else:
                assert lease.guarantee in (Guarantee.HOLD, Guarantee.HOLD_THROUGH)
                with contextlib.suppress(OSError):
                    wildcards.close_all(wildcards.claim_everywhere(port, socket.SOCK_STREAM))
                    raise AssertionError(f"another socket bound {lease!r}")

    def teardown(self) -> None:
        for lease in self.live.values():
            lease.release()
        self.cleanup.close()


Reservations.TestCase.settings = settings(max_examples=50, stateful_step_count=25)
TestReservations = Reservations.TestCase
