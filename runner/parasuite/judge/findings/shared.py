"""`shared`: two parties held one endpoint at once, and nothing failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.charges import Claim, blame
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import SeenEffect
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import EffectKind
from parasuite.model.events import Event
from parasuite.model.overlap import overlaps
from parasuite.model.words import Evidence, Protocol, Role, weaker


class Shared:
    """Two parties accepted on overlapping endpoints at once.

    A TCP socket that is bound and does not listen is not counted: on Linux SO_REUSEADDR lets others bind beside it.
    If it listens later, that call is refused.

    Of two Unix sockets that are open at once, the second has taken over the path of the first: someone removed the
    file, and the first socket gets no new clients. Whether it listened does not matter.
    """

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect]:
        del event
        for hold in changes.listening:
            yield from self._met(hold, knowledge)
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
