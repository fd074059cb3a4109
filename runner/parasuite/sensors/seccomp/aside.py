"""Runs work that may block for ever in a thread, which is abandoned when it takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_TIMEOUT_S = 0.2
_WAITING_MAX = 4

T = TypeVar("T")


class _Work(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: T | None = None

    def run(self) -> None:
        self.result = self._work()


class Aside:
    """Runs work in threads of its own. When _WAITING_MAX threads have been abandoned, no more work is started.

    *timeout_s*: after that time a thread is abandoned. So a hostile process can delay this one by _WAITING_MAX times
    as long, and no more. A thread, unlike a child process, keeps this process's right to inspect other processes
    (Yama).
    """

    def __init__(self, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._waiting: list[threading.Thread] = []

    def __call__(self, work: Callable[[], T]) -> T | None:
        """The result of *work*, which must not raise; None if it is not finished in time, or not started."""
        self._waiting = [thread for thread in self._waiting if thread.is_alive()]
        if len(self._waiting) >= _WAITING_MAX:
            return None
        thread = _Work(work)
        try:
            thread.start()
        except RuntimeError:
            return None  # No more threads are allowed (RLIMIT_NPROC).
        thread.join(self._timeout_s)
        if thread.is_alive():
            self._waiting.append(thread)
            return None
        return thread.result
