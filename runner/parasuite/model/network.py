"""The network namespace that a socket lives in: sockets of different networks cannot meet."""

from __future__ import annotations

from typing import NamedTuple


class Network(NamedTuple):
    """A network namespace. *namespace*: its inode; 0 for the one that parasuite itself runs in."""

    namespace: int = 0

    @property
    def is_ours(self) -> bool:
        """Whether parasuite runs in it, so that the kernel's tables and notices that it reads are this network's."""
        return not self.namespace


OUR_NETWORK = Network()
