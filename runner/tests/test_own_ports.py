"""Connections between workers of one copy: which of them are crosstalk, and what their siblings' sockets refuse."""

from __future__ import annotations

from parasuite.judge.findings import find
from parasuite.model.events import Ancestor, Bind, Connect, Endpoint, Event, Holder, Listen, ProcessSeen, Release
from parasuite.model.party import Party
from parasuite.model.words import Protocol, SocketState

from runner.tests.building import by

CLIENT, SERVER = 11, 12
PORT = 40123
AT = Endpoint(Protocol.TCP, "127.0.0.1", PORT)
ANY = Endpoint(Protocol.TCP, "127.0.0.1")


def workers() -> list[Event]:
    return [
        ProcessSeen(t_ns=1, source="recorder", caller=by(0, pid), xdist_worker=f"gw{pid}") for pid in (CLIENT, SERVER)
    ]


def bind(t_ns: int, pid: int, *, asked: Endpoint = ANY, test: str = "", cookie: int = 0, errno: str = "") -> Event:
    got = None if errno else AT
    caller = by(0, pid, test=test)
    return Bind(t_ns=t_ns, caller=caller, asked=asked, got=got, errno=errno, cookie=cookie or 100 * pid + t_ns)


def drawn(t_ns: int, pid: int, test: str = "") -> list[Event]:
    """The kernel assigns the port, and the socket is closed."""
    return [bind(t_ns, pid, test=test, cookie=7 * t_ns), Release(t_ns=t_ns + 1, cookie=7 * t_ns)]


def served(t_ns: int, *, asked: Endpoint = ANY) -> list[Event]:
    """The other worker listens there."""
    return [
        bind(t_ns, SERVER, asked=asked, cookie=9),
        Listen(t_ns=t_ns + 1, caller=by(0, SERVER), cookie=9, got=AT),
    ]


def connected(t_ns: int, test: str = "", pid: int = CLIENT, copy: int = 0) -> Event:
    return Connect(t_ns=t_ns, caller=by(copy, pid, test=test), cookie=5, destination=AT)


def crosstalk(*events: Event) -> int:
    """How many effects of that kind there are."""
    findings = find([*workers(), *events]).findings
    return sum(effect.kind == "crosstalk" for finding in findings for effect in finding.effects)


def test_a_server_that_another_worker_has_started_may_be_used() -> None:
    assert crosstalk(*served(10), connected(20)) == 0


def test_a_port_that_the_client_drew_and_released_may_not() -> None:
    assert crosstalk(*drawn(5, CLIENT), *served(10, asked=AT), connected(20)) == 1


def test_a_port_that_a_later_test_finds_assigned_to_another_worker_is_that_one_s() -> None:
    assert crosstalk(*drawn(5, CLIENT, "test_first"), *served(10), connected(20, "test_later")) == 0


def test_within_the_test_that_drew_it_the_port_is_believed_to_be_its_own() -> None:
    assert crosstalk(*drawn(5, CLIENT, "test_it"), *served(10), connected(20, "test_it")) == 1


def test_a_port_that_was_handed_to_all_workers_is_nobody_s_own() -> None:
    controller = 10
    assert crosstalk(*drawn(5, controller), *served(10, asked=AT), connected(20)) == 0


def test_a_fixed_port_is_the_client_s_own_in_the_test_that_asked_for_it() -> None:
    asked = bind(15, CLIENT, asked=AT, test="test_it", errno="EADDRINUSE")
    assert crosstalk(*served(10, asked=AT), asked, connected(20, "test_it")) == 1
    assert crosstalk(*served(10, asked=AT), asked, connected(20, "test_other")) == 0


def test_between_copies_each_connection_is_crosstalk() -> None:
    assert crosstalk(*served(10), connected(20, pid=21, copy=1)) == 1


def siblings(*events: Event) -> list[tuple[str, str]]:
    """(kind, severity) of what two programs, which one script starts, do to each other."""
    script = [
        ProcessSeen(
            t_ns=1,
            source="seccomp",
            caller=by(0, pid),
            command=command,
            ancestors=(Ancestor(10, command="sh check.sh"),),
        )
        for pid, command in ((CLIENT, "python a.py"), (SERVER, "python b.py"))
    ]
    findings = find([*script, *events]).findings
    return [(effect.kind, effect.severity) for finding in findings for effect in finding.effects]


def refused(t_ns: int, state: SocketState, party: Party | None, pid: int = 0) -> Event:
    holder = Holder(party, pid, state, cookie=9)
    return Bind(t_ns=t_ns, caller=by(0, CLIENT), cookie=3, asked=AT, errno="EADDRINUSE", holders=(holder,))


def test_a_program_that_a_script_starts_beside_another_is_refused_with_a_warning() -> None:
    events = [*served(10, asked=AT), refused(20, SocketState.LISTEN, Party(0), SERVER)]
    assert siblings(*events) == [("refused", "warning")]


def test_what_a_script_starts_after_another_meets_only_its_closed_connections() -> None:
    events = [*served(10, asked=AT), Release(t_ns=15, cookie=9), refused(20, SocketState.TIME_WAIT, None)]
    assert siblings(*events) == []
