"""The Unix sockets that the copies have bound: which of them has a name now, and whether it is still open.

Theory of operation. The kernel sends no notice when a Unix socket ends, and the file at its path stays behind. So we
look the socket up in the kernel's table, by inode, when another one is about to get the same name. Each time their
number has doubled, we look all of them up, so that it stays bounded. A socket that is gone is released, untimed. (A
duplicate of the socket would show the same, but would keep it open.)

A name belongs to one socket at a time. A process that removes the file of another socket and binds the same path
takes the name over: the other socket is still open, but no new client reaches it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from parasuite.model.events import Endpoint, Event, Holder, Release
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.party import Caller, Process
from parasuite.model.sensors import SensorName
from parasuite.model.words import SocketState
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.addresses import unix_name
from parasuite.sensors.seccomp.aside import Aside
from parasuite.sensors.seccomp.owners import Owners

SOURCE = SensorName.SECCOMP
_SWEEP_FIRST = 256
_HOLDERS_MAX = 8
# An accepted connection has the name of its listener, and does not hold it.
_OWNING = {netlink.LISTEN: SocketState.LISTEN, netlink.CLOSE: SocketState.BOUND}
_FILE_TIMEOUT_S = 1.0  # On a busy machine the thread may wait for a CPU: an answer is worth the delay.
# The kernel stamps files with the time of its last tick: up to 10 ms ago (CONFIG_HZ=100).
_TICK_NS = 20_000_000
_ANY_COPY = -1
_Name: TypeAlias = tuple[str, Network, int]
"""A name, its network, and the copy that has this network to itself; _ANY_COPY if copies share it."""


class BoundSocket(NamedTuple):
    """A socket of *process* that has got its name."""

    process: Process
    endpoint: Endpoint
    inode: int
    cookie: int


class UnixSockets:
    """The sockets that the copies have bound, by name.

    *table*: of the network that this process is in, and the copies, unless `watch` names another one. *owners*:
    describes the processes of other sockets. *emit*: takes the releases of sockets that are found gone. *is_listed*:
    whether the kernel lists Unix sockets (CONFIG_UNIX_DIAG); otherwise every socket seems to be gone.
    """

    def __init__(self, table: netlink.UnixTable, owners: Owners, emit: Callable[[Event], None]) -> None:
        self._table = table
        self._table_of: dict[int, netlink.UnixTable] = {}  # By copy.
        self._owners = owners
        self._emit = emit
        with socket.socket(socket.AF_UNIX) as own:
            self.is_listed = table.row(os.fstat(own.fileno()).st_ino) is not None
        self._aside = Aside(_FILE_TIMEOUT_S)
        self._by_name: dict[_Name, BoundSocket] = {}
        self._sweep_at = _SWEEP_FIRST

    def close(self) -> None:
        for table in (self._table, *self._table_of.values()):
            table.close()

    def watch(self, copy: int, table: netlink.UnixTable) -> None:
        """*copy* has a network of its own, which *table* shows."""
        self._table_of[copy] = table

    def _table_for(self, copy: int) -> netlink.UnixTable:
        return self._table_of.get(copy, self._table)

    def row_of(self, inode: int, network: Network, copy: int) -> tuple[str, int] | None:
        """Name ("": it has none) and cookie of the socket of *copy* with *inode*, while it is open in its network."""
        row = self._table_for(copy).row(inode) if inode and network.is_ours else None
        return None if row is None else (unix_name(row.name) if row.name else "", row.cookie)

    def holder_of(self, endpoint: Endpoint, copy: int, t_ns: int, but: int = 0) -> tuple[Holder, ...]:
        """The socket, if not the one with the inode *but*, that has the name of *endpoint* in *copy* now.

        One that is gone is released just before *t_ns*. So is one in another network, where we cannot see whether it
        is open.
        """
        name = self._name(endpoint, copy)
        known = self._by_name.get(name)
        if known is None or known.inode == but:
            return ()
        if not self._is_open(known):
            del self._by_name[name]
            self._release(known, t_ns - 1)
            return ()
        return (Holder(known.process.party, known.process.pid, SocketState.BOUND, known.cookie),)

    def others_at(self, endpoint: Endpoint, copy: int) -> tuple[Holder, ...]:
        """The open sockets with the name of *endpoint* in *copy* that no copy is known to have bound: a stranger's,
        mostly.
        """
        if not endpoint.network.is_ours:
            return ()
        tables = [self._table_for(copy)]
        if tables != [self._table] and not endpoint.address.startswith("@"):
            tables.append(self._table)  # A stranger can have the path.
        rows = [
            row
            for table in tables
            for row in table.rows()
            if row.state in _OWNING and unix_name(row.name) == endpoint.address
        ]
        return tuple(self._owners.holder_of(row.inode, _OWNING[row.state], row.cookie) for row in rows[:_HOLDERS_MAX])

    def add(self, bound: BoundSocket, t_ns: int) -> None:
        """*bound* has got its name at *t_ns*; whichever had it before has lost it.

        An abstract name is free only once its socket has ended, so that socket is released. A path can be bound again
        while its socket is open.
        """
        name = self._name(bound.endpoint, _copy_of(bound))
        before = self._by_name.get(name)
        if before is not None and before.inode != bound.inode and bound.endpoint.address.startswith("@"):
            self._release(before, t_ns - 1)
        self._by_name[name] = bound
        if len(self._by_name) >= self._sweep_at:
            for name, known in list(self._by_name.items()):
                if not self._is_open(known):
                    del self._by_name[name]
                    self._release(known, t_ns)
            self._sweep_at = max(_SWEEP_FIRST, 2 * len(self._by_name))

    def is_file_new(self, endpoint: Endpoint, tid: int, since_ns: int) -> bool | None:
        """Whether the socket's file at the path of *endpoint*, as *tid* sees it, may have been made after *since_ns*
        (since the epoch); None if there is no file, or that cannot be known.
        """
        if endpoint.address[:1] != "/":
            return None
        made_ns = self._aside(lambda: _made_ns(f"/proc/{tid}/root{endpoint.address}"))
        return None if made_ns is None else made_ns >= since_ns - _TICK_NS

    def has_folder(self, endpoint: Endpoint, tid: int) -> bool:
        """Whether the folder of *endpoint*'s path, as *tid* sees it, exists; False where that cannot be known."""
        if endpoint.address[:1] != "/":
            return False
        return self._aside(lambda: os.path.isdir(f"/proc/{tid}/root{os.path.dirname(endpoint.address)}")) is True

    def _is_open(self, known: BoundSocket) -> bool:
        return known.endpoint.network.is_ours and self._table_for(_copy_of(known)).row(known.inode) is not None

    def _name(self, endpoint: Endpoint, copy: int) -> _Name:
        """A path means the same in every network, an abstract name does not."""
        if not endpoint.address.startswith("@"):
            return (endpoint.address, OUR_NETWORK, _ANY_COPY)
        return (endpoint.address, endpoint.network, copy if copy in self._table_of else _ANY_COPY)

    def _release(self, gone: BoundSocket, by_ns: int) -> None:
        self._emit(
            Release(
                t_ns=by_ns,
                source=SOURCE,
                caller=Caller(gone.process),
                cookie=gone.cookie,
                network=gone.endpoint.network,
                inode=gone.inode,
                is_timed=False,
            )
        )


def _copy_of(bound: BoundSocket) -> int:
    party = bound.process.party
    return _ANY_COPY if party is None else party.copy


def _made_ns(path: str) -> int | None:
    """When the file at *path* was made, or last changed in its status; 0 for one that is not a socket."""
    with contextlib.suppress(OSError, ValueError):
        found = os.lstat(path)
        return found.st_ctime_ns if stat.S_ISSOCK(found.st_mode) else 0
    return None
