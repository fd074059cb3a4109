"""A finding in plain text, as the terminal, the JUnit files and `parasuite explain` show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from parasuite.judge.findings import Effect, Finding, Side
from parasuite.model.causes import EffectKind
from parasuite.model.location import Location
from parasuite.model.proof import ProofOutcome
from parasuite.model.suppression import Suppressed
from parasuite.model.words import AttributedBy, Role, SuppressedBy
from parasuite.reports.columns import BESIDE_FROM, beside
from parasuite.reports.proof_lines import proof_lines
from parasuite.reports.wording import EXPIRED, EXPLAINS, ID, RECOVERED, SUPPRESSED, WINDOW, plural, printable

_PLACES_SHOWN = 3
_SIDES_SHOWN = 2
_COMMAND_MAX = 120
_EFFECTS_QUOTED = 5
_HAPPENED = {
    EffectKind.REFUSED: "refused",
    EffectKind.SHARED: "shared",
    EffectKind.CROSSTALK: "reached another's server",
    EffectKind.FOREIGN: "refused by a process outside the run",
}


def finding_lines(finding: Finding, start_ns: int, *, is_brief: bool, columns: int = 0) -> Iterator[str]:
    """A finding in plain text: what is wrong and where, who did what, what happened, what to write instead.

    *is_brief*: for a reader at a terminal, the first of each kind of effect, few sides, and no command lines.
    *columns*: how wide a line may be; if it is wide enough, two sides are shown next to each other.
    """
    yield finding.title
    if finding.suppressed is not None:
        yield suppressed_for(finding.suppressed)
    if finding.expired is not None:
        yield suppressed_before(finding.expired)
    yield from _place_lines(finding.places, is_brief=is_brief)
    if not finding.effects:
        yield from _sides(finding.sides, start_ns, is_brief=is_brief, columns=columns)
    if finding.window_ms is not None:
        yield WINDOW.format(ms=f"{finding.window_ms:.1f}")
    for effects in effects_by_kind(finding.effects):
        yield from _effect_lines(finding, effects, start_ns, is_brief=is_brief, columns=columns)
    if finding.failed_tests:
        first, *others = finding.failed_tests
        yield EXPLAINS.format(tests=first + (f" and {plural(len(others), 'more test')}" if others else ""))
    if finding.related:
        yield f"see also: {', '.join(finding.related)}"
    if finding.proof is not None and finding.proof.outcome is not ProofOutcome.NOT_PROVOKED:
        yield from proof_lines(finding.proof)
    yield f"hint: {finding.hint}"
    # A reader at the terminal has the run, and all that is known of the finding; others may have this text alone.
    topic = finding.id if is_brief else finding.cause
    yield ID.format(id=finding.id, evidence=finding.evidence, topic=topic)


def suppressed_for(suppressed: Suppressed) -> str:
    """`suppressed until 2027-03-31: the device has only this port`."""
    by = " by a comment" if suppressed.by is SuppressedBy.COMMENT else ""
    until = f" until {suppressed.until}" if suppressed.until else ""
    return SUPPRESSED.format(by=by, until=until, reason=suppressed.reason)


def suppressed_before(expired: Suppressed) -> str:
    """`no longer suppressed, since 2027-03-31 is over: the device has only this port`."""
    return EXPIRED.format(until=expired.until, reason=expired.reason)


def _place_lines(places: Sequence[Location], *, is_brief: bool) -> Iterator[str]:
    shown = places[:_PLACES_SHOWN] if is_brief else places
    for place in shown:
        yield f"at {place.described}"
    if len(places) > len(shown):
        yield f"and {plural(len(places) - len(shown), 'more place')}: see findings.json"


def effects_by_kind(effects: Iterable[Effect]) -> list[list[Effect]]:
    """*effects* of one kind together, those that the program recovered from apart, in their order."""
    groups: dict[tuple[EffectKind, bool], list[Effect]] = {}
    for effect in effects:
        groups.setdefault((effect.kind, effect.recovered), []).append(effect)
    return list(groups.values())


def _effect_lines(
    finding: Finding, effects: Sequence[Effect], start_ns: int, *, is_brief: bool, columns: int
) -> Iterator[str]:
    """How often something happened, in which tests, and its first occurrences with their sides."""
    yield effects_counted(effects) + "; first:"
    shown = effects[: 1 if is_brief else _EFFECTS_QUOTED]
    for number, effect in enumerate(shown):
        if number:
            yield "then:"
        if effect.endpoint != finding.endpoint:
            yield f"  on {effect.endpoint}"
        for line in _sides(effect.sides, start_ns, is_brief=is_brief, columns=columns - 2):
            yield f"  {line}"
        if effect.window_ms is not None:
            yield "  " + WINDOW.format(ms=f"{effect.window_ms:.1f}")
    if not is_brief and len(effects) > len(shown):
        yield f"and {plural(len(effects) - len(shown), 'more pair')} of sides: see findings.json"


def effects_counted(effects: Sequence[Effect]) -> str:
    """`refused 24 times, in 12 tests of 4 copies`: effects of one kind, which all recovered or all did not."""
    count = sum(effect.count for effect in effects)
    sides = [side for effect in effects for side in _affected(effect)]
    tests = {side.test for side in sides if side.test}
    parties = {side.party for side in sides if side.party is not None}
    places = [plural(len(tests), "test")] if tests else []
    if parties:
        places.append(plural(len(parties), "worker" if any(party.worker for party in parties) else "copy"))
    where = f", in {' of '.join(places)}" if places else ""
    first = effects[0]
    recovered = RECOVERED if first.recovered else ""
    return f"{_HAPPENED[first.kind]} {'once' if count == 1 else plural(count, 'time')}{where}{recovered}"


def _affected(effect: Effect) -> Sequence[Side]:
    """The sides that wanted something; all, where no side is more to blame than another."""
    return [side for side in effect.sides if side.role in (Role.WANTED, Role.CLIENT)] or effect.sides


def _sides(sides: Sequence[Side], start_ns: int, *, is_brief: bool, columns: int) -> Iterator[str]:
    shown = sides[:_SIDES_SHOWN] if is_brief else sides
    if is_brief and len(shown) == 2 and columns >= BESIDE_FROM:
        left, right = (list(map(printable, _side_details(side, start_ns, is_brief=True))) for side in shown)
        yield from beside(left, right, columns)
    else:
        for side in shown:
            role, *details = _side_details(side, start_ns, is_brief=is_brief)
            yield f"{role}: {', '.join(details)}"
            if not is_brief:
                yield from (f"    called from {frame.described}" for frame in side.frames[1:])
                if side.command:
                    yield f"    {side.command}"
    if len(sides) > len(shown):
        yield f"and {plural(len(sides) - len(shown), 'more side')}: see findings.json"


def _side_details(side: Side, start_ns: int, *, is_brief: bool) -> list[str]:
    """The role of *side*, and what is known of it."""
    owner = "outside the run" if side.party is None else str(side.party)
    process = [side.program, f"pid {side.pid}" if side.pid else "", f"({side.state})" if side.state else ""]
    test = side.test
    # A test that was only seen to run at the time is a guess, and a reader must know that. The rest is detail.
    if side.attribution and not (is_brief and side.attribution is not AttributedBy.FIRST_SAMPLE):
        test += f" ({side.attribution})"
    details = [
        owner,
        side.stranger,
        " ".join(part for part in process if part),
        side.command[:_COMMAND_MAX] if is_brief and side.party is None else "",
        test,
        "" if side.location is None else side.location.described,
        "" if side.at_ns is None else f"at {(side.at_ns - start_ns) / 1e9:+.2f} s",
        "+".join(side.options),
    ]
    return [str(side.role), *filter(None, details)]
