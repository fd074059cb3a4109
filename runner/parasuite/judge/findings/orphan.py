"""`orphan`: an endpoint outlived the main process of its copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, SeenCause
from parasuite.judge.ledger import Changes, OpenHold, inode_of
from parasuite.model.causes import Cause
from parasuite.model.events import Event, Orphaned
from parasuite.model.overlap import canonical
from parasuite.model.words import Evidence, Role


class Orphan:
    """An endpoint held after its copy's main process had ended and a grace time was over."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        del changes
        if not isinstance(event, Orphaned):
            return
        endpoint = canonical(event.endpoint)
        hold = knowledge.ledger.by_inode(endpoint.network, inode_of(event.socket))
        side = self._side(event, hold, knowledge)
        yield SeenCause(
            charge=Charge(Cause.ORPHAN, endpoint.protocol, side.origin),
            evidence=Evidence.SAMPLED if hold is None else hold.evidence,
            endpoint=endpoint,
            sides=(side,),
            port=knowledge.explicit_port(hold) if hold is not None else 0,
        )

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenCause]:
        del knowledge
        return ()

    def _side(self, event: Orphaned, hold: OpenHold | None, knowledge: Knowledge) -> Side:
        # The event names the process that holds it now, the hold the test that opened it.
        side = knowledge.side_of_call(Role.HOLDER, event)
        if hold is None:
            return side
        opened = knowledge.side_of_hold(Role.HOLDER, hold)
        return replace(opened, pid=side.pid, process=side.process, command=side.command)
