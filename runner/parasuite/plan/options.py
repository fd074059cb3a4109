"""The settings as options of click: given on the command line, in the environment or in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from parasuite.model.words import CopyVariable
from parasuite.plan.errors import ConfigError, did_you_mean, must_be
from parasuite.plan.profiles import profile_table
from parasuite.plan.project import Project, read_project
from parasuite.plan.setting import Origin, Setting, Source
from parasuite.plan.settings import IGNORE_LIMITS, SETTINGS, Settings

_PREFIX = "PARASUITE_"
PROFILE_VARIABLE = "PARASUITE_PROFILE"
_PROFILE, _PROJECT = "parasuite.profile", "parasuite.project"  # Keys of a context's meta.
_ORIGINS = {
    ParameterSource.COMMANDLINE: Origin.COMMAND_LINE,
    ParameterSource.ENVIRONMENT: Origin.ENVIRONMENT,
    ParameterSource.DEFAULT_MAP: Origin.PROJECT,
    ParameterSource.DEFAULT: Origin.DEFAULT,
}


class SettingOption(click.Option):
    """The option of the setting in field *field* of `Settings`. An unusable value raises ConfigError.

    *is_stored*: whether its variable and pyproject.toml count, too. *help*: for a command that needs other words.
    """

    def __init__(self, field: str, *, is_stored: bool = True, help: str = "") -> None:
        self.setting: Setting[Any] = SETTINGS[field]
        self._is_stored = is_stored and not self.setting.is_option_only
        super().__init__(
            [*_declarations(self.setting), field],
            type=self.setting.value_type,
            default=self.setting.default,
            show_default=self.setting.default_shown or bool(self.setting.default),
            envvar=self.setting.environment_variables if self._is_stored else None,
            metavar=self.setting.metavar or None,
            help=help or self.setting.help,
        )

    def handle_parse_result(self, ctx: click.Context, opts: Any, args: list[str]) -> tuple[Any, list[str]]:
        # Not before: --help, which is handled first, has to work beside a pyproject.toml with a mistake in it.
        if self._is_stored and ctx.default_map is None and not ctx.resilient_parsing:
            check_variables(os.environ)
            ctx.default_map = dict(project_of(ctx).values)
        return super().handle_parse_result(ctx, opts, args)

    def resolve_envvar_value(self, _ctx: click.Context, /) -> str | None:
        variable = self._variable()
        return os.environ[variable] if variable else None

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            source = _source(ctx, self)
            label = self._variable() if source.origin is Origin.ENVIRONMENT else self.setting.label(source)
            raise must_be(label, self.setting.must_be, value) from error

    def _variable(self) -> str:
        """The first of its variables that is set, and is not one that parasuite itself has set; "" if none is."""
        variables = self.setting.environment_variables if self._is_stored else ()
        of_copy = set(CopyVariable) if CopyVariable.RUN_ID in os.environ else set()
        return next((each for each in variables if each not in of_copy and os.environ.get(each)), "")


class ProfileOption(click.Option):
    """`--profile`, or PARASUITE_PROFILE: which profile of pyproject.toml counts. `project_of` has its settings."""

    def __init__(self) -> None:
        super().__init__(
            ["--profile"],
            default="",
            show_default="none",
            metavar="NAME",
            envvar=PROFILE_VARIABLE,
            expose_value=False,
            is_eager=True,  # Before the settings, whose values depend on it.
            callback=_keep_profile,
            help=f"Use the settings in {profile_table('NAME')} of pyproject.toml.",
        )

    def shell_complete(self, _ctx: click.Context, incomplete: str, /) -> list[CompletionItem]:
        try:
            names = read_project(current_folder()).profiles
        except ConfigError:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _keep_profile(ctx: click.Context, _option: click.Parameter, name: str) -> None:
    ctx.meta[_PROFILE] = name


def profile_of(ctx: click.Context) -> str:
    """The profile that the command in *ctx* was given; "" without one."""
    return str(ctx.meta.get(_PROFILE, ""))


def project_of(ctx: click.Context) -> Project:
    """The project of the current folder, with the profile that the command in *ctx* was given. Raises ConfigError."""
    if _PROJECT not in ctx.meta:
        ctx.meta[_PROJECT] = read_project(current_folder(), ctx.meta.get(_PROFILE, ""))
    project: Project = ctx.meta[_PROJECT]
    return project


def _declarations(setting: Setting[Any]) -> list[str]:
    """The option's flags as click takes them; those of a switch with their opposites."""
    return [f"{flag}/--no-{flag.removeprefix('--')}" if setting.is_switch else flag for flag in setting.option_flags]


def setting_options() -> list[click.Parameter]:
    """Every setting as an option, in the order of the table; and the profile."""
    return [*(SettingOption(field) for field in SETTINGS), ProfileOption()]


def output_folder() -> Path:
    """The output folder in the environment, in pyproject.toml or by default. Raises ConfigError."""
    folder: Path = _context_of("output_dir").params["output_dir"]
    return folder


def settings_not_given() -> Settings:
    """Every setting, as a command has it that was given none. Raises ConfigError."""
    return Settings(**_context_of(*SETTINGS).params)


def stored_settings() -> click.Context:
    """The context of a command that has every setting but those that are only options, and was given none of them.

    Raises ConfigError.
    """
    return _context_of(*(field for field, setting in SETTINGS.items() if not setting.is_option_only))


def _context_of(*fields: str) -> click.Context:
    command = click.Command("parasuite", params=[SettingOption(field) for field in fields])
    # The profile is that of the command that asks: a context shares its meta with those below it.
    return command.make_context("parasuite", [], click.get_current_context(silent=True))


def origins(ctx: click.Context) -> dict[str, Source]:
    """Where the values of the settings of the command in *ctx* come from, by the setting's name."""
    options = (each for each in ctx.command.params if isinstance(each, SettingOption))
    return {each.setting.name: _source(ctx, each) for each in options}


def baseline_path(ctx: click.Context) -> Path:
    """The path of the baseline. Unless the user has just named it, it is relative to the folder of the project."""
    path: Path = ctx.params["baseline"]
    is_users = origins(ctx)["baseline"].origin in (Origin.COMMAND_LINE, Origin.ENVIRONMENT)
    return (current_folder() if is_users else project_of(ctx).folder) / path


def _source(ctx: click.Context, option: SettingOption) -> Source:
    found = ctx.get_parameter_source(str(option.name))
    origin = _ORIGINS[found] if found is not None else Origin.DEFAULT
    return project_of(ctx).sources[str(option.name)] if origin is Origin.PROJECT else Source(origin)


def check_variables(environ: Mapping[str, str]) -> None:
    """Raises ConfigError for a variable PARASUITE_* in *environ* that parasuite neither reads nor sets itself."""
    known = [
        IGNORE_LIMITS,
        PROFILE_VARIABLE,
        *(each for setting in SETTINGS.values() for each in setting.environment_variables),
    ]
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in {*known, *CopyVariable}:
            # Compared without what all of them begin with, which would make any two of them alike.
            meanings = {each.removeprefix(_PREFIX): each for each in known}
            suggested = did_you_mean(name.removeprefix(_PREFIX), meanings)
            raise ConfigError(f"unknown variable {name} in the environment{suggested}")


def current_folder() -> Path:
    """Raises ConfigError if it has been removed, or cannot be entered any more."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used: {error.strerror}; change to another one") from error
