"""Which Python runs a pytest tree, and whether it can."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from parasuite.plan.launch import Command, Corpus
from parasuite.plan.settings import ConfigError, RunSpec

_OLDEST_PYTHON = (3, 9)
_OLDEST_PYTEST = 7
_CORPUS_NEEDS = ("converted_tests", "netsupport", "hypothesis", "trustme")
_PROBE = """
import importlib.util, json, sys
try:
    import pytest
    version = pytest.__version__
except ImportError:
    version = None
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps([sys.version_info[:2], version, missing]))
"""


def corpus() -> Corpus:
    """The bundled corpus as it is installed beside parasuite. Raises ConfigError where it is not."""
    import importlib.util

    spec = importlib.util.find_spec("converted_tests")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the bundled corpus is not installed; install it: pip install 'parasuite[corpus]'")
    return Corpus(Path(spec.submodule_search_locations[0]))


def find(spec: RunSpec, environ: Mapping[str, str]) -> str:
    """The interpreter for *spec*: --python; for the corpus our own; VIRTUAL_ENV, CONDA_PREFIX, `python3` on PATH.

    It has been run once and has what is needed. A Command has none: "". Raises ConfigError.
    """
    if isinstance(spec.target, Command):
        return ""
    if spec.python is not None:
        return _checked(spec.python, "named by --python", spec)
    if isinstance(spec.target, Corpus):
        return _checked(sys.executable, "parasuite's own", spec)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if folder := environ.get(name):
            inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
            return _checked(str(Path(folder) / inside), f"of ${name}", spec)
    for name in ("python3", "python"):
        if found := shutil.which(name, path=environ.get("PATH")):
            return _checked(found, "first on PATH", spec)
    raise ConfigError("no python3 on PATH to run this pytest tree; name one: --python PATH")


def _checked(python: str, origin: str, spec: RunSpec) -> str:
    needs: Sequence[str] = _CORPUS_NEEDS if isinstance(spec.target, Corpus) else ()
    what = f"the interpreter {python} ({origin})"
    try:
        probe = subprocess.run(
            [python, "-c", _PROBE, *needs],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or "it does not answer"
        raise ConfigError(f"{what} cannot be started: {reason}; name another: --python PATH") from error
    try:
        (major, minor), pytest_version, missing = json.loads(probe.stdout)
    except (ValueError, TypeError) as error:
        last = (probe.stderr or probe.stdout).strip().rpartition("\n")[2]
        raise ConfigError(f"{what} is no working Python: {last}; name another: --python PATH") from error
    if (major, minor) < _OLDEST_PYTHON:
        raise ConfigError(f"{what} is Python {major}.{minor}; copies need 3.9 or newer: --python PATH")
    if pytest_version is None:
        raise ConfigError(f"{what} has no pytest; install it there or name the project's own: --python PATH")
    if int(pytest_version.split(".")[0]) < _OLDEST_PYTEST:
        raise ConfigError(f"{what} has pytest {pytest_version}; copies need 7 or newer")
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(missing)} for the corpus: pip install 'parasuite[corpus]'")
    return python
