"""`orphan`: an endpoint outlived the main process of its copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Event, Orphaned
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.overlap import canonical
from parasuite.model.words import Evidence, Role

ORPHAN_HINT = "stop the server in the teardown of the test or fixture that started it, and wait for its process"


class Orphan:
    """An endpoint held after its copy's main process had ended and a grace time was over."""

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        del changes
        if not isinstance(event, Orphaned):
            return
        kind, _, inode = event.socket.partition(":")
        endpoint = canonical(event.endpoint)
        hold = (
            knowledge.ledger.by_inode(endpoint.network, int(inode)) if kind == "inode" and inode.isdigit() else None
        )
        yield Occurrence(
            kind=FindingKind.ORPHAN,
            evidence=Evidence.SAMPLED if hold is None else hold.evidence,
            endpoint=endpoint,
            port=knowledge.explicit_port(hold) if hold is not None else 0,
            message=f"{endpoint} is still held after the main process of its copy has ended",
            hint=ORPHAN_HINT,
            sides=(self._side(event, hold, knowledge),),
        )

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]:
        del knowledge
        return ()

    def _side(self, event: Orphaned, hold: OpenHold | None, knowledge: Knowledge) -> Side:
        # The event names the process that holds it now, the hold the test that opened it.
        side = knowledge.side_of_caller(Role.HOLDER, event)
        if hold is None:
            return side
        opened = knowledge.side_of_hold(Role.HOLDER, hold)
        return replace(opened, pid=side.pid, process=side.process, command=side.command)
