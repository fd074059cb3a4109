"""`reuse`: options of a socket let another process share its port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.words import Evidence, Protocol, Role, SocketOption

REUSE_HINT = "leave SO_REUSEPORT (UDP: SO_REUSEADDR too) unset, so that a second owner is refused instead of let in"


class Reuse:
    """A socket that lets others share its port: SO_REUSEPORT on an explicit one, UDP port 0 with reuse options."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            if hold.party is None or hold.evidence == Evidence.SAMPLED:
                continue
            if SocketOption.REUSEPORT in hold.options and knowledge.explicit_port(hold):
                yield self._occurrence(hold, "lets any other process of this user share its number", knowledge)
            elif hold.endpoint.protocol == Protocol.UDP and hold.asked_port == 0 and _reusing(hold):
                # Measured on Linux: 1,000 such sockets got 979 different ports.
                yield self._occurrence(
                    hold, "asked for port 0 with reuse options: the kernel may give one number twice", knowledge
                )

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]:
        del knowledge
        return ()

    def _occurrence(self, hold: OpenHold, does: str, knowledge: Knowledge) -> Occurrence:
        return Occurrence(
            kind=FindingKind.REUSE,
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            port=knowledge.explicit_port(hold),
            message=f"a socket on {hold.endpoint} {does}",
            hint=REUSE_HINT,
            sides=(knowledge.side_of_hold(Role.HOLDER, hold),),
        )


def _reusing(hold: OpenHold) -> bool:
    return SocketOption.REUSEPORT in hold.options or SocketOption.REUSEADDR in hold.options
