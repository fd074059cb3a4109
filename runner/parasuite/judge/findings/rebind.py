"""`rebind`: a port that the kernel had assigned was released, and bound again by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import NEVER_RELEASED, RELEASED_UNTIMED, Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes
from parasuite.model.events import Bind, Event
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.words import Role

REBIND_HINT = (
    "keep the socket that was given the number, or let the server bind port 0 itself and say where it listens; "
    "between release and bind anyone may take the number"
)


class Rebind:
    """A port that the kernel assigned, released, and bound again by number in the same party: in between, any other
    process could take it.
    """

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        if not isinstance(event, Bind) or not event.asked.port or not event.asked.is_internet:
            return
        slot = (event.party, event.asked.protocol, event.asked.port)
        released_ns = knowledge.assigned.get(slot, NEVER_RELEASED)
        if released_ns == NEVER_RELEASED or event.party is None:
            return
        for hold in changes.opened:
            window_ms = None if released_ns == RELEASED_UNTIMED else round(max(0, event.t_ns - released_ns) / 1e6, 3)
            later = "; its release was not timed" if window_ms is None else f" {window_ms:.3f} ms later"
            yield Occurrence(
                kind=FindingKind.REBIND,
                evidence=hold.evidence,
                endpoint=hold.endpoint,
                port=0,
                message=f"{hold.endpoint} was assigned by the kernel, released, and bound again by number{later}",
                hint=REBIND_HINT,
                sides=(knowledge.side_of_hold(Role.HOLDER, hold),),
                window_ms=window_ms,
            )

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]:
        del knowledge
        return ()
