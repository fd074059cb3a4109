"""A line for each problem, as compilers print them: `tests/conftest.py:12: error [hard-coded] ... (id)`."""

from __future__ import annotations

from collections.abc import Iterable

from parasuite.judge.report import Report
from parasuite.reports.problems import Problem, problems
from parasuite.reports.wording import printable


def concise(report: Report) -> str:
    """The problems, and the verdict alone on the last line."""
    return concise_lines(problems(report), report.verdict.reason)


def concise_lines(found: Iterable[Problem], reason: str) -> str:
    """A line for each of *found*, and *reason*."""
    return "".join(f"{printable(line)}\n" for line in [*map(_line, found), reason])


def _line(problem: Problem) -> str:
    where = "" if problem.place is None else f"{problem.place.position}: "
    return f"{where}{problem.severity} [{problem.rule}] {problem.title} ({problem.id})"
