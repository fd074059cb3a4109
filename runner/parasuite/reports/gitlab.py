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
from parasuite.reports.wording import printable

PROBLEMS_MAX = 5_000
_SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.NOTE: "info"}
_NO_PLACE = "."


def gitlab(report: Report) -> str:
    """A JSON array with an entry for each problem."""
    return code_quality(problems(report))


def code_quality(found: Iterable[Problem]) -> str:
    """A JSON array. Of problems with one fingerprint GitLab keeps one, so each has its own."""
    entries = {problem.id: _entry(problem) for problem in islice(found, PROBLEMS_MAX)}
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
