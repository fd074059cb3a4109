"""From a target to what a copy runs: program, arguments, environment, folder. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parasuite.plan.targets import ResultSource, Target

_RECORDER = Path(__file__).parent.parent / "sensors" / "recorder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One copy, ready to start. *folder* is its own below the run folder, *scratch* its short temporary folder."""

    copy: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    folder: Path
    scratch: Path


def launches(
    target: Target,
    *,
    copies: int,
    python: str,
    pytest_args: tuple[str, ...],
    run_id: str,
    run_dir: Path,
    scratch_dir: Path,
    cwd: Path,
    environ: Mapping[str, str],
    timeout_scale: float = 1.0,
    recorder_mode: str = "",
    clock: str = "",
) -> list[Launch]:
    """One Launch per copy. Nothing is written; *pytest_args* are ignored by a Command.

    *recorder_mode*: "pages", "events", or "" for no recorder in the copies' Python processes. *clock*: parasuite's,
    as _parasuite_clock describes it.
    """
    return [
        _launch(
            target,
            copy=copy,
            python=python,
            pytest_args=pytest_args,
            folder=run_dir / "copies" / f"{copy:03d}",
            scratch=scratch_dir / str(copy),
            cwd=cwd,
            environ={
                **_with_bytecode(environ, _bytecode_folder(run_dir)),
                "PARASUITE": "1",
                "PARASUITE_RUN_ID": run_id,
                "PARASUITE_COPY": str(copy),
                "PARASUITE_COPIES": str(copies),
                "CORPUS_TIMEOUT_SCALE": f"{timeout_scale:g}",
                **({"PARASUITE_RECORDER": recorder_mode, "PARASUITE_CLOCK": clock} if recorder_mode else {}),
            },
        )
        for copy in range(copies)
    ]


def _launch(
    target: Target,
    *,
    copy: int,
    python: str,
    pytest_args: tuple[str, ...],
    folder: Path,
    scratch: Path,
    cwd: Path,
    environ: Mapping[str, str],
) -> Launch:
    env = {
        **environ,
        "PARASUITE_COPY_DIR": str(folder),
        "PYTHONFAULTHANDLER": "1",
        # Short, because the path of a Unix socket ends at 107 bytes (unix(7)) and pytest puts tmp_path below it.
        "TMPDIR": str(scratch),
        "TEMP": str(scratch),
        "TMP": str(scratch),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "COVERAGE_FILE": str(folder / ".coverage"),
    }
    # The plug-in that writes pytest's results is beside the recorder.
    if target.results is ResultSource.PYTEST or "PARASUITE_RECORDER" in env:
        env["PYTHONPATH"] = _joined(_RECORDER, environ.get("PYTHONPATH", ""))
    argv = target.argv(python=python, pytest_args=pytest_args, folder=folder, scratch=scratch)
    return Launch(copy=copy, argv=argv, env=env, cwd=cwd, folder=folder, scratch=scratch)


def _bytecode_folder(run_dir: Path) -> Path:
    """One for all runs of a month; run_folder removes those of other months."""
    return run_dir.parent.parent / "bytecode" / f"parasuite-{run_dir.name[:6]}"


def _with_bytecode(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """*environ*, with *folder* for our own compiled files where the user asks for none (PYTHONDONTWRITEBYTECODE).

    Without any, each copy of a pytest tree compiles and rewrites every test file again, which took a third of the
    corpus's time, and each Python of a copy compiles the recorder. The user's setting stays as it is: sitecustomize
    and _parasuite_pytest use the folder.
    """
    if not environ.get("PYTHONDONTWRITEBYTECODE"):
        return dict(environ)
    return {**environ, "PARASUITE_BYTECODE": str(folder)}


def _joined(*parts: Path | str) -> str:
    """A PYTHONPATH of the parts that are not empty: an empty one would mean the working folder."""
    return os.pathsep.join(str(part) for part in parts if str(part))
