"""libc's functions with their C types, for the system calls that Python does not wrap."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None, use_errno=True)


def libc_function(name: str, result: type, *arguments: type) -> ctypes._NamedFuncPointer:
    """The function *name*. Each caller gets its own, with its own types: `syscall` is needed with several."""
    function = _libc[name]
    function.restype = result
    function.argtypes = list(arguments)
    return function
