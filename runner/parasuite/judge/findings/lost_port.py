"""`lost-port`: a port that the kernel had assigned was released, and bound again by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.charges import of_lost_port
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import SeenCause
from parasuite.judge.ledger import Changes
from parasuite.model.events import Bind, Event
from parasuite.model.words import Role


class LostPort:
    """A port that was assigned, released, and bound again by number in the same copy, by whichever of its processes:
    in between, any other process could take it.
    """

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenCause]:
        if not isinstance(event, Bind) or not event.asked.port or not event.asked.is_internet or event.party is None:
            return
        assignment = knowledge.assignment(event.party, event.asked.protocol, event.asked.port)
        if assignment is None or not assignment.is_released:
            return
        for hold in changes.opened:
            binder = knowledge.side_of_hold(Role.HOLDER, hold)
            to = of_lost_port(hold.endpoint.protocol, assignment, binder, event.t_ns, knowledge)
            yield SeenCause(
                charge=to.charge,
                evidence=hold.evidence,
                endpoint=hold.endpoint,
                sides=(binder,) if to.drawn_by is None else (to.drawn_by, binder),
                hint=to.hint,
                window_ms=to.window_ms,
            )

    def conclude(self, knowledge: Knowledge) -> Iterable[SeenCause]:
        del knowledge
        return ()
