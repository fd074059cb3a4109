"""Phrases of a report as parasuite words them, for tests that look for them in its output."""

from __future__ import annotations

from parasuite.model.words import TestOutcome
from parasuite.reports.wording import in_copies, outcome_counts


def counted(failed_attempts: int = 0, **counts: int) -> str:
    """The line that counts test results, to its end: `counted(passed=4, not_collected=2)`."""
    outcomes = {TestOutcome[name.upper()]: count for name, count in counts.items()}
    return outcome_counts(outcomes, failed_attempts) + "\n"


def bad_test(outcome: TestOutcome, test: str, copies: list[int], of: int) -> str:
    """The line on the terminal for a test that had *outcome* in some *copies* of the run's *of*."""
    return f"{outcome} {test} in {in_copies(copies, of)}"
