"""Which frames of a stack are the user's: the files and lines that a call is shown with.

Theory of operation. Each file has a rank. Frames of the project are shown. If there is none on the stack, those of
the line that started the thread are: in `threading.Thread(target=server.serve_forever).start()` it is the user's. If
that is not known, frames of installed packages are. Only if there is none of these either, a helper's outermost frame
is. Frames of the standard library, of the recorder and of generated code are never shown. Frames of a test runner are
not shown either, and they end the search once a frame of the project has been found: what called the runner says
nothing about the call, and most stacks are as deep as their runner's.

If an installed package made the call for the frames of the project, its file is given with them: which helper drew a
port, for instance, says who else may get it.

Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import os
import sysconfig
from types import FunctionType

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HERE = os.path.join(os.path.normcase(os.path.dirname(os.path.abspath(__file__))), "")
_DEPTH_MAX = 100
_FRAMES_MAX = 5
# Ranks of files.
_HIDDEN, _RUNNER, _HELPER, _LIBRARY, _PROJECT = range(5)
# Helpers' own frames say little: the line that chose the port is in their caller.
_HELPERS = frozenset({"netsupport", "test.support", "gevent"})
_RUNNERS = frozenset({"_pytest", "pytest", "pluggy", "unittest"})
_INSTALLED = tuple(os.sep + name + os.sep for name in ("site-packages", "dist-packages"))


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.join(os.path.normcase(paths[name]), "") for name in ("stdlib", "platstdlib")})


def _working_folder() -> str:
    try:
        return os.path.join(os.getcwd(), "")
    except OSError:
        return ""  # It has been removed.


_STDLIB = _library_folders()
# Below the library's folders but not part of the library: installed packages and Python's own tests.
_USERS = tuple(folder + part for folder in _STDLIB for part in ("site-packages", "dist-packages", "test" + os.sep))
# Programs that were installed with a package are not the project's.
_SCRIPTS = os.path.join(os.path.normcase(sysconfig.get_path("scripts")), "")
_CWD = _working_folder()
_files: dict[str, tuple[int, str]] = {}
_names: dict[int, tuple[Any, str]] = {}  # By the id of the code.


def absolute(path: str) -> str:
    """*path* as an absolute path, in the form of _STDLIB; a relative one starts where the process began."""
    return os.path.normcase(os.path.normpath(os.path.join(_CWD, path)))


def is_ours(absolute: str) -> bool:
    """Whether the file is the recorder's or the standard library's."""
    return absolute.startswith(_HERE) or (absolute.startswith(_STDLIB) and not absolute.startswith(_USERS))


def _file(path: str, module: str) -> tuple[int, str]:
    """The rank of the file *path*, which is that of *module*, and how it is shown."""
    full = absolute(path)
    # Frames are separated by newlines.
    shown = (full[len(_CWD) :] if full.startswith(_CWD) else full).replace("\n", "\\n")
    package = module.partition(".")[0]
    if package in _RUNNERS:
        rank = _RUNNER
    elif path.startswith("<") or is_ours(full):
        rank = _HIDDEN
    elif package in _HELPERS or ".".join(module.split(".")[:2]) in _HELPERS:
        rank = _HELPER
    elif full.startswith(_SCRIPTS) or any(folder in full for folder in _INSTALLED):
        rank = _LIBRARY
    else:
        rank = _PROJECT
    _files[path] = rank, shown
    return _files[path]


def user_frames(frame: Any, of_starter: Callable[[], str]) -> str:
    """The user's frames from *frame* outwards: "file:line:function" of each, at most five, separated by newlines. A
    method is given as "Class.method".

    After an empty line follows the file of the installed package that made the call for them, if one did.
    *of_starter*: the frames of the line that started the thread, "" if they are not known. They are shown if there is
    no frame of the project on the stack.
    """
    rank, frames, library = _frames(frame)
    return frames + library if rank == _PROJECT else of_starter() or frames


def project_frames(frame: Any, of_starter: Callable[[], str]) -> str:
    """The same without frames of installed packages and helpers."""
    rank, frames, _ = _frames(frame)
    return frames if rank == _PROJECT else of_starter()


def _frames(frame: Any) -> tuple[int, str, str]:
    """The highest rank of a file on the stack, the frames in files of that rank, and what follows them."""
    best, library = _HELPER, ""
    found: list[Any] = []
    for _ in range(_DEPTH_MAX):
        if frame is None:
            break
        path = frame.f_code.co_filename
        file = _files.get(path) or _file(path, frame.f_globals.get("__name__") or "")
        rank = file[0]
        if rank >= best:
            if rank > best or rank == _HELPER:
                if best == _LIBRARY:
                    library = "\n\n" + found[0][0]
                best = rank
                found = []
            found.append((file[1], frame))
            if rank == _PROJECT and len(found) == _FRAMES_MAX:
                break
        elif rank == _RUNNER and best == _PROJECT:
            break
        frame = frame.f_back
    lines = [f"{shown}:{frame.f_lineno}:{_name(frame)}" for shown, frame in found[:_FRAMES_MAX]]
    return best, "\n".join(lines), library


def _name(frame: Any) -> str:
    """The name of the function that *frame* runs; of a method after that of its class, since two classes of one file
    may have methods of one name.
    """
    code = frame.f_code
    qualified: str | None = getattr(code, "co_qualname", None)
    if qualified is not None:
        return qualified.rpartition("<locals>.")[2]
    known = _names.get(id(code))
    if known is None:
        # The code is kept, so that no other gets its id.
        known = _names[id(code)] = code, _class_of(code, frame.f_globals) + code.co_name
    return known[1]


def _class_of(code: Any, namespace: dict[str, Any]) -> str:
    """The name of the class in a module's *namespace* that has a method with *code*, and a dot; "" if there is none.

    Before Python 3.11. Not by the method's first argument: reading a frame's locals keeps them alive.
    """
    for kind in list(namespace.values()):
        if issubclass(type(kind), type) and kind.__module__ == namespace.get("__name__"):
            for member in list(vars(kind).values()):
                if type(member) in (staticmethod, classmethod):
                    member = member.__func__
                elif type(member) is property:
                    member = member.fget
                if type(member) is FunctionType and member.__code__ is code:
                    return f"{kind.__qualname__}."
    return ""
