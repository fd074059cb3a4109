"""`exposed`: other hosts can reach a listener."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.overlap import is_loopback, is_multicast
from parasuite.model.words import Evidence, Protocol, Role, SocketOption

EXPOSED_HINT = "bind 127.0.0.1 (or ::1): other hosts have no business with a test's server"


class Exposed:
    """A copy listens where other hosts can reach it. In a private network namespace and on `lo` there are none."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            if hold.endpoint.protocol == Protocol.TCP and self._reachable(hold):
                yield self._occurrence(hold, knowledge)
        for hold in changes.closed:
            yield from self._datagram(hold, knowledge)

    def conclude(self, knowledge: Knowledge) -> Iterator[Occurrence]:
        for hold in knowledge.ledger.open_holds():
            yield from self._datagram(hold, knowledge)

    def _datagram(self, hold: OpenHold, knowledge: Knowledge) -> Iterator[Occurrence]:
        # Judged at its end: a datagram socket that connects is a client. The sampler cannot tell a client that has
        # only sent from a server, except by a port that the kernel does not assign.
        if hold.endpoint.protocol != "udp" or not hold.listening or not self._reachable(hold):
            return
        if hold.evidence != Evidence.SAMPLED or knowledge.explicit_port(hold):
            yield self._occurrence(hold, knowledge)

    def _reachable(self, hold: OpenHold) -> bool:
        address = hold.endpoint.address
        return (
            hold.party is not None
            and hold.endpoint.network.is_ours
            and SocketOption.LOOPBACK_DEVICE not in hold.options
            and not is_loopback(address)
            and not is_multicast(address)
        )

    def _occurrence(self, hold: OpenHold, knowledge: Knowledge) -> Occurrence:
        return Occurrence(
            kind=FindingKind.EXPOSED,
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            port=knowledge.explicit_port(hold),
            message=f"a listener on {hold.endpoint} can be reached from other hosts",
            hint=EXPOSED_HINT,
            sides=(knowledge.side_of_hold(Role.HOLDER, hold),),
        )
