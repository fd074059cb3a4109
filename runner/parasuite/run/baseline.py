"""The entries of the baseline for a new run, each with how long it has not been seen."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from parasuite.judge.suppressions import STALE_AFTER
from parasuite.judge.verdict import ExitCode
from parasuite.model.run_record import RunRecord
from parasuite.model.suppression import BaselineEntry
from parasuite.model.words import RunEnd
from parasuite.plan.baseline import Baseline
from parasuite.record.past_runs import found_in_past_runs


def baseline_entries(baseline: Baseline, record: RunRecord, base: Path) -> tuple[BaselineEntry, ...]:
    """The entries of *baseline* for the new run of *record*. *base*: the folder of the runs.

    A run of other tests, or of fewer copies, cannot say that something does not happen any more.
    """
    if not baseline.entries:
        return ()

    def is_alike(past: RunRecord) -> bool:
        return baseline.is_about(past) and past.copies >= baseline.copies

    def is_wanted(past: RunRecord) -> bool:
        is_conclusive = past.verdict_code in set(ExitCode) and ExitCode(past.verdict_code or 0).is_conclusive
        return past.run_id != record.run_id and past.ended is RunEnd.COMPLETE and is_conclusive and is_alike(past)

    unseen = None
    if is_alike(record):
        unseen = dict.fromkeys(baseline.entries, 0)
        missing = set(unseen)
        for found in islice(found_in_past_runs(base, is_wanted), STALE_AFTER):
            missing -= found
            for finding in missing:
                unseen[finding] += 1
    return tuple(
        BaselineEntry(finding, entry.reason, None if unseen is None else unseen[finding])
        for finding, entry in sorted(baseline.entries.items())
    )
