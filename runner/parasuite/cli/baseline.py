"""`parasuite baseline`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

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
from parasuite.plan.options import ProfileOption, SettingOption, baseline_path, current_folder, without_command_line
from parasuite.record.run_folder import RunFolder
from parasuite.reports.wording import plural, printable, short_title

EXISTS = "{path} exists; `parasuite baseline --update` adds what is new"
OF_ANOTHER_RUN = (
    "{path} was written from a run of {target}, and this one is of {other}: name a file of its own with --baseline"
)
INCONCLUSIVE = "note: that run proves nothing ({reason}): more may be found by another one"
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

    RUN is a run folder, or a folder that contains runs, of which the latest is taken, as for `parasuite report`.
    Findings of severity note, which never fail a run, and those that are suppressed are left out.

    An entry is stale once five runs in a row of what the file was written from have not seen it. --update removes
    stale entries, except those to which somebody has given a reason.
    """
    cwd = current_folder()
    path = baseline_path(context)
    if not update and os.path.lexists(path):
        raise ConfigError(EXISTS.format(path=path))
    source = Path(folder) if folder is not None else without_command_line("output_dir")
    try:
        run_folder = RunFolder.open(source)
        record = run_folder.read_record()
        report = assemble_report(run_folder, record)
    except OSError as error:
        stop(f"{error.filename or source} cannot be read: {error.strerror}")
    before = read_baseline(path) or new_baseline(record)
    if not before.is_about(record):
        other = " ".join([record.described, *record.pytest_args])
        target = " ".join([before.target, *before.arguments])
        raise ConfigError(OF_ANOTHER_RUN.format(path=path, target=target, other=other))
    for line in _write(path, before, record, report, display_path(path, cwd)):
        print_safely(line)


def _write(path: Path, before: Baseline, record: RunRecord, report: Report, shown: str) -> Iterator[str]:
    """Write the baseline; what has changed, a line each."""
    new = {finding.id: _comment(finding) for finding in report.findings if _is_new(finding)}
    add = {finding: comment for finding, comment in new.items() if finding not in before.entries}
    gone = [entry.id for entry in stale(record.baseline, report.findings) if entry.id in before.entries]
    remove = [finding for finding in gone if before.entries[finding].reason == REASON]
    after = before.changed(add, remove)
    try:
        _replace(path.resolve(), after.text())
    except OSError as error:
        stop(f"{path} cannot be written: {error.strerror}")
    added = f"{plural(len(add), 'finding')} added"
    removed = f", {plural(len(remove), 'stale entry')} removed" if remove else ""
    yield f"{shown}: {added}{removed}, {plural(len(after.entries), 'entry')} in all"
    for finding in gone:
        if finding not in remove:
            yield KEPT.format(id=finding, reason=before.entries[finding].reason)
    if not report.verdict.code.is_conclusive:
        yield INCONCLUSIVE.format(reason=report.verdict.reason)


def _is_new(finding: Finding) -> bool:
    return finding.suppressed is None and finding.severity is not Severity.NOTE


def _comment(finding: Finding) -> str:
    """One line that tells people what the id stands for."""
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
