"""The clock of the recorder's events, CLOCK_MONOTONIC as parasuite itself reads it, whatever clock the program has.

A program's clock can differ from it in three ways, each with its own remedy:

- a test replaces functions of the module time: the function used here is kept in a default argument (freezegun
  replaces the attributes of all modules), and it is time.perf_counter_ns where that is the same clock, as on POSIX
  (time-machine changes time.monotonic_ns in place);
- a preloaded library overrides the C library's clock_gettime (libfaketime): the C library's own is called;
- the process is in its own time namespace (time_namespaces(7)): the namespace's offset is subtracted.

If parasuite's own clock is replaced, its copies have the same clock, and it is read as it is.
"""

from __future__ import annotations

import os
import time

try:
    from _parasuite_environment import hidden as _variables  # In a copy.
except ImportError:
    _variables = {}  # In parasuite.

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VARIABLE = "PARASUITE_CLOCK"
_NAMESPACE = "/proc/self/ns/time"


def is_replaced() -> bool:
    """Whether a preloaded library overrides this process's clock_gettime. Raises OSError, AttributeError or
    ImportError if that cannot be found out.
    """
    if "LD_PRELOAD" not in os.environ and not _has_contents("/etc/ld.so.preload"):
        return False
    return bool(_libc().clock_is_replaced())


def _libc() -> Any:
    try:
        import _parasuite_libc  # In a copy.
    except ImportError:
        from parasuite.sensors.recorder import _parasuite_libc  # In parasuite.
    return _parasuite_libc


def _has_contents(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def described() -> str:
    """The value of VARIABLE for children of this process: its time namespace and that one's offset in nanoseconds. If
    they cannot be read or the clock is replaced, "": then the children read their clock as it is.
    """
    try:
        return "" if is_replaced() else f"{os.readlink(_NAMESPACE)} {_offset_ns()}"
    except (OSError, AttributeError, ImportError):
        return ""


def _offset_ns() -> int:
    """How far CLOCK_MONOTONIC of this time namespace is ahead of the machine's. Source: time_namespaces(7)."""
    with open("/proc/self/timens_offsets", "rb") as stream:
        for line in stream:
            name, seconds, nanoseconds = line.split()
            if name in (b"monotonic", b"1"):
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0


def _own() -> Callable[[], int]:
    clocks = [time.get_clock_info(name).implementation for name in ("monotonic", "perf_counter")]
    return time.perf_counter_ns if clocks[0] == clocks[1] else time.monotonic_ns


def _clock() -> tuple[Callable[[], int], int, bool, str]:
    """The function that reads the clock, the offset to subtract, whether this is another time namespace than
    parasuite's, and what is wrong ("" if nothing is).
    """
    value = _variables.get(VARIABLE, "")
    if not value:
        return _own(), 0, False, ""
    read, off_ns, is_elsewhere = _own(), 0, False
    namespace, _, offset = value.partition(" ")
    try:
        parasuites_offset_ns = int(offset)
    except ValueError:
        # The suite has set it. Which clock parasuite has is not known then, so the process's own is read as it is.
        return read, 0, False, f"its clock may differ from parasuite's: {VARIABLE} is {value!r}"
    try:
        is_elsewhere = os.readlink(_NAMESPACE) != namespace
        if is_replaced():
            read = _libc().monotonic_ns
        if is_elsewhere:
            off_ns = _offset_ns() - parasuites_offset_ns
    except (OSError, AttributeError, ImportError) as error:
        return read, off_ns, is_elsewhere, f"its clock may differ from parasuite's: {error}"
    return read, off_ns, is_elsewhere, ""


_READ, _OFF_NS, _IS_ELSEWHERE, PROBLEM = _clock()


def is_in_another_namespace() -> bool:
    """Whether this process is in another time namespace than parasuite, and so counts from another boot time."""
    return _IS_ELSEWHERE


def now_ns(_read: Callable[[], int] = _READ, _off_ns: int = _OFF_NS) -> int:
    """The time in nanoseconds. The clock is a default argument, because freezegun replaces attributes of modules."""
    return _read() - _off_ns


del _READ
