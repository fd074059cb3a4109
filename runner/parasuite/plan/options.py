"""The settings as options of click: given on the command line, in the environment or in pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from parasuite.plan.errors import ConfigError
from parasuite.plan.settings import SETTINGS, Origin, Setting

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
            [*self.setting.option_flags, field],
            type=self.setting.value_type,
            default=self.setting.default,
            show_default=self.setting.default_shown or bool(self.setting.default),
            envvar=self.setting.environment_variable if self._is_stored else None,
            metavar=self.setting.metavar,
            help=help or self.setting.help,
        )

    def handle_parse_result(self, ctx: click.Context, opts: Any, args: list[str]) -> tuple[Any, list[str]]:
        # Not before: --help, which is handled first, has to work beside a pyproject.toml with a mistake in it.
        if self._is_stored and ctx.default_map is None and not ctx.resilient_parsing:
            ctx.default_map = project_settings(current_folder())
        return super().handle_parse_result(ctx, opts, args)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        try:
            return super().process_value(ctx, value)
        except click.BadParameter as error:
            raise _must_be(self.setting, _origin(ctx, self), value) from error


def setting_options() -> list[click.Parameter]:
    """Every setting as an option, in the order of the table."""
    return [SettingOption(field) for field in SETTINGS]


def without_command_line(field: str) -> Any:
    """The value of a setting in the environment, in pyproject.toml or by default. Raises ConfigError."""
    command = click.Command("parasuite", params=[SettingOption(field)])
    return command.make_context("parasuite", []).params[field]


def origins(ctx: click.Context) -> dict[str, Origin]:
    """Where the values of the settings of the command in *ctx* come from, by the setting's name."""
    options = (each for each in ctx.command.params if isinstance(each, SettingOption))
    return {each.setting.name: _origin(ctx, each) for each in options}


def _origin(ctx: click.Context, option: SettingOption) -> Origin:
    source = ctx.get_parameter_source(str(option.name))
    return _ORIGINS[source] if source is not None else Origin.DEFAULT


def _must_be(setting: Setting[Any], origin: Origin, value: object) -> ConfigError:
    return ConfigError(f"{setting.label(origin)} must be {setting.must_be}, not {value!r}")


def current_folder() -> Path:
    """Raises ConfigError if it has been removed, or cannot be entered any more."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(f"the current folder cannot be used: {error.strerror}; change to another one") from error


def project_settings(folder: Path) -> dict[str, Any]:
    """The values in `[tool.parasuite]`, by field, from the pyproject.toml in *folder* or the nearest folder above.

    {} without such a file. Raises ConfigError for a file that is not TOML, an unknown key, and a value of a type that
    no value of that setting has; whether a value of the right type can be used, its setting decides.
    """
    path = _project_file(folder)
    if path is None:
        return {}
    by_name = {setting.name: (field, setting) for field, setting in SETTINGS.items() if not setting.is_option_only}
    found = {}
    for name, value in sorted(_project_table(path).items()):
        if name not in by_name:
            known = ", ".join(sorted(by_name))
            raise ConfigError(f"{path}: unknown setting {name!r} in [tool.parasuite] (known: {known})")
        field, setting = by_name[name]
        # To Python, true is the number 1.
        if not isinstance(value, setting.toml_types) or (isinstance(value, bool) and bool not in setting.toml_types):
            raise _must_be(setting, Origin.PROJECT, value)
        found[field] = value
    return found


def _project_file(folder: Path) -> Path | None:
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        # Path.is_file raises an error in a folder that may not be searched; then there is no project to be found.
        if os.path.isfile(path):
            return path
    return None


def _project_table(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            found = tomllib.load(stream)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for name in ("tool", "parasuite"):
        found = found.get(name, {})
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: [tool.parasuite] must be a table of settings")
    return found
