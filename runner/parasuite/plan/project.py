"""What a project sets for all of its runs: the table [tool.parasuite] of its pyproject.toml."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parasuite.model.ambient import AmbientService
from parasuite.model.json_fields import is_texts
from parasuite.model.suppression import Suppression
from parasuite.plan.ambient import AMBIENT, ambient_services
from parasuite.plan.errors import ConfigError, did_you_mean, must_be
from parasuite.plan.profiles import INHERITS, PROFILE, lineage, profile_table, profile_tables, unknown_profile
from parasuite.plan.setting import Origin, Source
from parasuite.plan.settings import SETTINGS
from parasuite.plan.suppress import SUPPRESS, suppressions
from parasuite.plan.targets import Command, PytestTree, Target

FILE_NAME = "pyproject.toml"
_TABLE = "[tool.parasuite]"
_TARGET, _COMMAND = "target", "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """*folder*: that of pyproject.toml; of the user, if there is none. *values*: of settings, by field, as written.
    *sources*: where each value was set. *profiles*: the names of all profiles.

    *target*: a pytest tree. *command*: words. What a `parasuite run` without either of its own runs, in *folder*.
    *ambient*: services outside the run that the suite is meant to use. *suppressions*: findings that the project
    lives with.
    """

    folder: Path
    values: Mapping[str, object] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    target: str = ""
    command: tuple[str, ...] = ()
    ambient: tuple[AmbientService, ...] = ()
    suppressions: tuple[Suppression, ...] = ()

    def chosen_target(self) -> Target | None:
        """What the project itself wants to be run; None if it names nothing. Raises ConfigError."""
        try:
            if self.target:
                return PytestTree.at(self.target, str(self.folder))
            return Command.of(self.command, str(self.folder)) if self.command else None
        except ConfigError as error:
            raise ConfigError(f"{self.folder / FILE_NAME}: {error}") from error


def read_project(folder: Path, profile: str = "") -> Project:
    """The project of *folder*: of the pyproject.toml there, or in the nearest folder above that has one.

    *profile*: the name of the one whose settings go before those of the project; "" for none.

    Raises ConfigError for a file that is not TOML, an unknown key or profile, and a value of a type that no value of
    its setting has. Whether a value of the right type can be used, its setting decides.
    """
    path = _project_file(folder)
    if path is None:
        if profile:
            raise unknown_profile("unknown", profile, {})
        return Project(folder=folder)
    table = _table(path)
    profiles = profile_tables(table.pop(PROFILE, {}), path)
    if profile and profile not in profiles:
        raise unknown_profile(f"{path}: unknown", profile, profiles)
    target = _target(table.pop(_TARGET)) if _TARGET in table else ""
    command = _command(table.pop(_COMMAND)) if _COMMAND in table else ()
    ambient = ambient_services(table.pop(AMBIENT, []), path)
    suppressed = suppressions(table.pop(SUPPRESS, []), path)
    if target and command:
        raise ConfigError(f"{path}: {_TABLE} has both {_TARGET} and {_COMMAND}; keep one of them")
    values = _settings(path, table, Source(Origin.PROJECT))
    sources = dict.fromkeys(values, Source(Origin.PROJECT))
    # Those of every profile are read, so that a mistake is not first found on the night that uses it.
    of_profiles = {
        name: _settings(path, _without_inherits(own), Source(Origin.PROFILE, name)) for name, own in profiles.items()
    }
    for name in reversed(lineage(profiles, profile, path) if profile else []):
        values |= of_profiles[name]
        sources |= dict.fromkeys(of_profiles[name], Source(Origin.PROFILE, name))
    return Project(
        folder=path.parent,
        values=values,
        sources=sources,
        profiles=tuple(profiles),
        target=target,
        command=command,
        ambient=ambient,
        suppressions=suppressed,
    )


def _without_inherits(table: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in table.items() if name != INHERITS}


def _settings(path: Path, table: Mapping[str, object], source: Source) -> dict[str, object]:
    """The values in *table*, by field. *source*: the table."""
    by_name = {setting.name: (name, setting) for name, setting in SETTINGS.items() if not setting.is_option_only}
    values = {}
    for name, value in sorted(table.items()):
        if name not in by_name:
            where = profile_table(source.profile) if source.profile else _TABLE
            raise ConfigError(f"{path}: unknown setting {name!r} in {where}{_suggested(name, source)}")
        of_field, setting = by_name[name]
        # To Python, true is the number 1.
        if not isinstance(value, setting.toml_types) or (isinstance(value, bool) and bool not in setting.toml_types):
            raise must_be(setting.label(source), setting.must_be, value)
        values[of_field] = value
    return values


def _suggested(name: str, source: Source) -> str:
    """What may have been meant by *name*, which may also be how a setting is called as an option."""
    others = (INHERITS,) if source.profile else (_TARGET, _COMMAND, AMBIENT, SUPPRESS, PROFILE)
    meanings = {name: name for name in others}
    for setting in SETTINGS.values():
        if not setting.is_option_only:
            meanings |= {flag.lstrip("-"): setting.name for flag in setting.option_flags if flag.startswith("--")}
            meanings[setting.name] = setting.name
    return did_you_mean(name, meanings)


def _target(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise must_be(f"{_TABLE} {_TARGET}", "a path", value)
    return value


def _command(value: object) -> tuple[str, ...]:
    """Words, from a list of them or from a line that is split as a shell would, without a shell."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:  # A quotation mark without its other one.
        words = None
    if not is_texts(words) or not words or not words[0] or "\0" in "".join(words):
        raise must_be(f"{_TABLE} {_COMMAND}", "a command line, or a list of its words", value)
    return tuple(words)


def _project_file(folder: Path) -> Path | None:
    for candidate in (folder, *folder.parents):
        path = candidate / FILE_NAME
        # Path.is_file raises an error in a folder that may not be searched; then there is no project to be found.
        if os.path.isfile(path):
            return path
        if os.path.lexists(path):
            raise ConfigError(f"{path} is not a file; parasuite takes its settings from there")
    return None


def _table(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            found: object = tomllib.load(stream)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for name in ("tool", "parasuite"):
        found = found.get(name, {}) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {_TABLE} must be a table of settings")
    return found
