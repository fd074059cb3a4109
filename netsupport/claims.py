"""Resources that belong to one process until it releases them or ends; its forked children do not share them."""

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
"""Held whenever a descriptor is open but not (or no longer) owned by a Claim, so that a fork cannot leak it."""


class Claim:
    """Resources that are closed together: once, by `close()`, and in every forked child as soon as it starts.

    Otherwise the child would keep its parent's ports after the parent has released them, or ended.
    """

    __slots__ = ("__weakref__", "released", "resources")

    def __init__(self, resources: tuple[Closable, ...]) -> None:
        self.resources = resources
        self.released = False
        _claims.add(self)

    def close(self) -> None:
        """Close all resources; a second call does nothing."""
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
