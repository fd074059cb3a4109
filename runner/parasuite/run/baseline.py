"""The entries of the baseline for a new run, each with how long it has not been seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from parasuite.judge.suppressions import STALE_AFTER
from parasuite.model.run_record import RunRecord
from parasuite.model.suppression import BaselineEntry
from parasuite.plan.baseline import Baseline
from parasuite.record.history_file import read_history
from parasuite.record.untrusted import Unreadable


def baseline_entries(baseline: Baseline, record: RunRecord, base: Path) -> tuple[BaselineEntry, ...]:
    """The entries of *baseline* for the new run of *record*. *base*: the folder with the history.

    A run of other tests, or of fewer copies, cannot say that something does not happen any more.
    """
    unseen = None
    if baseline.entries and _is_alike(baseline, record.described, record.pytest_args, record.copies):
        unseen = dict.fromkeys(baseline.entries, 0)
        missing = set(unseen)
        for found in islice(_found_before(baseline, base), STALE_AFTER):
            missing -= found
            for finding in missing:
                unseen[finding] += 1
    return tuple(
        BaselineEntry(finding, entry.reason, None if unseen is None else unseen[finding])
        for finding, entry in sorted(baseline.entries.items())
    )


def _found_before(baseline: Baseline, base: Path) -> Iterator[set[str]]:
    """The ids that each earlier run that can tell has found, the latest first. None if there is no history."""
    try:
        runs = read_history(base).runs
    except Unreadable:
        return
    for run in reversed(runs):
        can_tell = run.is_conclusive and not run.findings_left_out
        if can_tell and _is_alike(baseline, run.target, run.selection, run.copies):
            yield {finding.id for finding in run.findings}


def _is_alike(baseline: Baseline, target: str, arguments: tuple[str, ...], copies: int) -> bool:
    return baseline.is_about(target, arguments) and copies >= baseline.copies
