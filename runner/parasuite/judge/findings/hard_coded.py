"""`hard-coded`: one explicit port, Unix path or VSOCK port that parties ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple, TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.judge.networks import as_shared
from parasuite.model.causes import Cause
from parasuite.model.events import ATTEMPTED, Bind, Endpoint, Event
from parasuite.model.network import Network
from parasuite.model.overlap import overlaps
from parasuite.model.party import Party, some_meet
from parasuite.model.words import Evidence, Protocol, Role, Severity, weaker

NAME_HINT = "put the socket into the test's own temporary folder, or make its name unique to the process"
GROUP_HINT = (
    "this port belongs to a multicast protocol (mDNS, SSDP, LLMNR), whose programs share it by design: give each "
    "copy names of its own, and an interface or a network of its own if its messages must stay apart"
)
_GROUP_PORTS = frozenset({1900, 5353, 5355})  # IANA: ssdp, mdns, llmnr.
VSOCK_PORT_ANY = 4294967295
# Windows reports EACCES where an exclusive owner is in the way, and has its own numbers for both.
IN_USE = frozenset({"EADDRINUSE", "WSAEADDRINUSE", "WSAEACCES"})


class _Use(NamedTuple):
    """The first time that a party asked for a port at one place."""

    endpoint: Endpoint
    side: Side
    evidence: Evidence


_Place: TypeAlias = tuple[str, Network]  # An address and the network that it is in.
_Uses: TypeAlias = dict[tuple[Party, _Place], _Use]


class HardCoded:
    """Parties ask for one explicit port, on endpoints that would exclude each other.

    Time does not matter: parties that did not meet this night will meet another night. A port that only one party
    asked for is a note, since it may have been drawn, or another party may not have come that far. Nothing is said of
    it where the same function asked for other ports in other parties: it makes them different on purpose. Ports that
    are drawn at random coincide by chance (random_ports.py), and are not reported unless most parties use them.
    """

    def __init__(self) -> None:
        self._uses: dict[tuple[Protocol, str], _Uses] = defaultdict(dict)
        self._bound: dict[tuple[Protocol, str], _Uses] = defaultdict(dict)
        self._parties: dict[tuple[Protocol, str], set[Party]] = defaultdict(set)

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        for hold in changes.opened:
            # One that does not listen may be a client's; it counts if another party asks for its port.
            if hold.endpoint.protocol == Protocol.TCP and not hold.listening:
                self._add_hold(hold, knowledge, self._bound)
        for hold in changes.listening:
            if hold.endpoint.protocol == Protocol.TCP:
                self._add_hold(hold, knowledge, self._uses)
        for hold in changes.closed:
            if hold.endpoint.protocol == Protocol.UDP and hold.listening:
                self._add_hold(hold, knowledge, self._uses)
        if isinstance(event, Bind):
            self._add_bind(event, knowledge)
        return iter(())

    def conclude(self, knowledge: Knowledge) -> Iterator[SeenCause]:
        for hold in knowledge.ledger.open_holds():
            if hold.endpoint.protocol == Protocol.UDP and hold.listening:
                self._add_hold(hold, knowledge, self._uses)
        listed = knowledge.port_lists.owners()
        for (protocol, name), listening in sorted(self._uses.items()):
            uses = self._bound.get((protocol, name), {}) | listening
            overlapping = _overlapping(uses)
            parties = {party for party, _ in overlapping}
            if len(parties) > 1:
                if not _is_chance(protocol, parties, overlapping, knowledge):
                    yield _cause(list(overlapping.values()), Severity.WARNING)
            else:
                alone = [use for use in uses.values() if self._is_note(use, listed, knowledge)]
                for use in alone[:1]:
                    yield _cause([use], Severity.NOTE)

    def _is_note(self, use: _Use, listed: Collection[tuple[Protocol, int]], knowledge: Knowledge) -> bool:
        """Whether another party may want what *use* alone asked for. *listed*: ports that functions have in lists."""
        endpoint, side = use.endpoint, use.side
        if endpoint.protocol == Protocol.UNIX and not endpoint.address.startswith("@"):
            if knowledge.is_temporary(endpoint.address):
                return False
        elif not endpoint.network.is_ours:
            return False
        if (endpoint.protocol, endpoint.port) in listed:
            return True
        return len(self._parties[endpoint.protocol, side.origin]) == 1

    def _add_bind(self, event: Bind, knowledge: Knowledge) -> None:
        asked = event.asked
        if asked.protocol == Protocol.VSOCK:
            # They appear in no table: that they were asked for is all that is known.
            if asked.port < VSOCK_PORT_ANY and event.errno in ("", ATTEMPTED, *IN_USE):
                side = knowledge.side_of_call(Role.HOLDER, event, event.options)
                self._add(asked, side, Evidence.ATTEMPTED, knowledge)
        elif asked.protocol == Protocol.UNIX:
            if asked.address.strip("@") and _has_met_a_socket(event, knowledge):
                evidence = Evidence.ATTEMPTED if event.errno == ATTEMPTED else Evidence.EXACT
                side = knowledge.side_of_call(Role.WANTED if event.got is None else Role.HOLDER, event)
                self._add(asked, side, evidence, knowledge)
        elif event.errno in IN_USE and asked.port and not knowledge.was_assigned(event.party, asked.port):
            side = knowledge.side_of_call(Role.WANTED, event, event.options)
            self._add(asked, side, Evidence.EXACT, knowledge)

    def _add_hold(self, hold: OpenHold, knowledge: Knowledge, to: dict[tuple[Protocol, str], _Uses]) -> None:
        if hold.party is not None and knowledge.explicit_port(hold):
            side = knowledge.side_of_hold(Role.HOLDER, hold)
            endpoint = as_shared(hold.endpoint)
            uses = to[endpoint.protocol, name_of(endpoint)]
            key = (hold.party, (endpoint.address, endpoint.network))
            uses.setdefault(key, _Use(endpoint, side, hold.evidence))
            self._note_party(endpoint, side, hold.party, knowledge)

    def _add(self, endpoint: Endpoint, side: Side, evidence: Evidence, knowledge: Knowledge) -> None:
        if side.party is not None:
            endpoint = as_shared(endpoint)
            uses = self._uses[endpoint.protocol, name_of(endpoint)]
            uses.setdefault((side.party, (endpoint.address, endpoint.network)), _Use(endpoint, side, evidence))
            self._note_party(endpoint, side, side.party, knowledge)

    def _note_party(self, endpoint: Endpoint, side: Side, party: Party, knowledge: Knowledge) -> None:
        self._parties[endpoint.protocol, side.origin].add(party)
        knowledge.port_lists.asked(endpoint.protocol, side, endpoint.port)


def _has_met_a_socket(event: Bind, knowledge: Knowledge) -> bool:
    """Whether the bind of a Unix name succeeded, or failed while a socket was open there.

    One that failed for another reason (no such folder, a file that a server left) can never collide with anything.
    """
    if event.got is not None:
        return event.errno in ("", ATTEMPTED)
    return bool(event.holders) or (event.errno in IN_USE and any(knowledge.ledger.at(event.asked)))


def name_of(endpoint: Endpoint) -> str:
    """What a finding about a fixed *endpoint* is grouped by: its port, or its path."""
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
            if some_meet({*users, *others}) and overlaps(endpoint, next(iter(others.values()))):
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


def _cause(uses: list[_Use], severity: Severity) -> SeenCause:
    endpoint = uses[0].endpoint
    sides = {use.side.party: use.side for use in reversed(uses)}
    return SeenCause(
        charge=Charge(Cause.HARD_CODED, endpoint.protocol, name_of(endpoint)),
        evidence=weaker(*(use.evidence for use in uses)),
        endpoint=endpoint,
        sides=tuple(sides[party] for party in sorted(sides, key=lambda party: party or Party(-1))),
        port=endpoint.port,
        severity=severity,
        hint=_hint(endpoint),
    )


def _hint(endpoint: Endpoint) -> str | None:
    """The one of *endpoint*'s kind; None for a port like any other."""
    if endpoint.protocol == Protocol.UNIX:
        return NAME_HINT
    return GROUP_HINT if endpoint.protocol == Protocol.UDP and endpoint.port in _GROUP_PORTS else None
