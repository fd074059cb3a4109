"""`exposed`: other hosts can reach a listener."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause
from parasuite.model.events import Event
from parasuite.model.overlap import is_loopback, is_multicast
from parasuite.model.words import Evidence, Protocol, Role, SocketOption


class Exposed:
    """A copy listens where other hosts can reach it.

    In a network that the suite made for itself and on `lo` there are none; nor are there any where this host has no
    address but loopback ones.
    """

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        del event
        for hold in changes.listening:
            if hold.endpoint.protocol == Protocol.TCP and self._is_reachable(hold, knowledge):
                yield self._cause(hold, knowledge)
        for hold in changes.closed:
            yield from self._datagram(hold, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterator[SeenCause]:
        for hold in knowledge.ledger.open_holds():
            yield from self._datagram(hold, knowledge)

    def _datagram(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[SeenCause]:
        # Judged at its end: a datagram socket that connects is a client. The sampler cannot tell a client that has
        # only sent from a server, except by a port that the kernel does not assign.
        if hold.endpoint.protocol != Protocol.UDP or not hold.listening or not self._is_reachable(hold, knowledge):
            return
        if hold.evidence != Evidence.SAMPLED or knowledge.explicit_port(hold):
            yield self._cause(hold, knowledge)

    def _is_reachable(self, hold: OpenHold, knowledge: Knowledge) -> bool:
        address = hold.endpoint.address
        return (
            hold.party is not None
            and hold.endpoint.network.is_ours
            and not knowledge.is_alone
            and SocketOption.LOOPBACK_DEVICE not in hold.options
            and not is_loopback(address)
            and not is_multicast(address)
        )

    def _cause(self, hold: OpenHold, knowledge: Knowledge) -> SeenCause:
        side = knowledge.side_of_hold(Role.HOLDER, hold)
        return SeenCause(
            charge=Charge(Cause.EXPOSED, hold.endpoint.protocol, side.origin),
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            sides=(side,),
            port=knowledge.explicit_port(hold),
        )
