"""What each copy of a target runs: program, arguments, environment, folder. Nothing is read or written here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parasuite.model.words import CopyVariable
from parasuite.plan.recorder_variable import recorder_variable
from parasuite.plan.seeds import copy_seed
from parasuite.plan.targets import ResultSource, Target

_RECORDER = Path(__file__).parent.parent / "sensors" / "recorder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One copy, ready to start. *folder*: below the run folder. *scratch*: for temporary files, with a short path.

    *inherits_streams*: it is only observed. Its standard streams are parasuite's own, instead of no input and a file
    for its output, and what it leaves for the command that follows it is where it would be without parasuite.
    *ignored_signals*: the numbers of the signals that it ignores at its start.
    """

    copy: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    folder: Path
    scratch: Path
    inherits_streams: bool = False
    ignored_signals: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImporterLaunch:
    """The process that imports the tests once, ready to start. The fields are a Launch's."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    folder: Path


def importer_launch(
    target: Target, copy: Launch, *, python: str, pytest_args: tuple[str, ...], run_dir: Path, scratch_dir: Path
) -> ImporterLaunch:
    """The importer from which copies like *copy*, the first one, are forked; the other arguments as for `launches`.

    It lacks the variables that only a copy has.
    """
    folder, scratch = run_dir / "importer", scratch_dir / "i"
    only_copies = (CopyVariable.COPY, CopyVariable.COPY_DIR, CopyVariable.SEED)
    env = {name: value for name, value in copy.env.items() if name not in only_copies}
    env |= {**_temporary_folders(scratch), **_kept_files(folder), CopyVariable.IMPORTER: str(folder)}
    if CopyVariable.RECORDER in env:
        mode = env[CopyVariable.RECORDER].partition(" ")[0]
        env[CopyVariable.RECORDER] = recorder_variable(mode, copy.copy, folder)
    argv = target.argv(python=python, pytest_args=pytest_args, folder=folder, scratch=scratch)
    return ImporterLaunch(argv=argv, env=env, cwd=copy.cwd, folder=folder)


def _temporary_folders(scratch: Path) -> dict[str, str]:
    # Short: the path of a Unix socket has at most 107 bytes (unix(7)), and pytest's tmp_path is below it.
    return {name: str(scratch) for name in ("TMPDIR", "TEMP", "TMP")}


def _kept_files(folder: Path) -> dict[str, str]:
    # Copies would write into each other's. One that is only observed keeps them for the commands that follow it.
    return {
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
        "COVERAGE_FILE": str(folder / ".coverage"),
    }


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
    inherits_streams: bool = False,
    dumps_stacks: bool = True,
    ignored_signals: tuple[int, ...] = (),
    seed: int | None = None,
) -> list[Launch]:
    """One Launch per copy. A Command ignores *pytest_args*. *seed*: of the run, from which those of copies follow.

    *recorder_mode*: "pages", "events", or "" to run the copies' Python processes without the recorder. *clock*: the
    clock of this process, as _parasuite_clock describes it. *dumps_stacks*: Python processes that are sent SIGABRT
    write their stacks.
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
            inherits_streams=inherits_streams,
            ignored_signals=ignored_signals,
            environ={
                **_with_bytecode(environ, _bytecode_folder(run_dir)),
                CopyVariable.PARASUITE: "1",
                CopyVariable.RUN_ID: run_id,
                CopyVariable.COPY: str(copy),
                CopyVariable.COPIES: str(copies),
                **({} if inherits_streams else {"CORPUS_TIMEOUT_SCALE": f"{timeout_scale:g}"}),
                **({"PYTHONFAULTHANDLER": "1"} if dumps_stacks else {}),
                **({CopyVariable.CLOCK: clock} if recorder_mode else {}),
                **({} if seed is None else _seeded(copy_seed(seed, copy))),
            },
            recorder_mode=recorder_mode,
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
    inherits_streams: bool,
    ignored_signals: tuple[int, ...],
    recorder_mode: str,
) -> Launch:
    env = {**environ, CopyVariable.COPY_DIR: str(folder), **_temporary_folders(scratch)}
    if not inherits_streams:
        env |= _kept_files(folder)
    if recorder_mode:
        env[CopyVariable.RECORDER] = recorder_variable(recorder_mode, copy, folder)
        if target.results is ResultSource.COMMAND:
            env[CopyVariable.RESULTS] = str(folder)
    # The pytest plug-in that writes the results is in the same folder as the recorder.
    if target.results is ResultSource.PYTEST or recorder_mode:
        env["PYTHONPATH"] = _with_recorder(environ.get("PYTHONPATH"))
    keeps = None if inherits_streams else folder
    argv = target.argv(python=python, pytest_args=pytest_args, folder=keeps, scratch=scratch)
    return Launch(
        copy=copy,
        argv=argv,
        env=env,
        cwd=cwd,
        folder=folder,
        scratch=scratch,
        inherits_streams=inherits_streams,
        ignored_signals=ignored_signals,
    )


def _seeded(seed: int) -> dict[str, str]:
    # The plug-in of a pytest tree gives PARASUITE_SEED to pytest-randomly and Hypothesis.
    return {CopyVariable.SEED: str(seed), "PYTHONHASHSEED": str(seed)}


def _bytecode_folder(run_dir: Path) -> Path:
    """One folder for all runs of a month. Those of other months are removed with the old runs."""
    return run_dir.parent.parent / "bytecode" / f"parasuite-{run_dir.name[:6]}"


def _with_bytecode(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """*environ*; if it sets PYTHONDONTWRITEBYTECODE, with *folder* as the place for our own compiled files.

    Without compiled files, each copy of a pytest tree would rewrite and compile every test file (a third of the
    corpus's time), and each Python process would compile the recorder. The user's variable remains set; only
    sitecustomize and _parasuite_pytest write into the folder.
    """
    if not environ.get("PYTHONDONTWRITEBYTECODE"):
        return dict(environ)
    return {**environ, CopyVariable.BYTECODE: str(folder)}


def _with_recorder(theirs: str | None) -> str:
    """PYTHONPATH with the recorder's folder before *theirs*, which is None if the variable is not set.

    If theirs is empty, the folder is there twice: Python would take an empty part for the current folder.
    _parasuite_environment then shows the program an empty variable again.
    """
    return str(_RECORDER) if theirs is None else os.pathsep.join((str(_RECORDER), theirs or str(_RECORDER)))
