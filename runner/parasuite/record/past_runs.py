"""What earlier runs in the output folder have found, as far as they are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from parasuite.model.json_fields import is_object, is_objects
from parasuite.record.findings_file import FINDINGS_FILE
from parasuite.record.retention import runs_below
from parasuite.record.untrusted import Unreadable, read_json

_FINDINGS_BYTES_MAX = 64 << 20


def newest_run_with(base: Path, finding: str) -> Path | None:
    """The folder of the newest run below *base* that has a finding of this id; None if none of those kept has."""
    for run in _newest_first(base):
        with contextlib.suppress(Unreadable):
            if finding in _ids(run):
                return run
    return None


def _newest_first(base: Path) -> Iterator[Path]:
    with contextlib.suppress(Unreadable):
        yield from (base / "runs" / run for run in reversed(runs_below(base)))


def _ids(run: Path) -> frozenset[str]:
    """The ids in its findings.json. Raises Unreadable."""
    written: object = read_json(run, FINDINGS_FILE, _FINDINGS_BYTES_MAX)
    findings = written.get("findings") if is_object(written) else None
    if not is_objects(findings):
        raise Unreadable(f"{FINDINGS_FILE} has no findings")
    return frozenset(str(finding.get("id")) for finding in findings)
