"""Words that several reports share: plurals, a finding in plain text, and what a terminal may be sent.

Tests that look for a phrase in a report take it from here, so that a phrase can be improved in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from parasuite.judge.findings import Finding
from parasuite.model.words import TestOutcome

NOTE = "note: {note}"
NO_SENSOR = "no sensor looked (--sensors none)"
NOT_SEEN_BY = "not seen by {sensors}:"
CANNOT_SEE = "what the {sensors} cannot see"
PROVES_NOTHING = "the run proves nothing: {reason}"

# Characters that are letters or marks to str.isprintable, and that no font draws: Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt, as far as it is not of category Cf.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


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
    """`2 of 4 copies (0, 3)`."""
    return f"{len(copies)} of {total} copies ({', '.join(map(str, copies))})"


def outcome_counts(counts: Mapping[TestOutcome, int], failed_attempts: int = 0) -> str:
    """`tests: 4 passed, 0 failed, 2 skipped, 1 failed attempt run again`: passed and failed always, others if any."""
    shown = [
        f"{counts.get(outcome, 0):,} {outcome}"
        for outcome in _OUTCOMES
        if counts.get(outcome) or outcome in (TestOutcome.PASSED, TestOutcome.FAILED)
    ]
    if failed_attempts:
        shown.append(f"{plural(failed_attempts, 'failed attempt')} run again")
    return "tests: " + ", ".join(shown)


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


def finding_lines(finding: Finding, start_ns: int, *, sides_max: int | None = None) -> Iterator[str]:
    """A finding in plain text: what happened, its sides, how often, what to write instead.

    With *sides_max*, at most that many sides and no command lines: for a reader at a terminal.
    """
    yield finding.message
    shown = finding.sides[:sides_max]
    for side in shown:
        owner = "outside the run" if side.party is None else str(side.party)
        location = "" if side.location is None else str(side.location)
        details = [f"pid {side.pid}" if side.pid else "", side.process, side.test, location]
        if side.since_ns is not None:
            details.append(f"since {(side.since_ns - start_ns) / 1e9:.2f} s")
        if side.options:
            details.append("+".join(side.options))
        attribution = f" ({side.attribution})" if side.attribution else ""
        yield f"  {side.role}: {owner}, " + ", ".join(detail for detail in details if detail) + attribution
        if side.command and sides_max is None:
            yield f"      {side.command}"
    if len(finding.sides) > len(shown):
        yield f"  and {plural(len(finding.sides) - len(shown), 'more side')}: see findings.json"
    if finding.window_ms is not None:
        yield f"  window: {finding.window_ms:.1f} ms"
    yield f"  evidence: {finding.evidence}, seen {plural(finding.count, 'time')}, id {finding.id}"
    yield f"hint: {finding.hint}"
