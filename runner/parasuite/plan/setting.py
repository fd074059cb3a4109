"""What there is to know about one setting, and where its value comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import click

from parasuite.plan.profiles import profile_table
from parasuite.plan.targets import ResultSource

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
