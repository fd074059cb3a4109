"""Findings about ports that the kernel assigned: lost before they were bound again, or expected to stay closed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from parasuite.judge.findings import Finding, find
from parasuite.judge.findings.crosstalk import LATE_NS
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint, Event, Holder, Release
from parasuite.model.party import Caller, Party
from parasuite.model.words import Role, Severity, SocketOption, SocketState

from runner.tests.building import by, connects, draws, refused, serves, tcp, udp

PORT = 41000
HERE = tcp(PORT)
DRAWS, SERVES = "conftest.py:9:free_port", "test_a.py:20:serve"
MS = 1_000_000
REUSE_PORT = (SocketOption.REUSEPORT,)


def found(*events: Event | Sequence[Event]) -> list[Finding]:
    """The findings, in the order in which a report has them."""
    flat = [event for each in events for event in ([each] if isinstance(each, Event) else each)]
    return list(find(sorted(flat, key=lambda event: event.t_ns)).findings)


def said(*events: Event | Sequence[Event]) -> list[tuple[str, str, list[str]]]:
    """(cause, severity, kinds of the effects) of each finding."""
    return [
        (finding.cause, finding.severity, [effect.kind for effect in finding.effects]) for finding in found(*events)
    ]


def in_test(name: str, line: str = SERVES, *, copy: int = 0, pid: int = 1, worker: str = "") -> Caller:
    return by(copy, pid, tid=pid, worker=worker, test=name, line=line)


# --- lost-port ------------------------------------------------------------------------------------------------------


def test_a_port_that_one_function_draws_and_another_binds_is_lost_where_it_was_drawn() -> None:
    (finding,) = found(
        draws(1 * MS, in_test("a", DRAWS), HERE, released_ns=2 * MS), serves(5 * MS, in_test("a"), HERE)
    )
    assert (finding.cause, finding.severity, finding.window_ms) == (Cause.LOST_PORT, Severity.WARNING, 3.0)
    assert [(side.role, side.origin) for side in finding.sides] == [
        (Role.DREW, "conftest.py:free_port"),
        (Role.HOLDER, "test_a.py:serve"),
    ]
    assert "conftest.py:free_port" in finding.title


def test_twelve_tests_that_use_one_helper_are_one_finding() -> None:
    events: list[Event] = []
    for number in range(12):
        test, there = f"t{number}", tcp(PORT + number)
        events += draws(100 * number + 1, in_test(test, DRAWS), there)
        events += serves(100 * number + 10, in_test(test, f"test_{number}.py:5:f"), there)
        events.append(Release(t_ns=100 * number + 20, cookie=100 * number + 10))
    (finding,) = found(*events)
    assert (finding.cause, finding.count) == (Cause.LOST_PORT, 12)


def test_two_helpers_that_draw_are_two_findings() -> None:
    other = "other.py:3:draw"
    events = [
        *draws(1, in_test("a", DRAWS), HERE),
        *serves(5, in_test("a"), HERE),
        *draws(10, in_test("b", other), tcp(PORT + 1)),
        *serves(15, in_test("b"), tcp(PORT + 1)),
    ]
    assert [finding.cause for finding in found(*events)] == [Cause.LOST_PORT] * 2


def test_a_port_whose_drawer_is_unknown_is_lost_where_it_is_bound() -> None:
    (finding,) = found(draws(1, in_test("a", ""), HERE), serves(5, in_test("a"), HERE))
    assert "test_a.py:serve" in finding.title


def test_a_port_that_the_controller_draws_and_a_worker_binds_is_lost() -> None:
    worker = in_test("a", pid=2, worker="gw1")
    (finding,) = found(draws(1, in_test("", DRAWS), HERE), serves(5, worker, HERE))
    assert (finding.cause, set(finding.parties)) == (Cause.LOST_PORT, {Party(0), Party(0, "gw1")})


def test_a_port_that_another_copy_drew_is_fixed_for_this_one() -> None:
    (finding, *_) = found(draws(1, in_test("a", DRAWS, copy=1), HERE), serves(5, in_test("a"), HERE))
    assert finding.cause == Cause.HARD_CODED


def test_a_port_that_is_held_until_its_server_is_bound_is_not_lost() -> None:
    held = draws(1, in_test("a", DRAWS), HERE, released_ns=9, options=REUSE_PORT)
    assert found(held, serves(5, in_test("a"), HERE, options=REUSE_PORT)) == []


def test_a_refusal_of_a_drawn_port_is_an_effect_of_its_loss() -> None:
    taken = serves(4, in_test("b", "test_b.py:1:steal", copy=1, pid=9), HERE, asked_port=0)
    (finding,) = found(
        draws(1, in_test("a", DRAWS), HERE), taken, refused(6, in_test("a"), HERE, Party(1), taken[0].t_ns)
    )
    assert (finding.cause, finding.severity, [effect.kind for effect in finding.effects]) == (
        Cause.LOST_PORT,
        Severity.ERROR,
        [EffectKind.REFUSED],
    )
    assert "conftest.py:free_port" in finding.title


# --- closed-port, and which of the two ------------------------------------------------------------------------------


def test_a_connect_to_a_port_that_was_released_and_nobody_binds_expects_it_to_stay_closed() -> None:
    (finding,) = found(draws(1, in_test("a", DRAWS), HERE), connects(5, in_test("a", "test_a.py:7:refusing"), HERE))
    assert (finding.cause, finding.severity, finding.effects) == (Cause.CLOSED_PORT, Severity.NOTE, ())
    assert "test_a.py:refusing" in finding.title


def other_server(t_ns: int = 3) -> list[Event]:
    """Copy 1 is assigned the port, and listens there."""
    return serves(t_ns, by(1, 9, test="theirs", line="theirs.py:1:f"), HERE, asked_port=0)


def test_a_connect_that_another_party_answers_there_is_an_error() -> None:
    client = in_test("a", "test_a.py:7:refusing")
    (finding,) = found(draws(1, in_test("a", DRAWS), HERE), other_server(), connects(5, client, HERE))
    assert (finding.cause, finding.severity, [effect.kind for effect in finding.effects]) == (
        Cause.CLOSED_PORT,
        Severity.ERROR,
        [EffectKind.CROSSTALK],
    )


@pytest.mark.parametrize("server_test", ["a", "", "another"])
def test_a_client_that_waits_for_a_drawn_port_that_its_server_binds_later_is_about_a_lost_port(
    server_test: str,
) -> None:
    waits = [connects(t_ns, in_test("a", "wait.py:3:wait_for_port"), HERE) for t_ns in (5 * MS, 20 * MS, 35 * MS)]
    server = serves(50 * MS, in_test(server_test, pid=2), HERE)
    assert said(draws(1, in_test("a", DRAWS), HERE), waits, server) == [("lost-port", "warning", [])]


@pytest.mark.parametrize("server_test", ["a", "", "another"])
def test_a_client_that_waits_for_its_server_and_reaches_another_partys_is_about_a_lost_port(server_test: str) -> None:
    server = refused(8, in_test(server_test, pid=2), HERE, Party(1), 3)
    client = connects(6, in_test("a", "wait.py:3:wait_for_port"), HERE)
    (finding,) = found(draws(1, in_test("a", DRAWS), HERE), other_server(), client, server)
    assert (finding.cause, sorted(effect.kind for effect in finding.effects)) == (
        Cause.LOST_PORT,
        [EffectKind.CROSSTALK, EffectKind.REFUSED],
    )


def test_a_port_that_is_assigned_again_and_bound_by_number_then_says_nothing_of_the_connect_before() -> None:
    closed = [*draws(1, in_test("a", DRAWS), HERE), connects(5, in_test("a"), HERE)]
    later = [*draws(60 * MS, in_test("b", DRAWS), HERE), *serves(70 * MS, in_test("b"), HERE)]
    assert [cause for cause, _, _ in said(closed, later)] == ["lost-port", "closed-port"]


def test_what_the_controller_drew_and_a_worker_finds_answered_by_another_copy_was_lost() -> None:
    worker = in_test("a", pid=2, worker="gw1")
    (finding,) = found(
        draws(1, in_test("", DRAWS), HERE),
        other_server(),
        connects(6, worker, HERE),
        refused(8, worker, HERE, Party(1), 3),
    )
    assert (finding.cause, len(finding.effects)) == (Cause.LOST_PORT, 2)


def test_a_client_that_connects_again_after_its_server_went_down_is_a_note() -> None:
    server = serves(1, in_test("a"), HERE, asked_port=0)
    client = in_test("a", "client.py:4:reconnect", pid=2)
    gone = Release(t_ns=30, cookie=1)
    assert said(server, connects(10, client, HERE), gone, connects(40, client, HERE)) == [("closed-port", "note", [])]


def test_a_client_that_connects_while_its_server_listens_is_innocent() -> None:
    assert said(serves(1, in_test("a"), HERE, asked_port=0), connects(10, in_test("a"), HERE)) == []


def test_datagrams_to_a_released_port_may_be_meant_for_no_one() -> None:
    here = udp(PORT)
    assert found(draws(1, in_test("a", DRAWS), here), connects(5, in_test("a"), udp(PORT + 1))) == []


def test_a_datagram_client_of_a_released_port_that_another_party_has_reached_it() -> None:
    here = udp(PORT)
    theirs = serves(3, by(1, 9, line="theirs.py:1:f"), here, asked_port=0)
    assert said(draws(1, in_test("a", DRAWS), here), theirs, connects(5, in_test("a"), here)) == [
        ("closed-port", "error", ["crosstalk"])
    ]


# --- who listens is seen late ---------------------------------------------------------------------------------------


def client_before(*servers: list[Event]) -> list[tuple[str, str, list[str]]]:
    """Copy 0 connects at 1 ms, before any of *servers* was seen to listen."""
    later = Release(t_ns=90 * MS, cookie=77)
    return said(connects(1 * MS, in_test("a", pid=3), HERE), *servers, later)


def test_a_listener_that_is_seen_a_moment_after_the_connect_is_judged() -> None:
    assert client_before(other_server(1 * MS + LATE_NS // 2)) == [("unknown", "error", ["crosstalk"])]


def test_a_listener_that_came_after_that_moment_was_not_reached() -> None:
    assert client_before(other_server(2 * MS + LATE_NS)) == []


def test_a_listener_that_came_after_the_next_call_of_the_clients_thread_was_not_reached() -> None:
    client = in_test("a", pid=3)
    another_thread = client._replace(tid=4)
    refused, late = connects(1 * MS, client, HERE), other_server(2 * MS + LATE_NS // 2)
    assert said(refused, *draws(2 * MS, client, tcp(PORT + 1)), late) == []
    assert said(refused, *draws(2 * MS, another_thread, tcp(PORT + 1)), late) != []


def test_a_client_of_a_port_that_its_own_party_keeps_bound_reached_nobody_who_listens_there_later() -> None:
    held = draws(1 * MS, in_test("a", DRAWS), HERE, released_ns=2 * MS + LATE_NS // 4)
    refused = connects(2 * MS, in_test("a"), HERE)
    assert said(held, refused, other_server(2 * MS + LATE_NS // 2)) == []


@pytest.mark.parametrize("own_first", [True, False])
def test_a_listener_of_ones_own_that_is_seen_late_as_well_makes_the_client_innocent(own_first: bool) -> None:
    moments = count(2 * MS, MS)
    first, second = next(moments), next(moments)
    own = serves(first if own_first else second, in_test("a"), HERE, asked_port=0, options=REUSE_PORT)
    theirs = other_server(second if own_first else first)
    assert [kinds for _, _, kinds in client_before(own, theirs) if "crosstalk" in kinds] == []


def met_while(state: SocketState) -> list[str]:
    """Copy 0 connects while copy 1 has bound a fixed port and not yet listened: the causes."""
    there: Endpoint = tcp(8025)
    bind, listen = serves(1 * MS, by(1, 9, line="theirs.py:1:f"), there, cookie=7)
    client = connects(2 * MS, in_test("a"), there, Holder(Party(1), 9, state, 7))
    listen.t_ns = 3 * MS if state is SocketState.LISTEN else 2 * MS + 2 * LATE_NS
    return [finding.cause for finding in found(bind, client, listen) if finding.effects]


def test_a_holder_that_listens_is_the_socket_that_was_bound_and_has_its_port() -> None:
    assert met_while(SocketState.LISTEN) == ["hard-coded"]


def test_a_socket_that_is_bound_and_does_not_listen_answers_nobody() -> None:
    assert met_while(SocketState.BOUND) == []
