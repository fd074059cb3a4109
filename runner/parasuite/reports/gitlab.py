"""GitLab's Code Quality report: an array of problems, which a merge request shows beside the lines it changes.

Source: GitLab's documentation, "Code Quality report format". A problem without a place is given the repository
itself, since GitLab drops entries without a path.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice

from parasuite.judge.report import Report
from parasuite.model.words import Severity
from parasuite.reports.problems import Problem, problems
from parasuite.reports.wording import MORE, plural, printable

PROBLEMS_MAX = 5_000
_SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.NOTE: "info"}
_NO_PLACE = "."
_LEFT_OUT = "left-out"


def gitlab(report: Report) -> str:
    """A JSON array with an entry for each problem."""
    return code_quality(problems(report))


def code_quality(found: Iterable[Problem]) -> str:
    """A JSON array. Of problems with one fingerprint GitLab keeps one, so each has its own."""
    found = iter(found)
    entries = {problem.id: _entry(problem) for problem in islice(found, PROBLEMS_MAX)}
    left_out = sum(1 for _ in found)
    if left_out:
        entries[_LEFT_OUT] = {
            "description": MORE.format(problems=plural(left_out, "more problem")),
            "check_name": _LEFT_OUT,
            "fingerprint": "0" * 10,
            "severity": "info",
            "location": {"path": _NO_PLACE, "lines": {"begin": 1}},
        }
    return json.dumps(list(entries.values()), indent=1) + "\n"


def _entry(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "description": printable(problem.title),
        "check_name": problem.rule,
        "fingerprint": problem.id,
        "severity": _SEVERITIES[problem.severity],
        "location": {
            "path": _NO_PLACE if place is None else printable(place.file),
            "lines": {"begin": max(1, place.line) if place is not None else 1},
        },
    }
