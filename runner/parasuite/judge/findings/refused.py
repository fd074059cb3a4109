"""`refused` and `foreign`: a bind or listen failed because another party, or a stranger, held the port.

Theory of operation. A refusal is an event with errno EADDRINUSE; holders.py says whose socket was in the way. A party
that stood in its own way is not reported, with three exceptions: a listener that outlived an earlier test
(leaked.py); an outgoing connection of its own that had been given the fixed port as its source port; and a connection
that it has closed, which the kernel still keeps (TIME_WAIT) and which is in the way of a server without SO_REUSEADDR:
that is a note.

A refusal by another party is *pending* while its thread makes calls from the same function and test:

- a bind that succeeds on another port of the same address and protocol, made in the same *way* in the same known
  test: it *recovered*, a warning. In the same way: from the same function, by the same lines of its callers. A loop
  that tries one port after another does so, and so does a function that falls back to another port. A helper that
  starts first one service and then another is called from two lines, and the second service does not replace the
  first. Where test or frames are unknown, any other server that the process starts next would look the same, so only
  the next port counts (a server that steps from 5173 to 5174);
- the same, where the port that was refused belongs to a pair (the kernel gave this party the same port for the other
  family or protocol): not reported, since such a program draws again until both are free;
- a bind that succeeds at another address or with another protocol: it is still pending, since a prober tries each
  port on several addresses;
- any other bind that succeeds, a call from another function or test, or the end of the run: it did not recover.

Where only attempts are seen, a bind that left nothing bound while someone held the port may have been refused, or not
have got that far. If a party held the port, it was refused. If only a stranger did, the attempt is *unresolved* until
the thread's next event, which may be the recorder's report of the same call, with its result.

A datagram client that draws its ports at random and meets another party's is coincidence (random_ports.py), which is
known only at the end of the run. A refusal by closed connections of unknown owner, or by a
holder that is gone, is only counted. charges.py says what a refusal is charged to.

The file of a Unix socket stays when its socket has ended, and refuses a bind as well. So such a refusal is an effect
only if another party's socket is open there; the others are counted. It recovered if the program went on with another
name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import dropwhile, pairwise
from typing import TypeAlias

from parasuite.judge.findings.charges import Claim, blame
from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.hard_coded import IN_USE, NAME_HINT
from parasuite.judge.findings.holders import Call, InTheWay, holder_of
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.leaked import leak_charge
from parasuite.judge.findings.seen import SeenEffect
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.causes import EffectKind
from parasuite.model.events import ATTEMPTED, Bind, Endpoint, Event, Listen
from parasuite.model.location import FRAMES_MAX, Location
from parasuite.model.overlap import canonical, overlaps
from parasuite.model.party import Party
from parasuite.model.sensors import is_inside
from parasuite.model.words import Protocol, Role, Severity, SocketState

BESIDE_HINT = (
    "hand the held socket itself to the server, or let the other party bind port 0: a hold that the server can bind "
    "through cannot keep out another that binds the same port with SO_REUSEADDR"
)
CLOSED_CONNECTION_HINT = (
    "set SO_REUSEADDR before the bind, as servers do: the process has closed its connection, and the kernel keeps "
    "the port in TIME_WAIT for a minute; or bind port 0"
)
CONNECTION_HINT = (
    "bind port 0, or take a port outside the ephemeral range: an outgoing connection was given this port as its own"
)
PAIR_HINT = (
    "draw again until the port is free for both addresses (or protocols): the kernel assigned it for only one of them"
)
STRANGER_HINT = "bind port 0: on this machine, a process outside the run has this port"
_PENDING_MAX = 16  # Of one thread: refusals at other addresses than those that it has bound since.

_Thread: TypeAlias = tuple[int, int, Party]  # Pid, thread id, and whose task makes the call.


@dataclass(frozen=True, slots=True)
class _Refusal:
    """*paired*: the kernel gave this party the same port for another address or protocol, where it still holds it."""

    effect: SeenEffect
    event: Call
    port: int
    paired: bool


class Refused:
    """*without_holder*: refusals whose holder could not be found any more; *by_closed_connection*: those that met
    nothing but connections which their processes have closed; *by_file*: of Unix sockets, those that met only a file.
    """

    def __init__(self) -> None:
        self.without_holder = 0
        self.by_closed_connection = 0
        self.by_file = 0
        self._pending: dict[_Thread, list[_Refusal]] = {}
        self._unresolved: dict[_Thread, _Refusal] = {}
        self._datagram_servers: set[str] = set()
        self._of_datagrams: list[SeenEffect] = []

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect]:
        self._note_datagram_servers(changes.closed, knowledge)
        yield from self._without_datagrams(self._observe(event, changes, knowledge))

    def conclude(self, knowledge: Knowledge) -> Iterator[SeenEffect]:
        self._note_datagram_servers(knowledge.ledger.open_holds(), knowledge)
        for thread in list(self._pending):
            yield from self._without_datagrams(self._flush(thread, knowledge))
        yield from self._without_datagrams(attempt.effect for attempt in self._unresolved.values())
        for effect in self._of_datagrams:
            origin = effect.sides[0].origin
            if origin in self._datagram_servers or not knowledge.random_ports.is_drawn(Protocol.UDP, origin):
                yield effect

    def _note_datagram_servers(self, holds: Iterable[OpenHold], knowledge: Knowledge) -> None:
        """A client connects its socket; one that is left unconnected is a server's, however its port was chosen."""
        for hold in holds:
            if hold.endpoint.protocol == Protocol.UDP and hold.listening and hold.asked_port:
                self._datagram_servers.add(knowledge.side_of_hold(Role.HOLDER, hold).origin)

    def _without_datagrams(self, effects: Iterable[SeenEffect]) -> Iterator[SeenEffect]:
        """All but those of datagram sockets with an explicit port, which are kept until the end."""
        for effect in effects:
            if effect.endpoint.protocol == Protocol.UDP and effect.port:
                self._of_datagrams.append(effect)
            else:
                yield effect

    def _observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[SeenEffect]:
        if not isinstance(event, Bind | Listen) or event.party is None:
            return
        thread = (event.caller.process.pid, event.caller.tid, event.party)
        pending = self._pending.get(thread)
        if pending and not _is_same_place(pending[0].event, event):
            yield from self._flush(thread, knowledge)
            pending = None
        attempt = self._unresolved.pop(thread, None)
        if attempt is not None and not _is_result(event, attempt.event):
            yield attempt.effect
            attempt = None
        if event.errno in IN_USE or _has_no_result(event):
            if attempt is not None and holder_of(event, attempt.effect.endpoint, knowledge) is None:
                yield attempt.effect
            else:
                yield from self._refused(event, event.party, thread, knowledge)
        elif pending and isinstance(event, Bind) and changes.opened:
            yield from self._after_success(thread, event, changes.opened[0], knowledge)

    def _flush(self, thread: _Thread, knowledge: Knowledge) -> Iterator[SeenEffect]:
        refusals = self._pending.pop(thread, [])
        _note_walk(refusals, [], knowledge)
        for refusal in refusals:
            yield refusal.effect

    def _after_success(
        self, thread: _Thread, event: Bind, hold: OpenHold, knowledge: Knowledge
    ) -> Iterator[SeenEffect]:
        refusals = self._pending.pop(thread, [])
        _note_walk(refusals, [event], knowledge)
        pending = []
        for refusal, is_next in zip(refusals, _is_stepping(refusals, event), strict=True):
            effect = refusal.effect
            if refusal.paired and refusal.port != hold.endpoint.port:
                continue
            if not _is_same_address(effect.endpoint, hold.endpoint):
                pending.append(refusal)
                continue
            if _has_recovered(refusal, event, hold, is_next):
                effect = replace(effect, severity=_less_grave(effect.severity, Severity.WARNING), recovered=True)
            yield effect
        # A prober that tries each port on several addresses may still recover on another one.
        for refusal in pending[:-_PENDING_MAX]:
            yield refusal.effect
        if pending:
            self._pending[thread] = pending[-_PENDING_MAX:]

    def _refused(self, event: Call, party: Party, thread: _Thread, knowledge: Knowledge) -> Iterator[SeenEffect]:
        endpoint = event.asked if isinstance(event, Bind) else event.got
        if endpoint is None:
            return
        endpoint = canonical(endpoint)
        holder = holder_of(event, endpoint, knowledge)
        if holder is None:
            if event.holders:  # Closed connections, all of them: otherwise a holder would be known.
                self.by_closed_connection += 1
            elif endpoint.protocol == Protocol.UNIX:
                self.by_file += 1
            elif endpoint.port:  # Port 0 is refused when every port of the range is taken, by no one in particular.
                self.without_holder += 1
            return
        is_own = holder.side.party is not None and not party.meets(holder.side.party)
        has_leaked = holder.hold in knowledge.left_behind and holder.side.test != event.caller.test
        if is_own and not has_leaked and not _is_connection(holder.side):
            return
        effect = _effect(event, endpoint, holder, party, knowledge)
        if is_own and has_leaked and holder.hold is not None:
            effect = replace(effect, charge=leak_charge(holder.hold, knowledge), port=0, hint=None, drawn_by=None)
        refusal = _Refusal(effect, event, endpoint.port, _is_paired(event, endpoint, knowledge))
        if event.errno == ATTEMPTED and all(each.party is None for each in event.holders):
            self._unresolved[thread] = refusal
        elif holder.side.party is None:
            yield effect
        else:
            self._pending.setdefault(thread, []).append(refusal)


# --- what is known of a refusal -------------------------------------------------------------------------------------


def _less_grave(first: Severity, second: Severity) -> Severity:
    """The less grave of the two."""
    return min(first, second, key=lambda severity: severity.rank)


def _has_no_result(event: Call) -> bool:
    """Whether *event* is an attempt that left nothing bound while someone held the port."""
    return event.errno == ATTEMPTED and event.got is None and bool(event.holders)


def _is_result(event: Call, attempt: Call) -> bool:
    """Whether *event* is the recorder's report of the call that *attempt* saw, in the same thread."""
    if not isinstance(attempt, Bind) or not isinstance(event, Bind) or not is_inside(event.source):
        return False
    return (attempt.asked.address, attempt.asked.port) == (event.asked.address, event.asked.port)


def _is_held(event: Call, endpoint: Endpoint, knowledge: Knowledge) -> bool:
    """Whether the party was assigned what *event* wanted, and keeps it by another socket until its server is bound.

    A socket of the party that asked for the port by number does not count: its listen may be what was refused.
    """
    return any(
        hold.party == event.party
        and hold is not knowledge.ledger.of(event)
        and not knowledge.explicit_port(hold)
        and overlaps(hold.endpoint, endpoint)
        for hold in knowledge.ledger.at(endpoint)
    )


def _is_paired(event: Call, endpoint: Endpoint, knowledge: Knowledge) -> bool:
    """Whether the party was assigned the port for another address or protocol, and has it there."""
    found = (knowledge.assignment(event.party, each, endpoint.port) for each in (Protocol.TCP, Protocol.UDP))
    is_assigned = any(assignment is not None and not assignment.is_released for assignment in found)
    return is_assigned and not _is_held(event, endpoint, knowledge)


def _is_same_place(first: Call, second: Call) -> bool:
    """Whether one loop may have made both calls: the same test, and the same function where it is known."""
    return first.caller.test == second.caller.test and _place(first.caller.location) == _place(second.caller.location)


def _note_walk(refusals: list[_Refusal], then: list[Bind], knowledge: Knowledge) -> None:
    """Whatever one call stack asked for right after a refusal is in one list of ports with what was refused."""
    calls = [*(refusal.event for refusal in refusals), *then]
    for first, second in pairwise(calls):
        if not isinstance(first, Bind) or not isinstance(second, Bind) or first.asked.port == second.asked.port:
            continue
        frames, then_frames = first.caller.frames, second.caller.frames
        is_loop = bool(frames) and frames == then_frames
        is_next = not (frames and then_frames) and second.asked.port == first.asked.port + 1
        if second.asked.port and (is_loop or is_next):
            origin = knowledge.side_of_call(Role.WANTED, first).origin
            knowledge.port_lists.walked(first.asked.protocol, origin, first.asked.port, second.asked.port)


def _is_stepping(refusals: list[_Refusal], event: Bind) -> list[bool]:
    """Of each of *refusals*: whether its thread went from there to the port of *event* one port at a time."""
    stepping, following = [True], event.asked.port
    for refusal in reversed(refusals):
        stepping.append(stepping[-1] and following == refusal.port + 1)
        following = refusal.port
    return stepping[:0:-1]


def _has_recovered(refusal: _Refusal, event: Bind, hold: OpenHold, is_next: bool) -> bool:
    """Whether *event*, which opened *hold*, is the refused program's own way out. *is_next*: as in _is_stepping."""
    wanted, got = refusal.effect.endpoint, hold.endpoint
    if (wanted.port, wanted.address) == (got.port, got.address) or (wanted.port == got.port and wanted.is_internet):
        return False
    before, caller = refusal.event.caller, event.caller
    if before.frames and caller.frames and not _is_same_way(before.frames, caller.frames):
        return False
    return bool(caller.frames and caller.test) or is_next


def _is_same_address(wanted: Endpoint, got: Endpoint) -> bool:
    """Whether a server that goes on to *got* still has the address that it *wanted*; Unix sockets have none."""
    if wanted.protocol == Protocol.UNIX:
        return got.protocol == Protocol.UNIX
    return (wanted.protocol, wanted.address) == (got.protocol, got.address)


def _is_same_way(first: tuple[Location, ...], second: tuple[Location, ...]) -> bool:
    """Whether two calls were made in one function, by the same lines of its callers; frames that call themselves
    count once. Of a stack that may be cut off, what is known of both is compared.
    """
    one, other = list(_callers(first)), list(_callers(second))
    is_cut_off = FRAMES_MAX in (len(first), len(second))
    known = min(len(one), len(other)) if is_cut_off else None
    return first[0].place == second[0].place and one[:known] == other[:known]


def _callers(frames: tuple[Location, ...]) -> Iterator[Location]:
    """*frames* but for the innermost function, which may have called itself."""
    return dropwhile(lambda frame: frame.place == frames[0].place, frames)


def _place(location: Location | None) -> str:
    return "" if location is None else location.place


def _is_connection(side: Side) -> bool:
    """Whether what was in the way is a connection, open or closed: nothing that a party does on purpose."""
    return side.state in (SocketState.ESTABLISHED, SocketState.TIME_WAIT)


# --- what is said of it ---------------------------------------------------------------------------------------------


def _effect(event: Call, endpoint: Endpoint, holder: InTheWay, party: Party, knowledge: Knowledge) -> SeenEffect:
    wanted = knowledge.side_of_call(Role.WANTED, event, event.options)
    is_stranger = holder.side.party is None
    kind = EffectKind.FOREIGN if is_stranger else EffectKind.REFUSED
    claims = [Claim(side=wanted, endpoint=endpoint, t_ns=event.t_ns, is_call=True)]
    if not is_stranger:
        claims.append(
            Claim(side=holder.side, endpoint=endpoint, t_ns=holder.side.at_ns or event.t_ns, hold=holder.hold)
        )
    to = blame(kind, tuple(claims), knowledge)
    severity, hint = kind.info.severity, to.hint
    if not is_stranger and not party.meets(holder.side.party) and holder.side.state == SocketState.TIME_WAIT:
        severity, hint = Severity.NOTE, CLOSED_CONNECTION_HINT
    elif holder.side.state == SocketState.ESTABLISHED:
        hint = CONNECTION_HINT
    elif is_stranger:
        hint = NAME_HINT if endpoint.protocol == Protocol.UNIX else STRANGER_HINT
    elif _is_held(event, endpoint, knowledge):
        hint = BESIDE_HINT
    elif _is_paired(event, endpoint, knowledge):
        hint = PAIR_HINT
    return SeenEffect(
        kind=kind,
        charge=to.charge,
        evidence=holder.evidence,
        endpoint=endpoint,
        sides=(wanted, holder.side),
        severity=severity,
        port=to.port,
        hint=hint,
        window_ms=to.window_ms,
        drawn_by=to.drawn_by,
    )
