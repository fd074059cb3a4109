"""Words that several reports share: plurals, a finding in plain text, and what a terminal may be sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from parasuite.judge.findings import Finding

# Characters that are letters or marks to str.isprintable, and that no font draws: Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt, as far as it is not of category Cf.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    """*text* as one line that a terminal shows and does not obey; everything that parasuite prints goes through here.

    Names come from elsewhere: test ids, processes, files, the words of exceptions. Control characters (line ends,
    escape, C1), marks of direction, characters without width and lone surrogates are shown as Python's escapes, so
    that no name moves the cursor, sets a title, or makes a line of its own in a report.
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


def finding_lines(finding: Finding, start_ns: int, *, sides_max: int | None = None) -> Iterator[str]:
    """A finding in plain text: what, its sides, how often, what to write instead.

    With *sides_max*, no more sides than that and no command lines: for a reader at a terminal.
    """
    yield finding.message
    shown = finding.sides[:sides_max]
    for side in shown:
        owner = "outside the run" if side.party is None else str(side.party)
        location = "" if side.location is None else str(side.location)
        facts = [f"pid {side.pid}" if side.pid else "", side.process, side.test, location]
        if side.since_ns is not None:
            facts.append(f"since {(side.since_ns - start_ns) / 1e9:.2f} s")
        if side.options:
            facts.append("+".join(side.options))
        told = f" ({side.attribution})" if side.attribution else ""
        yield f"  {side.role}: {owner}, " + ", ".join(fact for fact in facts if fact) + told
        if side.command and sides_max is None:
            yield f"      {side.command}"
    if len(finding.sides) > len(shown):
        yield f"  and {plural(len(finding.sides) - len(shown), 'more side')}: see findings.json"
    if finding.window_ms is not None:
        yield f"  window: {finding.window_ms:.1f} ms"
    yield f"  evidence: {finding.evidence}, seen {plural(finding.count, 'time')}, id {finding.id}"
    yield f"hint: {finding.hint}"
