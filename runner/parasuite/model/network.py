"""The network namespace that a socket lives in: sockets of different networks cannot meet."""

from __future__ import annotations

from typing import NamedTuple


class Network(NamedTuple):
    """A network namespace. *namespace*: its inode; 0 for the one that parasuite lets a copy use, which is also
    parasuite's own unless each copy has one; below 0 for that of a copy (`of_copy`).
    """

    namespace: int = 0

    @classmethod
    def of_copy(cls, copy: int) -> Network:
        """The network that *copy* has to itself."""
        return cls(-1 - copy)

    @property
    def is_of_copy(self) -> bool:
        """Whether it is one that parasuite made for a copy."""
        return self.namespace < 0

    @property
    def is_ours(self) -> bool:
        """Whether it is the one that parasuite lets the copy use: the kernel's tables and notices of it are read."""
        return not self.namespace


OUR_NETWORK = Network()
