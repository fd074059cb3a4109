"""A listener that outlives its test is a note, and an error once a later test is refused because of it."""

from __future__ import annotations

import pytest
from parasuite.judge.findings import Finding, find
from parasuite.judge.findings.leaked import LATE_NS
from parasuite.model.events import Bind, Endpoint, Event, Holder, Listen, Release
from parasuite.model.party import Caller, Fixture, Party
from parasuite.model.words import AttributedBy, FixtureScope, Protocol, SocketState

from runner.tests.building import by

HERE = Endpoint(Protocol.TCP, "127.0.0.1", 41700)
ANY = HERE._replace(port=0)


def in_test(name: str, *, pid: int = 1, attribution: AttributedBy = AttributedBy.THREAD) -> Caller:
    return by(0, pid=pid, tid=pid, test=name, line=f"t.py:3:{name}", attribution=attribution)


def served(caller: Caller, *, t_ns: int = 1, asked: Endpoint = ANY) -> list[Event]:
    return [
        Bind(t_ns=t_ns, caller=caller, cookie=7, asked=asked, got=HERE),
        Listen(t_ns=t_ns + 1, caller=caller, cookie=7, got=HERE),
    ]


def another_test(name: str = "second", *, released_ns: int = 21) -> list[Event]:
    """Another test of the same thread, which binds a port of its own, closes it at *released_ns*, and binds again."""
    caller = in_test(name)
    return [
        Bind(t_ns=20, caller=caller, cookie=8, asked=ANY, got=HERE._replace(port=41999)),
        Release(t_ns=released_ns, cookie=8),
        Bind(
            t_ns=max(22 + LATE_NS, released_ns + 1), caller=caller, cookie=9, asked=ANY, got=HERE._replace(port=41996)
        ),
    ]


def leaks(events: list[Event]) -> list[Finding]:
    return [finding for finding in find(events).findings if finding.cause == "leaked"]


def test_a_listener_that_is_open_when_the_next_test_runs_has_leaked() -> None:
    (finding,) = leaks([*served(in_test("first")), *another_test()])
    assert (finding.severity, finding.tests, finding.effects) == ("note", ("first",), ())


def test_a_listener_that_its_test_closed_has_not_leaked() -> None:
    assert leaks([*served(in_test("first")), Release(t_ns=9, cookie=7), *another_test()]) == []


def test_a_listener_whose_end_is_told_a_moment_after_its_test_has_not_leaked() -> None:
    bound, released, again = another_test()
    assert leaks([*served(in_test("first")), bound, released, Release(t_ns=20 + LATE_NS, cookie=7), again]) == []


def test_a_listener_whose_end_is_told_long_after_its_test_has_leaked() -> None:
    much_later = Release(t_ns=30 + LATE_NS, cookie=7)
    assert len(leaks([*served(in_test("first")), *another_test(), much_later])) == 1


def test_a_listener_has_not_leaked_while_no_end_of_any_later_socket_is_told() -> None:
    much_later_ns = 10 * LATE_NS
    bound, released, again = another_test(released_ns=much_later_ns)
    told = Release(t_ns=much_later_ns - 1, cookie=7)
    assert leaks([*served(in_test("first")), bound, told, released, again]) == []


def test_a_listener_of_a_process_that_the_test_started_leaks_as_well() -> None:
    child = in_test("first", pid=2, attribution=AttributedBy.ENVIRONMENT)
    runner = Bind(t_ns=9, caller=in_test("first"), cookie=9, asked=ANY, got=HERE._replace(port=41998))
    (finding,) = leaks([*served(child), runner, *another_test()])
    assert (finding.severity, {side.pid for side in finding.sides}) == ("note", {2})


@pytest.mark.parametrize("scope", [scope for scope in FixtureScope if scope.outlives_test])
def test_what_a_fixture_of_a_wider_scope_opened_is_meant_to_stay(scope: FixtureScope) -> None:
    caller = in_test("first")._replace(fixture=Fixture(scope, "server"))
    assert leaks([*served(caller), *another_test()]) == []


def test_what_a_function_scoped_fixture_opened_must_be_closed() -> None:
    caller = in_test("first")._replace(fixture=Fixture(FixtureScope.FUNCTION, "server"))
    assert len(leaks([*served(caller), *another_test()])) == 1


def test_a_test_that_runs_in_another_thread_ends_no_test() -> None:
    elsewhere = Bind(t_ns=20, caller=in_test("second", pid=5), cookie=8, asked=ANY, got=HERE._replace(port=41999))
    assert leaks([*served(in_test("first")), elsewhere]) == []


def refused(test: str) -> Bind:
    own = Holder(party=Party(0), pid=1, state=SocketState.LISTEN, cookie=7)
    return Bind(t_ns=30, caller=in_test(test), asked=HERE, errno="EADDRINUSE", holders=(own,))


def test_a_leaked_listener_that_refuses_a_later_test_is_an_error() -> None:
    (finding,) = leaks([*served(in_test("first"), asked=HERE), refused("second")])
    (effect,) = finding.effects
    assert (finding.severity, effect.kind, [side.test for side in effect.sides]) == (
        "error",
        "refused",
        ["second", "first"],
    )


def test_a_leak_that_is_closed_a_moment_after_it_refused_a_test_is_that_of_the_function_that_left_it_open() -> None:
    (finding,) = leaks([*served(in_test("first"), asked=HERE), refused("second"), Release(t_ns=40, cookie=7)])
    assert (finding.severity, "t.py:first" in finding.title) == ("error", True)


def test_a_test_that_is_refused_by_its_own_listener_is_innocent() -> None:
    found = find([*served(in_test("first"), asked=HERE), refused("first")]).findings
    assert [finding.effects for finding in found] == [()]


def test_a_later_test_that_wants_the_port_of_a_sessions_fixture_is_not_told_of_a_leak() -> None:
    caller = in_test("first")._replace(fixture=Fixture(FixtureScope.SESSION, "server"))
    assert leaks([*served(caller, asked=HERE), refused("second")]) == []
