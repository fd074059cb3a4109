"""The sockets that the copies have bound and not yet closed, and which process holds a port now."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from parasuite.model.events import Endpoint, Holder
from parasuite.model.network import Network
from parasuite.model.overlap import canonical, overlaps, reaches
from parasuite.model.party import Party, Process
from parasuite.model.words import Protocol, SocketState
from parasuite.sensors import netlink, proc
from parasuite.sensors.strangers import Strangers

_COMMAND_MAX = 400
_SOCKET = "socket:[{}]"
_WALK_PAUSE = 50
_HOLDERS_MAX = 8
_SERVED_REMEMBERED_MAX = 1024
_SERVED_AGAIN_NS, _UNRESOLVED_AGAIN_NS = 1_000_000_000, 100_000_000
_OWNING = frozenset({SocketState.LISTEN, SocketState.BOUND, SocketState.UNCONNECTED})


class Owner(NamedTuple):
    """The process that bound a socket which is still open, and the endpoint that it was bound to."""

    process: Process
    endpoint: Endpoint
    inode: int


class _Served(NamedTuple):
    """Which strangers serve an endpoint; the kernel is asked again at *until_ns*."""

    strangers: tuple[Holder, ...]
    until_ns: int


class Owners:
    """The live sockets of the copies in one network, by cookie. *table*: of that network. *copy_of*: the copy of a
    pid, None outside the run. *run_folder*: of this run, as in its copies' environments; "" if that is not known.
    *processes*: shared by the Owners of several networks.
    """

    def __init__(
        self,
        table: netlink.Table,
        copy_of: Callable[[int], int | None],
        run_folder: str = "",
        processes: SocketProcesses | None = None,
    ) -> None:
        self.table = table
        self._copy_of = copy_of
        self._run_folder = run_folder
        self._processes = processes or SocketProcesses()
        self._strangers = Strangers()
        # Each copy inherits the sockets that parasuite was started with (socket activation): no stranger serves them.
        self._inherited = frozenset(sockets_of([os.getpid()]))
        self._served: dict[tuple[Protocol, int], dict[str, _Served]] = {}
        self._by_cookie: dict[int, Owner] = {}
        self._by_inode: dict[int, int] = {}
        self._at: dict[tuple[Protocol, int], set[int]] = {}

    def __contains__(self, cookie: int) -> bool:
        return cookie in self._by_cookie

    def __getitem__(self, cookie: int) -> Owner:
        return self._by_cookie[cookie]

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._by_cookie))

    def add(self, cookie: int, owner: Owner) -> None:
        """*owner* has bound the socket *cookie*."""
        if cookie in self._by_cookie:
            self.remove(cookie)
        self._by_cookie[cookie] = owner
        at = (owner.endpoint.protocol, owner.endpoint.port)
        there = self._at.get(at)
        if there is None:
            self._at[at] = {cookie}
            self._served.pop(at, None)  # The strangers that listened there may be gone.
        else:
            there.add(cookie)
        if owner.inode:
            self._by_inode[owner.inode] = cookie

    def remove(self, cookie: int) -> Owner:
        """The last reference to the socket *cookie* is gone."""
        owner = self._by_cookie.pop(cookie)
        at = (owner.endpoint.protocol, owner.endpoint.port)
        there = self._at[at]
        there.discard(cookie)
        if not there:
            del self._at[at]
        if self._by_inode.get(owner.inode) == cookie:
            del self._by_inode[owner.inode]
        return owner

    def of_inode(self, inode: int) -> tuple[int, Owner] | None:
        """Cookie and owner of the socket with *inode*."""
        cookie = self._by_inode.get(inode)
        return None if cookie is None else (cookie, self._by_cookie[cookie])

    def only_others_at(self, party: Party, destination: Endpoint) -> bool:
        """Whether, as far as is known, another party owns a socket at the port and *party* itself does not."""
        there = self._at.get((destination.protocol, destination.port))
        return there is not None and all(party.meets(self._by_cookie[cookie].process.party) for cookie in there)

    def is_without_owner(self, destination: Endpoint) -> bool:
        """Whether no party of the run is known to own a socket at the port."""
        return (destination.protocol, destination.port) not in self._at

    def is_held(self, protocol: Protocol, port: int) -> bool:
        """Whether any socket of this network, of whatever process, has the port for itself, on whatever address."""
        states = netlink.TCP_OWNERS if protocol == Protocol.TCP else netlink.UDP_STATES
        return any(row.socket_state in _OWNING for row in self.table.rows(protocol, states, port))

    def strangers_serving(self, destination: Endpoint, now_ns: int) -> tuple[Holder, ...]:
        """The sockets of processes outside the run that a client of *destination* can end at.

        The kernel is asked once a second for each destination, and again after a party has bound the port. A socket
        whose process is not found is not taken for a stranger's, unless it is another user's.
        """
        at = (destination.protocol, destination.port)
        served = self._served.get(at, {}).get(destination.address)
        if served is not None and now_ns < served.until_ns:
            return served.strangers
        holders = self._serving(destination)
        # Otherwise they may be the run's own, and not known yet.
        are_strangers = all(holder.party is None and (holder.pid or _is_hidden(holder)) for holder in holders)
        served = (
            _Served(holders, now_ns + _SERVED_AGAIN_NS)
            if are_strangers
            else _Served((), now_ns + _UNRESOLVED_AGAIN_NS)
        )
        if len(self._served) >= _SERVED_REMEMBERED_MAX:
            self._served.clear()
        self._served.setdefault(at, {})[destination.address] = served
        return served.strangers

    def strangers_beside(self, endpoint: Endpoint) -> tuple[Holder, ...]:
        """The sockets of processes outside the run that accept on what overlaps *endpoint*, which a copy has bound.

        One whose process is not found may be the run's own, and is left out; so is what this process holds itself.
        """
        state = netlink.LISTEN if endpoint.protocol == Protocol.TCP else netlink.CLOSE
        found = []
        for row in self.table.rows(endpoint.protocol, 1 << state, endpoint.port):
            is_known = not row.inode or row.inode in self._inherited or row.cookie in self._by_cookie
            if not is_known and overlaps(canonical(endpoint), canonical(_endpoint(row, endpoint.network))):
                holder = self._holder(row)
                if holder.party is None and holder.pid not in (0, os.getpid()):
                    found.append(holder)
        return tuple(found[:_HOLDERS_MAX])

    def _serving(self, destination: Endpoint) -> tuple[Holder, ...]:
        """The sockets that a client of *destination* can reach, no matter who owns them."""
        state = netlink.LISTEN if destination.protocol == Protocol.TCP else netlink.CLOSE
        rows = self.table.rows(destination.protocol, 1 << state, destination.port)
        found = [row for row in rows if reaches(destination, _endpoint(row, destination.network))]
        if any(row.inode in self._inherited for row in found):
            return ()
        return tuple(self._holder(row) for row in found[:_HOLDERS_MAX])

    def vanished_at(self, endpoint: Endpoint, but: int) -> list[int]:
        """The cookies, except *but*, of sockets that overlap *endpoint* and are no longer in the kernel's table.

        The kernel's notice that they ended has not arrived yet, but it must have happened before this bind.
        """
        there = self._at.get((endpoint.protocol, endpoint.port), ())
        known = [cookie for cookie in there if cookie != but and overlaps(self._by_cookie[cookie].endpoint, endpoint)]
        if not known:
            return []
        states = netlink.EVERY_TCP_STATE if endpoint.protocol == Protocol.TCP else netlink.UDP_STATES
        alive = {row.cookie for row in self.table.rows(endpoint.protocol, states, endpoint.port)}
        return [cookie for cookie in known if cookie not in alive]

    def row_of(self, inode: int, protocol: Protocol, port: int) -> netlink.Row | None:
        """The table's row of the socket with *inode* at *port*."""
        states = netlink.EVERY_TCP_STATE if protocol == Protocol.TCP else netlink.UDP_STATES
        for row in self.table.rows(protocol, states, port):
            if row.inode == inode:
                return row
        return None

    def holders(self, endpoint: Endpoint, *, but: int = 0, owning: bool = False) -> tuple[Holder, ...]:
        """The sockets that now overlap *endpoint*, those that own the port first; without the cookie *but*.

        *owning*: only those that listen, are bound, or receive datagrams; else also connections and TIME_WAIT, which
        can be the reason for a refused bind, too. The process is unknown for sockets of other users' processes.
        """
        states = netlink.UDP_STATES
        if endpoint.protocol == Protocol.TCP:
            # The table of connections is large, and walking it takes longer than everything else.
            states = netlink.TCP_OWNERS if owning else netlink.EVERY_TCP_STATE
        found = []
        for row in self.table.rows(endpoint.protocol, states, endpoint.port):
            if row.cookie == but or (owning and row.socket_state not in _OWNING):
                continue
            if overlaps(canonical(endpoint), canonical(_endpoint(row, endpoint.network))):
                found.append(row)
        found.sort(key=lambda row: row.socket_state not in _OWNING)
        if found and found[0].socket_state in _OWNING:
            found = [row for row in found if row.socket_state in _OWNING]
        return tuple(self._holder(row) for row in found[:_HOLDERS_MAX])

    def _holder(self, row: netlink.Row) -> Holder:
        owner = self._by_cookie.get(row.cookie)
        if owner is not None:
            return Holder(owner.process.party, owner.process.pid, row.socket_state, row.cookie)
        peer = None
        if row.socket_state == SocketState.ESTABLISHED:
            peer = Endpoint(row.protocol, row.peer_address, row.peer_port)
        if not row.inode:
            return Holder(None, 0, row.socket_state, row.cookie, peer=peer)
        return self.holder_of(row.inode, row.socket_state, row.cookie, uid=row.uid, peer=peer)

    def holder_of(
        self, inode: int, state: SocketState, cookie: int, *, uid: int | None = None, peer: Endpoint | None = None
    ) -> Holder:
        """The holder of the open socket *inode*, which no copy is known to have bound. The rest is known already."""
        pid = self._processes.of(inode)
        copy = self._copy_of(pid) if pid else None
        if copy is not None:
            return Holder(Party(copy), pid, state, cookie, proc.command(pid, _COMMAND_MAX))
        stranger = self._strangers.described(pid) if pid else None
        if stranger is None:
            return Holder(None, 0, state, cookie, uid=uid, peer=peer)
        run = stranger.other_run
        if run is not None and run.folder and run.folder == self._run_folder:
            # It has left its copy's tree, which is possible where there are no subreapers.
            return Holder(Party(run.copy), pid, state, cookie, stranger.command)
        return Holder(
            party=None,
            pid=pid,
            state=state,
            cookie=cookie,
            command=stranger.command,
            name=stranger.name,
            start_s=stranger.start_s,
            uid=uid,
            peer=peer,
            other_run=run,
        )


def _is_hidden(holder: Holder) -> bool:
    """Whether its process cannot be found, because it is another user's and we are not root."""
    return holder.uid is not None and os.geteuid() not in (0, holder.uid)


def _endpoint(row: netlink.Row, network: Network) -> Endpoint:
    """What the socket of *row* is bound to."""
    return Endpoint(row.protocol, row.address, row.port, network, row.v6only)


class SocketProcesses:
    """Finds the process of a socket that no copy is known to have bound; nearly always a process outside the run.

    To find it, the descriptors of every process of the host must be looked at: 18 ms for 15,000 of them, while all
    copies wait. So a walk remembers every socket that it sees, and later questions are answered by checking one
    descriptor. The next walk begins only after 50 times the CPU time that the last one took.

    Until then a short walk looks at the processes that have been started since, and at those that were found before:
    beside another run of parasuite, these have nearly all the sockets that are asked for. Short walks have a pause of
    their own, by the same rule. Sooner than that, the process of a socket that no walk has seen is unknown.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[int, str]] = {}
        self._walked: frozenset[int] = frozenset()
        self._answered: set[int] = set()
        self._next_walk_s = self._next_short_walk_s = 0.0

    def of(self, inode: int) -> int:
        """The pid of a process that has the socket *inode* open; 0 if none is known that may be inspected."""
        pid = self._checked(inode)
        if not pid and time.monotonic() >= self._next_walk_s:
            self._answered.clear()
            self._next_walk_s = self._walk()
            pid = self._checked(inode)
        elif not pid and time.monotonic() >= self._next_short_walk_s:
            self._next_short_walk_s = self._short_walk()
            pid = self._checked(inode)
        if pid:
            self._answered.add(pid)
        return pid

    def _walk(self) -> float:
        """Look at every process; the time before which there is to be no other such walk."""
        began_s = time.thread_time()
        pids = proc.pids()
        self._found = sockets_of(pids)
        self._walked = frozenset(pids)
        return _next_walk_s(began_s)

    def _short_walk(self) -> float:
        began_s = time.thread_time()
        self._found |= sockets_of(pid for pid in proc.pids() if pid in self._answered or pid not in self._walked)
        return _next_walk_s(began_s)

    def _checked(self, inode: int) -> int:
        pid, path = self._found.get(inode, (0, ""))
        if not pid or _target(path) == _SOCKET.format(inode):
            return pid
        del self._found[inode]
        return 0


def _next_walk_s(began_s: float) -> float:
    """When the next walk may begin after one that ends now. *began_s*: this thread's CPU time at its beginning."""
    return time.monotonic() + _WALK_PAUSE * (time.thread_time() - began_s)


def sockets_of(pids: Iterable[int]) -> dict[int, tuple[int, str]]:
    """The sockets that *pids* have open: by inode, the first process that has it, and the path of its descriptor.

    A socket in flight between processes (SCM_RIGHTS) has no descriptor anywhere and still holds its port.
    """
    found: dict[int, tuple[int, str]] = {}
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            for entry in os.listdir(folder):
                path = f"{folder}/{entry}"
                target = _target(path)
                if target.startswith("socket:["):
                    found.setdefault(int(target[8:-1]), (pid, path))
    return found


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
