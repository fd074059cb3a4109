"""What `parasuite history` prints: for each target, how often each finding was seen, and when first and last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from parasuite.judge.history import FindingHistory, History
from parasuite.reports.moments import day
from parasuite.reports.rates import finding_rates
from parasuite.reports.sections import Item, Section
from parasuite.reports.series_json import json_of_finding
from parasuite.reports.wording import plural

RUNS = "{target}: {runs}, {first} to {last}; {conclusive} conclusive"
SEEN = "first seen {first}, last seen {last}"
NOT_IN_LAST = "not in the last conclusive run"
UNREADABLE = "left out as unreadable: {lines} of history.jsonl"
FORMAT = 1
"""Of the JSON. Raised by one when a reader of the older format would misread it."""


def history_sections(histories: Mapping[str, History], unreadable: int) -> Iterator[Section]:
    """*histories*: by what was run. *unreadable*: lines that are none of a run."""
    for target, history in histories.items():
        title = RUNS.format(
            target=target,
            runs=plural(len(history.runs), "run"),
            first=day(history.runs[0].started_s),
            last=day(history.runs[-1].started_s),
            conclusive=history.conclusive,
        )
        last = next((run for run in reversed(history.runs) if run.is_conclusive), None)
        items = []
        for finding in history.findings:
            missing = last is not None and finding.last.started_s < last.started_s
            items.append(Item(finding_head(finding), tuple(_details(finding, is_missing=missing))))
        yield Section(title, items)
    if unreadable:
        yield Section(UNREADABLE.format(lines=plural(unreadable, "line")))


def finding_head(finding: FindingHistory) -> str:
    """`error [lost-port] a port was lost (0123456789)`."""
    worst = finding.worst
    suppressed = "suppressed " if worst.suppressed else ""
    return f"{suppressed}{worst.severity} [{worst.cause}] {worst.title} ({worst.id})"


def _details(finding: FindingHistory, *, is_missing: bool) -> Iterator[str]:
    yield from finding_rates(finding, "run")
    seen = SEEN.format(first=day(finding.first.started_s), last=day(finding.last.started_s))
    yield f"{seen}; {NOT_IN_LAST}" if is_missing else seen


def history_json(histories: Mapping[str, History], unreadable: int) -> str:
    """The same as a JSON object."""
    targets = [
        {
            "target": target,
            "runs": len(history.runs),
            "conclusive_runs": history.conclusive,
            "findings": [json_of_finding(finding) for finding in history.findings],
        }
        for target, history in histories.items()
    ]
    return json.dumps({"format": FORMAT, "unreadable_lines": unreadable, "targets": targets}, indent=1) + "\n"
