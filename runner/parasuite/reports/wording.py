"""Words that several reports share: plurals, a finding in plain text, and what a terminal may be sent.

Tests that look for a phrase in a report take it from here, so that a phrase can be improved in one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from parasuite.judge.findings import Effect, Explanation, Finding, Side
from parasuite.model.causes import EffectKind
from parasuite.model.control import Control, ControlAnswer
from parasuite.model.location import Location
from parasuite.model.proof import ProofOutcome
from parasuite.model.suppression import Suppressed
from parasuite.model.words import AttributedBy, NetworkMode, Role, SuppressedBy, TestOutcome
from parasuite.reports.columns import BESIDE_FROM, beside
from parasuite.reports.proof_lines import proof_lines

NOTE = "note: {note}"
ALL_OUTPUT = "all of its output: {path}"
OUTPUT_IS_ELSEWHERE = (
    "(with --exit-code suite, the output of the only copy is not kept: it went to parasuite's own streams)"
)
STACK_THEN = "where its first Python process was then, innermost first; all stacks are in its output:"
NO_SENSOR = "no sensor looked (--sensors none)"
NOT_SEEN_BY = "not seen by {sensors}:"
LIMITS_COUNTED = "the sensors have {limits}: `parasuite doctor` lists them"
COPIES_COUNTED = "copies: {good} of {copies} ended well"
TIME_AND_FOLDER = "time: {seconds} s; everything is in {folder}"
CANNOT_SEE = "what the {sensors} cannot see"
PROVES_NOTHING = "the run proves nothing: {reason}"
EXPLAINED_BY = "explained by {label} {title}"
MAYBE_EXPLAINED_BY = "may be explained by {label} {title}"
EXPLAINS = "explains the failure of {tests}"
RECOVERED = ", and went on with another port"
WINDOW = "the port had been free for at least {ms} ms"
SUPPRESSED = "suppressed{by}{until}: {reason}"
EXPIRED = "no longer suppressed, since {until} is over: {reason}"
SUPPRESSED_COUNTED = "{findings} suppressed:"
IN_BASELINE_COUNTED = "{findings} suppressed by the baseline: see findings.json"
MORE = "{problems}: see the summary of the step, or the run folder"
NOTES_COUNTED = "{findings} of severity note: see findings.json"
CONTROL = "control: {answer}"
_ANSWERS = {
    ControlAnswer.COLLISION: "{times}: a collision, proven",
    ControlAnswer.PASSES_ALONE: "{times}: flaky, or it does not bear the load",
    ControlAnswer.FAILS_ALONE: "fails alone, too: not a port problem",
    ControlAnswer.ONLY_OBSERVED: "{times}, and fails only under parasuite: please report that",
    ControlAnswer.UNKNOWN: "it has no result alone",
}
ID = "id {id}, evidence {evidence}; more: `parasuite explain {cause}`"
_TITLE_END = re.compile("[:;] ")
_PLACES_SHOWN = 3
_SIDES_SHOWN = 2
_COMMAND_MAX = 120
_EFFECTS_QUOTED = 5

# Characters that are letters or marks to str.isprintable, and that no font draws: Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt, as far as it is not of category Cf.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def in_network(mode: NetworkMode, port_range: int | None = None) -> str:
    """Where copies or a self-test use sockets: `in the host's network`."""
    if mode is NetworkMode.HOST:
        return "in the host's network"
    if mode is NetworkMode.EACH:
        return "each in a network of its own"
    return "in a private network" + (f" with {plural(port_range, 'ephemeral port')}" if port_range else "")


def printable(text: str) -> str:
    """*text* as one line that a terminal shows and does not obey; everything that parasuite prints goes through here.

    Names come from outside: test ids, processes, files, messages of exceptions. Control characters (line ends,
    escape, C1), marks of direction, characters without width and lone surrogates are shown as Python's escapes, so
    that no name can move the cursor, set a title, or add a line to a report.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() and not _INVISIBLE.match(char) else char.encode("unicode_escape").decode()
        for char in text
    )


def plural(count: int, noun: str) -> str:
    """`1 test`, `2 tests`, `3 copies`, `4 processes`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun.removesuffix('y')}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def in_copies(copies: Sequence[int], total: int) -> str:
    """`2 of 4 copies (0, 3)`; `the only copy` of a run with one."""
    if total == 1:
        return "the only copy"
    return f"{len(copies)} of {total} copies ({', '.join(map(str, copies))})"


def outcome_counts(counts: Mapping[TestOutcome, int], failed_attempts: int = 0) -> str:
    """`tests: 4 passed, 0 failed, 2 skipped, 1 failed attempt run again`: passed and failed always, others if any."""
    shown = [
        counted(counts.get(outcome, 0), outcome)
        for outcome in _OUTCOMES
        if counts.get(outcome) or outcome in (TestOutcome.PASSED, TestOutcome.FAILED)
    ]
    if failed_attempts:
        shown.append(f"{plural(failed_attempts, 'failed attempt')} run again")
    return "tests: " + ", ".join(shown)


def counted(count: int, outcome: TestOutcome) -> str:
    """`2 passed`, `2 errors`."""
    return plural(count, outcome) if outcome is TestOutcome.ERROR else f"{count:,} {outcome}"


_OUTCOMES = (
    TestOutcome.PASSED,
    TestOutcome.FAILED,
    TestOutcome.ERROR,
    TestOutcome.LOST,
    TestOutcome.NOT_COLLECTED,
    TestOutcome.SKIPPED,
    TestOutcome.NOT_RUN,
)


def exit_code_of_suite(code: int, parasuites: int) -> str:
    """That a run exits with *code*, the suite's own, although parasuite itself came to *parasuites*."""
    return f"exit code {code}: the suite's own (--exit-code suite); parasuite's would be {parasuites}"


def left_behind(copy: int, processes: int, *, all_ended: bool) -> str:
    """Which processes outlived the main process of a copy, and whether parasuite could end them."""
    ended = "ended" if all_ended else "not all could be ended"
    return f"copy {copy} left {plural(processes, 'process')} behind; {ended}"


def not_seen_by(sensors: Iterable[str]) -> str:
    """The line above what *sensors* cannot see."""
    return NOT_SEEN_BY.format(sensors=", ".join(sorted(sensors)))


def listeners_seen(listeners: int, *, calls: int | None = None, samples: int | None = None) -> str:
    """`3 listeners seen in 20 calls and 4 samples`; None for what the sensors of the run do not count."""
    how = [plural(count, noun) for count, noun in ((calls, "call"), (samples, "sample")) if count is not None]
    return f"{plural(listeners, 'listener')} seen in {' and '.join(how) or 'no call'}"


def label(finding: Finding) -> str:
    """`0123456789 [hard-coded]`: how other parts of a report name it."""
    return f"{finding.id} [{finding.cause}]"


def short_title(finding: Finding) -> str:
    """Its title up to what may differ from run to run: `TCP port 8025 is fixed`."""
    return _TITLE_END.split(finding.title)[0]


def explained_by(finding: Finding, *, is_certain: bool, is_brief: bool = False) -> str:
    """What is said of a test whose failure *finding* explains, or may explain.

    *is_brief*: for a report that shows the finding's whole title elsewhere.
    """
    title = short_title(finding) if is_brief else finding.title
    return (EXPLAINED_BY if is_certain else MAYBE_EXPLAINED_BY).format(label=label(finding), title=title)


def controlled(control: Control) -> str:
    """What a failed test does alone, and what that means: `passes alone 3 of 3 times: a collision, proven`."""
    times = f"passes alone {control.passed} of {plural(control.runs, 'time')}"
    return CONTROL.format(answer=_ANSWERS[control.answer].format(times=times))


def failures_explained(failures: int, explanations: Collection[Explanation]) -> str:
    """`3 of 4 failures explained by 1 finding`, and how many more may be; "" if none is and none may be."""
    certain = [each.finding for each in explanations if each.is_certain]
    maybe = [each.finding for each in explanations if not each.is_certain]
    if certain:
        more = f", {len(maybe)} more may be" if maybe else ""
        return f"{_share(certain, failures)} explained by {plural(len(set(certain)), 'finding')}{more}"
    return f"{_share(maybe, failures)} may be explained by {plural(len(set(maybe)), 'finding')}" if maybe else ""


def _share(explained: Sequence[str], failures: int) -> str:
    return f"{len(explained)} of {plural(failures, 'failure')}"


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
    yield ID.format(id=finding.id, evidence=finding.evidence, cause=finding.cause)


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


_HAPPENED = {
    EffectKind.REFUSED: "refused",
    EffectKind.SHARED: "shared",
    EffectKind.CROSSTALK: "reached another's server",
    EffectKind.FOREIGN: "refused by a process outside the run",
}


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
