"""Keeps parasuite out of what a program sees of its environment, and gives it to the program's children all the same.

Theory of operation. `os.environ` is a copy of the C library's environment, made when Python starts. A child that is
started without an environment of its own inherits the C library's. So parasuite's variables, and its folder on
PYTHONPATH and sys.path, are removed from Python's copies only. What a program writes through `os.environ` reaches the
C library by os.putenv and os.unsetenv, which leave our folder on PYTHONPATH. If that is our folder twice, the program
sees an empty PYTHONPATH; if it is our folder alone, it sees none.

A child that is started with an environment of its own (execve, posix_spawn, subprocess) gets ours in two cases: the
environment was made from `os.environ`, so that the child would have inherited it; or the child is a Python, which
removes it from its own view before the program begins (tox gives each command a new environment). Other programs
get exactly the environment that they were meant to have.

Standard library only, Python 3.8 or newer. Windows: children with an environment of their own are not followed.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

from _parasuite_guard import guarded
from _parasuite_restart import hide_frames

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

hidden: dict[str, str] = {}
"""The values of the variables that the program does not see."""

_HERE = os.path.dirname(os.path.abspath(__file__))
_OURS = (
    "PARASUITE_RECORDER",
    "PARASUITE_CLOCK",
    "PARASUITE_BYTECODE",
    "PARASUITE_FIXTURE",
    "PARASUITE_STARTED_AT",
    "PARASUITE_RESULTS",
    "PARASUITE_IMPORTER",
)
_PATH, _FIXTURE, _STARTED_AT = "PYTHONPATH", "PARASUITE_FIXTURE", "PARASUITE_STARTED_AT"
# Every environment that was made from os.environ has it: programs may read it.
_INHERITED = "PARASUITE_COPY_DIR"
_SCRIPT_HEAD = 512
_becoming: list[Callable[[str], None]] = []
_putenv, _unsetenv = os.putenv, getattr(os, "unsetenv", None)


def hide() -> None:
    """Remove what is parasuite's from os.environ and sys.path. Modules of parasuite's can still be imported."""
    sys.path[:] = [entry for entry in sys.path if entry != _HERE]
    sys.meta_path.append(_OwnFinder)
    variables = getattr(os.environ, "_data", None)
    if variables is None or _unsetenv is None:
        return
    for name in _OURS:
        value = variables.pop(os.environ.encodekey(name), None)
        if value is not None:
            hidden[name] = os.environ.decodevalue(value)
    key = os.environ.encodekey(_PATH)
    if key in variables:
        entries = os.environ[_PATH].split(os.pathsep)
        theirs = [entry for entry in entries if entry != _HERE]
        if theirs or len(entries) > 1:
            variables[key] = os.environ.encodevalue(os.pathsep.join(theirs))
        else:
            del variables[key]
        _replace("putenv", _putenv_with_ours)
        _replace("unsetenv", _unsetenv_but_ours)


class _OwnFinder:
    """Finds parasuite's own modules, which are not on sys.path."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        del path, target
        return PathFinder.find_spec(name, [_HERE]) if name.startswith("_parasuite_") else None


def follow() -> None:
    """Have children that are started with an environment of their own recorded, too; `patch_subprocess` is for those
    of subprocess.
    """
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        original = getattr(os, name, None)
        if original is not None:
            _replace(name, _starting(original))


def set_fixture(fixture: str) -> None:
    """Have children that are started from now on know that *fixture* ("scope:name") started them; "": none did."""
    set_hidden(_FIXTURE, fixture)


def on_become_copy(listener: Callable[[str], None]) -> None:
    """Have *listener* called with PARASUITE_RECORDER of the copy that this process becomes, if it is an importer."""
    _becoming.append(listener)


def become_copy(variable: str) -> None:
    """Have this process, which was forked from an importer, and its children recorded. *variable*: as above."""
    set_hidden("PARASUITE_RECORDER", variable)
    for listener in _becoming:
        listener(variable)


def set_hidden(name: str, value: str) -> None:
    """Have children that are started from now on get the variable *name*; not if *value* is ""."""
    if _unsetenv is None or hidden.get(name, "") == value:
        return
    if value:
        hidden[name] = value
        _putenv(name, value)
    else:
        del hidden[name]
        _unsetenv(name)


def _replace(name: str, function: Any) -> None:
    original = getattr(os, name)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = original.__doc__
    function.__module__ = original.__module__
    setattr(os, name, function)
    if original in os.supports_fd:
        os.supports_fd.add(function)
    if name in os.environ.__dict__:  # Python 3.8 keeps them there.
        setattr(os.environ, name, function)


def _putenv_with_ours(name: Any, value: Any, /) -> None:
    try:
        if name in (_PATH, b"PYTHONPATH"):
            value = _joined(os.fsdecode(value))
        _putenv(name, value)
    except BaseException as error:
        hide_frames(error)
        raise


def _unsetenv_but_ours(name: Any, /) -> None:
    try:
        if name in (_PATH, b"PYTHONPATH"):
            _putenv(name, _HERE)
        elif _unsetenv is not None:
            _unsetenv(name)
    except BaseException as error:
        hide_frames(error)
        raise


def _joined(theirs: str) -> str:
    """A PYTHONPATH of our folder and *theirs*. (Python takes an empty part for the current folder.)"""
    return _HERE + os.pathsep + (theirs or _HERE)


def _starting(original: Any) -> Any:
    """*original*, which takes a path, arguments and an environment; with ours in that, where it belongs."""

    # The parameters have the names of execve's, which a program may use.
    def start(path: Any, argv: Any, env: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(path, argv, _with_ours(path, env), *args, **kwargs)
        except BaseException as error:
            hide_frames(error)
            raise

    return start


def _with_ours(path: Any, env: Any) -> Any:
    """*env*, a mapping, with ours if the program at *path* is to have it."""
    try:
        theirs = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    except (AttributeError, TypeError, ValueError):
        return env  # Not an environment: the caller gets the error that it would have got.
    added = _additions(theirs.get(b"PYTHONPATH"), theirs.keys(), [path])
    return {**theirs, **dict(added)} if added else env


def patch_subprocess(subprocess: Any, frames_of: Callable[[Any], str]) -> None:
    """*subprocess*: the module. *frames_of*: the user's frames from a frame outwards, one a line. A child gets those
    of the line that starts it, so that a program of any language can be shown with that line.
    """
    owner, name = (subprocess, "_fork_exec") if hasattr(subprocess, "_fork_exec") else (None, "fork_exec")
    owner = owner or getattr(subprocess, "_posixsubprocess", None)
    original = getattr(owner, name, None)
    if original is None:
        return  # Windows.

    def fork_exec(arguments: Any, paths: Any, close: Any, keep: Any, folder: Any, env: Any, *args: Any) -> Any:
        try:
            guarded(_start_at, frames_of, sys._getframe(1))
            return original(arguments, paths, close, keep, folder, _list_with_ours(paths, env), *args)
        except BaseException as error:
            hide_frames(error)
            raise

    setattr(owner, name, fork_exec)


def patch_multiprocessing(util: Any, frames_of: Callable[[Any], str]) -> None:
    """*util*: the module multiprocessing.util, which starts "spawn" and "forkserver" without subprocess.

    *frames_of*: as for `patch_subprocess`.
    """
    original = getattr(util, "spawnv_passfds", None)
    if original is None:
        return

    def spawnv_passfds(*args: Any, **kwargs: Any) -> Any:
        try:
            guarded(_start_at, frames_of, sys._getframe(1))
            return original(*args, **kwargs)
        except BaseException as error:
            hide_frames(error)
            raise

    util.spawnv_passfds = spawnv_passfds


def _start_at(frames_of: Callable[[Any], str], frame: Any) -> None:
    # Programs that print their environment do so by line.
    set_hidden(_STARTED_AT, frames_of(frame).replace("\n", "\t"))


def _list_with_ours(paths: Any, env: Any) -> Any:
    """*env*, None or a list of b"NAME=value", with ours if the program, the first of *paths* that exists, is to have
    it.
    """
    if env is None:
        return None
    theirs = dict(entry.partition(b"=")[::2] for entry in env)
    added = _additions(theirs.get(b"PYTHONPATH"), theirs.keys(), paths)
    if not added:
        return env
    return [*(entry for entry in env if not entry.startswith(b"PYTHONPATH=")), *(b"=".join(pair) for pair in added)]


def _additions(their_path: bytes | None, names: Iterable[bytes], paths: Iterable[Any]) -> list[tuple[bytes, bytes]]:
    """What an environment of variables *names* lacks of ours, if the first program of *paths* is to have it."""
    if b"PARASUITE_RECORDER" in names or not hidden:
        return []  # Another run's, within this one.
    if _INHERITED.encode() not in names and not _is_python(paths):
        return []
    path = _HERE if their_path is None else _joined(os.fsdecode(their_path))
    return [
        (b"PYTHONPATH", os.fsencode(path)),
        *((os.fsencode(name), os.fsencode(value)) for name, value in hidden.items()),
    ]


def _is_python(paths: Iterable[Any]) -> bool:
    """Whether the first file of *paths* is an interpreter of Python, or a script for one."""
    for path in paths:
        try:
            with open(path, "rb", buffering=0) as program:
                head = program.read(_SCRIPT_HEAD)
        except (OSError, TypeError, ValueError):
            continue
        name = os.path.basename(os.fsdecode(path)) if not isinstance(path, int) else ""
        if name.startswith(("python", "pypy")):
            return True
        # Where the path of the interpreter is long, pip writes "#!/bin/sh" and has the second line execute it.
        return head.startswith(b"#!") and b"python" in b"".join(head.split(b"\n", 2)[:2])
    return False
