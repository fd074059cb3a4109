"""What `parasuite diff` prints: findings and tests that are new, not seen any more, or still there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from parasuite.judge.difference import Difference, Gone
from parasuite.judge.history import FindingHistory, TestHistory
from parasuite.reports.history_report import finding_head
from parasuite.reports.rates import finding_rates, rate, rate_of_test
from parasuite.reports.sections import Item, Section
from parasuite.reports.series_json import json_of_finding, json_of_test
from parasuite.reports.wording import plural

NEW = "new"
GONE = "not seen any more"
STILL = "still there"
BROKEN = "tests that fail now"
MENDED = "tests that failed before, and pass now"
CAVEATS = "what makes this comparison prove less"
NOTHING = "no finding and no failing test on either side"
SEEN_BEFORE = "before: seen {rate}"
BY_CHANCE = "up to {percent} % likely to be missed by chance alone"
FORMAT = 1
"""Of the JSON. Raised by one when a reader of the older format would misread it."""


def difference_sections(found: Difference) -> Iterator[Section]:
    """A section for each kind of difference that there is."""
    sections = [
        _section(NEW, [Item(finding_head(each), tuple(finding_rates(each, "run"))) for each in found.new]),
        _section(GONE, [Item(finding_head(each.finding), tuple(_gone(each))) for each in found.gone]),
        _section(STILL, [Item(finding_head(each.new), tuple(_still(each.old, each.new))) for each in found.still]),
        _section(BROKEN, list(map(_test, found.broken))),
        _section(MENDED, list(map(_test, found.mended))),
    ]
    shown = [section for section in sections if section.items]
    yield from shown or [Section(NOTHING)]
    if found.caveats:
        yield Section(CAVEATS, [Item(caveat) for caveat in found.caveats])


def _section(title: str, items: Sequence[Item]) -> Section:
    return Section(f"{title} ({len(items)})", items)


def _gone(gone: Gone) -> Iterator[str]:
    yield SEEN_BEFORE.format(rate=rate(gone.finding.seen, "run"))
    yield BY_CHANCE.format(percent=f"{100 * gone.chance:.0f}")


def _still(old: FindingHistory, new: FindingHistory) -> Iterator[str]:
    yield from finding_rates(new, "run")
    for line in finding_rates(old, "run"):
        yield f"before: {line}"


def _test(test: TestHistory) -> Item:
    return Item(test.id, (rate_of_test(test, "run"),))


def difference_json(found: Difference) -> str:
    """The same as a JSON object."""
    whole = {
        "format": FORMAT,
        "new": [json_of_finding(each) for each in found.new],
        "gone": [{**json_of_finding(each.finding), "chance": round(each.chance, 4)} for each in found.gone],
        "still": [{"old": json_of_finding(each.old), "new": json_of_finding(each.new)} for each in found.still],
        "broken_tests": [json_of_test(test) for test in found.broken],
        "mended_tests": [json_of_test(test) for test in found.mended],
        "caveats": list(found.caveats),
    }
    return json.dumps(whole, indent=1) + "\n"


def summary_line(found: Difference) -> str:
    """`1 new finding, 2 not seen any more, 3 still there; 1 test fails now, 0 pass again`."""
    broken = plural(len(found.broken), "test")
    verb = "fails" if len(found.broken) == 1 else "fail"
    findings = f"{plural(len(found.new), 'new finding')}, {len(found.gone)} not seen any more"
    return f"{findings}, {len(found.still)} still there; {broken} {verb} now, {len(found.mended)} pass again"
