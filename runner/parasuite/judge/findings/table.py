"""From what detectors saw to findings: everything that one change would cure becomes one of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from parasuite.judge.findings.finding import Effect, Finding, Side
from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.seen import Charge, Seen, SeenCause, SeenEffect
from parasuite.judge.findings.titles import Subject, title
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import Endpoint
from parasuite.model.finding_id import id_of
from parasuite.model.network import Network
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Protocol, Severity

SIDES_MAX = 16  # A run has up to hundreds of copies; a reader compares a few.
_Key: TypeAlias = tuple[object, ...]


class FindingTable:
    """Collects what was seen; memory grows with the number of different things, not with how often each was seen."""

    def __init__(self) -> None:
        self._causes: dict[_Key, tuple[SeenCause, int]] = {}
        self._effects: dict[_Key, tuple[SeenEffect, int]] = {}

    def add(self, seen: Seen) -> None:
        """Count *seen* as a repeat of an earlier one, or as the first of its charge and sides."""
        if isinstance(seen, SeenEffect):
            seen = _between_presumed(seen)
        sides = tuple((side.role, side.party, side.pid, side.test, side.frames) for side in seen.sides)
        if isinstance(seen, SeenCause):
            key: _Key = (seen.charge, seen.evidence, seen.port, sides)
            first_cause, count = self._causes.get(key, (seen, 0))
            self._causes[key] = (min(first_cause, seen, key=_window), count + 1)
        else:
            key = (seen.kind, seen.charge, seen.evidence, seen.port, seen.severity, seen.recovered, sides)
            first_effect, count = self._effects.get(key, (seen, 0))
            self._effects[key] = (first_effect, count + 1)

    def findings(self, knowledge: Knowledge) -> list[Finding]:
        """One finding for each thing to fix, the gravest first."""
        rows: dict[Charge, _Row] = {}
        owners = knowledge.port_lists.owners()
        for cause, count in self._causes.values():
            _row(rows, cause, owners, knowledge).causes.append((cause, count))
        for effect, count in _best_known(self._effects.values()):
            _row(rows, effect, owners, knowledge).effects.append((effect, count))
        found = [row.finding(knowledge) for row in _with_notes_joined(rows.values())]
        return sorted(_with_related(found), key=_order)


def _between_presumed(effect: SeenEffect) -> SeenEffect:
    """*effect*, no graver than a warning if its sides are only presumed to be parties."""
    first, *others = (side.party for side in effect.sides)
    if effect.severity is not Severity.ERROR or first is None or not any(map(first.is_presumed_beside, others)):
        return effect
    return replace(effect, severity=Severity.WARNING)


def _window(cause: SeenCause) -> float:
    return math.inf if cause.window_ms is None else cause.window_ms


@dataclass(slots=True)
class _Row:
    """All that one change would cure. *is_drawn*: whether its ports were drawn at random by the suite itself."""

    charge: Charge
    is_drawn: bool = False
    causes: list[tuple[SeenCause, int]] = field(default_factory=list)
    effects: list[tuple[SeenEffect, int]] = field(default_factory=list)

    @property
    def severity(self) -> Severity:
        """That of its gravest effect; without one, that of the cause."""
        own = [cause.severity or cause.charge.cause.info.severity for cause, _ in self.causes]
        all_of_them = [*own, *(effect.severity for effect, _ in self.effects)]
        return max(all_of_them, key=lambda severity: severity.rank)

    @property
    def sides(self) -> list[Side]:
        """Of its causes; else of its effects: who drew the port and who wanted it, or who left it open."""
        sides = [side for cause, _ in self.causes for side in cause.sides]
        if not self.causes:
            for effect, _ in self.effects:
                sides += [effect.drawn_by] if effect.drawn_by is not None else []
                sides.append(effect.sides[-1 if self.charge.cause is Cause.LEAKED else 0])
        return sides

    def finding(self, knowledge: Knowledge) -> Finding:
        effects = [_effect(effect, count, knowledge) for effect, count in self.effects]
        effects.sort(key=lambda effect: (-effect.severity.rank, effect.sides[0].at_ns or 0))
        sides = _one_per_party([_named(side, knowledge) for side in self.sides])
        seen: list[Seen] = [*(cause for cause, _ in self.causes), *(effect for effect, _ in self.effects)]
        first = seen[0]
        ports = tuple(sorted({each.port for each in seen if each.port}))
        everyone = [*self.sides, *(side for effect in effects for side in effect.sides)]
        subject = Subject(
            endpoint=first.endpoint,
            ports=ports,
            parties=len({side.party for side in self.sides if side.party is not None}),
            place=self.charge.name if self.charge.cause is Cause.STRANGER else _place(sides),
            ephemeral=knowledge.ephemeral,
            is_drawn=self.is_drawn,
            effect=effects[0].kind if effects else None,
        )
        windows = [cause.window_ms for cause, _ in self.causes if cause.window_ms is not None]
        return Finding(
            id=finding_id(self.charge),
            cause=self.charge.cause,
            severity=self.severity,
            evidence=self._evidence(),
            title=title(self.charge.cause, subject),
            hint=self._hint(),
            endpoint=first.endpoint,
            parties=tuple(sorted({side.party for side in everyone if side.party is not None})),
            sides=tuple(sides[:SIDES_MAX]),
            effects=tuple(effects),
            port=ports[0] if ports and self.charge.name == str(ports[0]) else 0,
            is_ephemeral=any(knowledge.is_ephemeral(port) for port in ports),
            is_drawn=self.is_drawn,
            count=sum(count for _, count in self.causes),
            window_ms=min(windows, default=None),
        )

    def _evidence(self) -> Evidence:
        """How well it is known that the finding is as grave as it is."""
        gravest = [effect.evidence for effect, _ in self.effects if effect.severity == self.severity]
        known = (
            gravest or [cause.evidence for cause, _ in self.causes] or [effect.evidence for effect, _ in self.effects]
        )
        return max(known, key=lambda evidence: evidence.rank)

    def _hint(self) -> str:
        """The one that its gravest effect asks for, or its first cause; else that of the cause's row."""
        effects = sorted((effect for effect, _ in self.effects), key=lambda effect: -effect.severity.rank)
        asked: list[Seen] = [*effects[:1], *(cause for cause, _ in self.causes)]
        special = [seen.hint for seen in asked if seen.hint]
        return special[0] if special else self.charge.cause.info.hint


def finding_id(charge: Charge) -> str:
    """A hash over what is the same in every run of the same defect.

    That is the cause, the protocol, and the port or path insisted on, else the function or program that chose the
    port. No line, copy, worker, pid, time, or assigned port.
    """
    return id_of(repr((str(charge.cause), str(charge.protocol), charge.name)))


def _row(rows: dict[Charge, _Row], seen: Seen, owners: dict[tuple[Protocol, int], str], knowledge: Knowledge) -> _Row:
    """The row of *seen*: a fixed port that its function has in a list, or drew, is charged to the function."""
    charge, is_drawn = seen.charge, False
    if charge.cause is Cause.HARD_CODED and seen.port:
        drawn_by = [side.origin for side in seen.sides if _is_drawn(charge.protocol, side, knowledge)]
        owner = owners.get((charge.protocol, seen.port))
        charge = charge._replace(name=owner or next(iter(drawn_by), charge.name))
        is_drawn = owner is None and bool(drawn_by)
    return rows.setdefault(charge, _Row(charge, is_drawn))


def _is_drawn(protocol: Protocol, side: Side, knowledge: Knowledge) -> bool:
    return knowledge.random_ports.is_drawn(protocol, side.origin)


def _with_notes_joined(rows: Iterable[_Row]) -> Iterator[_Row]:
    """*rows*; fixed ports that one party alone asked for, at one place, are one note about that place: they may have
    been drawn.
    """
    notes: dict[Charge, _Row] = {}
    for row in rows:
        if row.charge.cause is not Cause.HARD_CODED or row.effects or row.severity is not Severity.NOTE:
            yield row
            continue
        charge = row.charge._replace(name=row.causes[0][0].sides[0].origin)
        notes.setdefault(charge, _Row(charge)).causes.extend(row.causes)
    yield from notes.values()


_Place: TypeAlias = tuple[EffectKind, Protocol, int, Network]


def _best_known(effects: Iterable[tuple[SeenEffect, int]]) -> list[tuple[SeenEffect, int]]:
    """*effects* without those that the sampler saw of what another sensor saw, too."""
    all_of_them = list(effects)
    exact: dict[_Place, set[Party | None]] = defaultdict(set)
    for effect, _ in all_of_them:
        if effect.evidence != Evidence.SAMPLED:
            exact[_where(effect)].update(side.party for side in effect.sides)
    return [
        (effect, count)
        for effect, count in all_of_them
        if effect.evidence != Evidence.SAMPLED or not _parties(effect) <= exact.get(_where(effect), set())
    ]


def _where(effect: SeenEffect) -> _Place:
    return (effect.kind, effect.endpoint.protocol, effect.endpoint.port, effect.endpoint.network)


def _parties(effect: SeenEffect) -> set[Party | None]:
    return {side.party for side in effect.sides}


def _effect(seen: SeenEffect, count: int, knowledge: Knowledge) -> Effect:
    return Effect(
        kind=seen.kind,
        severity=seen.severity,
        evidence=seen.evidence,
        endpoint=seen.endpoint,
        sides=tuple(_named(side, knowledge) for side in seen.sides),
        recovered=seen.recovered,
        count=count,
        window_ms=seen.window_ms,
    )


def _named(side: Side, knowledge: Knowledge) -> Side:
    if not side.pid:
        return side
    if not side.process:
        # A process may have been described after the first of its sockets was seen.
        name, command = knowledge.process(side.pid)
        side = replace(side, process=name, command=side.command or command)
    if side.location is None or side.location.is_installed:
        # What judges a call may not take the line that started its process for the line that made it; a reader may.
        side = replace(side, frames=knowledge.started_at(side.pid) or side.frames)
    return side


def _one_per_party(sides: list[Side]) -> list[Side]:
    """*sides*, those of different parties and roles first: a reader compares parties."""
    firsts: dict[_Key, Side] = {}
    others = []
    for side in dict.fromkeys(sides):
        key = (side.role, side.party)
        if key in firsts:
            others.append(side)
        else:
            firsts[key] = side
    return [*firsts.values(), *others]


def _place(sides: list[Side]) -> str:
    """The user's function at which the first of *sides* that has one did it; else its program."""
    located = next((side for side in sides if side.location is not None), None)
    return (located or sides[0]).origin if sides else ""


def _with_related(findings: list[Finding]) -> Iterator[Finding]:
    """*findings*, each with the ids of the others about its port."""
    by_port: dict[tuple[Protocol, int], list[str]] = defaultdict(list)
    for finding in findings:
        for port in _ports(finding):
            by_port[port].append(finding.id)
    for finding in findings:
        ids = dict.fromkeys(other for port in sorted(_ports(finding)) for other in by_port[port])
        yield replace(finding, related=tuple(other for other in ids if other != finding.id))


def _ports(finding: Finding) -> set[tuple[Protocol, int]]:
    endpoints = [finding.endpoint, *(effect.endpoint for effect in finding.effects)]
    return {(endpoint.protocol, endpoint.port) for endpoint in endpoints if endpoint.is_internet}


def _order(finding: Finding) -> tuple[int, str, Endpoint, str]:
    endpoint = finding.endpoint._replace(v6only=bool(finding.endpoint.v6only))
    return (-finding.severity.rank, finding.cause, endpoint, finding.id)
