"""`parasuite settings`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click

from parasuite.assemble import display_path
from parasuite.cli.output import print_safely
from parasuite.plan.baseline import Baseline, read_baseline
from parasuite.plan.options import ProfileOption, baseline_path, current_folder, origins, project_of, stored_settings
from parasuite.plan.project import FILE_NAME, Project
from parasuite.plan.setting import Origin
from parasuite.plan.settings import SETTINGS
from parasuite.reports.wording import plural

NO_PROJECT = "no {file} here or in a folder above"
_HEAD = ("setting", "from", "value")


@click.command("settings", params=[ProfileOption()], short_help="list the settings and where each value comes from")
@click.pass_context
def settings_command(context: click.Context, /) -> None:
    """List the settings that a run in this folder would have, and where each value comes from.

    Options of a run override all of them. Exits with 2 if one of them cannot be used.
    """
    project = project_of(context)
    settings = stored_settings()
    sources = origins(settings)
    rows = [
        (setting.name, str(sources[setting.name]), setting.written(settings.params[field]))
        for field, setting in SETTINGS.items()
        if field in settings.params
    ]
    baseline = read_baseline(baseline_path(settings)) or Baseline()
    for line in [*_table([_HEAD, *rows, *_target(project)]), *_rest(project, baseline)]:
        print_safely(line)


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, source, value in rows:
        yield f"{name:<{widths[0]}}  {source:<{widths[1]}}  {value}"


def _target(project: Project) -> Iterator[tuple[str, str, str]]:
    if project.target:
        yield "target", Origin.PROJECT, project.target
    if project.command:
        yield "command", Origin.PROJECT, shlex.join(project.command)


def _rest(project: Project, baseline: Baseline) -> Iterator[str]:
    """The file, and how many rows and entries it has of settings that are not a single value."""
    file = project.folder / FILE_NAME
    yield ""
    yield display_path(file, current_folder()) if file.is_file() else NO_PROJECT.format(file=FILE_NAME)
    if project.profiles:
        yield f"profiles: {', '.join(project.profiles)}"
    yield f"ambient: {plural(len(project.ambient), 'row')}"
    yield f"suppress: {plural(len(project.suppressions), 'row')}"
    yield f"baseline: {plural(len(baseline.entries), 'entry')}"
