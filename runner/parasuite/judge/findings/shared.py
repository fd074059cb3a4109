"""`shared`: two parties held one endpoint at once, and nothing failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.overlap import overlaps
from parasuite.model.words import Evidence, Protocol, Role, weaker

SHARED_HINT = (
    "bind port 0 and hand the number on, or drop SO_REUSEPORT (UDP: SO_REUSEADDR too) so that the second bind fails"
)


class Shared:
    """Two parties accepted on overlapping endpoints at once.

    A TCP socket that is bound and does not listen is not counted: on Linux SO_REUSEADDR lets others bind beside it.
    If it listens later, that call is refused.
    """

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            yield from self._met(hold, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]:
        del knowledge
        return ()

    def _met(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[Occurrence]:
        """The first meeting of *hold*, which begins to accept, with each other party."""
        if hold.party is None:
            return
        reported = set()
        for other in knowledge.ledger.at(hold.endpoint.protocol, hold.endpoint.port):
            if not hold.party.meets(other.party) or other.party in reported:
                continue
            if other.socket != hold.socket and self._collide(hold, other):
                reported.add(other.party)
                yield self._occurrence(other, hold, knowledge)

    def _collide(self, hold: OpenHold, other: OpenHold) -> bool:
        # We do not know whether an attempted bind succeeded. A TCP socket that goes on to listen was bound; a
        # datagram socket makes no further call that would show it.
        if hold.endpoint.protocol == Protocol.UDP and Evidence.ATTEMPTED in (hold.evidence, other.evidence):
            return False
        return other.listening and overlaps(hold.endpoint, other.endpoint)

    def _occurrence(self, earlier: OpenHold, later: OpenHold, knowledge: Knowledge) -> Occurrence:
        ports = {knowledge.explicit_port(earlier), knowledge.explicit_port(later)}
        same = earlier.endpoint.address == later.endpoint.address
        where = f"{later.endpoint}" if same else f"{earlier.endpoint} and {later.endpoint}"
        return Occurrence(
            kind=FindingKind.SHARED,
            evidence=weaker(earlier.evidence, later.evidence),
            endpoint=later.endpoint,
            port=ports.pop() if len(ports) == 1 else 0,
            message=f"two copies held {where} at the same time and nothing failed; a client may reach either",
            hint=SHARED_HINT,
            sides=(knowledge.side_of_hold(Role.HELD, earlier), knowledge.side_of_hold(Role.HELD, later)),
        )
