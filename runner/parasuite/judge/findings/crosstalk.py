"""`crosstalk`: a connection or datagram of one party reached a socket that only another party listens on.

Theory of operation. A connect (or a datagram with an address) is judged by who listens at its destination: the
sockets that the ledger knows, and the holders that the kernel's table showed at that instant. If any of them is the
client's own, all is well; if it is another worker's of its copy, the client must take the port for its own
(own_ports.py). A socket that is bound but does not listen yet is not a server.

A listener that is stamped a moment after the connect may have been there before it. So a connect that finds none
waits for listeners to appear, for LATE_NS or until its thread makes another call. It is then judged by all that
appeared: one of its own among them makes it innocent. If the client's own party had the port bound when it called,
there is nothing to wait for, since no other party could get the port during the call.

What it is charged to depends on the rest of the run:

- The server's port is fixed: `hard-coded`.
- Else the kernel had assigned the port to the client's copy before, so that is the port the client means. If any
  process of the copy asked for it by number before the kernel assigned it to the copy again: `lost-port`. If none
  did, and it was the client's own party that had it, the client expected it to stay closed: `closed-port`.
- The server is outside the run: `stranger`.
- Anything else: `unknown`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from parasuite.judge.findings.charges import of_lost_port, of_stranger, severity_of_stranger, unknown_charge
from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.holders import side_of_holder
from parasuite.judge.findings.knowledge import Assignment, Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause, SeenEffect
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, Listen, Send
from parasuite.model.overlap import canonical, is_wildcard, reaches
from parasuite.model.party import Party
from parasuite.model.sensors import is_inside
from parasuite.model.words import Evidence, Protocol, Role, SocketState, weaker

LATE_NS = 10_000_000
_Call: TypeAlias = Connect | Send
_Drawn: TypeAlias = tuple[int, Protocol, int, int]  # Copy, protocol, port, and when the kernel assigned it.


@dataclass(frozen=True, slots=True)
class _Meant:
    """A connect to a port that the client's copy was assigned and had released. *is_own*: its own party was.
    *effect*: if it was answered.
    """

    client: Side
    destination: Endpoint
    assignment: Assignment
    is_own: bool
    t_ns: int
    effect: SeenEffect | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that is to be judged, at once or when its time is over. *believes_own*: as of the call. *meant*: the
    port that it means, if it was assigned one. *servers*: the listeners that were known, or have appeared since.
    """

    call: _Call
    destination: Endpoint
    believes_own: bool
    meant: _Meant | None
    servers: list[OpenHold]


class Crosstalk:
    """Who was reached that should not have been, and who connected to a port that should stay closed.

    If that is another worker of its own copy, the client must take the port for its own (own_ports.py).

    The server's reply is not reported again: *_awaited* holds, for each request, the party that was asked and the
    socket that waits for its answer.
    """

    def __init__(self) -> None:
        self._awaited: set[tuple[Party | None, OpenHold]] = set()
        self._waiting: deque[_Waiting] = deque()
        self._asked_for: set[_Drawn] = set()
        self._meant: dict[tuple[object, ...], _Meant] = {}

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        for waiting in [waiting for waiting in self._waiting if _is_over(waiting.call, event)]:
            self._waiting.remove(waiting)
            yield from self._came_late(waiting, knowledge)
        if isinstance(event, Bind) and event.party is not None and event.asked.port:
            drawn = knowledge.assignment(event.party, event.asked.protocol, event.asked.port)
            if drawn is not None:
                self._asked_for.add(_drawn(event.party, event.asked, drawn))
        for hold in changes.listening:
            for waiting in self._waiting:
                if reaches(waiting.destination, hold.endpoint):
                    waiting.servers.append(hold)
        if isinstance(event, Connect | Send) and event.party is not None:
            destination = canonical(event.destination)
            if destination.is_internet and destination.port and knowledge.is_this_host(destination.address):
                yield from self._reached(event, event.party, destination, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        while self._waiting:
            yield from self._came_late(self._waiting.popleft(), knowledge)
        for meant in self._meant.values():
            yield from self._charged(meant, knowledge)

    def _reached(
        self, event: _Call, client: Party, destination: Endpoint, knowledge: Knowledge
    ) -> Iterator[SeenEffect]:
        holds_at_port = list(knowledge.ledger.at(destination))
        listening = [holder for holder in event.holders if _may_answer(holder, destination)]
        seen_listening = {f"cookie:{holder.cookie}" for holder in listening}
        servers = [
            hold
            for hold in holds_at_port
            if reaches(destination, hold.endpoint) and (hold.listening or hold.socket in seen_listening)
        ]
        known = {hold.socket for hold in servers}
        others = [holder for holder in listening if f"cookie:{holder.cookie}" not in known]
        believes_own = knowledge.own_ports.believes_own(client, event.caller.test, destination)
        waiting = _Waiting(event, destination, believes_own, _meant(event, client, destination, knowledge), servers)
        if servers or others:
            yield from self._judged(waiting, client, others, knowledge)
        elif any(
            reaches(destination, hold.endpoint) and not _is_another(client, hold.party) for hold in holds_at_port
        ):
            self._found_nobody(waiting)
        else:
            self._waiting.append(waiting)

    def _came_late(self, waiting: _Waiting, knowledge: Knowledge) -> Iterator[SeenEffect]:
        """The time of *waiting* is over: judge it by the listeners that appeared meanwhile."""
        assert waiting.call.party is not None
        strangers = [] if waiting.servers else _sampled_strangers(waiting, knowledge)
        if waiting.servers or strangers:
            yield from self._judged(waiting, waiting.call.party, strangers, knowledge)
        else:
            self._found_nobody(waiting)

    def _judged(
        self, waiting: _Waiting, client: Party, holders: list[Holder], knowledge: Knowledge
    ) -> Iterator[SeenEffect]:
        """Whether the call went astray: to its servers and *holders*, unless one of them is the client's own."""
        event, destination, servers = waiting.call, waiting.destination, waiting.servers
        parties = [*(hold.party for hold in servers), *(holder.party for holder in holders)]
        if not all(_is_another(client, party) for party in parties):
            return
        server = min(servers, key=lambda hold: (hold.party is None, is_wildcard(hold.endpoint.address)), default=None)
        party = holders[0].party if server is None else server.party
        if (client, server) in self._awaited:
            return
        is_beside = party is not None and party.is_of(client.copy)
        if is_beside and not waiting.believes_own:
            self._found_nobody(waiting)
            return
        socket = knowledge.ledger.of(event)
        if socket is not None:
            self._awaited.add((party, socket))
        effect = _effect(event, destination, server, holders, knowledge)
        if effect.charge.cause == Cause.UNKNOWN and waiting.meant is not None:
            self._remember(replace(waiting.meant, effect=effect))
        else:
            yield effect

    def _found_nobody(self, waiting: _Waiting) -> None:
        if isinstance(waiting.call, Connect) and waiting.meant is not None and waiting.meant.is_own:
            self._remember(waiting.meant)

    def _remember(self, meant: _Meant) -> None:
        client = meant.client
        server = None if meant.effect is None else meant.effect.sides[1].party
        key = (client.party, client.pid, client.test, client.frames, meant.destination, server)
        self._meant.setdefault(key, meant)

    def _charged(self, meant: _Meant, knowledge: Knowledge) -> Iterator[SeenEffect | SeenCause]:
        client, destination = meant.client, meant.destination
        assert client.party is not None
        if _drawn(client.party, destination, meant.assignment) in self._asked_for:
            if meant.effect is not None:
                to = of_lost_port(destination.protocol, meant.assignment, client, meant.t_ns, knowledge)
                yield replace(
                    meant.effect, charge=to.charge, drawn_by=to.drawn_by, hint=to.hint, window_ms=to.window_ms
                )
        elif meant.is_own:
            charge = Charge(Cause.CLOSED_PORT, destination.protocol, client.origin)
            if meant.effect is not None:
                yield replace(meant.effect, charge=charge)
            yield SeenCause(charge=charge, evidence=Evidence.EXACT, endpoint=destination, sides=(client,))
        elif meant.effect is not None:
            yield meant.effect


def _meant(event: _Call, client: Party, destination: Endpoint, knowledge: Knowledge) -> _Meant | None:
    """The port that *client* means, if its copy was assigned it and has released it."""
    own = knowledge.own_assignment(client, destination.protocol, destination.port)
    assignment = own or knowledge.assignment(client, destination.protocol, destination.port)
    if assignment is None or not assignment.is_released:
        return None
    side = knowledge.side_of_call(Role.CLIENT, event)
    return _Meant(side, destination, replace(assignment), own is not None, event.t_ns, None)


def _is_over(call: _Call, event: Event) -> bool:
    """Whether *call* had returned when *event* happened: its thread makes another call, or its time is over."""
    if event.t_ns - call.t_ns > LATE_NS:
        return True
    if not isinstance(event, Bind | Listen | Connect | Send) or not call.caller.tid:
        return False
    return (event.caller.process.pid, event.caller.tid) == (call.caller.process.pid, call.caller.tid)


def _sampled_strangers(waiting: _Waiting, knowledge: Knowledge) -> list[Holder]:
    """The listeners of strangers that the call may have reached, where no sensor asked the kernel for them.

    A datagram from a bound socket is most likely an answer.
    """
    call = waiting.call
    if not is_inside(call.source) or (isinstance(call, Send) and knowledge.ledger.of(call) is not None):
        return []
    return knowledge.strangers_serving(waiting.destination)


def _may_answer(holder: Holder, destination: Endpoint) -> bool:
    """Whether a client may end at the socket of *holder*: a TCP socket must listen."""
    return destination.protocol != Protocol.TCP or holder.state is SocketState.LISTEN


def _is_another(client: Party, party: Party | None) -> bool:
    return party is None or client.meets(party)


def _drawn(party: Party, endpoint: Endpoint, assignment: Assignment) -> _Drawn:
    return (party.copy, endpoint.protocol, endpoint.port, assignment.drawn_ns)


def _effect(
    event: _Call, destination: Endpoint, server: OpenHold | None, holders: list[Holder], knowledge: Knowledge
) -> SeenEffect:
    client = knowledge.side_of_call(Role.CLIENT, event)
    if server is None:
        other, port = side_of_holder(Role.SERVER, holders[0], knowledge), 0
        # A sensor inside the process does not see others'; the sampler does.
        evidence = Evidence.SAMPLED if is_inside(event.source) else Evidence.EXACT
    else:
        other = knowledge.side_of_hold(Role.SERVER, server)
        evidence, port = weaker(server.evidence, Evidence.EXACT), knowledge.explicit_port(server)
    severity = EffectKind.CROSSTALK.info.severity
    if other.party is None:
        charge, port = of_stranger(destination, other, knowledge)
        severity = severity_of_stranger(destination, holders[0] if server is None else None, knowledge)
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
