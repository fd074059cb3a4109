"""What earlier runs in the output folder have found, as far as they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from parasuite.model.json_fields import is_object, is_objects
from parasuite.model.run_record import FILE_BYTES_MAX, FILE_NAME, RunRecord, RunRecordError
from parasuite.record.untrusted import Unreadable, names, read_json

_FINDINGS_FILE = "findings.json"
_FINDINGS_BYTES_MAX = 64 << 20


def found_in_past_runs(base: Path, is_wanted: Callable[[RunRecord], bool]) -> Iterator[frozenset[str]]:
    """The ids of the findings of each run below *base* that *is_wanted* by its record, the newest first.

    Runs that cannot be read, or that another version of parasuite has written, are left out.
    """
    try:
        runs = names(base, "runs", "")
    except Unreadable:
        return
    for run in reversed(runs):
        try:
            if is_wanted(RunRecord.from_json(read_json(base / run, FILE_NAME, FILE_BYTES_MAX))):
                yield _ids(read_json(base / run, _FINDINGS_FILE, _FINDINGS_BYTES_MAX))
        except (Unreadable, RunRecordError):
            continue


def _ids(written: object) -> frozenset[str]:
    """The ids in a findings.json. Raises Unreadable."""
    findings = written.get("findings") if is_object(written) else None
    if not is_objects(findings):
        raise Unreadable(f"{_FINDINGS_FILE} has no findings")
    return frozenset(str(finding.get("id")) for finding in findings)
