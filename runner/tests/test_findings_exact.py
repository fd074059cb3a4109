"""Findings from exact events: who was refused, and what is chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from parasuite.judge.findings import Effect, Finding, find
from parasuite.judge.findings.find import BY_CLOSED_CONNECTION, WITHOUT_HOLDER
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, Listen, Release, RunStarted, Send
from parasuite.model.network import Network
from parasuite.model.party import Party
from parasuite.model.words import Protocol, Role, Severity, SocketOption, SocketState

from runner.tests.building import by

RESOLVER = "suite/client.py:9:ask"
MET = 25000
DRAWN = {0: (21001, 21002, 21003, MET), 1: (22001, 22002, 22003)}


def found(events: list[Event]) -> tuple[Finding, ...]:
    return find(sorted(events, key=lambda event: event.t_ns)).findings


def causes(events: list[Event]) -> list[tuple[str, str]]:
    """(cause, severity) of every finding."""
    return [(finding.cause, finding.severity) for finding in found(events)]


def effects(events: list[Event]) -> list[tuple[str, str]]:
    """(kind, severity) of every effect."""
    return [(effect.kind, effect.severity) for finding in found(events) for effect in finding.effects]


def at(port: int) -> Endpoint:
    return Endpoint(Protocol.UDP, "127.0.0.1", port)


def sockets(copy: int, ports: tuple[int, ...], *, connected: bool) -> Iterator[Event]:
    """One datagram socket after another, each bound to a number of its own, used and closed."""
    for turn, port in enumerate(ports):
        start, cookie = 10 * turn, 100 * (copy + 1) + turn
        yield Bind(t_ns=start, caller=by(copy, pid=copy, line=RESOLVER), cookie=cookie, asked=at(port), got=at(port))
        if connected:
            yield Connect(t_ns=start + 1, caller=by(copy, pid=copy), cookie=cookie, destination=at(53))
        yield Release(t_ns=start + 9, cookie=cookie)


def refused(source_line: str = RESOLVER) -> Event:
    """Copy 1 meets the last socket of copy 0."""
    holder = Holder(party=Party(0), pid=0, state=SocketState.BOUND, cookie=103)
    return Bind(t_ns=35, caller=by(1, pid=1, line=source_line), asked=at(MET), errno="EADDRINUSE", holders=(holder,))


def test_a_client_that_draws_its_numbers_and_meets_another_copys_by_chance_is_no_finding() -> None:
    clients = [event for copy, ports in DRAWN.items() for event in sockets(copy, ports, connected=True)]
    assert effects([*clients, refused()]) == []


def test_a_server_that_draws_its_numbers_is_refused_all_the_same() -> None:
    servers = [event for copy, ports in DRAWN.items() for event in sockets(copy, ports, connected=False)]
    assert effects([*servers, refused()]) == [("refused", "error")]


def test_a_client_of_one_fixed_number_is_refused() -> None:
    assert effects([*sockets(0, DRAWN[0], connected=True), refused("suite/other.py:3:ask")]) == [("refused", "error")]


def test_clients_that_walk_the_same_numbers_in_every_copy_are_refused() -> None:
    clients = [event for copy in (0, 1) for event in sockets(copy, DRAWN[0][:3], connected=True)]
    events = [*clients, *list(sockets(0, DRAWN[0], connected=True))[-3:], refused()]
    assert ("refused", "error") in effects(events)


def pair(*more: Event) -> list[Event]:
    """Copy 1 is assigned a number on 0.0.0.0, and refused the same on [::], where copy 0 has it."""
    anywhere = Endpoint(Protocol.TCP, "0.0.0.0")
    everywhere = Endpoint(Protocol.TCP, "::", 41000, v6only=True)
    there = Endpoint(Protocol.TCP, "::1", 41000)
    holder = Holder(party=Party(0), pid=7, state=SocketState.LISTEN, cookie=70)
    return [
        Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=there._replace(port=0), got=there),
        Bind(t_ns=2, caller=by(1, pid=1), cookie=1, asked=anywhere, got=anywhere._replace(port=41000)),
        Bind(t_ns=3, caller=by(1, pid=1), cookie=2, asked=everywhere, errno="EADDRINUSE", holders=(holder,)),
        *more,
    ]


def test_who_wants_one_number_of_both_families_may_be_refused_and_draw_again() -> None:
    anywhere = Endpoint(Protocol.TCP, "0.0.0.0")
    again = Bind(t_ns=5, caller=by(1, pid=1), cookie=3, asked=anywhere, got=anywhere._replace(port=42000))
    assert causes(pair(Release(t_ns=4, cookie=1), again)) == []


def test_who_is_refused_the_second_family_and_gives_up_is_told_why() -> None:
    (finding,) = find(pair()).findings
    assert (finding.cause, finding.severity, finding.effects[0].kind) == ("lost-port", "error", "refused")
    assert "the kernel assigned it for only one of them" in finding.hint


def attempt(errno: str, *, protocol: Protocol = Protocol.TCP) -> list[Event]:
    """A bind that the kernel carried out while one outside the run stood there, and the recorder's word of it."""
    wanted = Endpoint(protocol, "127.0.0.1", MET)
    outside = Holder(party=None, pid=0, state=SocketState.LISTEN, cookie=9)
    made = Bind(t_ns=5, caller=by(1, pid=1, tid=1), source="seccomp", asked=wanted._replace(protocol=Protocol.TCP))
    got = None if errno else wanted
    return [
        replace(made, errno="?", holders=(outside,)),
        replace(made, t_ns=6, source="recorder", asked=wanted, got=got, errno=errno),
    ]


def test_the_recorder_tells_that_a_bind_was_refused_and_the_table_by_whom() -> None:
    (finding,) = find(attempt("EADDRINUSE")).findings
    assert [(effect.kind, effect.evidence, effect.count) for effect in finding.effects] == [
        ("foreign", "attempted", 1)
    ]


def test_who_stood_where_a_bind_succeeded_was_not_in_its_way() -> None:
    assert effects(attempt("")) == effects(attempt("", protocol=Protocol.UDP)) == []


def test_an_attempt_of_which_nothing_more_is_told_was_refused_by_who_stood_there() -> None:
    assert effects(attempt("EADDRINUSE")[:1]) == [("foreign", "warning")]


def notes_of(*holders: Holder) -> tuple[str, ...]:
    """What is said of one refusal that met *holders* where no copy ever was."""
    wanted = Endpoint(Protocol.TCP, "127.0.0.1", MET)
    judgement = find([Bind(t_ns=1, caller=by(0, pid=1), asked=wanted, errno="EADDRINUSE", holders=holders)])
    assert [finding.effects for finding in judgement.findings] == [()]
    return judgement.notes


def test_a_refusal_that_met_nobody_is_told_as_a_holder_that_was_gone() -> None:
    assert notes_of() == (WITHOUT_HOLDER.format(binds="1 bind was"),)


@pytest.mark.parametrize("state", [SocketState.TIME_WAIT, SocketState.GONE])
def test_a_refusal_by_a_closed_connection_is_told_as_that(state: SocketState) -> None:
    notes = notes_of(Holder(party=None, pid=0, state=state))
    assert notes == (BY_CLOSED_CONNECTION.format(binds="1 bind was"),)


def test_crosstalk_is_only_with_an_address_of_this_host() -> None:
    every = Endpoint(Protocol.TCP, "0.0.0.0", MET)
    server = [
        Bind(t_ns=1, caller=by(0, pid=9), cookie=1, asked=every._replace(port=0), got=every),
        Listen(t_ns=2, caller=by(0, pid=9), cookie=1, got=every),
    ]

    def effects_with(address: str) -> list[tuple[str, str]]:
        client = Connect(t_ns=3, caller=by(1, pid=8), destination=Endpoint(Protocol.TCP, address, MET))
        return effects([RunStarted(t_ns=0, wall_ns=1, addresses=("198.51.100.7",)), *server, client])

    assert effects_with("198.51.100.7") == effects_with("127.0.0.1") == [("crosstalk", "error")]
    assert effects_with("192.0.2.1") == []


HELD = Endpoint(Protocol.TCP, "127.0.0.1", 41500)
REUSING = (SocketOption.REUSEADDR,)


def stolen_hold(*more: Event) -> list[Event]:
    """Copy 1 holds a number for a server to bind through; copy 0 listens there first, let in beside the hold."""
    thief = Holder(party=Party(0), pid=7, state=SocketState.LISTEN, cookie=70)
    own = Holder(party=Party(1), pid=1, state=SocketState.BOUND, cookie=1)
    return [
        Bind(t_ns=1, caller=by(1, pid=1), cookie=1, asked=HELD._replace(port=0), got=HELD, options=REUSING),
        Bind(t_ns=2, caller=by(0, pid=7), cookie=70, asked=HELD, got=HELD, options=REUSING),
        Listen(t_ns=3, caller=by(0, pid=7), cookie=70, got=HELD, options=REUSING),
        Bind(t_ns=4, caller=by(1, pid=2), asked=HELD, errno="EADDRINUSE", holders=(thief, own), options=REUSING),
        *more,
    ]


def refusal_in(events: list[Event]) -> tuple[Finding, Effect]:
    """The one finding with a refusal, and that refusal."""
    ((finding, effect),) = [(finding, effect) for finding in find(events).findings for effect in finding.effects]
    assert effect.kind == EffectKind.REFUSED
    return finding, effect


def test_a_number_that_was_held_and_taken_beside_the_hold_is_refused_by_the_thief() -> None:
    finding, effect = refusal_in(stolen_hold())
    assert (effect.severity, [side.party for side in effect.sides]) == ("error", [Party(1), Party(0)])
    assert (finding.cause, finding.port) == (Cause.HARD_CODED, 41500)
    assert "a hold that the server can bind through" in finding.hint


def test_a_server_that_lost_its_held_number_and_steps_on_has_recovered() -> None:
    other = HELD._replace(port=41501)
    stepped_on = Bind(t_ns=5, caller=by(1, pid=2), cookie=2, asked=other, got=other, options=REUSING)
    _, effect = refusal_in(stolen_hold(stepped_on))
    assert (effect.severity, effect.recovered) == ("warning", True)


def test_a_copy_that_is_in_its_own_way_is_no_finding() -> None:
    own = Holder(party=Party(1), pid=1, state=SocketState.LISTEN, cookie=1)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(1, pid=1), cookie=1, asked=HELD._replace(port=0), got=HELD),
        Listen(t_ns=2, caller=by(1, pid=1), cookie=1, got=HELD),
        Bind(t_ns=3, caller=by(1, pid=1), asked=HELD, errno="EADDRINUSE", holders=(own,), options=REUSING),
    ]
    assert causes(events) == []


def server_of_both(copy: int, port: int, *, first_ns: int) -> list[Event]:
    """A server that is given a TCP number and binds the same for UDP, as a name server does."""
    tcp, udp = Endpoint(Protocol.TCP, "127.0.0.1", port), Endpoint(Protocol.UDP, "127.0.0.1", port)
    cookie = 10 * first_ns
    return [
        Bind(t_ns=first_ns, caller=by(copy, pid=copy), cookie=cookie, asked=tcp._replace(port=0), got=tcp),
        Bind(t_ns=first_ns + 1, caller=by(copy, pid=copy), cookie=cookie + 1, asked=udp, got=udp),
        Release(t_ns=first_ns + 2, cookie=cookie),
        Release(t_ns=first_ns + 3, cookie=cookie + 1),
    ]


def test_a_number_that_was_given_for_one_protocol_is_not_hard_coded_for_the_other() -> None:
    assert causes([*server_of_both(0, 41600, first_ns=1), *server_of_both(1, 41600, first_ns=10)]) == []


def test_who_wants_one_number_of_both_protocols_may_be_refused_and_draw_again() -> None:
    tcp, udp = Endpoint(Protocol.TCP, "127.0.0.1", 41600), Endpoint(Protocol.UDP, "127.0.0.1", 41600)
    other = Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=udp._replace(port=0), got=udp)
    given = Bind(t_ns=2, caller=by(1, pid=1), cookie=1, asked=tcp._replace(port=0), got=tcp)
    holder = Holder(party=Party(0), pid=7, state=SocketState.UNCONNECTED, cookie=70)
    lost = Bind(t_ns=3, caller=by(1, pid=1), asked=udp, errno="EADDRINUSE", holders=(holder,))
    again = Bind(t_ns=4, caller=by(1, pid=1), cookie=2, asked=tcp._replace(port=0), got=tcp._replace(port=41602))
    assert causes([other, given, lost, again]) == []
    assert refusal_in([other, given, lost])[0].cause == Cause.LOST_PORT


def fixed(copy: int, *ports: int) -> Iterator[Event]:
    """Servers of a helper with numbers in its text, one after another."""
    for turn, port in enumerate(ports):
        start, cookie, there = (
            100 * copy + 10 * turn + 1,
            1000 * (copy + 1) + turn,
            Endpoint(Protocol.TCP, "127.0.0.1", port),
        )
        yield Bind(t_ns=start, caller=by(copy, pid=copy, line="s.py:1:serve"), cookie=cookie, asked=there, got=there)
        yield Listen(t_ns=start + 1, caller=by(copy, pid=copy, line="s.py:1:serve"), cookie=cookie, got=there)
        yield Release(t_ns=start + 2, cookie=cookie)


def test_numbers_are_hard_coded_though_one_copy_did_not_come_far() -> None:
    events = [*fixed(0, 8001, 8002, 8003, 8004, 8005), *fixed(1, 8001)]
    shared = [finding.port for finding in find(events).findings if finding.severity == Severity.WARNING]
    assert shared == [8001]


def test_numbers_drawn_at_random_in_every_copy_may_meet_by_chance() -> None:
    assert causes([*fixed(0, 8001, 8002, 8003), *fixed(1, 8004, 8005, 8003)]) == []


@pytest.mark.parametrize("below", ["b/test_plugin0/conftest.py", "conftest.py"])
def test_a_file_in_the_copys_temporary_folder_has_one_name_in_every_run(below: str) -> None:
    def id_and_location(scratch: str, copy: int) -> tuple[str, str]:
        there = Endpoint(Protocol.TCP, "0.0.0.0", 8025)
        line = f"{scratch}/{copy}/{below}:7:serve"
        (finding, _) = find(
            [
                RunStarted(t_ns=0, wall_ns=1, scratch=scratch),
                Bind(t_ns=1, caller=by(copy, pid=1, line=line), cookie=1, asked=there, got=there),
                Listen(t_ns=2, caller=by(copy, pid=1, line=line), cookie=1, got=there),
            ]
        ).findings
        return finding.id, str(finding.sides[0].location)

    assert id_and_location("/tmp/ps-abc", 0) == id_and_location("/private/tmp/ps-xyz", 12)
    assert id_and_location("/tmp/ps-abc", 0)[1] == f"$TMPDIR/{below}:7:serve"


def test_a_finding_is_as_grave_as_its_gravest_effect() -> None:
    """Copy 1 is refused the same port twice by copy 0: it steps on the first time, and gives up the second."""
    there, other = Endpoint(Protocol.TCP, "127.0.0.1", 8025), Endpoint(Protocol.TCP, "127.0.0.1", 8026)
    holder = Holder(party=Party(0), pid=7, state=SocketState.LISTEN, cookie=70)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=there, got=there),
        Listen(t_ns=2, caller=by(0, pid=7), cookie=70, got=there),
        Bind(t_ns=3, caller=by(1, pid=1, line="s.py:1:f"), asked=there, errno="EADDRINUSE", holders=(holder,)),
        Bind(t_ns=4, caller=by(1, pid=1, line="s.py:1:f"), cookie=2, asked=other, got=other),
        Bind(t_ns=5, caller=by(1, pid=2, line="s.py:9:g"), asked=there, errno="EADDRINUSE", holders=(holder,)),
    ]
    (finding,) = [finding for finding in find(events).findings if finding.effects]
    assert finding.severity == "error"
    assert [(effect.severity, effect.recovered) for effect in finding.effects] == [
        ("error", False),
        ("warning", True),
    ]


def test_what_another_copys_server_answers_is_no_second_crosstalk() -> None:
    server, client = at(41700), at(41701)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=at(0), got=server),
        Bind(t_ns=2, caller=by(1, pid=1), cookie=1, asked=at(0), got=client),
        Send(t_ns=3, caller=by(1, pid=1), cookie=1, destination=server),
        Send(t_ns=4, caller=by(0, pid=7), cookie=70, destination=client),
    ]
    (finding,) = find(events).findings
    (effect,) = finding.effects
    assert (effect.kind, [(side.role, side.party) for side in effect.sides]) == (
        EffectKind.CROSSTALK,
        [(Role.CLIENT, Party(1)), (Role.SERVER, Party(0))],
    )


def test_each_window_of_a_restarted_server_begins_with_its_last_release() -> None:
    there = Endpoint(Protocol.TCP, "127.0.0.1", 41800)

    def lived(cookie: int, start_ns: int, asked_port: int, test: str) -> list[Event]:
        asked = there._replace(port=asked_port)
        server = by(0, pid=1, line=f"s.py:{cookie}:f", test=test)
        return [
            Bind(t_ns=start_ns, caller=server, cookie=cookie, asked=asked, got=there),
            Release(t_ns=start_ns + 1_000_000, cookie=cookie),
        ]

    first, second = lived(2, 3_000_000, 41800, "b"), lived(3, 9_000_000, 41800, "c")
    assert [finding.window_ms for finding in found([*lived(1, 0, 0, "a"), *first])] == [2.0]
    assert [finding.window_ms for finding in found([*lived(1, 0, 0, "a"), *first, *second])] == [2.0]
    later = lived(3, 4_500_000, 41800, "c")
    assert [finding.window_ms for finding in found([*lived(1, 0, 0, "a"), *first, *later])] == [0.5]


OWN_NETWORKS = {0: 4026532000, 1: 4026532001}


def servers(networks: dict[int, int]) -> list[Event]:
    """Each copy listens on one fixed port, in its network."""
    found: list[Event] = []
    for copy, netns in networks.items():
        there = Endpoint(Protocol.TCP, "127.0.0.1", 8025, Network(netns))
        bind = Bind(
            t_ns=10 * copy, caller=by(copy, pid=copy), cookie=copy + 1, network=Network(netns), asked=there, got=there
        )
        listen = Listen(
            t_ns=10 * copy + 1, caller=by(copy, pid=copy), cookie=copy + 1, network=Network(netns), got=there
        )
        found += [bind, listen, Release(t_ns=10 * copy + 2, cookie=copy + 1, network=Network(netns))]
    return found


def test_a_fixed_port_in_networks_that_the_copies_made_themselves_meets_nobody() -> None:
    assert causes(servers(OWN_NETWORKS)) == []


@pytest.mark.parametrize("netns", [0, 4026532000])
def test_a_fixed_port_in_one_network_is_hard_coded(netns: int) -> None:
    assert causes(servers({0: netns, 1: netns})) == [("hard-coded", "warning")]


def test_a_port_that_is_fixed_on_the_host_and_in_networks_of_ones_own_is_hard_coded() -> None:
    assert causes([*servers(OWN_NETWORKS), *servers({2: 0, 3: 0})]) == [("hard-coded", "warning")]


def test_a_release_that_was_not_timed_gives_no_window() -> None:
    there = Endpoint(Protocol.TCP, "127.0.0.1", 41801)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(0, pid=1), cookie=1, asked=there._replace(port=0), got=there),
        Release(t_ns=8, cookie=1, is_timed=False),
        Bind(t_ns=9, caller=by(0, pid=1), cookie=2, asked=there, got=there),
    ]
    (finding,) = find(events).findings
    assert (finding.cause, finding.window_ms) == (Cause.LOST_PORT, None)


ASKED = Endpoint(Protocol.TCP, "127.0.0.1", 8025)


def severity_of_a_refusal_before(got: Endpoint, *, asked_port: int = 0, test: str = "", line: str = "") -> Severity:
    """Copy 1 is refused port 8025, which copy 0 has; the same thread then binds *got*."""
    holder = Holder(Party(0), 7, SocketState.LISTEN, 70)
    caller = by(1, pid=1, tid=1, test=test, line=line)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=ASKED, got=ASKED),
        Bind(t_ns=2, caller=caller, asked=ASKED, errno="EADDRINUSE", holders=(holder,)),
        Bind(t_ns=3, caller=caller, cookie=2, asked=got._replace(port=asked_port), got=got),
    ]
    _, effect = refusal_in(events)
    assert effect.recovered == (effect.severity == Severity.WARNING)
    return effect.severity


def test_a_refused_bind_recovers_on_another_port_of_the_same_function_and_test() -> None:
    elsewhere = ASKED._replace(port=41802)
    assert severity_of_a_refusal_before(elsewhere, test="t.py::a", line="t.py:3:serve") == Severity.WARNING


@pytest.mark.parametrize(("test", "line"), [("", ""), ("t.py::a", ""), ("", "t.py:3:serve")])
def test_a_refused_bind_whose_test_or_function_is_unknown_does_not_recover_on_any_port(test: str, line: str) -> None:
    assert severity_of_a_refusal_before(ASKED._replace(port=41802), test=test, line=line) == Severity.ERROR


def test_a_refused_bind_whose_function_is_unknown_recovers_on_the_next_port() -> None:
    next_port = ASKED._replace(port=8026)
    assert severity_of_a_refusal_before(next_port, asked_port=8026) == Severity.WARNING


@pytest.mark.parametrize(
    "other", [ASKED._replace(address="127.0.0.2", port=41802), ASKED._replace(protocol=Protocol.UDP, port=41802)]
)
def test_a_refused_bind_does_not_recover_at_another_address_or_protocol(other: Endpoint) -> None:
    assert severity_of_a_refusal_before(other, test="t.py::a", line="t.py:3:serve") == Severity.ERROR


def recovers(first: str, second: str, *, test: str = "t.py::a") -> bool:
    """Copy 1 is refused port 8025 at the frames *first*; the same thread then binds another port at *second*."""
    holder = Holder(Party(0), 7, SocketState.LISTEN, 70)
    elsewhere = ASKED._replace(port=41802)
    events: list[Event] = [
        Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=ASKED, got=ASKED),
        Bind(
            t_ns=2, caller=by(1, 1, tid=1, test=test, line=first), asked=ASKED, errno="EADDRINUSE", holders=(holder,)
        ),
        Bind(
            t_ns=3,
            caller=by(1, 1, tid=1, test=test, line=second),
            cookie=2,
            asked=elsewhere._replace(port=0),
            got=elsewhere,
        ),
    ]
    return refusal_in(events)[1].recovered


START = "helper.py:3:start"


def test_a_loop_that_tries_one_port_after_another_recovers() -> None:
    assert recovers(f"{START} t.py:9:a", f"{START} t.py:9:a")


def test_a_function_that_falls_back_to_another_port_at_another_line_recovers() -> None:
    assert recovers(f"{START} t.py:9:a", "helper.py:5:start t.py:9:a")


def test_a_helper_that_is_called_for_another_service_does_not_make_the_refused_one_recover() -> None:
    assert not recovers(f"{START} t.py:9:a", f"{START} t.py:10:a")


def test_another_service_that_is_started_further_up_the_stack_is_no_way_out_either() -> None:
    assert not recovers(f"{START} helper.py:8:launch t.py:9:a", f"{START} helper.py:8:launch t.py:10:a")


def test_a_helper_that_is_called_with_and_without_a_caller_of_the_users_own_is_called_from_two_places() -> None:
    assert not recovers(START, f"{START} t.py:10:a")


def test_a_function_that_calls_itself_for_the_next_port_recovers() -> None:
    assert recovers("h.py:3:attempt t.py:9:a", "h.py:3:attempt h.py:5:attempt t.py:9:a")


def test_of_a_stack_that_is_cut_off_what_both_calls_show_is_compared() -> None:
    deep = " ".join(["h.py:3:attempt", *["h.py:5:attempt"] * 4])
    assert recovers("h.py:3:attempt t.py:9:a", deep)
    outer = "b.py:1:b c.py:1:c d.py:1:d"
    assert not recovers(f"{START} t.py:9:a {outer}", f"{START} t.py:10:a {outer}")


def test_another_function_is_another_servers() -> None:
    assert not recovers("h.py:3:start t.py:9:a", "h.py:8:other t.py:9:a")


def probes(*ports: int) -> list[Event]:
    """Copy 1 tries each port on 127.0.0.1 and on 0.0.0.0, until both are free; copy 0 has port 8025 on 0.0.0.0."""
    every = ASKED._replace(address="0.0.0.0")
    holder = Holder(Party(0), 7, SocketState.LISTEN, 70)
    events: list[Event] = [Bind(t_ns=1, caller=by(0, pid=7), cookie=70, asked=every, got=every)]
    for number, port in enumerate(ports):
        for address, line in (("127.0.0.1", "probe.py:5:is_free"), ("0.0.0.0", "probe.py:6:is_free")):
            t_ns = 10 * number + 10 + 5 * (address == "0.0.0.0")
            caller = by(1, 1, tid=1, test="t.py::a", line=f"probe.py:2:can_bind {line}")
            there = ASKED._replace(address=address, port=port)
            is_free = port != 8025 or address == "127.0.0.1"
            if is_free:
                events.append(Bind(t_ns=t_ns, caller=caller, cookie=t_ns, asked=there, got=there))
                events.append(Release(t_ns=t_ns + 1, cookie=t_ns))
            else:
                events.append(Bind(t_ns=t_ns, caller=caller, asked=there, errno="EADDRINUSE", holders=(holder,)))
    return events


def test_a_prober_that_tries_each_port_on_two_addresses_recovers_on_the_one_that_refused_it() -> None:
    assert refusal_in(probes(8025, 8026))[1].recovered


def test_a_prober_that_gives_up_has_not_recovered() -> None:
    assert not refusal_in(probes(8025))[1].recovered


def test_a_prober_that_asks_again_and_again_is_judged_in_linear_time() -> None:
    (finding,) = [finding for finding in find(probes(*[8025] * 3_000, 8026)).findings if finding.effects]
    assert sum(effect.count for effect in finding.effects) == 3_000
    assert [effect.recovered for effect in finding.effects] == [False, True]
