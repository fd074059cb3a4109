"""What a process owns until it releases it or dies, and what its forked children do not own with it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from typing import Protocol


class Closable(Protocol):
    """A socket, a lock, a pipe."""

    def close(self) -> None: ...
    def fileno(self) -> int: ...


fork_lock = threading.RLock()
"""Held while something is open that no claim has yet, or any more: a fork in another thread waits for it."""


class Claim:
    """Things that the kernel takes back when their process ends; closed once, and in a forked child at its birth.

    Otherwise the child would keep its parent's port numbers long after the parent released them, or died.
    """

    __slots__ = ("__weakref__", "released", "resources")

    def __init__(self, resources: tuple[Closable, ...]) -> None:
        self.resources = resources
        self.released = False
        _claims.add(self)

    def close(self) -> None:
        """Give all of it back; a second call does nothing."""
        with fork_lock:
            self.released = True
            resources, self.resources = self.resources, ()
            for resource in resources:
                resource.close()


_claims: weakref.WeakSet[Claim] = weakref.WeakSet()


def close_each(claims: Iterable[Claim]) -> None:
    """Close every one of *claims*."""
    for claim in list(claims):
        claim.close()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=lambda: close_each(_claims))
    os.register_at_fork(before=fork_lock.acquire, after_in_parent=fork_lock.release, after_in_child=fork_lock.release)
