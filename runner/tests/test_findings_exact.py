"""Findings from exact events: who was refused, and what is chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from parasuite.events import Bind, Connect, Endpoint, Event, Holder, Listen, Release, RunStarted
from parasuite.findings import findings, judge

RESOLVER = "suite/client.py:9:ask"
MET = 25000
DRAWN = {0: (21001, 21002, 21003, MET), 1: (22001, 22002, 22003)}


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.severity) for finding in findings(sorted(events, key=lambda event: event.t_ns))]


def at(port: int) -> Endpoint:
    return Endpoint("udp", "127.0.0.1", port)


def sockets(copy: int, ports: tuple[int, ...], *, connected: bool) -> Iterator[Event]:
    """One datagram socket after another, each bound to a number of its own, used and closed."""
    for turn, port in enumerate(ports):
        start, cookie = 10 * turn, 100 * (copy + 1) + turn
        yield Bind(t_ns=start, copy=copy, pid=copy, cookie=cookie, asked=at(port), got=at(port), source_line=RESOLVER)
        if connected:
            yield Connect(t_ns=start + 1, copy=copy, pid=copy, cookie=cookie, destination=at(53))
        yield Release(t_ns=start + 9, cookie=cookie)


def refused(source_line: str = RESOLVER) -> Event:
    """Copy 1 meets the last socket of copy 0."""
    holder = Holder(copy=0, pid=0, state="bound", cookie=103)
    return Bind(t_ns=35, copy=1, pid=1, asked=at(MET), errno="EADDRINUSE", holders=(holder,), source_line=source_line)


def test_a_client_that_draws_its_numbers_and_meets_another_copys_by_chance_is_no_finding() -> None:
    clients = [event for copy, ports in DRAWN.items() for event in sockets(copy, ports, connected=True)]
    assert told([*clients, refused()]) == []


def test_a_server_that_draws_its_numbers_is_refused_all_the_same() -> None:
    servers = [event for copy, ports in DRAWN.items() for event in sockets(copy, ports, connected=False)]
    assert told([*servers, refused()]) == [("refused", "error")]


def test_a_client_of_one_fixed_number_is_refused() -> None:
    assert told([*sockets(0, DRAWN[0], connected=True), refused("suite/other.py:3:ask")]) == [("refused", "error")]


def test_clients_that_walk_the_same_numbers_in_every_copy_are_refused() -> None:
    clients = [event for copy in (0, 1) for event in sockets(copy, DRAWN[0][:3], connected=True)]
    assert told([*clients, *list(sockets(0, DRAWN[0], connected=True))[-3:], refused()])[0] == ("refused", "error")


def pair(*more: Event) -> list[Event]:
    """Copy 1 is assigned a number on 0.0.0.0, and refused the same on [::], where copy 0 has it."""
    anywhere = Endpoint("tcp", "0.0.0.0")
    everywhere = Endpoint("tcp", "::", 41000, v6only=True)
    there = Endpoint("tcp", "::1", 41000)
    holder = Holder(copy=0, pid=7, state="listen", cookie=70)
    return [
        Bind(t_ns=1, copy=0, pid=7, cookie=70, asked=there._replace(port=0), got=there),
        Bind(t_ns=2, copy=1, pid=1, cookie=1, asked=anywhere, got=anywhere._replace(port=41000)),
        Bind(t_ns=3, copy=1, pid=1, cookie=2, asked=everywhere, errno="EADDRINUSE", holders=(holder,)),
        *more,
    ]


def test_who_wants_one_number_of_both_families_may_be_refused_and_draw_again() -> None:
    anywhere = Endpoint("tcp", "0.0.0.0")
    again = Bind(t_ns=5, copy=1, pid=1, cookie=3, asked=anywhere, got=anywhere._replace(port=42000))
    assert told(pair(Release(t_ns=4, cookie=1), again)) == []


def test_who_is_refused_the_second_family_and_gives_up_is_told_why() -> None:
    (finding,) = findings(pair())
    assert (finding.kind, finding.severity) == ("refused", "error")
    assert "assigned and holds on another address" in finding.message


def attempt(errno: str, *, protocol: str = "tcp") -> list[Event]:
    """A bind that the kernel carried out while one outside the run stood there, and the recorder's word of it."""
    wanted = Endpoint(protocol, "127.0.0.1", MET)
    outside = Holder(copy=None, pid=0, state="listen", cookie=9)
    made = Bind(t_ns=5, copy=1, pid=1, tid=1, source="seccomp", asked=wanted._replace(protocol="tcp"))
    got = None if errno else wanted
    return [
        replace(made, errno="?", holders=(outside,)),
        replace(made, t_ns=6, source="recorder", asked=wanted, got=got, errno=errno),
    ]


def test_the_recorder_tells_that_a_bind_was_refused_and_the_table_by_whom() -> None:
    (finding,) = findings(attempt("EADDRINUSE"))
    assert (finding.kind, finding.evidence, finding.count) == ("foreign", "attempted", 1)


def test_who_stood_where_a_bind_succeeded_was_not_in_its_way() -> None:
    assert told(attempt("")) == told(attempt("", protocol="udp")) == []


def test_an_attempt_of_which_nothing_more_is_told_was_refused_by_who_stood_there() -> None:
    assert told(attempt("EADDRINUSE")[:1]) == [("foreign", "warning")]


def notes_of(*holders: Holder) -> tuple[str, ...]:
    """What is said of one refusal that met *holders* where no copy ever was."""
    wanted = Endpoint("tcp", "127.0.0.1", MET)
    judgement = judge([Bind(t_ns=1, copy=0, pid=1, asked=wanted, errno="EADDRINUSE", holders=holders)])
    assert judgement.findings == ()
    return judgement.notes


def test_a_refusal_that_met_nobody_is_told_as_a_holder_that_was_gone() -> None:
    assert notes_of() == ("1 refused bind whose holder was gone before it could be asked",)


@pytest.mark.parametrize("state", ["time-wait", "gone"])
def test_a_refusal_by_a_closed_connection_is_told_as_that(state: str) -> None:
    (note,) = notes_of(Holder(copy=None, pid=0, state=state))
    assert (
        note == "1 refused bind that met only a closed connection, which the kernel still keeps (TIME_WAIT, FIN_WAIT)"
    )


def test_crosstalk_is_only_with_an_address_of_this_host() -> None:
    every = Endpoint("tcp", "0.0.0.0", MET)
    server = [
        Bind(t_ns=1, copy=0, pid=9, cookie=1, asked=every._replace(port=0), got=every),
        Listen(t_ns=2, copy=0, pid=9, cookie=1, got=every),
    ]

    def kinds_with(address: str) -> list[str]:
        client = Connect(t_ns=3, copy=1, pid=8, destination=Endpoint("tcp", address, MET))
        return [
            kind for kind, _ in told([RunStarted(t_ns=0, wall_ns=1, addresses=("198.51.100.7",)), *server, client])
        ]

    assert kinds_with("198.51.100.7") == kinds_with("127.0.0.1") == ["crosstalk", "exposed"]
    assert kinds_with("192.0.2.1") == ["exposed"]
