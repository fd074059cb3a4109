"""Which run a scratch folder belongs to: the next run of the same user removes the folder of a killed run.

A run holds a lock on a file in its folder for as long as it lives, and the kernel releases the lock when it dies,
even in another PID namespace. A folder without the file, of another user, or reached through a link is left alone.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from parasuite.record.removal import remove_tree

if sys.platform != "win32":
    import fcntl

_OWNER = ".owner"


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock *folder* for this run, within the body.

    If that is not possible (a full disk, a file system without locks, Windows), the folder gets no lock file, and no
    run will remove it.
    """
    # The file gets its name after it has been locked, so that no other run finds it unlocked.
    new = folder / f"{_OWNER}.new"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            if sys.platform != "win32":
                descriptor = os.open(new, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                new.rename(folder / _OWNER)
        yield


def remove_abandoned(base: Path, prefix: str) -> None:
    """Remove the folders of this user in *base* whose names begin with *prefix* and whose run has ended."""
    if sys.platform != "win32":
        for folder in base.glob(f"{prefix}*"):
            with contextlib.suppress(OSError):
                _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    """Remove *folder* if its run has ended. Raises OSError if no run has claimed it, or its run is alive."""
    if sys.platform == "win32" or not _is_own(folder.lstat(), stat.S_ISDIR):
        return
    descriptor = os.open(folder / _OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _is_own(os.fstat(descriptor), stat.S_ISREG):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)
    finally:
        os.close(descriptor)


def _is_own(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    return is_kind(status.st_mode) and status.st_uid == os.geteuid()
