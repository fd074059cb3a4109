"""Which Python runs a pytest target, and whether it can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from parasuite.plan.errors import ConfigError
from parasuite.plan.targets import Interpreter, Target

_OLDEST_PYTHON = (3, 9)
_OLDEST_PYTEST = 7
_ANSWER_WITHIN_S = 60.0
_PROGRAM = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
# Only the version of pytest is imported: the whole of it takes 0.2 s of CPU time, in every run. What it needs to be
# imported is looked for instead.
_PROBE = """
import importlib.util, json, sys
def lacking(names):
    return [name for name in names if importlib.util.find_spec(name) is None]
try:
    from _pytest import __version__ as version
except ImportError:
    version = None
if lacking(["pytest", "pluggy", "iniconfig", "packaging"]):
    version = None
missing = lacking(sys.argv[1:])
print(json.dumps([sys.version_info[:2], version, missing]))
"""


def find_interpreter(target: Target, chosen: str | None, environ: Mapping[str, str], project: Path) -> str:
    """The Python to run *target* with, after a check that it works and has what is needed; "" if none is needed.

    *chosen* (--python) comes first. Without it, the corpus is run with parasuite's own Python. A pytest tree is run
    with the project's: that of VIRTUAL_ENV or CONDA_PREFIX, parasuite's own if its environment lies in the folder
    *project*, that of `.venv` there, else `python3` or `python` on PATH. Raises ConfigError.
    """
    if target.interpreter is Interpreter.NONE:
        return ""
    path, origin = _candidate(target.interpreter, chosen, environ, project)
    _check(path, f"the interpreter {path} ({origin})", target)
    return path


def _candidate(
    interpreter: Interpreter, chosen: str | None, environ: Mapping[str, str], project: Path
) -> tuple[str, str]:
    """A path, and where it comes from."""
    if chosen is not None:
        return chosen, "named by --python"
    if interpreter is Interpreter.OWN:
        return sys.executable, "parasuite's own"
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if folder := environ.get(variable):
            return str(Path(folder) / _PROGRAM), f"from ${variable}"
    if Path(sys.prefix).is_relative_to(project):
        return sys.executable, "parasuite's own, in the project"
    # os.path.exists raises no error in a folder that may not be searched.
    if os.path.exists(project / ".venv" / _PROGRAM):
        return str(project / ".venv" / _PROGRAM), "from .venv"
    for name in ("python3", "python"):
        if found := shutil.which(name, path=environ.get("PATH")):
            return found, "first on PATH"
    raise ConfigError("there is no python3 on PATH to run this pytest tree; name one with --python PATH")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an interpreter says of itself. *pytest*: the version, None without it. *missing*: modules it lacks."""

    python: tuple[int, int]
    pytest: str | None
    missing: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError or TypeError for anything that `_PROBE` does not print."""
        (major, minor), pytest, missing = json.loads(text)
        return cls((major, minor), pytest, tuple(missing))


def _check(path: str, name: str, target: Target) -> None:
    answer = _ask(path, name, target)
    if answer.python < _OLDEST_PYTHON:
        version = ".".join(map(str, answer.python))
        raise ConfigError(f"{name} is Python {version}, and 3.9 or newer is needed; name another with --python PATH")
    if answer.pytest is None:
        raise ConfigError(f"{name} has no pytest; install it there, or name the project's own with --python PATH")
    if int(answer.pytest.split(".")[0]) < _OLDEST_PYTEST:
        raise ConfigError(f"{name} has pytest {answer.pytest}, and 7 or newer is needed")
    if answer.missing:
        lacking = ", ".join(answer.missing)
        raise ConfigError(
            f"{name} lacks {lacking}, which the corpus needs (extra `corpus`); to run your own suite, name it: "
            "`parasuite run tests/` or `parasuite run -- COMMAND`"
        )


def _ask(path: str, name: str, target: Target) -> _Answer:
    try:
        probe = subprocess.run(
            [path, "-c", _PROBE, *target.needs],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            stdin=subprocess.DEVNULL,
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"it did not answer within {_ANSWER_WITHIN_S:.0f} s"
        raise ConfigError(f"{name} cannot be started: {reason}; name another with --python PATH") from error
    try:
        return _Answer.parse(probe.stdout)
    except (ValueError, TypeError) as error:
        last = (probe.stderr or probe.stdout).strip().rpartition("\n")[2]
        raise ConfigError(f"{name} is not a working Python: {last}; name another with --python PATH") from error
