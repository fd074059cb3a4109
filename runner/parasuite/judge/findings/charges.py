"""What an effect is charged to: the one thing that somebody has to change so that it does not happen again.

Theory of operation. Two parties met on a port, and each of them got it in one of these ways:

- *explicit*: it asked for the port by number, and the kernel had never assigned that port to its copy;
- *lost*: the kernel had assigned the port to its copy, the copy released it, and bound it (or wants it) by number;
- *held*: the kernel assigned it, and the copy still has it;
- *unknown*: only the sampler saw the socket, and the port lies in the range that the kernel draws from.

An explicit port on either side explains the meeting, whatever the other side did: `hard-coded`, by port. Else a lost
port does: `lost-port`, by the function that drew it; so does a port that a party was assigned for one address or
protocol and wants for another. Two that were both held can only meet by options that let a second owner in: `reuse`.
What is left is `unknown`. A Unix name is never assigned, so it is always explicit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parasuite.judge.findings.draw_hints import hint_for_draw
from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.knowledge import Assignment, Knowledge
from parasuite.judge.findings.reuse import reuses
from parasuite.judge.findings.seen import Charge
from parasuite.judge.ledger import OpenHold
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint, Holder
from parasuite.model.words import Protocol, Role, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """*charge*, and of the port: *port* if it is fixed, else *drawn_by* and *window_ms*, where they are known.

    *hint*: as in SeenCause.
    """

    charge: Charge
    port: int = 0
    drawn_by: Side | None = None
    window_ms: float | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One of the two that met: its *side*, and how it came by the port of *endpoint* at *t_ns*.

    *hold*: the socket that it has there; None for one that was refused, and where no sensor saw it being bound.
    """

    side: Side
    endpoint: Endpoint
    t_ns: int
    hold: OpenHold | None = None
    is_call: bool = False

    def explicit_port(self, knowledge: Knowledge) -> int:
        """The port that it insisted on; 0 if the kernel chose it, or if that is not known."""
        if self.hold is not None:
            return knowledge.explicit_port(self.hold)
        if self.is_call and not knowledge.was_assigned(self.side.party, self.endpoint.port):
            return self.endpoint.port
        return 0

    def lost(self, knowledge: Knowledge) -> Assignment | None:
        """The assignment that its copy had released, if the port came from one."""
        if self.side.party is None or (self.hold is not None and not self.hold.asked_port):
            return None
        found = knowledge.assignment_of_either(self.side.party, self.endpoint.protocol, self.endpoint.port)
        return found if found is not None and found.is_released else None


def blame(kind: EffectKind, claims: tuple[Claim, ...], knowledge: Knowledge) -> Blame:
    """What the meeting of *claims* is charged to; the one that was refused, or came later, first."""
    protocol = claims[0].endpoint.protocol
    if protocol == Protocol.UNIX:
        # The kernel assigns abstract names only to sockets that ask for none, and then no one else asks for them.
        return Blame(charge=Charge(Cause.HARD_CODED, protocol, claims[0].endpoint.address))
    for claim in claims:
        if claim.side.party is not None and (port := claim.explicit_port(knowledge)):
            return Blame(charge=Charge(Cause.HARD_CODED, protocol, str(port)), port=port)
    for claim in claims:
        if (assignment := claim.lost(knowledge)) is not None:
            return of_lost_port(protocol, assignment, claim.side, claim.t_ns, knowledge)
    for claim in claims:
        # Assigned for one address or protocol, and not to be had for the other.
        assignment = knowledge.assignment_of_either(claim.side.party, protocol, claim.endpoint.port)
        if claim.is_call and assignment is not None:
            return of_lost_port(protocol, assignment, claim.side, claim.t_ns, knowledge)
    for claim in claims:
        if claim.hold is not None and claim.hold.asked_port == 0 and reuses(claim.hold):
            return Blame(charge=Charge(Cause.REUSE, protocol, claim.side.origin))
    return Blame(charge=unknown_charge(kind, protocol, [claim.side for claim in claims]))


def of_lost_port(protocol: Protocol, assignment: Assignment, binder: Side, t_ns: int, knowledge: Knowledge) -> Blame:
    """A port that was assigned, released, and that *binder* bound or wanted to bind at *t_ns*."""
    drawn_by = knowledge.side_of(Role.DREW, assignment.drawn_by, assignment.drawn_ns)
    place = drawn_by.origin if drawn_by.frames else binder.origin
    return Blame(
        charge=Charge(Cause.LOST_PORT, protocol, place),
        drawn_by=drawn_by,
        window_ms=assignment.window_ms(t_ns),
        hint=hint_for_draw(assignment.drawn_by),
    )


def unknown_charge(kind: EffectKind, protocol: Protocol, sides: Iterable[Side]) -> Charge:
    """A meeting that the sensors cannot explain: by effect and both places."""
    return Charge(Cause.UNKNOWN, protocol, " ".join([kind, *sorted({side.origin for side in sides})]))


def of_stranger(endpoint: Endpoint, stranger: Side, knowledge: Knowledge) -> tuple[Charge, int]:
    """A server outside the run, by its port; one whose port the kernel may have assigned, by its program. And the
    port, 0 for the latter.
    """
    if knowledge.is_ephemeral(endpoint.port):
        return Charge(Cause.STRANGER, endpoint.protocol, stranger.origin), 0
    return Charge(Cause.STRANGER, endpoint.protocol, str(endpoint.port)), endpoint.port


def severity_of_stranger(endpoint: Endpoint, stranger: Holder | None, knowledge: Knowledge) -> Severity:
    """How grave it is to use, or to share a port with, *stranger* at *endpoint*."""
    return Severity.NOTE if knowledge.is_provided(endpoint, stranger) else Cause.STRANGER.info.severity
