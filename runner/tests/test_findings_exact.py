"""Findings from exact events: who was refused, and what is chance."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.events import Bind, Connect, Endpoint, Event, Holder, Release
from parasuite.findings import findings

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
