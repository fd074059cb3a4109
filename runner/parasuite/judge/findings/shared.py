"""`shared`: two held one endpoint at once, and nothing failed: two parties, or a party and a process outside the run.

Theory of operation. The ledger knows what parties hold. A stranger's socket is known from two sources. The kernel's
table showed it when a party bound a socket that lets others in: it is a holder of that bind. Or the sampler saw it,
while a party listened there or earlier. What was seen earlier may have ended since the last sample, so it counts only
if the party's socket was sampled as well, or has an option without which it could not have been bound beside another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.charges import Claim, blame, of_stranger, severity_of_stranger
from parasuite.judge.findings.holders import side_of_holder
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import SeenEffect
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import EffectKind
from parasuite.model.events import Bind, Event, Holder, PortTaken, StrangerSeen
from parasuite.model.overlap import canonical, overlaps
from parasuite.model.words import Evidence, Protocol, Role, SocketOption, weaker


class Shared:
    """Two parties accepted on overlapping endpoints at once.

    A TCP socket that is bound and does not listen is not counted: on Linux SO_REUSEADDR lets others bind beside it.
    If it listens later, that call is refused.

    Of two Unix sockets that are open at once, the second has taken over the path of the first: someone removed the
    file, and the first socket gets no new clients. Whether it listened does not matter.

    *_beside*: the strangers that were there when a socket was bound. *_taken*: ports that parasuite took itself.
    """

    def __init__(self) -> None:
        self._beside: dict[OpenHold, tuple[Holder, ...]] = {}
        self._taken: set[tuple[Protocol, int]] = set()

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect]:
        if isinstance(event, PortTaken):
            self._taken.add((event.endpoint.protocol, event.endpoint.port))
        elif isinstance(event, StrangerSeen) and not event.is_gone:
            for hold in list(knowledge.ledger.at(event.endpoint)):
                if hold.listening and overlaps(hold.endpoint, canonical(event.endpoint)):
                    yield from self._with_strangers(hold, event.holders, Evidence.SAMPLED, knowledge)
        elif isinstance(event, Bind) and not event.errno and event.holders:
            self._beside |= dict.fromkeys(changes.opened, event.holders)
        for hold in changes.listening:
            yield from self._met(hold, knowledge)
            yield from self._with_strangers(hold, self._beside.get(hold, ()), hold.evidence, knowledge)
            if hold.evidence is Evidence.SAMPLED or _lets_others_in(hold):
                seen = knowledge.strangers_at(hold.endpoint)
                yield from self._with_strangers(hold, seen, Evidence.SAMPLED, knowledge)
        for hold in changes.closed:
            self._beside.pop(hold, None)
        for hold in changes.opened:
            for other in changes.taken_over:
                if hold.party is not None and hold.party.meets(other.party):
                    yield self._effect(other, hold, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenEffect]:
        del knowledge
        return ()

    def _met(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[SeenEffect]:
        """The first meeting of *hold*, which begins to accept, with each other party."""
        if hold.party is None:
            return
        reported = set()
        for other in knowledge.ledger.at(hold.endpoint):
            if not hold.party.meets(other.party) or other.party in reported:
                continue
            if other.socket != hold.socket and self._collide(hold, other):
                reported.add(other.party)
                yield self._effect(other, hold, knowledge)

    def _with_strangers(
        self, hold: OpenHold, strangers: Iterable[Holder], evidence: Evidence, knowledge: Knowledge
    ) -> Iterator[SeenEffect]:
        endpoint = hold.endpoint
        if hold.party is None or (endpoint.protocol, endpoint.port) in self._taken:
            return
        for stranger in strangers:
            side = side_of_holder(Role.HELD, stranger, knowledge)
            charge, port = of_stranger(endpoint, side, knowledge)
            yield SeenEffect(
                kind=EffectKind.SHARED,
                charge=charge,
                evidence=weaker(evidence, hold.evidence),
                endpoint=endpoint,
                sides=(knowledge.side_of_hold(Role.HELD, hold), side),
                severity=severity_of_stranger(endpoint, stranger, knowledge),
                port=port,
            )

    def _collide(self, hold: OpenHold, other: OpenHold) -> bool:
        # We do not know whether an attempted bind succeeded. A TCP socket that goes on to listen was bound; a
        # datagram socket makes no further call that would show it.
        if hold.endpoint.protocol == Protocol.UDP and Evidence.ATTEMPTED in (hold.evidence, other.evidence):
            return False
        return other.listening and overlaps(hold.endpoint, other.endpoint)

    def _effect(self, earlier: OpenHold, later: OpenHold, knowledge: Knowledge) -> SeenEffect:
        claims = tuple(
            Claim(side=knowledge.side_of_hold(Role.HELD, hold), endpoint=hold.endpoint, t_ns=hold.start_ns, hold=hold)
            for hold in (later, earlier)
        )
        to = blame(EffectKind.SHARED, claims, knowledge)
        return SeenEffect(
            kind=EffectKind.SHARED,
            charge=to.charge,
            evidence=weaker(earlier.evidence, later.evidence),
            endpoint=later.endpoint,
            sides=(claims[1].side, claims[0].side),
            severity=EffectKind.SHARED.info.severity,
            port=to.port,
            drawn_by=to.drawn_by,
        )


def _lets_others_in(hold: OpenHold) -> bool:
    """Whether *hold* may have been bound beside another that accepted there."""
    is_datagram = hold.endpoint.protocol == Protocol.UDP
    return SocketOption.REUSEPORT in hold.options or (is_datagram and SocketOption.REUSEADDR in hold.options)
