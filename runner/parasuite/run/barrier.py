"""Holds the copies of a pytest tree together: none begins its tests before all have collected theirs.

Copies that import at different speeds would run their tests one after the other, and could not collide. A copy that
has collected its tests writes so into its results, and waits for a shared lock (flock(2)) on the file `barrier` in
the run folder, of which parasuite holds the exclusive one. The kernel gives a lock back when its owner dies, so no
copy waits for a parasuite that was killed; and a signal interrupts the wait.

Parasuite lets them go once no copy is left that has yet to collect, or after LIMIT_S: the suite may hold a lock of
its own while it collects, so that its copies cannot get there together.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from parasuite.record.folder_lock import lock

LIMIT_S = 60.0
"""How long the first copy to arrive waits for the others."""
BARRIER = "barrier"


class Barrier:
    """The lock, held until `open`. Where files cannot be locked, no copy waits."""

    def __init__(self, run: Path) -> None:
        self._path = run / BARRIER
        self._descriptor: int | None = lock(self._path)
        self._first_s: float | None = None

    @property
    def is_open(self) -> bool:
        return self._descriptor is None

    def arrived(self, arrived: int, expected: int) -> bool:
        """Open it if copies have *arrived* and none is *expected* any more; whether the limit was what opened it."""
        if self.is_open or not arrived:
            return False
        self._first_s = self._first_s or time.monotonic()
        is_over = time.monotonic() - self._first_s > LIMIT_S
        if not expected or is_over:
            self.open()
        return bool(expected) and is_over

    def open(self) -> None:
        """Let the copies go."""
        if self._descriptor is not None:
            # First, so that a copy that comes later does not even look for the lock.
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None
