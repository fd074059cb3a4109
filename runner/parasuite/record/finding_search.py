"""Finds the run that has a finding, by the finding's id or the beginning of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parasuite.model.suspect import StoredFinding
from parasuite.record.findings_file import stored_findings
from parasuite.record.retention import RUNS_KEPT, runs_below
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.untrusted import Unreadable

NO_SUCH_FINDING = "no finding {prefix!r} in {where}; {there_are}"
KEPT_IN = "the newest {count} runs, which are all that {base} keeps"
NO_RUN = "there is no run below {where}: run the suite first, or name a run folder"
SEVERAL = "{prefix!r} is the beginning of several findings: {ids}"
_LISTED = 10


def newest_with(base: Path, prefix: str) -> tuple[RunFolder, StoredFinding]:
    """The newest run in the output folder *base* with a finding whose id begins with *prefix*.

    Raises RunFolderError if there is none, or if *prefix* is the beginning of several ids.
    """
    runs = [RunFolder(base / "runs" / run) for run in reversed(runs_below(base))]
    if not runs:
        raise RunFolderError(NO_RUN.format(where=base))
    newest: Sequence[StoredFinding] = ()
    for run in runs:
        try:
            findings = stored_findings(run.path)
        except Unreadable:
            continue  # A run that was killed before it was judged, or an older one.
        newest = newest or findings
        if (finding := _matching(findings, prefix)) is not None:
            return run, finding
    raise _no_such_finding(prefix, KEPT_IN.format(count=RUNS_KEPT, base=base), newest)


def in_run(folder: Path, prefix: str) -> tuple[RunFolder, StoredFinding]:
    """The run in *folder*, and its finding whose id begins with *prefix*. Raises RunFolderError as `newest_with`."""
    run = RunFolder.open(folder)
    try:
        findings = stored_findings(run.path)
    except Unreadable as error:
        raise RunFolderError(f"{folder}: {error}") from error
    if (finding := _matching(findings, prefix)) is None:
        raise _no_such_finding(prefix, folder, findings)
    return run, finding


def _matching(findings: Sequence[StoredFinding], prefix: str) -> StoredFinding | None:
    matching = [finding for finding in findings if finding.id.startswith(prefix)]
    if len(matching) > 1:
        raise RunFolderError(SEVERAL.format(prefix=prefix, ids=", ".join(finding.id for finding in matching)))
    return matching[0] if matching else None


def _no_such_finding(prefix: str, where: Path | str, newest: Sequence[StoredFinding]) -> RunFolderError:
    ids = [f"{finding.id} [{finding.cause}]" for finding in newest[:_LISTED]]
    more = f" and {len(newest) - len(ids)} more" if len(newest) > len(ids) else ""
    there_are = f"there are {', '.join(ids)}{more}" if ids else "there are none"
    return RunFolderError(NO_SUCH_FINDING.format(prefix=prefix, where=where, there_are=there_are))
