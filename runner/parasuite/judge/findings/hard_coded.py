"""`hard-coded`: one explicit port, Unix path or VSOCK port in two or more parties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Bind, Endpoint, Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.network import Network
from parasuite.model.overlap import overlaps
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Protocol, Role, weaker

HARD_CODED_HINT = "bind port 0 and ask the socket for its number; for a program that needs a number, reserve one"
NAME_HINT = "put the socket into the test's own temporary folder, or make its name unique to the process"
VSOCK_PORT_ANY = 4294967295


class _Use(NamedTuple):
    """The first time that a party listened on a port at one place."""

    endpoint: Endpoint
    side: Side
    evidence: Evidence


_Place: TypeAlias = tuple[str, Network]  # An address and the network that it is in.
_Uses: TypeAlias = dict[tuple[Party, _Place], _Use]


class HardCoded:
    """Two parties listen on one explicit port, on endpoints that would exclude each other.

    Time does not matter: parties that did not meet this night will meet another night. Ports that are drawn at random
    coincide by chance (random_ports.py), and are not reported unless most of the parties use them.
    """

    def __init__(self) -> None:
        self._uses: dict[tuple[Protocol, str], _Uses] = defaultdict(dict)

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        for hold in changes.listening:
            if hold.endpoint.protocol == Protocol.TCP:
                self._add_hold(hold, knowledge)
        for hold in changes.closed:
            if hold.endpoint.protocol == Protocol.UDP and hold.listening:
                self._add_hold(hold, knowledge)
        if isinstance(event, Bind) and _is_named(event.asked):
            # Sockets of these families appear in no table: that they were asked for is all that is known.
            self._add(event.asked, knowledge.side_of_caller(Role.HOLDER, event, event.options), Evidence.ATTEMPTED)
        return iter(())

    def conclude(self, knowledge: Knowledge) -> Iterator[Occurrence]:
        for hold in knowledge.ledger.open_holds():
            if hold.endpoint.protocol == Protocol.UDP and hold.listening:
                self._add_hold(hold, knowledge)
        for (protocol, _), uses in sorted(self._uses.items()):
            overlapping = _overlapping(uses)
            parties = {party for party, _ in overlapping}
            if len(parties) > 1 and not _is_chance(protocol, parties, overlapping, knowledge):
                yield _occurrence(protocol, list(overlapping.values()))

    def _add_hold(self, hold: OpenHold, knowledge: Knowledge) -> None:
        if knowledge.explicit_port(hold):
            self._add(hold.endpoint, knowledge.side_of_hold(Role.HOLDER, hold), hold.evidence)

    def _add(self, endpoint: Endpoint, side: Side, evidence: Evidence) -> None:
        if side.party is not None:
            uses = self._uses[endpoint.protocol, _port_or_path(endpoint)]
            uses.setdefault((side.party, (endpoint.address, endpoint.network)), _Use(endpoint, side, evidence))


def _is_named(asked: Endpoint) -> bool:
    """Whether *asked* names a Unix socket or a VSOCK port, rather than leaving the choice to the kernel."""
    match asked.protocol:
        case Protocol.UNIX:
            return bool(asked.address.strip("@"))
        case Protocol.VSOCK:
            return asked.port < VSOCK_PORT_ANY
    return False


def _port_or_path(endpoint: Endpoint) -> str:
    return endpoint.address if endpoint.protocol == Protocol.UNIX else str(endpoint.port)


def _overlapping(uses: _Uses) -> _Uses:
    """Those of *uses* whose endpoint overlaps one of another party: not in networks that each copy made itself."""
    by_place: dict[_Place, dict[Party, Endpoint]] = defaultdict(dict)
    for (party, place), use in uses.items():
        by_place[place][party] = use.endpoint
    met: set[_Place] = set()
    for place, users in by_place.items():
        endpoint = next(iter(users.values()))
        for other_place, others in by_place.items():
            if len({*users, *others}) > 1 and overlaps(endpoint, next(iter(others.values()))):
                met.update((place, other_place))
    return {key: uses[key] for key in sorted(uses) if key[1] in met}


def _is_chance(protocol: Protocol, parties: set[Party], uses: _Uses, knowledge: Knowledge) -> bool:
    """Whether the *parties* drew this port at random; not if more than half of three or more drew the same."""
    for origin in {use.side.origin for use in uses.values()}:
        if not knowledge.random_ports.is_drawn(protocol, origin):
            return False
        if len(parties) * 2 > len(knowledge.random_ports.parties(protocol, origin)) > 2:
            return False
    return True


def _occurrence(protocol: Protocol, uses: list[_Use]) -> Occurrence:
    endpoint = uses[0].endpoint
    sides = {use.side.party: use.side for use in reversed(uses)}
    port = {Protocol.UNIX: endpoint.address, Protocol.VSOCK: f"vsock port {endpoint.port}"}.get(
        protocol, f"port {endpoint.port}"
    )
    sort = "name" if protocol == Protocol.UNIX else "number"
    return Occurrence(
        kind=FindingKind.HARD_CODED,
        evidence=weaker(*(use.evidence for use in uses)),
        endpoint=endpoint,
        port=endpoint.port,
        message=f"{len(sides)} copies use {port}, a {sort} fixed in the suite or in a program that it starts",
        hint=NAME_HINT if protocol == Protocol.UNIX else HARD_CODED_HINT,
        sides=tuple(sides[party] for party in sorted(sides, key=lambda party: party or Party(-1))),
    )
