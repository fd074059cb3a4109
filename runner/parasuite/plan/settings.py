"""The settings of a run: one table, from which come options, keys of pyproject.toml, variables, help and completion.

To add a setting, add a row to `Settings`. The run reads its value as a field of `RunSpec`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import click

from parasuite.model.ambient import AmbientService
from parasuite.model.sensors import SensorName
from parasuite.model.suppression import Suppression
from parasuite.model.words import (
    ExitCodeFrom,
    FailFast,
    FailOn,
    NetworkMode,
    OptionalReport,
    OutputFormat,
    Until,
)
from parasuite.plan.baseline import Baseline
from parasuite.plan.capacity import processors
from parasuite.plan.errors import ConfigError
from parasuite.plan.option_types import Duration, PathText, Pattern, Seconds, SensorList, Word
from parasuite.plan.profiles import profile_table
from parasuite.plan.seeds import SEED_MAX
from parasuite.plan.targets import ResultSource, Target

T = TypeVar("T")


class Origin(StrEnum):
    """Where the value of a setting comes from. If it is set in several places, the first of these counts."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    PROFILE = "profile"
    PROJECT = "pyproject.toml"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from. *profile*: the name of the profile, if it is from one."""

    origin: Origin
    profile: str = ""

    def __str__(self) -> str:
        return f"{self.origin} {self.profile}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[T]):
    """One setting.

    *name*: its key below [tool.parasuite]. Its option is `--name` and its variable PARASUITE_NAME, unless *flags* and
    *variables* differ; of several variables, the first that is set counts. *value_type*: reads its text, wherever
    that comes from. *must_be*: what the text must be, for the error "--name must be ...". *default*: as a user would
    write it; *default_shown*: what --help shows instead. *toml_types*: what pyproject.toml may contain.
    *if_bare*: what its option means without a value, which then must be a number or follow a `=`; "" if it must have
    one.
    *is_switch*: it is on or off, and its options are `--name` and `--no-name`.
    *is_option_only*: it has neither a key nor a variable.

    *applies_to*: the targets that it is for, by their results; None for all. For any other target it is an error,
    and *instead* completes the message. If *is_ignored_elsewhere*, it is an error only on the command line: a project
    may set it for all of its runs.
    """

    name: str
    value_type: click.ParamType[T]
    must_be: str
    metavar: str = ""
    help: str
    flags: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    default: str | Callable[[], str] | None = None
    default_shown: str = ""
    toml_types: tuple[type, ...] = (str,)
    if_bare: str = ""
    is_switch: bool = False
    is_option_only: bool = False
    applies_to: ResultSource | None = None
    instead: str = ""
    is_ignored_elsewhere: bool = False

    @property
    def option_flags(self) -> tuple[str, ...]:
        """Short before long."""
        return self.flags or (f"--{self.name}",)

    @property
    def environment_variables(self) -> tuple[str, ...]:
        """Empty for a setting that is only an option."""
        if self.is_option_only:
            return ()
        return self.variables or ("PARASUITE_" + self.name.upper().replace("-", "_"),)

    def written(self, value: T | None) -> str:
        """*value* as a user would write it; for one that is not set, what it means."""
        if value is None:
            return self.default_shown or "not set"
        if isinstance(value, tuple):
            return ",".join(map(str, value)) or "none"
        if isinstance(value, bool | float):
            return f"{value:g}" if isinstance(value, float) else str(value).lower()
        return str(value)

    def label(self, source: Source) -> str:
        """The setting as it is called in *source*, for messages."""
        flag = next((each for each in self.option_flags if each.startswith("--")), self.option_flags[0])
        labels = {
            Origin.COMMAND_LINE: flag,
            Origin.ENVIRONMENT: next(iter(self.environment_variables), self.name),
            Origin.PROFILE: f"{profile_table(source.profile)} {self.name}",
            Origin.PROJECT: f"[tool.parasuite] {self.name}",
            Origin.DEFAULT: f"the default of {flag}",
        }
        return labels[source.origin]


PORTS_MIN, PORTS_MAX = 2, 64_512
"""How many ephemeral ports a network may have: the kernel wants two, and none of them below 1024."""
CONTROL_RUNS_MAX = 100
RUN_AGAIN = ("control", "prove_s")
"""The fields of settings that have tests run once more after the run."""

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


def optional_reports(*, page: bool) -> frozenset[OptionalReport]:
    """The reports to write, from the settings of the same names."""
    wanted = {OptionalReport.PAGE: page}
    return frozenset(report for report, is_wanted in wanted.items() if is_wanted)


SETTINGS: Mapping[str, Setting[Any]] = {each.name: each.metadata[_ROW] for each in fields(Settings)}
"""The rows, by the name of their field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec(Settings):
    """Everything that a run was asked for. *timeout_s*: per copy. *sensors*: names, ("auto",), or () for none.

    *origins*: of each setting, by its name. *ambient*: what the suite is meant to use outside the run.
    *suppressions*, *accepted*: findings that the project lives with. *notes*: what was found out before
    the run began, a sentence each.
    """

    target: Target
    pytest_args: tuple[str, ...]
    origins: Mapping[str, Source]
    ambient: tuple[AmbientService, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    accepted: Baseline = Baseline()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        target: Target,
        pytest_args: tuple[str, ...],
        origins: Mapping[str, Source],
        ambient: tuple[AmbientService, ...],
    ) -> RunSpec:
        """A run with these *settings*."""
        values = {name: getattr(settings, name) for name in SETTINGS}
        return cls(target=target, pytest_args=pytest_args, origins=origins, ambient=ambient, **values)

    @property
    def optional_reports(self) -> frozenset[OptionalReport]:
        """Which of them are to be written."""
        return optional_reports(page=self.page)

    @property
    def is_observed_only(self) -> bool:
        """Whether the only copy is to run as if parasuite were not there, with parasuite's own standard streams."""
        return self.exit_code_from is ExitCodeFrom.SUITE and self.copies == 1

    @property
    def is_series(self) -> bool:
        """Whether more than one round was asked for."""
        return (self.repeat or 1) > 1 or self.duration_s is not None or self.until is not None

    def check(self) -> None:
        """Raises ConfigError for settings that do not fit the target, or each other."""
        for setting in SETTINGS.values():
            self._check_applies(setting)
        if self.until is Until.FINDING and self.fail_on is FailOn.NEVER:
            label = SETTINGS["until"].label(self.origins["until"])
            raise ConfigError(f"{label} {self.until} would never stop: --fail-on {self.fail_on} lets no finding fail")
        if self.collect_junit is not None and "{copy}" not in self.collect_junit and self.copies > 1:
            label = SETTINGS["collect_junit"].label(self.origins["collect-junit"])
            raise ConfigError(
                f"{label} must contain {{copy}}, or the copies overwrite each other's file; "
                "the command finds its copy's number in $PARASUITE_COPY"
            )
        if self.port_range is not None and self.network is not NetworkMode.PRIVATE:
            label = SETTINGS["port_range"].label(self.origins["port-range"])
            raise ConfigError(f"{label} only applies to a private network; add --network {NetworkMode.PRIVATE}")
        if self.prove_s is not None and self.network is NetworkMode.EACH:
            label = SETTINGS["prove_s"].label(self.origins["prove"])
            raise ConfigError(
                f"{label} cannot take a port in the network of a copy; use --network {NetworkMode.PRIVATE}, or "
                "`parasuite repro` afterwards"
            )
        for setting in (SETTINGS[name] for name in RUN_AGAIN if getattr(self, name) is not None):
            if self.is_observed_only or self.is_series:
                label = setting.label(self.origins[setting.name])
                why = "the only copy is just observed" if self.is_observed_only else "there are several rounds"
                raise ConfigError(f"{label} runs tests once more, which does not apply here: {why}")

    def _check_applies(self, setting: Setting[Any]) -> None:
        source = self.origins[setting.name]
        if setting.applies_to in (None, self.target.results) or source.origin is Origin.DEFAULT:
            return
        if setting.is_ignored_elsewhere and source.origin is not Origin.COMMAND_LINE:
            return
        intended = "pytest targets" if setting.applies_to is ResultSource.PYTEST else "commands"
        raise ConfigError(f"{setting.label(source)} only applies to {intended}; {setting.instead}")
