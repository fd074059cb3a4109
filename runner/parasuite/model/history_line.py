"""A line of history.jsonl: what is remembered of a run after its folder has been removed.

A line is a JSON object of at most LINE_BYTES_MAX bytes, in ASCII. A run is known by its id, so files of several
machines can be joined by appending one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

from parasuite.model.json_fields import Fields, is_object, is_objects, is_whole
from parasuite.model.run_summary import FindingSummary, RunSummary, SummaryError, read_head

LINE_BYTES_MAX = 64 << 10
_WORDS_MAX = 100
_TEXT_MAX = 250


def history_line(summary: RunSummary) -> str:
    """*summary* without its tests, as a line with its line end. The least grave findings are left out if need be."""
    target, selection = remembered_tests(summary.target, summary.selection)
    brief = replace(
        summary,
        host=summary.host[:_TEXT_MAX],
        target=target,
        verdict=summary.verdict[:_TEXT_MAX],
        selection=selection,
    )
    findings = [_brief(finding).to_json() for finding in summary.findings]
    while True:
        left_out = len(summary.findings) - len(findings)
        line = json.dumps({**brief.head(), "findings": findings, "findings_left_out": left_out}) + "\n"
        if len(line) <= LINE_BYTES_MAX or not findings:
            return line
        findings = findings[: len(findings) * 3 // 4]


def remembered_tests(target: str, selection: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """What a line keeps of *target* and *selection*: the same for runs of the same tests."""
    return target[:_TEXT_MAX], tuple(word[:_TEXT_MAX] for word in selection[:_WORDS_MAX])


def read_history_line(line: bytes) -> RunSummary:
    """The summary that `history_line` wrote, without tests. Raises SummaryError for every other line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SummaryError(f"not JSON: {error}") from error
    if not is_object(value):
        raise SummaryError("not a JSON object")
    fields = Fields(value)
    findings = fields.take("findings", is_objects, [])
    left_out = fields.take("findings_left_out", _is_count, 0)
    head = read_head(value, tuple(map(FindingSummary.from_json, findings)), {})
    return replace(head, findings_left_out=left_out)


def _is_count(value: object) -> TypeGuard[int]:
    return is_whole(value, 0, 10**9)


def _brief(finding: FindingSummary) -> FindingSummary:
    return replace(
        finding,
        title=finding.title[:_TEXT_MAX],
        place=finding.place[:_TEXT_MAX],
        subject=finding.subject[:_TEXT_MAX],
        suppressed=finding.suppressed[:_TEXT_MAX],
    )
