"""What the sampler's events alone prove."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.findings import Effect, Finding, find
from parasuite.judge.ledger import Hold, holds
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import (
    Bind,
    CopyState,
    Endpoint,
    Event,
    Listen,
    Orphaned,
    ProcessSeen,
    Release,
    RunStarted,
    Seen,
    Unseen,
)
from parasuite.model.network import Network
from parasuite.model.overlap import overlaps
from parasuite.model.party import Party
from parasuite.model.words import CopyPhase, Protocol, Severity, SocketOption

from runner.tests.building import by

FIXED = 8025  # Outside the range that the kernel of this story draws from.
DRAWN = 40000
RUN = RunStarted(t_ns=0, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999, addresses=("192.0.2.7",))


def at(address: str, port: int = FIXED, protocol: Protocol = Protocol.TCP) -> Endpoint:
    return Endpoint(protocol, address, port)


def seen(t_ns: int, copy: int | None, socket: int, endpoint: Endpoint) -> Seen:
    return Seen(t_ns=t_ns, caller=by(copy, pid=1000 + socket), endpoint=endpoint, socket=f"inode:{socket}")


def unseen(t_ns: int, copy: int | None, socket: int, endpoint: Endpoint) -> Unseen:
    return Unseen(t_ns=t_ns, caller=by(copy, pid=1000 + socket), endpoint=endpoint, socket=f"inode:{socket}")


def reported(*events: Event) -> list[tuple[str, str, tuple[int, ...]]]:
    return [
        (_what(found), str(found.endpoint), tuple(party.copy for party in found.parties))
        for found in find([RUN, *events]).findings
        if found.severity != Severity.NOTE
    ]


def _what(found: Finding) -> str:
    """Its cause, and its effects if it has any: "unknown: shared"."""
    kinds = sorted({effect.kind for effect in found.effects})
    return f"{found.cause}: {', '.join(kinds)}" if kinds else found.cause


def test_two_copies_on_one_port_in_one_sample_share_it() -> None:
    here = at("127.0.0.1", DRAWN)
    assert reported(seen(10, 0, 1, here), seen(10, 1, 2, here)) == [("unknown: shared", f"127.0.0.1:{DRAWN}", (0, 1))]


def test_two_copies_that_follow_each_other_share_nothing() -> None:
    here = at("127.0.0.1", DRAWN)
    assert reported(seen(10, 0, 1, here), unseen(20, 0, 1, here), seen(20, 1, 2, here)) == []


def test_a_wildcard_over_a_specific_address_is_shared() -> None:
    assert reported(seen(10, 0, 1, at("127.0.0.1", DRAWN)), seen(10, 1, 2, at("::ffff:127.0.0.1", DRAWN))) == [
        ("unknown: shared", f"127.0.0.1:{DRAWN}", (0, 1))
    ]


def test_one_socket_in_two_copies_is_one_socket() -> None:
    here = at("127.0.0.1", DRAWN)
    assert reported(seen(10, 0, 1, here), seen(10, 1, 1, here)) == []


def test_sockets_of_one_copy_may_share() -> None:
    here = at("127.0.0.1")
    assert reported(seen(10, 0, 1, here), seen(10, 0, 2, here)) == []


def test_a_process_outside_the_run_shares_with_nobody() -> None:
    here = at("127.0.0.1")
    assert reported(seen(10, 0, 1, here), seen(10, None, 2, here)) == []


def test_one_fixed_port_in_two_copies_that_never_meet_is_hard_coded() -> None:
    here = at("127.0.0.1")
    events = (seen(10, 0, 1, here), unseen(20, 0, 1, here), seen(30, 3, 2, here))
    assert reported(*events) == [("hard-coded", f"127.0.0.1:{FIXED}", (0, 3))]


def test_equal_numbers_from_the_kernels_range_are_chance() -> None:
    here = at("127.0.0.1", DRAWN)
    assert reported(seen(10, 0, 1, here), unseen(20, 0, 1, here), seen(30, 3, 2, here)) == []


def test_a_fixed_port_on_an_address_of_each_copys_own_is_no_collision() -> None:
    assert reported(seen(10, 0, 1, at("127.0.0.2")), seen(10, 1, 2, at("127.0.0.3"))) == []


def test_a_program_that_draws_its_own_numbers_is_not_called_hard_coded_for_a_coincidence() -> None:
    events = [
        seen(10, copy, 100 * copy + n, at("127.0.0.1", 9000 + 50 * copy + n)) for copy in range(8) for n in range(20)
    ]
    coincidence = seen(20, 7, 9999, at("127.0.0.1", 9000))
    assert [kind for kind, _, _ in reported(*events, coincidence)] == ["hard-coded: shared"]


def test_a_number_that_most_copies_use_is_hard_coded_among_any_others() -> None:
    events = [
        seen(10, copy, 100 * copy + n, at("127.0.0.1", 9000 + 50 * copy + n)) for copy in range(4) for n in range(20)
    ]
    fixed = [
        event
        for copy in range(4)
        for event in (
            seen(20 + 2 * copy, copy, 9000 + copy, at("127.0.0.1")),
            unseen(21 + 2 * copy, copy, 9000 + copy, at("127.0.0.1")),
        )
    ]
    assert reported(*events, *fixed) == [("hard-coded", f"127.0.0.1:{FIXED}", (0, 1, 2, 3))]


def test_a_listener_that_other_hosts_reach_is_exposed() -> None:
    assert reported(seen(10, 2, 1, at("0.0.0.0", DRAWN))) == [("exposed", f"0.0.0.0:{DRAWN}", (2,))]


def test_listeners_on_loopback_or_outside_the_run_or_in_a_private_namespace_are_not_exposed() -> None:
    private = at("0.0.0.0", DRAWN)._replace(network=Network(4026532000))
    assert (
        reported(seen(1, 0, 1, at("127.4.4.4", DRAWN)), seen(1, None, 2, at("0.0.0.0")), seen(1, 0, 3, private)) == []
    )


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
@pytest.mark.parametrize(("options", "kinds"), [((), ["exposed"]), ((SocketOption.LOOPBACK_DEVICE,), [])])
def test_a_wildcard_that_an_exact_sensor_saw_on_the_loopback_device_is_not_exposed(
    protocol: Protocol, options: tuple[SocketOption, ...], kinds: list[str]
) -> None:
    asked, got = at("0.0.0.0", 0, protocol), at("0.0.0.0", DRAWN, protocol)
    events: list[Event] = [Bind(t_ns=1, caller=by(0), cookie=1, asked=asked, got=got, options=options)]
    if protocol == Protocol.TCP:
        events.append(Listen(t_ns=2, caller=by(0), cookie=1, got=got, options=options))
    assert [kind for kind, _, _ in reported(*events)] == kinds


def test_a_datagram_socket_on_a_drawn_port_may_be_a_client() -> None:
    assert reported(seen(1, 0, 1, at("0.0.0.0", DRAWN, Protocol.UDP))) == []
    assert reported(seen(1, 0, 1, at("0.0.0.0", FIXED, Protocol.UDP))) == [("exposed", f"0.0.0.0:{FIXED}/udp", (0,))]


def test_a_number_outside_the_range_of_an_unknown_host_is_not_guessed_at() -> None:
    ports = (FIXED, 61500)
    events = [
        seen(t, copy, t, at("127.0.0.1", port)) for t, (copy, port) in enumerate(itertools.product((0, 1), ports), 1)
    ]
    unknown = replace(RUN, ephemeral_first=0, ephemeral_last=0)
    found = find([unknown, *events]).findings
    assert {finding.port for finding in found if finding.cause == Cause.HARD_CODED} == {FIXED}


def test_what_outlives_its_copys_main_process_is_an_orphan() -> None:
    here = at("127.0.0.1")
    orphaned = Orphaned(t_ns=50, caller=by(1, pid=1001), endpoint=here, socket="inode:1")
    process = ProcessSeen(t_ns=10, caller=by(1, pid=1001), name="node", command="node server.js")
    found = find(
        [RUN, seen(10, 1, 1, here), process, CopyState(t_ns=20, copy=1, state=CopyPhase.EXITED), orphaned]
    ).findings
    (orphan,) = [finding for finding in found if finding.cause == Cause.ORPHAN]
    (side,) = orphan.sides
    assert (orphan.severity, orphan.evidence, side.process, side.role) == ("error", "sampled", "node", "holder")


def shared_by(*copies: int, pids: int = 1000, port: int = FIXED) -> Finding:
    here = at("127.0.0.1", port)
    events: list[Event] = [RUN]
    events += [ProcessSeen(t_ns=1, caller=by(copy, pid=pids + copy), name="server") for copy in copies]
    for copy in copies:
        events.append(Seen(t_ns=10, caller=by(copy, pid=pids + copy), endpoint=here, socket=f"inode:{pids + copy}"))
    return next(found for found in find(events).findings if found.effects)


def test_an_id_is_the_same_whatever_the_copies_and_pids() -> None:
    assert shared_by(0, 1).id == shared_by(4, 6, pids=2000).id
    assert shared_by(0, 1).id != shared_by(0, 1, port=FIXED + 1).id
    assert shared_by(0, 1, port=DRAWN).id == shared_by(0, 1, port=DRAWN + 1).id


def test_repeats_are_counted_and_their_copies_joined() -> None:
    found = shared_by(0, 1, 2)
    assert sum(effect.count for effect in found.effects) == 3
    assert found.parties == (Party(0), Party(1), Party(2))


ADDRESSES = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"]
samples = st.dictionaries(
    st.tuples(st.sampled_from([None, 0, 1, 2]), st.integers(1, 3)),
    st.tuples(st.sampled_from(ADDRESSES), st.sampled_from([8025, DRAWN])),
    max_size=5,
)


def story(seen_at: list[dict[tuple[int | None, int], tuple[str, int]]]) -> list[Event]:
    """The events of a sampler that took these samples; a socket keeps the endpoint of its first sample."""
    events: list[Event] = [RUN]
    for copy, number in sorted({key for sample in seen_at for key in sample}, key=str):
        pid = 1000 + _socket((copy, number))
        events.append(ProcessSeen(t_ns=1, caller=by(copy, pid=pid), name=f"server-{copy}-{number}"))
    alive: dict[tuple[int | None, int], Endpoint] = {}
    for number, sample in enumerate(seen_at, 1):
        for key in [key for key in alive if key not in sample]:
            events.append(unseen(number * 10, key[0], _socket(key), alive.pop(key)))
        for key, (address, port) in sample.items():
            if key not in alive:
                alive[key] = at(address, port)
                events.append(seen(number * 10, key[0], _socket(key), alive[key]))
    return events


def _socket(key: tuple[int | None, int]) -> int:
    return 10 * (9 if key[0] is None else key[0]) + key[1]


def brute_force(found: list[Hold]) -> set[tuple[Party, ...]]:
    """Every two parties with two holds that overlap in time and place, one accepting."""
    return {
        (min(mine, theirs), max(mine, theirs))
        for one, two in itertools.combinations(found, 2)
        if (mine := one.caller.process.party) is not None and (theirs := two.caller.process.party) is not None
        if mine != theirs and one.socket != two.socket
        if max(one.start_ns, two.start_ns) < min(one.end_ns, two.end_ns)
        if overlaps(one.endpoint, two.endpoint)
    }


def _parties(effect: Effect) -> tuple[Party, ...]:
    return tuple(sorted(side.party for side in effect.sides if side.party is not None))


@given(st.lists(samples, max_size=6))
def test_the_sweep_finds_the_pairs_that_brute_force_finds(
    seen_at: list[dict[tuple[int | None, int], tuple[str, int]]],
) -> None:
    events = story(seen_at)
    effects = [effect for finding in find(events).findings for effect in finding.effects]
    pairs = {_parties(effect) for effect in effects if effect.kind == EffectKind.SHARED}
    assert pairs == brute_force(holds(events))


@given(st.lists(samples, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_events_of_one_instant_is_no_matter(
    seen_at: list[dict[tuple[int | None, int], tuple[str, int]]], shuffler: random.Random
) -> None:
    events = story(seen_at)
    shuffled = list(events)
    shuffler.shuffle(shuffled)
    assert find(sorted(shuffled, key=lambda event: event.t_ns)).findings == find(events).findings


def test_what_the_sampler_saw_of_other_copies_stands_beside_an_exact_finding_of_the_same_number() -> None:
    here = at("127.0.0.1", DRAWN)
    exact: list[Event] = []
    for copy in (0, 1):
        exact += [
            Bind(
                t_ns=10,
                caller=by(copy, pid=copy),
                cookie=copy + 1,
                asked=here,
                got=here,
                options=(SocketOption.REUSEPORT,),
            ),
            Listen(t_ns=11, caller=by(copy, pid=copy), cookie=copy + 1, got=here, options=(SocketOption.REUSEPORT,)),
            Release(t_ns=12, cookie=copy + 1),
        ]
    exact.sort(key=lambda event: event.t_ns)
    findings = find([RUN, *exact, seen(20, 2, 8, here), seen(20, 3, 9, here)]).findings
    effects = [effect for finding in findings for effect in finding.effects]
    assert sorted(_parties(effect) for effect in effects) == [(Party(0), Party(1)), (Party(2), Party(3))]
