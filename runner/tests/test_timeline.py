"""Which holds a reader is shown over time: all of a small run; of a large one those that findings are about."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.judge import timeline
from parasuite.judge.findings import find
from parasuite.judge.ledger import Hold, holds
from parasuite.model.events import Event

from runner.tests.building import by, draws, refused, serves, tcp

LONG_NS = 1_000_000


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many holds are kept: few."""
    monkeypatch.setattr(timeline, "HOLDS_MAX", 5)
    return timeline.HOLDS_MAX


def assigned(count: int, from_ns: int = 1000) -> list[Event]:
    """*count* holds of ports that the kernel chose, each longer than those of the tests about weights."""
    return [
        event
        for number in range(count)
        for event in draws(
            from_ns + 3 * number * LONG_NS,
            by(0),
            tcp(40000 + number),
            released_ns=from_ns + (3 * number + 1 + number % 2) * LONG_NS,
        )
    ]


def ports(kept: Iterable[Hold]) -> list[int]:
    return [hold.endpoint.port for hold in kept]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(8000, 8003), st.integers(1, 50)), max_size=20))
def test_a_small_run_is_shown_with_all_that_the_ledger_knows(served: list[tuple[int, int, int]]) -> None:
    events: list[Event] = []
    for number, (copy, port, lasts) in enumerate(served):
        events += draws(100 * number + 1, by(copy), tcp(port), released_ns=100 * number + 1 + lasts)
    found = find(events).timeline
    assert (found.left_out, sorted(map(repr, found.holds))) == (0, sorted(map(repr, holds(events))))


def test_a_hold_that_nobody_saw_end_lasts_to_the_end_of_the_record() -> None:
    events = [*serves(10, by(0), tcp(8025)), *draws(20, by(1), tcp(40000), released_ns=90)]
    found = find(events).timeline
    assert [(hold.endpoint.port, hold.end_ns) for hold in found.holds] == [(8025, 91), (40000, 90)]


def test_of_holds_that_no_finding_is_about_the_longest_are_kept_and_the_others_are_counted(few: int) -> None:
    found = find(assigned(2 * few)).timeline
    assert found.left_out == few
    assert {hold.end_ns - hold.start_ns for hold in found.holds} == {2 * LONG_NS}


def test_a_port_that_was_asked_for_by_number_is_kept_however_short_it_was_held(few: int) -> None:
    found = find([*assigned(2 * few), *serves(10**9, by(0), tcp(8025))]).timeline
    assert 8025 in ports(found.holds)


def test_the_draw_of_a_port_that_was_lost_is_kept(few: int) -> None:
    drawn = draws(10**9, by(0, 7), tcp(50000))
    taken = serves(10**9 + 100, by(1, 8), tcp(50000), asked_port=0)
    lost = refused(10**9 + 200, by(0, 7), tcp(50000), by(1).process.party, cookie=10**9 + 100)
    found = find([*assigned(2 * few), *drawn, *taken, lost]).timeline
    assert [hold.start_ns for hold in found.holds if hold.endpoint.port == 50000] == [10**9, 10**9 + 100]


def test_one_port_does_not_crowd_out_the_others(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "PER_PORT_MAX", 2)
    often = [
        event
        for number in range(3 * few)
        for event in serves(10 + 10 * number, by(0), tcp(8025), cookie=number + 1)[:1]
    ]
    rare = serves(5000, by(0), tcp(9000))[:1]
    assert 9000 in ports(find([*often, *rare]).timeline.holds)
