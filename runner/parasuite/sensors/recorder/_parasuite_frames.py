"""Which frame of a stack is the user's: the file and line that a call is shown with.

Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import os
import sysconfig

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.join(os.path.normcase(os.path.dirname(os.path.abspath(__file__))), "")
_LINE_FRAMES_MAX = 60
# Helpers that are skipped: the line that chose the port is in their caller.
_HELPERS = frozenset({"netsupport", "test.support", "gevent"})


def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.join(os.path.normcase(paths[name]), "") for name in ("stdlib", "platstdlib")})


def _working_folder() -> str:
    try:
        return os.path.join(os.getcwd(), "")
    except OSError:
        return ""  # It has been removed.


_LIBRARY = _library_folders()
# Below the library's folders but not part of the library: installed packages and Python's own tests.
_USERS = tuple(folder + part for folder in _LIBRARY for part in ("site-packages", "dist-packages", "test" + os.sep))
_CWD = _working_folder()
_display_paths: dict[str, str] = {}


def absolute(path: str) -> str:
    """*path* as an absolute path, in the form of _LIBRARY; a relative one starts where the process began."""
    return os.path.normcase(os.path.normpath(os.path.join(_CWD, path)))


def is_ours(absolute: str) -> bool:
    """Whether the file is the recorder's or the standard library's."""
    return absolute.startswith(_HERE) or (absolute.startswith(_LIBRARY) and not absolute.startswith(_USERS))


def _display_path(path: str) -> str:
    """How *path* is written in a source line; "" for the library's own files, the recorder's and generated code."""
    shown = _display_paths.get(path)
    if shown is None:
        full = absolute(path)
        shown = "" if path.startswith("<") or is_ours(full) else full
        if shown.startswith(_CWD):
            shown = shown[len(_CWD) :]
        _display_paths[path] = shown
    return shown


def source_line(frame: Any) -> str:
    """ "file:line:function" of the first frame in the user's code, from *frame* outwards; if all shown frames are in
    helpers, of the outermost one.
    """
    outermost = ""
    for _ in range(_LINE_FRAMES_MAX):
        if frame is None:
            break
        code = frame.f_code
        shown = _display_path(code.co_filename)
        if shown:
            module = frame.f_globals.get("__name__") or ""
            outermost = f"{shown}:{frame.f_lineno}:{code.co_name}"
            if module.partition(".")[0] not in _HELPERS and ".".join(module.split(".")[:2]) not in _HELPERS:
                return outermost
        frame = frame.f_back
    return outermost
