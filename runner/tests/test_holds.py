"""From events to holds."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge.ledger import Hold, holds, in_order
from parasuite.model.events import Bind, CopyState, Endpoint, Event, Listen, Release, Seen, Unseen
from parasuite.model.network import Network
from parasuite.model.words import CopyPhase, Evidence, Protocol, SocketOption

from runner.tests.building import by

HERE = Endpoint(Protocol.TCP, "127.0.0.1", 8025)


def seen(t_ns: int, copy: int | None = 0, socket: str = "inode:1", endpoint: Endpoint = HERE) -> Seen:
    return Seen(t_ns=t_ns, caller=by(copy, pid=100), endpoint=endpoint, socket=socket)


def unseen(t_ns: int, copy: int | None = 0, socket: str = "inode:1", endpoint: Endpoint = HERE) -> Unseen:
    return Unseen(t_ns=t_ns, caller=by(copy, pid=100), endpoint=endpoint, socket=socket)


def times(found: list[Hold]) -> list[tuple[int, int, str]]:
    return [(hold.start_ns, hold.end_ns, hold.evidence) for hold in found]


def test_a_sampled_hold_lasts_from_the_first_sample_that_shows_it_to_the_first_that_does_not() -> None:
    assert times(holds([seen(10), unseen(30)])) == [(10, 30, "sampled")]


def test_a_hold_that_nobody_saw_end_ends_with_its_copys_tree() -> None:
    gone = CopyState(t_ns=20, copy=0, state=CopyPhase.GONE)
    other_copy = seen(15, copy=1, socket="inode:2")
    assert times(holds([seen(10), other_copy, gone, seen(40, socket="inode:3")])) == [
        (10, 20, "sampled"),
        (15, 41, "sampled"),
        (40, 41, "sampled"),
    ]


def test_the_end_of_a_copys_main_process_ends_no_hold() -> None:
    assert times(holds([seen(10), CopyState(t_ns=20, copy=0, state=CopyPhase.EXITED, status=0), unseen(30)])) == [
        (10, 30, "sampled")
    ]


def test_a_socket_bound_then_listening_is_one_exact_hold_until_its_last_reference_goes() -> None:
    found = holds(
        [
            Bind(
                t_ns=1,
                caller=by(0),
                cookie=7,
                inode=3,
                asked=Endpoint(Protocol.TCP, "127.0.0.1"),
                got=HERE,
                options=(SocketOption.REUSEADDR,),
            ),
            Listen(t_ns=2, caller=by(0), cookie=7, inode=3, got=HERE),
            Release(t_ns=9, cookie=7),
        ]
    )
    assert found == [
        Hold(
            endpoint=HERE,
            caller=by(0),
            socket="cookie:7",
            start_ns=1,
            end_ns=9,
            evidence=Evidence.EXACT,
            asked_port=0,
            options=(SocketOption.REUSEADDR,),
            listening=True,
        )
    ]


def test_a_refused_bind_holds_nothing() -> None:
    assert (
        holds([Bind(t_ns=1, caller=by(0), cookie=7, asked=HERE, errno="EADDRINUSE"), Release(t_ns=2, cookie=7)]) == []
    )


def test_of_the_recorder_alone_a_bind_proves_that_another_process_in_the_way_is_gone() -> None:
    first = Bind(t_ns=1, caller=by(0, pid=1), cookie=7, asked=HERE, got=HERE, source="recorder")
    second = Bind(t_ns=5, caller=by(0, pid=2), cookie=8, asked=HERE, got=HERE, source="recorder")
    assert times(holds([first, second])) == [(1, 5, "exact"), (5, 6, "exact")]


def test_of_the_recorder_alone_a_bind_beside_ones_own_ends_nothing() -> None:
    first = Bind(t_ns=1, caller=by(0, pid=1), cookie=7, asked=HERE, got=HERE, source="recorder")
    second = Bind(t_ns=5, caller=by(0, pid=1), cookie=8, asked=HERE, got=HERE, source="recorder")
    assert times(holds([first, second])) == [(1, 6, "exact"), (5, 6, "exact")]


def test_what_an_exact_sensor_told_is_not_told_again_by_the_sampler() -> None:
    bind = Bind(t_ns=1, caller=by(0), cookie=7, inode=1, asked=HERE, got=HERE)
    assert [hold.evidence for hold in holds([bind, seen(5), unseen(8), Release(t_ns=9, cookie=7)])] == ["exact"]


def test_a_sample_that_mixed_two_sockets_up_says_of_neither_that_it_listens() -> None:
    bind = Bind(t_ns=1, caller=by(0), cookie=7, inode=1, asked=HERE, got=HERE)
    (held,) = holds([bind, seen(5)])
    (mixed,) = holds([bind, seen(5, endpoint=Endpoint(Protocol.TCP, "127.0.0.1", 8026))])
    assert (held.listening, mixed.listening) == (True, False)


def test_a_sample_that_was_taken_while_the_socket_ended_revives_nothing() -> None:
    bind = Bind(t_ns=1, caller=by(0), cookie=7, inode=1, asked=HERE, got=HERE)
    assert times(holds([bind, Release(t_ns=4, cookie=7), seen(5), unseen(8)])) == [(1, 4, "exact")]


def test_an_exact_event_that_comes_after_the_sample_takes_its_place() -> None:
    bind = Bind(t_ns=6, caller=by(0), cookie=7, inode=1, asked=HERE, got=HERE)
    assert times(holds([seen(5), bind, Release(t_ns=9, cookie=7)])) == [(5, 6, "sampled"), (6, 9, "exact")]


def test_a_hold_in_another_namespace_is_another_hold() -> None:
    private = Endpoint(Protocol.TCP, "127.0.0.1", 8025, network=Network(4026532000))
    found = holds(
        [
            Bind(t_ns=1, caller=by(0), cookie=7, asked=HERE, got=HERE),
            Bind(t_ns=2, caller=by(1), cookie=7, network=Network(4026532000), asked=private, got=private),
            Release(t_ns=3, cookie=7, network=Network(4026532000)),
            Release(t_ns=9, cookie=7),
        ]
    )
    assert times(found) == [(1, 9, "exact"), (2, 3, "exact")]


changes = st.builds(
    lambda t_ns, kind, copy, socket: kind(t_ns, copy, f"inode:{socket}"),
    st.integers(0, 6),
    st.sampled_from([seen, unseen]),
    st.sampled_from([None, 0, 1]),
    st.integers(1, 3),
)


@given(st.lists(changes, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_events_of_one_instant_is_no_matter(events: list[Event], shuffler: random.Random) -> None:
    shuffled = list(events)
    shuffler.shuffle(shuffled)

    def by_time(event: Event) -> int:
        return event.t_ns

    assert holds(sorted(shuffled, key=by_time)) == holds(sorted(events, key=by_time))


@given(st.lists(changes, max_size=30))
def test_ordering_loses_nothing(events: list[Event]) -> None:
    events.sort(key=lambda event: event.t_ns)
    assert sorted(map(repr, in_order(events))) == sorted(map(repr, events))
