"""`[tool.parasuite.profile.NAME]`: settings for an occasion, which go before those of [tool.parasuite].

[tool.parasuite.profile.ci]
fail-on = "warning"

[tool.parasuite.profile.nightly]
inherits = "ci"
copies = 16
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from parasuite.plan.errors import ConfigError, did_you_mean, must_be

PROFILE = "profile"
"""The key below [tool.parasuite]."""
INHERITS = "inherits"
CIRCLE = "{file}: profiles inherit from each other: {names}"
UNKNOWN = "{where} profile {name!r}{known}"


def profile_table(name: str) -> str:
    """The table of a profile, as pyproject.toml has it."""
    return f"[tool.parasuite.{PROFILE}.{name}]"


def profile_tables(value: object, file: Path) -> dict[str, Mapping[str, object]]:
    """The tables in *value*, which `profile` is in [tool.parasuite] of *file*, by the names of the profiles.

    Raises ConfigError for a profile that is not a table, or inherits from itself or from one that does not exist.
    The other keys of a table are left to the settings.
    """
    if not isinstance(value, Mapping):
        raise must_be(f"{file}: {PROFILE}", f"tables, each below {profile_table('NAME')}", value)
    tables: dict[str, Mapping[str, object]] = {}
    for name, table in value.items():
        if not isinstance(table, Mapping):
            raise must_be(f"{file}: {PROFILE}.{name}", f"a table, below {profile_table(name)}", table)
        tables[name] = table
    for name in tables:
        lineage(tables, name, file)
    return tables


def lineage(tables: Mapping[str, Mapping[str, object]], name: str, file: Path) -> list[str]:
    """The profile *name* and those that it inherits from, itself first. Raises ConfigError."""
    names = [name]
    while INHERITS in tables[names[-1]]:
        where = f"{file}: {profile_table(names[-1])} {INHERITS}"
        parent = tables[names[-1]][INHERITS]
        if not isinstance(parent, str):
            raise must_be(where, "the name of a profile", parent)
        if parent not in tables:
            raise unknown_profile(f"{where} an unknown", parent, tables)
        if parent in names:
            raise ConfigError(CIRCLE.format(file=file, names=" -> ".join([*names[names.index(parent) :], parent])))
        names.append(parent)
    return names


def unknown_profile(where: str, name: str, tables: Mapping[str, object]) -> ConfigError:
    """The error for a *name* that none of *tables* has; *where* begins its message."""
    known = did_you_mean(name, {each: each for each in tables}) if tables else "; pyproject.toml has no profiles"
    return ConfigError(UNKNOWN.format(where=where, name=name, known=known))
