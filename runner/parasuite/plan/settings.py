"""The settings of a run: one table, from which come options, keys of pyproject.toml, variables, help and completion.

To add a setting, add a row to `Settings`. A run reads its value as a field of `plan.run_spec.RunSpec`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from parasuite.model.sensors import SensorName
from parasuite.model.words import (
    ExitCodeFrom,
    FailFast,
    FailOn,
    NetworkMode,
    OptionalReport,
    OutputFormat,
    StartMode,
    Until,
)
from parasuite.plan.capacity import processors
from parasuite.plan.option_types import ClusterAddress, Duration, PathText, Pattern, Seconds, SensorList, Word
from parasuite.plan.seeds import SEED_MAX
from parasuite.plan.setting import Setting
from parasuite.plan.targets import ResultSource

T = TypeVar("T")

PORTS_MIN, PORTS_MAX = 2, 64_512
"""How many ephemeral ports a network may have: the kernel wants two, and none of them below 1024."""
CONTROL_RUNS_MAX = 100
IGNORE_LIMITS = "PARASUITE_IGNORE_LIMITS"
"""A variable, and no setting: if it is 1, more copies may run than the machine seems to have room for."""
_ROW = "setting"


def _row(setting: Setting[T]) -> T:
    """A field whose metadata is *setting*. (The type checker compares T with the field's annotation.)"""
    return cast(T, field(metadata={_ROW: setting}))


def _default_copies() -> str:
    return str(max(2, processors()))


def _default_format() -> str:
    # Documented, default variables of GitHub Actions: always true there.
    return OutputFormat.GITHUB if os.environ.get("GITHUB_ACTIONS") == "true" else OutputFormat.FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting: its value in a run as a field, and what else there is to know about it as a row."""

    copies: int = _row(
        Setting(
            name="copies",
            flags=("-j", "--copies", "--jobs"),
            # In a copy parasuite itself has set PARASUITE_COPIES; a parasuite there does not take it for a setting.
            variables=("PARASUITE_JOBS", "PARASUITE_COPIES"),
            value_type=click.IntRange(min=1),
            must_be="a whole number, 1 or more",
            metavar="N",
            default=_default_copies,
            default_shown="one per usable processor, at least 2",
            toml_types=(int, str),
            help="Copies to run at once.",
        )
    )
    timeout_s: float | None = _row(
        Setting(
            name="timeout",
            value_type=Seconds(),
            must_be="a number of seconds above 0",
            metavar="SECONDS",
            default_shown="no limit",
            toml_types=(int, float, str),
            help="Stop a copy after SECONDS; Python stacks are written to its output.",
        )
    )
    fail_on: FailOn = _row(
        Setting(
            name="fail-on",
            value_type=Word(FailOn),
            must_be=f"one of {', '.join(FailOn)}",
            metavar="|".join(FailOn),
            default=FailOn.ERROR.value,
            help="Least severity of a finding that makes the run fail (exit code 66).",
        )
    )
    fail_fast: FailFast = _row(
        Setting(
            name="fail-fast",
            value_type=Word(FailFast),
            must_be=f"one of {', '.join(FailFast)}",
            metavar="|".join(FailFast),
            default=FailFast.NEVER.value,
            if_bare=FailFast.ALL.value,
            help="What to stop at the first test that fails or copy that dies. Without a word: all.",
        )
    )
    exit_code_from: ExitCodeFrom = _row(
        Setting(
            name="exit-code",
            value_type=Word(ExitCodeFrom),
            must_be=f"one of {', '.join(ExitCodeFrom)}",
            metavar="|".join(ExitCodeFrom),
            default=ExitCodeFrom.PARASUITE.value,
            help="Whose exit code to have. suite: that of what the copies run; one copy then also keeps its streams.",
        )
    )
    output_format: OutputFormat = _row(
        Setting(
            name="output-format",
            value_type=Word(OutputFormat),
            must_be=f"one of {', '.join(OutputFormat)}",
            metavar="|".join(OutputFormat),
            default=_default_format,
            default_shown="github in GitHub Actions, else full",
            help="What to print at the end. json, gitlab, sarif: one JSON document.",
        )
    )
    output_dir: Path = _row(
        Setting(
            name="output-dir",
            value_type=PathText(Path, "dir"),
            must_be="a path",
            metavar="DIR",
            default=".parasuite",
            help="Where run folders go.",
        )
    )
    baseline: Path = _row(
        Setting(
            name="baseline",
            value_type=PathText(Path, "file"),
            must_be="a path",
            metavar="FILE",
            default="parasuite-baseline.toml",
            help="Findings to live with, as `parasuite baseline` writes them.",
        )
    )
    python: str | None = _row(
        Setting(
            name="python",
            # Text: Path would make "./python" the "python" that is looked up on PATH.
            value_type=PathText(str, "file"),
            must_be="a path",
            metavar="PATH",
            default_shown="that of the active environment or of the project, else python3 on PATH",
            applies_to=ResultSource.PYTEST,
            instead="a command names its own interpreter",
            is_ignored_elsewhere=True,
            help="Python to run pytest with (pytest 7+).",
        )
    )
    keyword: str = _row(
        Setting(
            name="keyword",
            flags=("-k",),
            value_type=click.STRING,
            must_be="an expression",
            metavar="EXPRESSION",
            default="",
            default_shown="all tests",
            is_option_only=True,
            applies_to=ResultSource.PYTEST,
            instead="options of a command follow its name",
            help="Run only the tests that match, as with pytest -k.",
        )
    )
    marker: str = _row(
        Setting(
            name="marker",
            flags=("-m",),
            value_type=click.STRING,
            must_be="an expression",
            metavar="EXPRESSION",
            default="",
            default_shown="all tests",
            is_option_only=True,
            applies_to=ResultSource.PYTEST,
            instead="options of a command follow its name",
            help="Run only the tests with matching marks, as with pytest -m.",
        )
    )
    collect_junit: str | None = _row(
        Setting(
            name="collect-junit",
            value_type=Pattern(),
            must_be="a pattern of file names",
            metavar="GLOB",
            default_shown="not set",
            applies_to=ResultSource.COMMAND,
            instead="pytest's results are read without it",
            help="JUnit files that the command writes; {copy} is replaced by the copy's number.",
        )
    )
    sensors: tuple[str, ...] = _row(
        Setting(
            name="sensors",
            value_type=SensorList(),
            must_be=f"auto, none, or a list of {', '.join(SensorName)}",
            metavar="LIST",
            default="auto",
            toml_types=(str, list),
            help=f"Sensors to use: auto, none, or some of {','.join(SensorName)}.",
        )
    )
    control: int | None = _row(
        Setting(
            name="control",
            value_type=click.IntRange(min=1, max=CONTROL_RUNS_MAX),
            must_be=f"a whole number from 1 to {CONTROL_RUNS_MAX}",
            metavar="RUNS",
            default_shown="no control",
            if_bare="3",
            toml_types=(int, str),
            help="At the end, run what failed alone, RUNS times, and say which are collisions. Without a number: 3.",
        )
    )
    prove_s: float | None = _row(
        Setting(
            name="prove",
            value_type=Seconds(),
            must_be="a number of seconds above 0",
            metavar="SECONDS",
            default_shown="no proof",
            if_bare="300",
            toml_types=(int, float, str),
            help="At the end, prove findings as `parasuite repro` does, for SECONDS in all. Without a number: 300.",
        )
    )
    network: NetworkMode = _row(
        Setting(
            name="network",
            value_type=Word(NetworkMode),
            must_be=f"one of {', '.join(NetworkMode)}",
            metavar="|".join(NetworkMode),
            default=NetworkMode.HOST.value,
            help="Network that the copies use: this host's, a new one for the run, or one for each copy (Linux).",
        )
    )
    port_range: int | None = _row(
        Setting(
            name="port-range",
            value_type=click.IntRange(min=PORTS_MIN, max=PORTS_MAX),
            must_be=f"a whole number from {PORTS_MIN} to {PORTS_MAX}",
            metavar="N",
            default_shown="as many as this host",
            toml_types=(int, str),
            help="Ephemeral ports of a private network: with few of them, lost ports are lost far more often.",
        )
    )
    repeat: int | None = _row(
        Setting(
            name="repeat",
            value_type=click.IntRange(min=1),
            must_be="a whole number, 1 or more",
            metavar="N",
            default_shown="one round; no limit with --duration or --until",
            toml_types=(int, str),
            help="Run N rounds, one after the other; docs/rounds.md.",
        )
    )
    duration_s: float | None = _row(
        Setting(
            name="duration",
            value_type=Duration(),
            must_be="a time such as 90, 30m or 1h30m",
            metavar="TIME",
            default_shown="no limit",
            toml_types=(int, float, str),
            help="Start rounds until TIME is over (30m, 8h); the last one runs to its end.",
        )
    )
    until: Until | None = _row(
        Setting(
            name="until",
            value_type=Word(Until),
            must_be=f"one of {', '.join(Until)}",
            metavar="|".join(Until),
            default_shown="run all rounds",
            help="Stop after the first round with a failure, or with a finding at or above --fail-on.",
        )
    )
    stagger_s: float | None = _row(
        Setting(
            name="stagger",
            value_type=Seconds(),
            must_be="a number of seconds above 0",
            metavar="SECONDS",
            default_shown="all at once; copies of a pytest tree begin their tests together",
            toml_types=(int, float, str),
            help="Start each copy SECONDS after the one before it.",
        )
    )
    start: StartMode = _row(
        Setting(
            name="start",
            value_type=Word(StartMode),
            must_be=f"one of {', '.join(StartMode)}",
            metavar="|".join(StartMode),
            default=StartMode.EXEC.value,
            applies_to=ResultSource.PYTEST,
            instead="what a command starts cannot be forked",
            is_ignored_elsewhere=True,
            help="fork: import the tests once, and fork all copies from there (Linux); docs/fork.md.",
        )
    )
    seed: int | None = _row(
        Setting(
            name="seed",
            value_type=click.IntRange(0, SEED_MAX),
            must_be=f"a whole number from 0 to {SEED_MAX}",
            metavar="N",
            default_shown="none",
            toml_types=(int, str),
            help="Give each copy a seed of its own that follows from N; docs/rounds.md.",
        )
    )
    dask: str | None = _row(
        Setting(
            name="dask",
            value_type=ClusterAddress(),
            must_be="the address of a Dask scheduler, or local:N for N workers on this host",
            metavar="ADDRESS",
            default_shown="this host only",
            is_option_only=True,
            help="Run on each host of a Dask cluster, tcp://HOST:PORT or local:N; docs/hosts.md.",
        )
    )
    hosts: int | None = _row(
        Setting(
            name="hosts",
            value_type=click.IntRange(min=1),
            must_be="a whole number, 1 or more",
            metavar="N",
            default_shown="all that are there",
            is_option_only=True,
            help="Wait for N hosts of the cluster, and use no more.",
        )
    )
    page: bool = _row(
        Setting(
            name="page",
            value_type=click.BOOL,
            must_be="true or false",
            default="true",
            toml_types=(bool, str),
            is_switch=True,
            help="Write report.html, the run on one page.",
        )
    )
    trace: bool = _row(
        Setting(
            name="trace",
            value_type=click.BOOL,
            must_be="true or false",
            default="false",
            default_shown="no-trace",
            toml_types=(bool, str),
            is_switch=True,
            help="Write trace.json.gz, the run over time for ui.perfetto.dev.",
        )
    )


def optional_reports(*, page: bool, trace: bool) -> frozenset[OptionalReport]:
    """The reports to write, from the settings of the same names."""
    wanted = {OptionalReport.PAGE: page, OptionalReport.TRACE: trace}
    return frozenset(report for report, is_wanted in wanted.items() if is_wanted)


SETTINGS: Mapping[str, Setting[Any]] = {each.name: each.metadata[_ROW] for each in fields(Settings)}
"""The rows, by the name of their field."""
