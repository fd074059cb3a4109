"""`parasuite run --dask`: the same run on each host of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from parasuite.cli.series_output import print_series_and_exit
from parasuite.judge.series import SeriesReport
from parasuite.model.words import OutputFormat
from parasuite.plan.arguments import arguments
from parasuite.plan.errors import ConfigError
from parasuite.plan.options import profile_of
from parasuite.plan.run_spec import RunSpec
from parasuite.run.progress import Progress

NEEDS_DASK = "--dask needs the package distributed: pip install 'parasuite[dask]', here and on the hosts"
_NOT_PASSED_ON = ("dask", "hosts", "output_dir", "output_format")


def run_on_hosts_and_exit(
    context: click.Context,
    spec: RunSpec,
    *,
    target: str | None,
    after_dashes: tuple[str, ...],
    cwd: Path,
    progress: Progress,
) -> NoReturn:
    """Run *spec* on each host, report the series, and exit. *target*, *after_dashes*: as on the command line."""
    series, problems = _run_on_hosts(context, spec, target, after_dashes, cwd, progress)
    progress.close()
    print_series_and_exit(series, problems, spec.output_format)


def _run_on_hosts(
    context: click.Context,
    spec: RunSpec,
    target: str | None,
    after_dashes: tuple[str, ...],
    cwd: Path,
    progress: Progress,
) -> tuple[SeriesReport, list[str]]:
    try:
        from parasuite.hosts.session import Wanted, run_on_hosts
    except ModuleNotFoundError as error:
        raise ConfigError(NEEDS_DASK) from error
    profile = profile_of(context)
    wanted = Wanted(
        arguments=(
            *arguments(spec, spec.origins, without=_NOT_PASSED_ON),
            f"--output-format={OutputFormat.CONCISE}",
            *([f"--profile={profile}"] if profile else []),
            *([target] if target else []),
            *(["--", *after_dashes] if after_dashes else []),
        ),
        target=target or "",
        words=() if target else after_dashes,
        python=spec.python or "",
        cwd=cwd,
    )
    return run_on_hosts(spec, wanted, progress)
