"""Findings about ports and names that are fixed in the suite: who asked, and what is one thing to fix."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from parasuite.judge.findings import Finding, find
from parasuite.judge.findings.hard_coded import GROUP_HINT
from parasuite.model.causes import Cause
from parasuite.model.events import Bind, Endpoint, Event, Listen, ProcessSeen, Release, RunStarted
from parasuite.model.network import Network
from parasuite.model.party import Caller, Party
from parasuite.model.words import Protocol, SocketOption, SocketState

from runner.tests.building import by, draws, refused, serves, tcp, udp

HERE = tcp(8025)
RUN = RunStarted(t_ns=0, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999, addresses=("192.0.2.7",))
SERVE = "conftest.py:9:serve"
REUSE_PORT, REUSE_ADDRESS = (SocketOption.REUSEPORT,), (SocketOption.REUSEADDR,)


def found(*events: Event | Sequence[Event]) -> list[Finding]:
    flat = [event for each in events for event in ([each] if isinstance(each, Event) else each)]
    return list(find(sorted([RUN, *flat], key=lambda event: event.t_ns)).findings)


def said(*events: Event | Sequence[Event]) -> list[tuple[str, str]]:
    """(cause, severity) of each finding."""
    return [(finding.cause, finding.severity) for finding in found(*events)]


def one(*events: Event | Sequence[Event]) -> Finding:
    (finding,) = found(*events)
    return finding


def lived(t_ns: int, caller: Caller, there: Endpoint = HERE) -> list[Event]:
    """A server that has come and gone."""
    return [*serves(t_ns, caller, there), Release(t_ns=t_ns + 5, cookie=t_ns, network=there.network)]


def of(copy: int, line: str = SERVE, *, worker: str = "", test: str = "t.py::a") -> Caller:
    pid = 100 * (copy + 1) + sum(map(ord, worker))
    return by(copy, pid, tid=pid, worker=worker, test=test, line=line)


# --- who asked ------------------------------------------------------------------------------------------------------


def test_the_count_is_of_the_parties_that_asked_though_one_alone_got_the_port() -> None:
    server = serves(1, of(0), HERE)
    finding = one(server, *(refused(10 * copy, of(copy), HERE, Party(0), 1) for copy in (1, 2, 3)))
    assert finding.title == "TCP port 8025 is fixed: 4 parties asked for it"
    assert (finding.cause, finding.severity, len(finding.effects)) == (Cause.HARD_CODED, "error", 3)


def test_who_has_bound_the_port_and_did_not_listen_has_asked_as_well() -> None:
    bound = Bind(t_ns=1, caller=of(0), cookie=1, asked=HERE, got=HERE)
    finding = one(bound, refused(10, of(1), HERE, Party(0), 1, SocketState.BOUND))
    assert finding.title == "TCP port 8025 is fixed: 2 parties asked for it"


def test_who_has_bound_a_port_that_nobody_else_asks_for_may_be_a_client() -> None:
    assert found(Bind(t_ns=1, caller=of(0), cookie=1, asked=HERE, got=HERE)) == []


def test_a_port_that_one_party_asks_for_is_a_note() -> None:
    finding = one(lived(1, of(0)))
    assert (finding.cause, finding.severity, finding.port) == (Cause.HARD_CODED, "note", 0)
    assert finding.title == "TCP port 8025 is fixed: one party asked for it"


def test_it_is_a_warning_once_a_second_party_asks_though_the_two_never_meet() -> None:
    finding = one(lived(1, of(0)), lived(20, of(1)))
    assert (finding.severity, finding.port, finding.effects) == ("warning", 8025, ())


def test_the_id_of_a_note_is_by_place_and_that_of_a_warning_by_port() -> None:
    note, of_another_port = one(lived(1, of(0))), one(lived(1, of(0), tcp(8026)))
    warning = one(lived(1, of(0)), lived(20, of(1)))
    elsewhere = one(lived(1, of(0, "other.py:3:f")), lived(20, of(1, "other.py:3:f")))
    assert note.id == of_another_port.id != warning.id == elsewhere.id


def test_ports_of_one_function_that_one_party_asked_for_are_one_note() -> None:
    finding = one(lived(1, of(0)), lived(20, of(0), tcp(8026)), lived(40, of(0), tcp(8027)))
    assert finding.title == "the ports 8025, 8026 and 8027 are fixed in conftest.py:serve: one party asked for them"


def test_ports_of_two_functions_that_one_party_asked_for_are_two_notes() -> None:
    assert said(lived(1, of(0)), lived(20, of(0, "b.py:1:g"), tcp(8026))) == [("hard-coded", "note")] * 2


# --- one thing to fix -----------------------------------------------------------------------------------------------


def test_a_port_that_forty_tests_ask_for_in_four_copies_is_one_finding() -> None:
    events: list[Event] = []
    for number in range(40):
        test = f"t.py::test_{number}"
        held = serves(100 * number + 1, of(0, test=test), HERE)
        events += [
            *held,
            *(
                refused(100 * number + 10 * copy, of(copy, test=test), HERE, Party(0), held[0].t_ns)
                for copy in (1, 2, 3)
            ),
            Release(t_ns=100 * number + 99, cookie=held[0].t_ns),
        ]
    finding = one(*events)
    assert (finding.title, finding.severity) == ("TCP port 8025 is fixed: 4 parties asked for it", "error")
    assert len(finding.tests) == 40
    assert sum(effect.count for effect in finding.effects) == 120


def test_one_port_for_two_protocols_is_two_findings() -> None:
    there = udp(8025)
    events = [*lived(1, of(0)), *lived(20, of(1)), *lived(40, of(0), there), *lived(60, of(1), there)]
    assert said(events) == [("hard-coded", "warning")] * 2


def two_services(copy: int, *, t_ns: int, lines: tuple[str, str]) -> list[Event]:
    """One helper starts a service on port 8001 and one on 8002, each at its own line of its caller."""
    first, second = (of(copy, f"{SERVE} {line}") for line in lines)
    if copy:
        return [
            refused(t_ns, first, tcp(8001), Party(0), 1),
            refused(t_ns + 5, second, tcp(8002), Party(0), 10),
        ]
    return [*serves(1, first, tcp(8001)), *serves(10, second, tcp(8002))]


def test_two_services_on_two_ports_that_one_helper_starts_are_two_findings() -> None:
    lines = ("conftest.py:20:services", "conftest.py:21:services")
    events = [event for copy in (0, 1) for event in two_services(copy, t_ns=50, lines=lines)]
    assert sorted(finding.port for finding in found(events)) == [8001, 8002]


def test_a_list_of_ports_that_all_walk_is_one_finding_about_the_function() -> None:
    lines = ("conftest.py:20:services", "conftest.py:20:services")
    events = [event for copy in (0, 1) for event in two_services(copy, t_ns=50, lines=lines)]
    finding = one(*events)
    assert finding.title == "the ports 8001 and 8002 are fixed in conftest.py:serve: 2 parties asked for them"


def test_a_program_without_source_lines_walks_by_asking_for_the_next_port() -> None:
    def node(copy: int) -> Caller:
        return of(copy, "")

    events: list[Event] = [
        *(ProcessSeen(t_ns=1, caller=node(copy), name="node", command="node server.js") for copy in (0, 1, 2)),
        *serves(1, node(0), tcp(5173)),
        *(refused(10 * copy, node(copy), tcp(5173), Party(0), 1) for copy in (1, 2)),
        *serves(12, node(1), tcp(5174)),
        refused(22, node(2), tcp(5174), Party(1), 12),
        *serves(24, node(2), tcp(5175)),
    ]
    finding = one(*events)
    assert {effect.recovered for effect in finding.effects} == {True}
    assert "5173, 5174 and 5175" in finding.title


def worker_ports(copy: int, *, t_ns: int, line: str = SERVE) -> list[Event]:
    """Each worker of a copy listens on 9000 + its number."""
    return [
        event
        for number in range(3)
        for event in lived(t_ns + 20 * number, of(copy, line, worker=f"gw{number}"), tcp(9000 + number))
    ]


def test_a_port_for_each_worker_is_a_note_while_no_second_party_wants_the_same() -> None:
    assert said(worker_ports(0, t_ns=1)) == [("hard-coded", "note")]


def test_a_port_for_each_worker_of_two_copies_is_one_warning_about_the_function() -> None:
    finding = one(worker_ports(0, t_ns=1), worker_ports(1, t_ns=100))
    assert (finding.severity, finding.port) == ("warning", 0)
    assert finding.title.startswith("the ports 9000, 9001 and 9002 are fixed in conftest.py:serve")


def test_a_port_for_each_test_of_a_helper_is_a_finding_each_though_workers_share_them_out() -> None:
    def copy_of(copy: int, t_ns: int) -> list[Event]:
        tests = [f"{SERVE} test_{number}.py:7:test" for number in range(2)]
        return [
            event
            for number, line in enumerate(tests)
            for event in lived(t_ns + 20 * number, of(copy, line, worker=f"gw{number}"), tcp(9000 + number))
        ]

    assert [finding.port for finding in found(copy_of(0, 1), copy_of(1, 100))] == [9000, 9001]


# --- where it does not matter ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 2])
def test_nothing_is_said_of_ports_in_networks_that_the_suite_made(copies: int) -> None:
    own = [HERE._replace(network=Network(4026532000 + copy)) for copy in range(copies)]
    assert said(*(lived(20 * copy + 1, of(copy), own[copy]) for copy in range(copies))) == []


def test_a_function_that_has_an_address_for_each_party_is_innocent() -> None:
    assert said(lived(1, of(0), tcp(8025, "127.0.0.2")), lived(20, of(1), tcp(8025, "127.0.0.3"))) == []


def test_a_function_that_asks_for_another_port_in_each_party_is_innocent() -> None:
    assert said(lived(1, of(0), tcp(8025)), lived(20, of(1), tcp(8026))) == []


def test_a_port_that_the_kernel_assigned_before_is_not_fixed() -> None:
    there = tcp(41000)
    events = [*draws(1, of(0), there), *lived(10, of(0), there), *draws(30, of(1), there), *lived(40, of(1), there)]
    assert {cause for cause, _ in said(events)} == {"lost-port"}


def test_a_port_in_the_ephemeral_range_says_who_else_may_take_it() -> None:
    finding = one(lived(1, of(0), tcp(40123)), lived(20, of(1), tcp(40123)))
    assert finding.is_ephemeral
    assert finding.title.endswith(
        "it lies in the ephemeral range (32768-60999), so any outgoing connection may take it"
    )


def test_a_port_outside_the_ephemeral_range_does_not() -> None:
    finding = one(lived(1, of(0)), lived(20, of(1)))
    assert (finding.is_ephemeral, "ephemeral" in finding.title) == (False, False)


# --- drawn at random, shared by options, other families -------------------------------------------------------------


def test_ports_that_a_function_draws_at_random_are_one_finding_about_the_function() -> None:
    events: list[Event] = []
    for copy, ports in {0: (8001, 8002, 8003, 8009), 1: (8004, 8005, 8006)}.items():
        for turn, port in enumerate(ports):
            events += serves(100 * copy + 10 * turn + 1, of(copy), tcp(port))
    met = refused(200, of(1), tcp(8009), Party(0), 31)
    finding = one(*events, met)
    assert finding.title == "conftest.py:serve draws its ports at random, and two parties may draw the same"
    assert finding.is_drawn
    assert finding.severity == "error"


def test_options_that_share_a_fixed_port_are_part_of_its_finding() -> None:
    events = [
        *serves(1, of(0), HERE, options=REUSE_PORT),
        *serves(10, of(1), HERE, options=REUSE_PORT),
        refused(20, of(2), HERE, Party(0), 1),
    ]
    finding = one(*events)
    assert (finding.cause, sorted({effect.kind for effect in finding.effects})) == (
        Cause.HARD_CODED,
        ["refused", "shared"],
    )


def test_options_on_a_datagram_port_that_the_kernel_assigned_are_a_finding_of_their_own() -> None:
    def peer(t_ns: int, copy: int) -> list[Event]:
        return serves(t_ns, of(copy), udp(41000), asked_port=0, options=REUSE_ADDRESS)

    assert said(peer(1, 0)) == [("reuse", "warning")]
    finding = one(peer(1, 0), peer(10, 1))
    assert (finding.cause, finding.severity, [effect.kind for effect in finding.effects]) == (
        Cause.REUSE,
        "error",
        ["shared"],
    )


def test_the_same_options_on_a_stream_port_that_the_kernel_assigned_let_nobody_in() -> None:
    assert said(serves(1, of(0), tcp(41000), asked_port=0, options=REUSE_ADDRESS)) == []


@pytest.mark.parametrize(("there", "is_group"), [(udp(5353), True), (udp(8025), False), (tcp(5353), False)])
def test_the_port_of_a_multicast_protocol_has_a_hint_of_its_own(there: Endpoint, is_group: bool) -> None:
    finding = one(serves(1, of(0), there, options=REUSE_PORT), serves(20, of(1), there, options=REUSE_PORT))
    assert (finding.hint == GROUP_HINT, finding.severity) == (is_group, "error")


def test_a_path_that_two_copies_bind_is_fixed() -> None:
    path = Endpoint(Protocol.UNIX, "/tmp/planted.sock")
    bound = [Bind(t_ns=10 * copy + 1, caller=of(copy), cookie=copy + 1, asked=path, got=path) for copy in (0, 1)]
    finding = one(bound[0], Release(t_ns=5, cookie=1), bound[1])
    assert (finding.title, finding.severity) == (
        "the path /tmp/planted.sock is fixed: 2 parties asked for it",
        "warning",
    )


def test_a_listen_of_a_port_that_the_kernel_chose_is_no_fixed_port() -> None:
    autobound = Listen(t_ns=1, caller=of(0), cookie=1, got=tcp(8025))
    assert said(autobound, Listen(t_ns=5, caller=of(1), cookie=2, got=tcp(8025, "127.0.0.2"))) == []
