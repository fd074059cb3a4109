"""`crosstalk`: a connection or datagram of one party reached a socket that only another party listens on.

Theory of operation. A connect (or a datagram with an address) is judged by who listens at its destination: the
sockets that the ledger knows, and the holders that the kernel's table showed at that instant. If any of them is the
client's own, all is well; if it is another worker's of its copy, the client must take the port for its own
(own_ports.py). A listener that is stamped a moment after the connect may have been there before it, so a
connect that finds nobody waits LATE_NS for one to appear.

What it is charged to depends on the rest of the run. A fixed port of the server explains it. Else, if the kernel had
assigned the port to the client's copy before, the client means that port: it was lost if the copy bound it by number
in the same test, and it was expected to stay closed if nobody did. What the sensors cannot explain is `unknown`.
A server outside the run is a `stranger`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from parasuite.judge.findings.charges import of_lost_port, unknown_charge
from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Assignment, Knowledge
from parasuite.judge.findings.programs import program_name
from parasuite.judge.findings.seen import Charge, SeenCause, SeenEffect
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, OtherRun, Send
from parasuite.model.overlap import canonical, is_wildcard, reaches
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Protocol, Role, Severity, weaker

LATE_NS = 10_000_000
_RESOLVER_PORT = 53  # Every program that looks up a name talks to this host's resolver, where there is one.
_Call: TypeAlias = Connect | Send
_Slot: TypeAlias = tuple[int, Protocol, int, str]  # Copy, protocol, port, test.


@dataclass(frozen=True, slots=True)
class _Meant:
    """A connect to a port that the client's party was assigned and had released. *effect*: if it was answered."""

    client: Side
    destination: Endpoint
    assignment: Assignment
    t_ns: int
    effect: SeenEffect | None


class Crosstalk:
    """Who was reached that should not have been, and who connected to a port that should stay closed.

    If that is another worker of its own copy, the client must take the port for its own (own_ports.py).

    The server's reply is not reported again: *_awaited* holds, for each request, the party that was asked and the
    socket that waits for its answer.
    """

    def __init__(self) -> None:
        self._awaited: set[tuple[Party | None, OpenHold]] = set()
        self._waiting: deque[tuple[_Call, Endpoint, Assignment | None]] = deque()
        self._bound_by_number: set[_Slot] = set()
        self._meant: dict[tuple[object, ...], _Meant] = {}

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        while self._waiting and event.t_ns - self._waiting[0][0].t_ns > LATE_NS:
            self._found_nobody(*self._waiting.popleft(), knowledge)
        if isinstance(event, Bind) and event.party is not None and event.asked.port:
            self._bound_by_number.add(_slot(event.party.copy, event.asked, event.caller.test))
        for hold in changes.listening:
            yield from self._came_late(hold, knowledge)
        if isinstance(event, Connect | Send) and event.party is not None:
            destination = canonical(event.destination)
            if destination.is_internet and destination.port and knowledge.is_this_host(destination.address):
                yield from self._reached(event, destination, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        while self._waiting:
            self._found_nobody(*self._waiting.popleft(), knowledge)
        for meant in self._meant.values():
            yield from self._charged(meant, knowledge)

    def _came_late(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[SeenEffect]:
        for waiting in list(self._waiting):
            call, destination, _ = waiting
            if reaches(destination, hold.endpoint):
                self._waiting.remove(waiting)
                yield from self._judged(call, destination, [hold], [], knowledge)

    def _reached(self, event: _Call, destination: Endpoint, knowledge: Knowledge) -> Iterator[SeenEffect]:
        servers = [
            hold
            for hold in knowledge.ledger.at(destination.protocol, destination.port)
            if hold.listening and reaches(destination, hold.endpoint)
        ]
        known = {hold.socket for hold in servers}
        others = [holder for holder in event.holders if f"cookie:{holder.cookie}" not in known]
        if servers or others:
            yield from self._judged(event, destination, servers, others, knowledge)
        else:
            self._waiting.append((event, destination, _released(event, destination, knowledge)))

    def _judged(
        self,
        event: _Call,
        destination: Endpoint,
        servers: list[OpenHold],
        holders: list[Holder],
        knowledge: Knowledge,
    ) -> Iterator[SeenEffect]:
        client = event.party
        parties = [*(hold.party for hold in servers), *(holder.party for holder in holders)]
        if client is None or not all(_is_another(client, party) for party in parties):
            return
        server = min(servers, key=lambda hold: (hold.party is None, is_wildcard(hold.endpoint.address)), default=None)
        party = holders[0].party if server is None else server.party
        if (client, server) in self._awaited:
            return
        is_beside = party is not None and party.is_of(client.copy)
        if is_beside and not knowledge.own_ports.believes_own(client, event.caller.test, destination):
            self._found_nobody(event, destination, _released(event, destination, knowledge), knowledge)
            return
        socket = knowledge.ledger.of(event)
        if socket is not None:
            self._awaited.add((party, socket))
        effect = _effect(event, destination, server, holders, knowledge)
        released = _released(event, destination, knowledge)
        if effect.charge.cause == Cause.UNKNOWN and released is not None:
            self._remember(event, destination, released, effect, knowledge)
        else:
            yield effect

    def _found_nobody(
        self, event: _Call, destination: Endpoint, released: Assignment | None, knowledge: Knowledge
    ) -> None:
        """*released*: the port's assignment to the client, if it had been released by the time of *event*."""
        if isinstance(event, Connect) and released is not None:
            self._remember(event, destination, released, None, knowledge)

    def _remember(
        self,
        event: _Call,
        destination: Endpoint,
        assignment: Assignment,
        effect: SeenEffect | None,
        knowledge: Knowledge,
    ) -> None:
        client = knowledge.side_of_call(Role.CLIENT, event)
        server = None if effect is None else effect.sides[1].party
        key = (client.party, client.pid, client.test, client.frames, destination, server)
        self._meant.setdefault(key, _Meant(client, destination, assignment, event.t_ns, effect))

    def _charged(self, meant: _Meant, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        client, destination = meant.client, meant.destination
        assert client.party is not None
        if _slot(client.party.copy, destination, client.test) in self._bound_by_number:
            if meant.effect is not None:
                to = of_lost_port(destination.protocol, meant.assignment, client, meant.t_ns, knowledge)
                yield replace(meant.effect, charge=to.charge, drawn_by=to.drawn_by, window_ms=to.window_ms)
            return
        charge = Charge(Cause.CLOSED_PORT, destination.protocol, client.origin)
        if meant.effect is not None:
            yield replace(meant.effect, charge=charge)
        yield SeenCause(charge=charge, evidence=Evidence.EXACT, endpoint=destination, sides=(client,))


def _released(event: _Call, destination: Endpoint, knowledge: Knowledge) -> Assignment | None:
    """How the client was assigned the port that it means, as it is now; None if it was not, or still has it."""
    if event.party is None:
        return None
    found = knowledge.own_assignment(event.party, destination.protocol, destination.port)
    return replace(found) if found is not None and found.is_released else None


def _is_another(client: Party, party: Party | None) -> bool:
    return party is None or client.meets(party)


def _slot(copy: int, endpoint: Endpoint, test: str) -> _Slot:
    return (copy, endpoint.protocol, endpoint.port, test)


def _effect(
    event: _Call, destination: Endpoint, server: OpenHold | None, holders: list[Holder], knowledge: Knowledge
) -> SeenEffect:
    client = knowledge.side_of_call(Role.CLIENT, event)
    if server is None:
        other, evidence, port = side_of_holder(Role.SERVER, holders[0], knowledge), Evidence.EXACT, 0
    else:
        other = knowledge.side_of_hold(Role.SERVER, server)
        evidence, port = weaker(server.evidence, Evidence.EXACT), knowledge.explicit_port(server)
    severity = EffectKind.CROSSTALK.info.severity
    if other.party is None:
        # Its port is its own choice, however it came by it.
        charge, port = stranger_charge(destination), 0
        severity = Severity.NOTE if destination.port == _RESOLVER_PORT else Cause.STRANGER.info.severity
    elif port:
        charge = Charge(Cause.HARD_CODED, destination.protocol, str(port))
    else:
        charge = unknown_charge(EffectKind.CROSSTALK, destination.protocol, (client, other))
    return SeenEffect(
        kind=EffectKind.CROSSTALK,
        charge=charge,
        evidence=evidence,
        endpoint=destination,
        sides=(client, other),
        severity=severity,
        port=port,
    )


def stranger_charge(endpoint: Endpoint) -> Charge:
    """A server outside the run, by its port."""
    return Charge(Cause.STRANGER, endpoint.protocol, str(endpoint.port))


def side_of_holder(role: Role, holder: Holder, knowledge: Knowledge) -> Side:
    """What the kernel's table told of a socket that the ledger does not know."""
    name, command = knowledge.process(holder.pid)
    command = holder.command or command
    return Side(
        role=role,
        party=holder.party,
        pid=holder.pid,
        process=holder.name or name or program_name("", command),
        command=command,
        state=holder.state,
        stranger="" if holder.other_run is None else _named_run(holder.other_run),
    )


def _named_run(other: OtherRun) -> str:
    where = f"copy {other.copy} of parasuite run {other.run_id} in {other.folder}"
    return f"{other.test}, {where}" if other.test else where
