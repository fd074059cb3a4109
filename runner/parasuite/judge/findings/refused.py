"""`refused` and `foreign`: a bind or listen failed because another party, or a stranger, held the port.

Theory of operation. A refusal is an event with errno EADDRINUSE. Whose socket was in the way is asked, in this order:
of the kernel's table, which the sensor read at that instant (the event's holders); of the ledger's open holds; of the
hold that ended there last. A party that stood in its own way is not reported.

A refusal by another party is *pending* until its thread's next bind or listen:

- a bind that succeeds on another port of the same address and protocol, from the same known function in the same
  known test, or on the next port: it *recovered*, a warning. Where test or function is unknown, any other server that
  the process starts next would look the same, so only the next port counts (a server that steps from 5173 to 5174);
- the same, where the port that was refused belongs to a pair (the kernel gave this party the same port for the other
  family or protocol): not reported, since such a program draws again until both are free;
- a call from another function or test, or the end of the run: it did not recover.

Where only attempts are seen, a bind that left nothing bound while someone held the port may have been refused, or not
have got that far. If a party held the port, it was refused. If only a stranger did, the attempt is *unresolved* until
the thread's next event, which may be the recorder's report of the same call, with its result.

A datagram client that draws its ports at random and meets another party's is coincidence (random_ports.py), which is
known only at the end of the run. Refusals that met only closed connections, or no one any more, are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import NEVER_RELEASED, Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import ATTEMPTED, Bind, Endpoint, Event, Holder, Listen
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.location import Location
from parasuite.model.overlap import canonical, may_coexist, overlaps
from parasuite.model.party import Party
from parasuite.model.sensors import is_inside
from parasuite.model.words import Evidence, Protocol, Role, Severity, SocketState, weaker

# Windows reports EACCES where an exclusive owner is in the way, and has its own numbers for both.
IN_USE = frozenset({"EADDRINUSE", "WSAEADDRINUSE", "WSAEACCES"})
HARD_CODED_HINT = (
    "bind port 0 instead of a fixed number, or take a number that stays reserved until the server is bound"
)
LOST_HINT = (
    "keep the socket that was given the number until the server is bound, or let the server bind port 0 itself"
)
BESIDE_HINT = (
    "hand the held socket itself to the server, or let the other copy bind port 0: a hold that the server can bind "
    "through cannot keep out another that binds the very number with SO_REUSEADDR"
)
FOREIGN_HINT = "the number belongs to a process outside the run: bind port 0, or stop that process on this machine"
_HELD = {SocketState.LISTEN: "listens", SocketState.BOUND: "is bound", SocketState.ESTABLISHED: "has a connection"}

_Thread: TypeAlias = tuple[int, int]  # Pid and thread id.
_Call: TypeAlias = Bind | Listen


@dataclass(frozen=True, slots=True)
class _Refusal:
    """*paired*: the kernel gave this party the same port for another address or protocol, where it still holds it."""

    occurrence: Occurrence
    event: _Call
    port: int
    paired: bool


class Refused:
    """*without_holder*: refusals whose holder could not be found any more; *by_closed_connection*: those that met
    nothing but connections which their processes have closed.
    """

    def __init__(self) -> None:
        self.without_holder = 0
        self.by_closed_connection = 0
        self._pending: dict[_Thread, list[_Refusal]] = {}
        self._unresolved: dict[_Thread, _Refusal] = {}
        self._datagram_servers: set[str] = set()
        self._of_datagrams: list[Occurrence] = []

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        self._note_datagram_servers(changes.closed, knowledge)
        yield from self._without_datagrams(self._observe(event, changes, knowledge))

    def conclude(self, knowledge: Knowledge) -> Iterator[Occurrence]:
        self._note_datagram_servers(knowledge.ledger.open_holds(), knowledge)
        for thread in list(self._pending):
            yield from self._without_datagrams(self._flush(thread))
        yield from self._without_datagrams(attempt.occurrence for attempt in self._unresolved.values())
        for occurrence in self._of_datagrams:
            origin = occurrence.sides[0].origin
            if origin in self._datagram_servers or not knowledge.random_ports.is_drawn(Protocol.UDP, origin):
                yield occurrence

    def _note_datagram_servers(self, holds: Iterable[OpenHold], knowledge: Knowledge) -> None:
        """A client connects its socket; one that is left unconnected is a server's, however its port was chosen."""
        for hold in holds:
            if hold.endpoint.protocol == Protocol.UDP and hold.listening and hold.asked_port:
                self._datagram_servers.add(knowledge.side_of_hold(Role.HOLDER, hold).origin)

    def _without_datagrams(self, occurrences: Iterable[Occurrence]) -> Iterator[Occurrence]:
        """All but those of datagram sockets with an explicit port, which are kept until the end."""
        for occurrence in occurrences:
            if occurrence.endpoint.protocol == Protocol.UDP and occurrence.port:
                self._of_datagrams.append(occurrence)
            else:
                yield occurrence

    def _observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        if not isinstance(event, Bind | Listen) or event.party is None:
            return
        thread = (event.caller.process.pid, event.caller.tid)
        pending = self._pending.get(thread)
        if pending and not _is_same_place(pending[0].event, event):
            yield from self._flush(thread)
            pending = None
        attempt = self._unresolved.pop(thread, None)
        if attempt is not None and not _is_result(event, attempt.event):
            yield attempt.occurrence
            attempt = None
        if event.errno in IN_USE or _has_no_result(event):
            if attempt is not None and _holder(event, attempt.occurrence.endpoint, knowledge) is None:
                yield attempt.occurrence
            else:
                yield from self._refused(event, event.party, thread, knowledge)
        elif pending and isinstance(event, Bind) and changes.opened:
            yield from self._after_success(thread, event, changes.opened[0])

    def _flush(self, thread: _Thread) -> Iterator[Occurrence]:
        for refusal in self._pending.pop(thread, ()):
            yield refusal.occurrence

    def _after_success(self, thread: _Thread, event: Bind, hold: OpenHold) -> Iterator[Occurrence]:
        for refusal in self._pending.pop(thread, ()):
            occurrence = refusal.occurrence
            if refusal.paired and refusal.port != hold.endpoint.port:
                continue
            if _has_recovered(refusal, event, hold):
                message = f"{occurrence.message}; it recovered on {hold.endpoint}"
                occurrence = replace(occurrence, severity=Severity.WARNING, message=message)
            yield occurrence

    def _refused(self, event: _Call, party: Party, thread: _Thread, knowledge: Knowledge) -> Iterator[Occurrence]:
        endpoint = event.asked if isinstance(event, Bind) else event.got
        if endpoint is None:
            return
        endpoint = canonical(endpoint)
        holder = _holder(event, endpoint, knowledge)
        if holder is None:
            if event.holders:  # Closed connections, all of them: otherwise a holder would be known.
                self.by_closed_connection += 1
            elif endpoint.port:  # Port 0 is refused when every port of the range is taken, by no one in particular.
                self.without_holder += 1
            return
        side, evidence = holder
        if side.party == party:
            return
        describe = _foreign if side.party is None else _collision
        occurrence = replace(describe(event, endpoint, side, knowledge), evidence=evidence)
        refusal = _Refusal(occurrence, event, endpoint.port, _is_paired(event, endpoint, knowledge))
        if event.errno == ATTEMPTED and all(each.party is None for each in event.holders):
            self._unresolved[thread] = refusal
        elif side.party is None:
            yield occurrence
        else:
            self._pending.setdefault(thread, []).append(refusal)


# --- what is known of a refusal -------------------------------------------------------------------------------------


def _has_no_result(event: _Call) -> bool:
    """Whether *event* is an attempt that left nothing bound while someone held the port."""
    return event.errno == ATTEMPTED and event.got is None and bool(event.holders)


def _is_result(event: _Call, attempt: _Call) -> bool:
    """Whether *event* is the recorder's report of the call that *attempt* saw, in the same thread."""
    if not isinstance(attempt, Bind) or not isinstance(event, Bind) or not is_inside(event.source):
        return False
    return (attempt.asked.address, attempt.asked.port) == (event.asked.address, event.asked.port)


def _is_held(event: _Call, endpoint: Endpoint, knowledge: Knowledge) -> bool:
    """Whether another socket of the party holds what *event* wanted: a port kept until its server is bound."""
    return any(
        hold.party == event.party and hold is not knowledge.ledger.of(event) and overlaps(hold.endpoint, endpoint)
        for hold in knowledge.ledger.at(endpoint.protocol, endpoint.port)
    )


def _is_paired(event: _Call, endpoint: Endpoint, knowledge: Knowledge) -> bool:
    """Whether the party was assigned the port for another address or protocol, and has it there."""
    slots = ((event.party, protocol, endpoint.port) for protocol in (Protocol.TCP, Protocol.UDP))
    is_assigned = any(knowledge.assigned.get(slot) == NEVER_RELEASED for slot in slots)
    return is_assigned and not _is_held(event, endpoint, knowledge)


def _is_same_place(first: _Call, second: _Call) -> bool:
    """Whether one loop may have made both calls: the same test, and the same function where it is known."""
    return first.caller.test == second.caller.test and _place(first.caller.location) == _place(second.caller.location)


def _has_recovered(refusal: _Refusal, event: Bind, hold: OpenHold) -> bool:
    """Whether *event*, which opened *hold*, is the refused program's own way out."""
    wanted, got = refusal.occurrence.endpoint, hold.endpoint
    if (wanted.protocol, wanted.address) != (got.protocol, got.address) or wanted.port == got.port:
        return False
    caller = event.caller
    return bool(caller.location and caller.test) or event.asked.port == wanted.port + 1


def _place(location: Location | None) -> str:
    return "" if location is None else location.place


def _holder(event: _Call, endpoint: Endpoint, knowledge: Knowledge) -> tuple[Side, Evidence] | None:
    """Whose socket was in the way, and how well that is known: the weaker evidence of the refusal and the hold.

    The caller's own party comes first, then another party, then a stranger. None if no one is known.
    """
    refusal = Evidence.ATTEMPTED if event.errno == ATTEMPTED else Evidence.EXACT
    holds_at_port = list(knowledge.ledger.at(endpoint.protocol, endpoint.port))
    permitted = {hold.socket for hold in holds_at_port if _permits(hold, endpoint, event)}
    holders = [holder for holder in event.holders if holder.state.is_owned]
    refusers = [holder for holder in holders if f"cookie:{holder.cookie}" not in permitted] or holders
    sides = [(_side_of_holder(holder, knowledge, endpoint), refusal) for holder in refusers]
    if not sides:
        overlapping = [hold for hold in holds_at_port if overlaps(hold.endpoint, endpoint)]
        refusing_holds = [hold for hold in overlapping if hold.socket not in permitted] or overlapping
        last = knowledge.ledger.last.get((endpoint.protocol, endpoint.port))
        if not refusing_holds and last is not None and overlaps(last.endpoint, endpoint):
            refusing_holds = [last]
        sides = [(knowledge.side_of_hold(Role.HELD, hold), weaker(refusal, hold.evidence)) for hold in refusing_holds]
    return min(sides, key=lambda known: (known[0].party != event.party, known[0].party is None), default=None)


def _permits(hold: OpenHold, endpoint: Endpoint, event: _Call) -> bool:
    """Whether *hold* was not in the way of *event*: one with SO_REUSEADDR lets such a server bind the port, too."""
    return may_coexist(hold.endpoint, hold.options, hold.listening, endpoint, event.options)


def _side_of_holder(holder: Holder, knowledge: Knowledge, endpoint: Endpoint) -> Side:
    holds_at_port = list(knowledge.ledger.at(endpoint.protocol, endpoint.port))
    for hold in holds_at_port:
        if holder.cookie and hold.socket == f"cookie:{holder.cookie}":
            return knowledge.side_of_hold(Role.HELD, hold)
    if holder.party is not None:
        for hold in holds_at_port:
            if hold.party == holder.party:
                return knowledge.side_of_hold(Role.HELD, hold)
    name, command = knowledge.process(holder.pid)
    return Side(role=Role.HELD, party=holder.party, pid=holder.pid, process=name, command=holder.command or command)


# --- what is said of it ---------------------------------------------------------------------------------------------


def _what_it_did(event: _Call, side: Side) -> str:
    for holder in event.holders:
        if holder.party == side.party and holder.state in _HELD:
            return _HELD[holder.state]
    is_gone = not event.holders or not all(holder.state.is_owned for holder in event.holders)
    return "was" if is_gone else "is bound"


def _verb(event: _Call) -> str:
    return "bind" if isinstance(event, Bind) else "listen"


def _collision(event: _Call, endpoint: Endpoint, holder: Side, knowledge: Knowledge) -> Occurrence:
    assigned = knowledge.was_assigned(event.party, endpoint.port)
    hint = LOST_HINT
    if _is_held(event, endpoint, knowledge):
        origin, hint = "a number that this copy holds, with SO_REUSEADDR, which lets others in beside it", BESIDE_HINT
    elif _is_paired(event, endpoint, knowledge):
        origin = "a number that this copy was assigned and holds on another address or protocol"
    elif assigned:
        origin = "a number that this copy had been assigned, released and lost"
    else:
        origin, hint = "a hard-coded number", HARD_CODED_HINT
    since = ""
    if holder.since_ns is not None and holder.since_ns <= event.t_ns:
        since = f" since {(event.t_ns - holder.since_ns) / 1e6:.1f} ms"
    return Occurrence(
        kind=FindingKind.REFUSED,
        evidence=Evidence.EXACT,
        endpoint=endpoint,
        port=0 if assigned else endpoint.port,
        message=f"{_verb(event)} on {endpoint} refused: {origin}; "
        f"another copy {_what_it_did(event, holder)} there{since}",
        hint=hint,
        sides=(knowledge.side_of_caller(Role.WANTED, event, event.options), holder),
    )


def _foreign(event: _Call, endpoint: Endpoint, holder: Side, knowledge: Knowledge) -> Occurrence:
    assigned = knowledge.was_assigned(event.party, endpoint.port)
    return Occurrence(
        kind=FindingKind.FOREIGN,
        evidence=Evidence.EXACT,
        endpoint=endpoint,
        port=0 if assigned else endpoint.port,
        message=f"{_verb(event)} on {endpoint} refused: a process outside the run holds it",
        hint=LOST_HINT if assigned else FOREIGN_HINT,
        sides=(knowledge.side_of_caller(Role.WANTED, event, event.options), holder),
    )
