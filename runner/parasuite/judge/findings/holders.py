"""Whose socket was in the way of a bind or listen.

Theory of operation. The sources, in this order: the kernel's table, which the sensor read at that instant (the
event's holders); the ledger's open holds; if no sensor reads that table, the listeners of strangers that the sampler
sees; the hold that ended there last. Of several sockets, one of the caller's own party comes first, then one of
another party, then a stranger's: a party that is in its own way needs no other explanation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.programs import program_name
from parasuite.judge.ledger import OpenHold
from parasuite.model.events import ATTEMPTED, Bind, Endpoint, Holder, Listen, OtherRun
from parasuite.model.overlap import may_coexist, overlaps
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Protocol, Role, SocketState, weaker

Call: TypeAlias = Bind | Listen


@dataclass(frozen=True, slots=True)
class InTheWay:
    """Whose socket was in the way, and how well that is known. *hold*: its account, where there is one."""

    side: Side
    evidence: Evidence
    hold: OpenHold | None = None


def holder_of(event: Call, endpoint: Endpoint, knowledge: Knowledge) -> InTheWay | None:
    """Whose socket was in the way of *event*; None if no one is known.

    The evidence is the weaker of the refusal's and the hold's.
    """
    refusal = Evidence.ATTEMPTED if event.errno == ATTEMPTED else Evidence.EXACT
    holds_at_port = list(knowledge.ledger.at(endpoint))
    permitted = {hold.socket for hold in holds_at_port if _permits(hold, endpoint, event)}
    holders = [holder for holder in event.holders if holder.state.is_owned]
    refusers = [holder for holder in holders if f"cookie:{holder.cookie}" not in permitted] or holders
    found = []
    for holder in refusers:
        hold = _hold_of(holder, holds_at_port)
        side = (
            side_of_holder(Role.HELD, holder, knowledge) if hold is None else knowledge.side_of_hold(Role.HELD, hold)
        )
        found.append(InTheWay(replace(side, state=holder.state), refusal, hold))
    if not found:
        overlapping = [hold for hold in holds_at_port if overlaps(hold.endpoint, endpoint)]
        refusing_holds = [hold for hold in overlapping if hold.socket not in permitted] or overlapping
        if not overlapping and not event.holders:
            for stranger in knowledge.strangers_at(endpoint):
                return InTheWay(side_of_holder(Role.HELD, stranger, knowledge), weaker(refusal, Evidence.SAMPLED))
        last = knowledge.ledger.last_at(endpoint) if endpoint.protocol != Protocol.UNIX else None
        # A program that a script starts after the last holder ended can only have met that holder's connections.
        is_late = last is not None and event.party is not None and event.party.is_presumed_beside(last.party)
        if not refusing_holds and last is not None and not is_late and overlaps(last.endpoint, endpoint):
            refusing_holds = [last]
        closed = {holder.state for holder in event.holders}
        for hold in refusing_holds:
            side = knowledge.side_of_hold(Role.HELD, hold)
            if SocketState.TIME_WAIT in closed:
                side = replace(side, state=SocketState.TIME_WAIT)
            elif closed or hold is last:
                side = replace(side, state=SocketState.GONE)
            found.append(InTheWay(side, weaker(refusal, hold.evidence), hold))
    return min(found, key=lambda known: _distance(event.party, known.side.party), default=None)


def _distance(party: Party | None, other: Party | None) -> int:
    """0 for the caller's own party, or one that it does not meet, 1 for one that it meets, 2 for a stranger."""
    if party is None or other is None:
        return 2
    return int(party.meets(other))


def _hold_of(holder: Holder, holds_at_port: list[OpenHold]) -> OpenHold | None:
    for hold in holds_at_port:
        if holder.cookie and hold.socket == f"cookie:{holder.cookie}":
            return hold
    if holder.party is None or holder.state == SocketState.ESTABLISHED:
        return None
    return next((hold for hold in holds_at_port if hold.party == holder.party), None)


def _permits(hold: OpenHold, endpoint: Endpoint, event: Call) -> bool:
    """Whether *hold* was not in the way of *event*: one with SO_REUSEADDR lets such a server bind the port, too."""
    return may_coexist(hold.endpoint, hold.options, hold.listening, endpoint, event.options)


def side_of_holder(role: Role, holder: Holder, knowledge: Knowledge) -> Side:
    """What the kernel's table says about a socket that the ledger does not know."""
    name, command = knowledge.process(holder.pid)
    command = holder.command or command
    return Side(
        role=role,
        party=holder.party,
        pid=holder.pid,
        process=holder.name or name or program_name("", command),
        command=command,
        state=holder.state,
        stranger="" if holder.other_run is None else _named_run(holder.other_run),
    )


def _named_run(other: OtherRun) -> str:
    where = f"copy {other.copy} of parasuite run {other.run_id} in {other.folder}"
    return f"{other.test}, {where}" if other.test else where
