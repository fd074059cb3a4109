"""The clock of the recorder's events, CLOCK_MONOTONIC as parasuite itself reads it, whatever clock the program has.

A program's clock may be another one in three ways, and each is seen through in a way of its own:

- a test replaces the functions of the module time: those used here are kept where none looks (freezegun replaces the
  attributes of all modules; time-machine replaces time.monotonic_ns within, but not time.perf_counter_ns, which is
  the same clock on POSIX);
- a preloaded library stands before the C library's clock_gettime (libfaketime): the C library's own is called;
- a process in a time namespace of its own (time_namespaces(7)): its offset is taken off.

Where parasuite's own clock is replaced, its copies have the same one, and theirs is read as it is.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # As typing has it, without the price of importing that.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VARIABLE = "PARASUITE_CLOCK"
_NAMESPACE = "/proc/self/ns/time"


def is_replaced() -> bool:
    """Whether a preloaded library stands before this process's clock_gettime. Raises OSError, AttributeError or
    ImportError where that is not to be found out.
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
    """For VARIABLE: this process's time namespace and its offset in nanoseconds; "" where its clock is not to be had,
    or is replaced: then its children are to read theirs as it is.
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
    """What reads the clock, what is to be taken off, whether for another time namespace, and what is wrong with it
    ("" if nothing is).
    """
    namespace, _, parasuites_offset_ns = os.environ.get(VARIABLE, "").partition(" ")
    if not namespace:
        return _own(), 0, False, ""
    read, off_ns, is_elsewhere = _own(), 0, False
    try:
        is_elsewhere = os.readlink(_NAMESPACE) != namespace
        if is_replaced():
            read = _libc().monotonic_ns
        if is_elsewhere:
            off_ns = _offset_ns() - int(parasuites_offset_ns)
    except (OSError, AttributeError, ImportError) as error:
        return read, off_ns, is_elsewhere, f"its clock may be another one than parasuite's: {error}"
    return read, off_ns, is_elsewhere, ""


_READ, _OFF_NS, _IS_ELSEWHERE, PROBLEM = _clock()


def is_in_another_namespace() -> bool:
    """Whether the boot of the machine lies at another time for this process than for parasuite."""
    return _IS_ELSEWHERE


def now_ns(_read: Callable[[], int] = _READ, _off_ns: int = _OFF_NS) -> int:
    """The time in nanoseconds. The clock is a default, and not a name of this module: names are replaced."""
    return _read() - _off_ns


del _READ
