"""Compiled files in a folder of parasuite's, for users who want none next to the sources (PYTHONDONTWRITEBYTECODE).

Until Python 3.14, importlib keeps what a full disk or a limit on the size of files has cut short, and every later
import of that module fails with EOFError. In the user's own folders that would be Python's doing, but a user who
asked for no compiled files would not even look for one. So here a file that is not whole is not kept.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# importlib._bootstrap_external, which need not have been imported by that name.
_IMPORTLIB: Any = sys.modules["_frozen_importlib_external"]


def compile_into(folder: str) -> Callable[[], None]:
    """Have this process keep its compiled files below *folder*, until what is returned is called."""
    before = sys.dont_write_bytecode, sys.pycache_prefix, _IMPORTLIB._write_atomic

    def restore() -> None:
        sys.dont_write_bytecode, sys.pycache_prefix, _IMPORTLIB._write_atomic = before

    sys.dont_write_bytecode, sys.pycache_prefix, _IMPORTLIB._write_atomic = False, folder, _write_whole
    return restore


def _write_whole(path: str, data: bytes, mode: int = 0o666) -> None:
    """Write the file *path* as a whole or not at all. Raises OSError, which importlib takes for "not compiled"."""
    unfinished = f"{path}.{os.getpid()}"
    descriptor = os.open(unfinished, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode & 0o666)
    try:
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        os.replace(unfinished, path)
    except OSError:
        os.unlink(unfinished)
        raise
