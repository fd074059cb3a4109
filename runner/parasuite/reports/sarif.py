"""SARIF 2.1.0 (OASIS), as GitHub's code scanning and other viewers read it.

A result's `partialFingerprints` is the finding's id, so that a viewer knows a problem again whose line has moved.
GitHub refuses a result without a location; where none is known, it is the repository itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from parasuite import __version__
from parasuite.judge.report import Report
from parasuite.model.location import Location
from parasuite.model.words import Severity, SuppressedBy
from parasuite.reports.problems import RULES, Problem, Rule, problems
from parasuite.reports.wording import plural, printable

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FINGERPRINT = "parasuite/v1"
RESULTS_MAX = 5_000
"""As many as GitHub shows of a run."""
LEFT_OUT = "{results} left out: see the run folder"
_OTHERS_MAX = 10
_MESSAGE_MAX = 4_000
_ROOT = "%SRCROOT%"
_RULE_INDEX = {name: index for index, name in enumerate(RULES)}
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run or a series of runs ended. *started_at*: ISO 8601, UTC."""

    run_id: str
    is_conclusive: bool
    exit_code: int
    reason: str
    started_at: str
    notes: Sequence[str] = ()


def sarif(report: Report) -> str:
    """One run of the tool parasuite, as JSON."""
    ended = Ended(
        run_id=report.run_id,
        is_conclusive=report.verdict.code.is_conclusive,
        exit_code=report.verdict.exit_code,
        reason=report.verdict.reason,
        started_at=f"{report.wall}Z",
        notes=report.notes,
    )
    return sarif_log(problems(report), ended)


def sarif_log(found: Iterator[Problem], ended: Ended) -> str:
    """A log with one run, whose results are *found*."""
    results = [_result(problem) for problem in islice(found, RESULTS_MAX)]
    left_out = sum(1 for _ in found)
    driver = {
        "name": "parasuite",
        "version": __version__,
        "rules": [_rule(name, rule) for name, rule in RULES.items()],
    }
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"parasuite/{ended.run_id}"},
        "invocations": [_invocation(ended, left_out)],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(name: str, rule: Rule) -> dict[str, object]:
    return {
        "id": name,
        "name": name.title().replace("-", ""),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.title},
        "help": {"text": rule.help, "markdown": rule.help},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": ["network", "ports", "tests"]},
    }


def _invocation(ended: Ended, left_out: int) -> dict[str, object]:
    notes = list(ended.notes)
    if left_out:
        notes.append(LEFT_OUT.format(results=plural(left_out, "result")))
    return {
        "executionSuccessful": ended.is_conclusive,
        "exitCode": ended.exit_code,
        "exitCodeDescription": printable(ended.reason),
        "startTimeUtc": ended.started_at,
        "toolExecutionNotifications": [{"level": "note", "message": {"text": printable(note)}} for note in notes],
    }


def _result(problem: Problem) -> dict[str, object]:
    others = [
        {"id": number, **_location(place), "message": {"text": printable(did)}}
        for number, (place, did) in enumerate(problem.others[:_OTHERS_MAX], start=1)
    ]
    return {
        "ruleId": problem.rule,
        "ruleIndex": _RULE_INDEX[problem.rule],
        "level": _LEVELS[problem.severity],
        "message": {"text": "\n".join(map(printable, [problem.title, *problem.details]))[:_MESSAGE_MAX]},
        "locations": [_location(problem.place or Location(".", 0, ""))],
        "partialFingerprints": {FINGERPRINT: problem.id},
        **({"relatedLocations": others} if others else {}),
        **_suppressions(problem),
    }


def _suppressions(problem: Problem) -> dict[str, object]:
    suppressed = problem.suppressed
    if suppressed is None:
        return {}
    kind = "inSource" if suppressed.by is SuppressedBy.COMMENT else "external"
    return {"suppressions": [{"kind": kind, "status": "accepted", "justification": printable(suppressed.reason)}]}


def _location(place: Location) -> dict[str, object]:
    artifact = {"uri": quote(place.file.encode("utf-8", "surrogateescape")), "uriBaseId": _ROOT}
    # GitHub wants a region for each location.
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(1, place.line)}}}
