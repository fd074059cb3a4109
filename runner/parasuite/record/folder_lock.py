"""The lock that a run holds on its folder, so that another run knows whether it is still alive.

flock(2) works across pid namespaces, where the pid in run.json means nothing to another container.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from parasuite.record.untrusted import Missing, open_file

try:
    import fcntl
except ImportError:  # Windows has no flock.
    fcntl = None  # type: ignore[assignment]

LOCK = "lock"


def lock(path: Path) -> int:
    """Create the file *path* and lock it; the descriptor holds the lock until it is closed. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        if fcntl is not None:
            # On a file system without locks (ENOLCK) others have to rely on the pid in run.json.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(run: Path) -> bool | None:
    """Whether the process that made the run folder *run* is alive; None if the lock cannot show it.

    Raises Unreadable if the lock is not a regular file.
    """
    if fcntl is None:
        return None
    try:
        with open_file(run, LOCK) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except Missing:
        return None  # Written by a version that had no locks.
    except OSError as error:
        return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return False
