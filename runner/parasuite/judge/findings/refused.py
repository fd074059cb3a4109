"""`refused` and `foreign`: a bind or listen that failed because somebody else was there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from parasuite.judge.findings.knowledge import NEVER_RELEASED, Facts, source_of, weaker
from parasuite.judge.findings.model import Side
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import ATTEMPTED, RECORDER, Changes, OpenHold
from parasuite.model.events import Bind, Endpoint, Event, Holder, Listen
from parasuite.model.overlap import canonical, may_coexist, overlaps

# Windows says EACCES where an exclusive owner is in the way, and its own numbers for both.
IN_USE = frozenset({"EADDRINUSE", "WSAEADDRINUSE", "WSAEACCES"})
OWNERLESS = frozenset({"time-wait", "gone"})  # States that no process holds: they say nothing of "outside the run".
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


@dataclass(frozen=True, slots=True)
class _Refusal:
    """*paired*: of a number that the kernel has given the copy, and that it holds on another address or protocol."""

    occurrence: Occurrence
    event: Bind | Listen
    port: int
    paired: bool


class _Draws:
    """Datagram clients that draw their numbers at random, as resolvers do: two copies hit one number by chance.

    Told by its many numbers, most of them used in one copy only, and none ever left unconnected as a server's is.
    """

    LEAST = 4  # Numbers; a program with fewer has them in its text, or cannot be told from such a one.

    def __init__(self) -> None:
        self._copies: dict[str, dict[int, set[int | None]]] = defaultdict(lambda: defaultdict(set))
        self._servers: set[str] = set()

    def observe(self, event: Event, changes: Changes, facts: Facts) -> None:
        self._note_servers(changes.closed, facts)
        if not isinstance(event, Bind) or event.asked.protocol != "udp" or not event.asked.port:
            return
        if not facts.was_assigned(event.copy, event.asked.port):
            self._copies[source_of(facts.caller("wanted", event))][event.asked.port].add(event.copy)

    def conclude(self, facts: Facts) -> None:
        self._note_servers(facts.ledger.open_holds(), facts)

    def made(self, occurrence: Occurrence) -> bool:
        """Whether *occurrence*, a bind refused, was such a client's."""
        source = source_of(occurrence.sides[0])
        numbers = self._copies[source].values()
        common = sum(1 for copies in numbers if len(copies) > 1)
        return len(numbers) >= self.LEAST and common * 2 < len(numbers) and source not in self._servers

    def _note_servers(self, holds: Iterable[OpenHold], facts: Facts) -> None:
        for hold in holds:
            if hold.endpoint.protocol == "udp" and hold.listening and hold.asked_port:
                self._servers.add(source_of(facts.side("holder", hold)))


class Refused:
    """Judges each refusal when it is known what its thread did next: one that steps on to another port *recovered*.

    *unattributed*: refusals whose holder was gone before it could be asked, and of whom nobody knew; *closing*: those
    that met nothing but connections which their processes have closed. An attempt in vain where no copy was found
    waits for its thread's next event: the recorder may tell what came of that very call.
    """

    def __init__(self) -> None:
        self.unattributed = 0
        self.closing = 0
        self._pending: dict[tuple[int, int], list[_Refusal]] = {}
        self._in_vain: dict[tuple[int, int], _Refusal] = {}
        self._draws = _Draws()
        self._of_datagrams: list[Occurrence] = []

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        self._draws.observe(event, changes, facts)
        yield from self._sifted(self._observe(event, changes, facts))

    def _observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        if not isinstance(event, Bind | Listen) or event.copy is None:
            return
        thread = (event.pid, event.tid)
        earlier = self._pending.get(thread)
        if earlier and not _same_place(earlier[0].event, event):
            yield from self._settle(thread)
            earlier = None
        attempt = self._in_vain.pop(thread, None)
        if attempt is not None and not _is_told(attempt.event, event):
            yield attempt.occurrence
            attempt = None
        if event.errno in IN_USE and attempt is not None and _who(event, attempt.occurrence.endpoint, facts) is None:
            yield attempt.occurrence
        elif event.errno in IN_USE or _was_attempted_in_vain(event):
            yield from self._refused(event, thread, facts)
        elif earlier and isinstance(event, Bind) and changes.opened:
            yield from self._recovered(thread, changes.opened[0])

    def conclude(self, facts: Facts) -> Iterator[Occurrence]:
        self._draws.conclude(facts)
        for thread in list(self._pending):
            yield from self._sifted(self._settle(thread))
        yield from self._sifted(attempt.occurrence for attempt in self._in_vain.values())
        for occurrence in self._of_datagrams:
            if not self._draws.made(occurrence):
                yield occurrence

    def _sifted(self, occurrences: Iterable[Occurrence]) -> Iterator[Occurrence]:
        """All but those of datagram sockets that insisted on a number: who drew it at random is known at the end."""
        for occurrence in occurrences:
            if occurrence.endpoint.protocol == "udp" and occurrence.port:
                self._of_datagrams.append(occurrence)
            else:
                yield occurrence

    def _settle(self, thread: tuple[int, int]) -> Iterator[Occurrence]:
        for refusal in self._pending.pop(thread, ()):
            yield refusal.occurrence

    def _recovered(self, thread: tuple[int, int], hold: OpenHold) -> Iterator[Occurrence]:
        for refusal in self._pending.pop(thread, ()):
            occurrence = refusal.occurrence
            if refusal.port != hold.endpoint.port:
                if refusal.paired:
                    continue  # Who wants one number of both families draws again when one of them is taken.
                message = f"{occurrence.message}; it recovered on {hold.endpoint}"
                occurrence = replace(occurrence, severity="warning", message=message)
            yield occurrence

    def _refused(self, event: Bind | Listen, thread: tuple[int, int], facts: Facts) -> Iterator[Occurrence]:
        endpoint = event.asked if isinstance(event, Bind) else event.got
        if endpoint is None:
            return
        endpoint = canonical(endpoint)
        known = _who(event, endpoint, facts)
        if known is None:
            if event.holders:  # All of them ownerless, or one would be known.
                self.closing += 1
            elif endpoint.port:  # Port 0 is refused when every number of the range is taken: by nobody in particular.
                self.unattributed += 1
            return
        holder, evidence = known
        if holder.copy == event.copy:
            return
        describe = _foreign if holder.copy is None else _collision
        occurrence = replace(describe(event, endpoint, holder, facts), evidence=evidence)
        refusal = _Refusal(occurrence, event, endpoint.port, _is_paired(event, endpoint, facts))
        if event.errno == ATTEMPTED and all(holder.copy is None for holder in event.holders):
            self._in_vain[thread] = refusal
        elif holder.copy is None:
            yield occurrence
        else:
            self._pending.setdefault(thread, []).append(refusal)


def _was_attempted_in_vain(event: Bind | Listen) -> bool:
    """An attempt that left nothing bound, while somebody stood where it wanted to be."""
    return event.errno == ATTEMPTED and event.got is None and bool(event.holders)


def _is_told(attempt: Bind | Listen, event: Bind | Listen) -> bool:
    """Whether *event* is what the recorder, inside the same thread, tells of the same call: with its result."""
    if not isinstance(attempt, Bind) or not isinstance(event, Bind) or event.source != RECORDER:
        return False
    return (attempt.asked.address, attempt.asked.port) == (event.asked.address, event.asked.port)


def _is_held(event: Bind | Listen, endpoint: Endpoint, facts: Facts) -> bool:
    """Whether another socket of the copy holds what *event* wanted: a number kept until its server is bound."""
    return any(
        hold.copy == event.copy and hold is not facts.ledger.of(event) and overlaps(hold.endpoint, endpoint)
        for hold in facts.ledger.at(endpoint.protocol, endpoint.port)
    )


def _is_paired(event: Bind | Listen, endpoint: Endpoint, facts: Facts) -> bool:
    """Whether the copy was given the number for another address or protocol, and has it there."""
    slots = ((event.copy, protocol, endpoint.port) for protocol in ("tcp", "udp"))
    return any(facts.assigned.get(slot) == NEVER_RELEASED for slot in slots) and not _is_held(event, endpoint, facts)


def _same_place(first: Bind | Listen, second: Bind | Listen) -> bool:
    """Whether one loop may have made both calls: the same test, and the same line's function where it is known."""
    return first.test == second.test and _function(first.source_line) == _function(second.source_line)


def _function(source_line: str) -> tuple[str, str]:
    file, _, rest = source_line.partition(":")
    return file, rest.rpartition(":")[2]


def _who(event: Bind | Listen, endpoint: Endpoint, facts: Facts) -> tuple[Side, str] | None:
    """The one in the way: this copy itself first, then another copy, then a process outside; None if unknown.

    With the evidence: of the refusal or of the hold, whichever is weaker.
    """
    refusal = "attempted" if event.errno == ATTEMPTED else "exact"
    there = facts.ledger.at(endpoint.protocol, endpoint.port)
    beside = {hold.socket for hold in there if _lets_in(hold, endpoint, event)}
    holders = [holder for holder in event.holders if holder.state not in OWNERLESS]
    refusing = [holder for holder in holders if f"cookie:{holder.cookie}" not in beside] or holders
    found = [(_holder_side(holder, facts, endpoint), refusal) for holder in refusing]
    if not found:
        met = [hold for hold in there if overlaps(hold.endpoint, endpoint)]
        refusers = [hold for hold in met if hold.socket not in beside] or met
        found = [(facts.side("held", hold), weaker(refusal, hold.evidence)) for hold in refusers]
    if not found:
        last = facts.ledger.last.get((endpoint.protocol, endpoint.port))
        if last is None or not overlaps(last.endpoint, endpoint):
            return None
        found = [(facts.side("held", last), weaker(refusal, last.evidence))]
    return min(found, key=lambda known: (known[0].copy != event.copy, known[0].copy is None))


def _lets_in(hold: OpenHold, endpoint: Endpoint, event: Bind | Listen) -> bool:
    """Whether *hold* was not in the way of *event*: one held with SO_REUSEADDR lets such a server in beside it."""
    return may_coexist(hold.endpoint, hold.options, hold.listening, endpoint, event.options)


def _holder_side(holder: Holder, facts: Facts, endpoint: Endpoint) -> Side:
    for hold in facts.ledger.at(endpoint.protocol, endpoint.port):
        if holder.cookie and hold.socket == f"cookie:{holder.cookie}":
            return facts.side("held", hold)
    if holder.copy is not None:
        for hold in facts.ledger.at(endpoint.protocol, endpoint.port):
            if hold.copy == holder.copy:
                return facts.side("held", hold)
    name, command = facts.process(holder.pid)
    return Side(role="held", copy=holder.copy, pid=holder.pid, process=name, command=holder.command or command)


def _state(event: Bind | Listen, side: Side) -> str:
    states = {"listen": "listens", "bound": "is bound", "established": "has a connection"}
    for holder in event.holders:
        if holder.copy == side.copy and holder.state in states:
            return states[holder.state]
    return "was" if any(holder.state in OWNERLESS for holder in event.holders) or not event.holders else "is bound"


def _collision(event: Bind | Listen, endpoint: Endpoint, holder: Side, facts: Facts) -> Occurrence:
    assigned = facts.was_assigned(event.copy, endpoint.port)
    explicit = 0 if assigned else endpoint.port
    hint = LOST_HINT
    if _is_held(event, endpoint, facts):
        origin, hint = "a number that this copy holds, with SO_REUSEADDR, which lets others in beside it", BESIDE_HINT
    elif _is_paired(event, endpoint, facts):
        origin = "a number that this copy was assigned and holds on another address or protocol"
    elif assigned:
        origin = "a number that this copy had been assigned, released and lost"
    else:
        origin, hint = "a hard-coded number", HARD_CODED_HINT
    verb = "bind" if isinstance(event, Bind) else "listen"
    since = ""
    if holder.since_ns is not None and holder.since_ns <= event.t_ns:
        since = f" since {(event.t_ns - holder.since_ns) / 1e6:.1f} ms"
    return Occurrence(
        kind="refused",
        evidence="exact",
        endpoint=endpoint,
        port=explicit,
        message=f"{verb} on {endpoint} refused: {origin}; another copy {_state(event, holder)} there{since}",
        hint=hint,
        sides=(facts.caller("wanted", event, event.options), holder),
    )


def _foreign(event: Bind | Listen, endpoint: Endpoint, holder: Side, facts: Facts) -> Occurrence:
    lost = facts.was_assigned(event.copy, endpoint.port)
    verb = "bind" if isinstance(event, Bind) else "listen"
    return Occurrence(
        kind="foreign",
        evidence="exact",
        endpoint=endpoint,
        port=0 if lost else endpoint.port,
        message=f"{verb} on {endpoint} refused: a process outside the run holds it",
        hint=LOST_HINT if lost else FOREIGN_HINT,
        sides=(facts.caller("wanted", event, event.options), holder),
    )
