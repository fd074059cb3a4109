"""`parasuite baseline`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from parasuite.assemble import assemble_report, display_path
from parasuite.cli.output import print_safely, stop
from parasuite.judge.findings import Finding
from parasuite.judge.report import Report
from parasuite.judge.suppressions import stale
from parasuite.model.run_record import RunRecord
from parasuite.model.words import Severity
from parasuite.plan.baseline import REASON, Baseline, new_baseline, read_baseline
from parasuite.plan.errors import ConfigError
from parasuite.plan.option_types import PathText
from parasuite.plan.options import ProfileOption, SettingOption, baseline_path, current_folder, output_folder
from parasuite.record.run_folder import RunFolder
from parasuite.record.series import SeriesFolder
from parasuite.reports.wording import plural, printable, short_title

EXISTS = "{path} exists; `parasuite baseline --update` adds what is new"
OF_ANOTHER_RUN = (
    "{path} was written from a run of {target}, and this one is of {other}: name another file with --baseline"
)
INCONCLUSIVE = "note: run {run} proves nothing ({reason}): another one may find more"
KEPT = "stale, but kept since it has a reason of its own: {id} ({reason})"


@click.command(
    "baseline",
    params=[SettingOption("baseline", help="The file to write."), ProfileOption()],
    short_help="write the findings of a run into a file, to live with them",
)
@click.option("--update", is_flag=True, help="Add to a file that exists, and remove what is stale.")
@click.argument("folder", metavar="[RUN]", required=False, type=PathText(str, "dir"))
@click.pass_context
def baseline_command(context: click.Context, /, folder: str | None, update: bool, baseline: Path) -> None:  # noqa: ARG001
    """Write the findings of a run into a file, so that later runs only fail for other ones.

    RUN is the folder of a run or of a series, or a folder that contains some, of which the latest is taken, as for
    `parasuite report`. Findings of severity note, which never fail a run, and those that are suppressed are left out.

    An entry is stale once five runs in a row of what the file was written from have not seen it. --update removes
    stale entries, except those to which somebody has given a reason.
    """
    cwd = current_folder()
    path = baseline_path(context)
    if not update and os.path.lexists(path):
        raise ConfigError(EXISTS.format(path=path))
    source = Path(folder) if folder is not None else output_folder()
    try:
        runs = [_judged(run) for run in _runs(source)]
    except OSError as error:
        stop(f"{error.filename or source} cannot be read: {error.strerror}")
    record = runs[-1].record
    before = read_baseline(path) or new_baseline(record)
    if not before.is_about(record.described, record.pytest_args):
        other = " ".join([record.described, *record.pytest_args])
        target = " ".join([before.target, *before.arguments])
        raise ConfigError(OF_ANOTHER_RUN.format(path=path, target=target, other=other))
    for line in _write(path, before, runs, display_path(path, cwd)):
        print_safely(line)


class _Run(NamedTuple):
    record: RunRecord
    report: Report

    @property
    def is_conclusive(self) -> bool:
        return self.report.verdict.code.is_conclusive


def _runs(source: Path) -> list[RunFolder]:
    """The run at *source*, or the runs of the series there, the oldest first. Raises RunFolderError."""
    series = SeriesFolder.find(source)
    paths = [] if series is None else [series.run_path(name) for name in series.read_record().runs]
    return [RunFolder.open(path) for path in paths if path.exists()] or [RunFolder.open(source)]


def _judged(folder: RunFolder) -> _Run:
    record = folder.read_record()
    return _Run(record, assemble_report(folder, record))


def _write(path: Path, before: Baseline, runs: Sequence[_Run], shown: str) -> list[str]:
    """Write the baseline; what has changed, a line each."""
    found = [finding for run in runs for finding in run.report.findings]
    new = {finding.id: _comment(finding) for finding in found if _is_new(finding)}
    add = {finding: comment for finding, comment in new.items() if finding not in before.entries}
    # What the last run of a series has counted includes the others. One that proves nothing has not counted.
    counted = runs[-1].record.baseline if runs[-1].is_conclusive else ()
    gone = [entry.id for entry in stale(counted, found) if entry.id in before.entries]
    remove = [finding for finding in gone if before.entries[finding].reason == REASON]
    after = before.changed(add, remove)
    try:
        _replace(path.resolve(), after.text())
    except OSError as error:
        stop(f"{path} cannot be written: {error.strerror}")
    added = f"{plural(len(add), 'finding')} added"
    removed = f", {plural(len(remove), 'stale entry')} removed" if remove else ""
    return [
        f"{shown}: {added}{removed}, {plural(len(after.entries), 'entry')} in all",
        *(KEPT.format(id=each, reason=before.entries[each].reason) for each in gone if each not in remove),
        *(
            INCONCLUSIVE.format(run=run.report.run_id, reason=run.report.verdict.reason)
            for run in runs
            if not run.is_conclusive
        ),
    ]


def _is_new(finding: Finding) -> bool:
    return finding.suppressed is None and finding.severity is not Severity.NOTE


def _comment(finding: Finding) -> str:
    """One line for people who read the id: what it is about."""
    title = short_title(finding)
    places = [place.place for place in finding.places[:1] if place.place not in title]
    return printable("; ".join([f"{finding.cause}: {title}", *places]))


def _replace(path: Path, text: str) -> None:
    """Write the file in one step, so that no reader finds half of it. Raises OSError."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
