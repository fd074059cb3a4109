"""The few functions of the C library that the standard library does not offer.

Called through `_ctypes`: importing `ctypes` costs several times as much, in every Python that a copy starts, and puts
it into sys.modules before the program imports it. Linux, CPython 3.9 or newer; ImportError elsewhere.
"""

from __future__ import annotations

import os
import sys

if sys.platform != "linux" or sys.implementation.name != "cpython":
    raise ImportError("the C library can be called only on Linux and by CPython")
import _ctypes

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

_RTLD_NOW, _RTLD_NOLOAD = 2, 4
_program: int = _ctypes.dlopen(None, _RTLD_NOW)  # type: ignore[arg-type]
_PROT_READ_WRITE, _MAP_SHARED = 1 | 2, 1
_CLOCK_MONOTONIC = 1


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Size(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "L"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


def _function(address: int, *arguments: type) -> Any:
    function: Any = _Function(address)
    function.argtypes = arguments
    return function


_mmap = _function(_ctypes.dlsym(_program, "mmap"), _Size, _Size, _Int, _Int, _Int, _Long)


def map_file(descriptor: int, size: int) -> memoryview:
    """The first *size* bytes of the file *descriptor*, mapped shared for as long as the process lives; *descriptor*
    may be closed afterwards. Raises OSError. Source: mmap(2).
    """
    address = _mmap(0, size, _PROT_READ_WRITE, _MAP_SHARED, descriptor, 0)
    if address == -1:
        code = _ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return memoryview((_Char * size).from_address(address)).cast("B")


def _own_clock_gettime() -> int:
    """The address of clock_gettime in the C library itself. Raises OSError if that is not glibc."""
    return int(_ctypes.dlsym(_ctypes.dlopen("libc.so.6", _RTLD_NOW | _RTLD_NOLOAD), "clock_gettime"))


def clock_is_replaced() -> bool:
    """Whether this program calls another clock_gettime than the C library's. Raises OSError."""
    return _own_clock_gettime() != _ctypes.dlsym(_program, "clock_gettime")


_PairOfLongs = _Long * 2
_own_clock: list[Any] = []


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC from the C library's own clock_gettime(2). Raises OSError."""
    if not _own_clock:
        _own_clock.append(_function(_own_clock_gettime(), _Int, _Size))
    pair = _PairOfLongs()
    _own_clock[0](_CLOCK_MONOTONIC, _ctypes.addressof(pair))
    seconds, nanoseconds = pair
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
