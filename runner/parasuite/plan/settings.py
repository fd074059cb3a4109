"""From `[tool.parasuite]`, the environment and the command line to one frozen RunSpec.

The command line wins over the environment, that over pyproject.toml, that over the default; `origins` says which one
each value came from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parasuite.model.sensors import SensorName
from parasuite.model.words import FailOn
from parasuite.plan.capacity import processors
from parasuite.plan.errors import ConfigError
from parasuite.plan.targets import ResultSource, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """All that a run was asked for. *sensors*: names, ("auto",) or (); *timeout_s*: per copy, None for no limit."""

    target: Target
    copies: int
    timeout_s: float | None
    fail_on: str
    output_dir: Path
    python: str | None
    keyword: str
    marker: str
    pytest_args: tuple[str, ...]
    collect_junit: str | None
    sensors: tuple[str, ...]
    origins: Mapping[str, str]


def _copies(text: str) -> int:
    try:
        copies = int(text)
    except ValueError:
        copies = 0
    if copies < 1:
        raise ConfigError(f"needs a whole number of copies from 1, not {text!r}")
    return copies


def _timeout(text: str) -> float:
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = 0.0
    if not 0 < timeout_s < float("inf"):
        raise ConfigError(f"needs a number of seconds above 0, not {text!r}")
    return timeout_s


def _fail_on(text: str) -> str:
    if text not in set(FailOn):
        raise ConfigError(f"is one of {', '.join(FailOn)}, not {text!r}")
    return text


def _sensors(text: str) -> tuple[str, ...]:
    if text in ("auto", "none"):
        return ("auto",) if text == "auto" else ()
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in set(SensorName)]
    if unknown or not names:
        raise ConfigError(f"is auto, none or a list of {', '.join(SensorName)}, not {text!r}")
    return names


def _pattern(text: str) -> str:
    if not text or "\0" in text:
        raise ConfigError(f"needs a pattern of file names, not {text!r}")
    return text


_READERS: dict[str, Callable[[str], Any]] = {
    "copies": _copies,
    "timeout": _timeout,
    "fail-on": _fail_on,
    "output-dir": Path,
    "python": str,
    "collect-junit": _pattern,
    "sensors": _sensors,
}
# Their readers take any text, so that only pyproject.toml's types tell a mistake.
_FREE_TEXTS = {"output-dir", "python", "collect-junit"}
_DEFAULTS: dict[str, Any] = {
    "copies": max(2, processors()),
    "timeout": None,
    "fail-on": "error",
    "output-dir": Path(".parasuite"),
    "python": None,
    "collect-junit": None,
    "sensors": ("auto",),
}


def variable(name: str) -> str:
    """The environment's name of a setting: `fail-on` is PARASUITE_FAIL_ON; copies is PARASUITE_JOBS.

    PARASUITE_COPIES is what a copy is told, so a nested run must not take it for its own.
    """
    return "PARASUITE_JOBS" if name == "copies" else "PARASUITE_" + name.upper().replace("-", "_")


def project_settings(folder: Path) -> dict[str, Any]:
    """`[tool.parasuite]` of the pyproject.toml in *folder* or the nearest folder above; {} if there is none.

    Raises ConfigError for a file that is not TOML, a key that is no setting, and a text that is none.
    """
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        # Unlike Path.is_file, no error in a folder that may not be searched: what is above it is nobody's project.
        if os.path.isfile(path):
            break
    else:
        return {}
    try:
        with path.open("rb") as stream:
            found = tomllib.load(stream)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for table in ("tool", "parasuite"):
        found = found.get(table, {})
        if not isinstance(found, dict):
            raise ConfigError(f"{path}: [tool.parasuite] is a table of settings")
    if unknown := sorted(set(found) - set(_READERS)):
        raise ConfigError(f"{path}: [tool.parasuite] has no {unknown[0]!r}; it knows {', '.join(sorted(_READERS))}")
    for name in _FREE_TEXTS & set(found):
        if not isinstance(found[name], str):
            raise ConfigError(f"{path}: [tool.parasuite] {name} is a string, not {found[name]!r}")
    return found


def settle(
    name: str, on_command_line: str | None, environ: Mapping[str, str], project: Mapping[str, Any]
) -> tuple[Any, str]:
    """One setting's value, and where it comes from. *on_command_line*: None where it was not given there.

    Raises ConfigError.
    """
    given = (
        ("command line", f"--{name}", on_command_line),
        ("environment", variable(name), environ.get(variable(name)) or None),
        ("pyproject.toml", f"[tool.parasuite] {name}", project.get(name)),
    )
    for origin, label, text in given:
        if text is not None:
            try:
                return _READERS[name](",".join(map(str, text)) if isinstance(text, list) else str(text)), origin
            except ConfigError as error:
                raise ConfigError(f"{label} {error}") from None
    return _DEFAULTS[name], "default"


def settle_all(
    command_line: Mapping[str, str | None], environ: Mapping[str, str], project: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    """Every setting, as `settle` has it. *command_line*: setting -> text, None where it was not given."""
    return {name: settle(name, command_line.get(name), environ, project) for name in _READERS}


def resolve(
    *,
    target: Target,
    pytest_args: tuple[str, ...],
    keyword: str,
    marker: str,
    settled: Mapping[str, tuple[Any, str]],
) -> RunSpec:
    """The run that *settled* (of `settle_all`), target and selection make. Raises ConfigError."""
    values = {name: value for name, (value, _) in settled.items()}
    spec = RunSpec(
        target=target,
        copies=values["copies"],
        timeout_s=values["timeout"],
        fail_on=values["fail-on"],
        output_dir=values["output-dir"],
        python=values["python"],
        keyword=keyword,
        marker=marker,
        pytest_args=pytest_args,
        collect_junit=values["collect-junit"],
        sensors=values["sensors"],
        origins={name: origin for name, (_, origin) in settled.items()},
    )
    _check(spec)
    return spec


def _check(spec: RunSpec) -> None:
    is_command = spec.target.results is ResultSource.JUNIT
    if is_command and (spec.keyword or spec.marker):
        raise ConfigError("-k and -m select pytest tests; a command after -- takes neither")
    if is_command and spec.origins["python"] == "command line":
        raise ConfigError("--python is the interpreter of a pytest tree; a command after -- names its own")
    if spec.collect_junit is None:
        return
    if not is_command:
        raise ConfigError("--collect-junit is for a command that writes JUnit files itself; pytest needs none")
    if "{copy}" not in spec.collect_junit and spec.copies > 1:
        raise ConfigError(
            "--collect-junit needs {copy} in its pattern, or the copies overwrite each other's file; "
            "the command finds its number in $PARASUITE_COPY"
        )
