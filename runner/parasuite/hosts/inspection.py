"""What has to be equal on all hosts besides parasuite: the project and the interpreter. Run as a program there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from parasuite.plan.errors import ConfigError
from parasuite.plan.interpreter import find_interpreter
from parasuite.plan.project import FILE_NAME, read_project
from parasuite.plan.targets import choose_target

ANSWER_WITHIN_S = 120.0
_GIT_WITHIN_S = 30.0
_VERSION = "import platform; print(platform.python_implementation(), platform.python_version())"


def inspect_in(cwd: str, target: str, words: tuple[str, ...], python: str) -> dict[str, str]:
    """What `inspect` says in the folder *cwd*, in a process of its own, since a process has one current folder."""
    order = json.dumps([target, words, python])
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "parasuite.hosts.inspection", order],
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            stdin=subprocess.DEVNULL,
            timeout=ANSWER_WITHIN_S,
            check=True,
        )
        found: dict[str, str] = json.loads(answer.stdout)
    except OSError as error:
        return {"project": f"{cwd} cannot be entered: {error.strerror}"}
    except (subprocess.SubprocessError, ValueError) as error:
        return {"project": f"{cwd} cannot be looked at: {error}"}
    return found


def inspect(target: str, words: tuple[str, ...], python: str, environ: Mapping[str, str]) -> dict[str, str]:
    """`project`, `changes`, `settings` and `interpreter` of the current folder, as text to compare and to show.

    *target*, *words*: what is to be run, as on the command line; both empty for what the project names. *python*: the
    interpreter that was asked for, or "".
    """
    cwd = Path.cwd()
    commit = _git("rev-parse", "HEAD").strip()
    changes = _git("diff", "HEAD") if commit else ""
    found = {
        "project": f"commit {commit}" if commit else "not under version control",
        "changes": f"uncommitted changes {_short_hash(changes)}" if changes else "no uncommitted changes",
    }
    try:
        project = read_project(cwd)
        settings = project.folder / FILE_NAME
        found["settings"] = f"{FILE_NAME} {_short_hash(settings.read_text())}" if settings.exists() else "none"
        chosen = (None if target or words else project.chosen_target()) or choose_target(target or None, words)
        path = find_interpreter(chosen, python or None, environ, project.folder)
        found["interpreter"] = _version(path) if path else "none is needed"
    except (ConfigError, OSError, UnicodeError) as error:
        found["settings"] = str(error)
    return found


def _git(*arguments: str) -> str:
    """What git prints; "" without git or outside a repository."""
    try:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            timeout=_GIT_WITHIN_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _version(python: str) -> str:
    return subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    target, words, python = json.loads(sys.argv[1])
    print(json.dumps(inspect(target, tuple(words), python, os.environ)))  # noqa: T201


if __name__ == "__main__":
    main()
