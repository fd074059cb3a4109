"""What judging has learned from the events it has read so far."""

from __future__ import annotations

from dataclasses import dataclass

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.port_lists import PortLists
from parasuite.judge.findings.random_ports import RandomPorts
from parasuite.judge.ledger import Changes, Ledger, OpenHold
from parasuite.judge.own_ports import OwnPorts
from parasuite.model.events import (
    Bind,
    Endpoint,
    Event,
    Holder,
    ProcessEvent,
    ProcessSeen,
    RunStarted,
    StrangerSeen,
)
from parasuite.model.location import Location
from parasuite.model.overlap import canonical, canonical_address, is_loopback, is_wildcard, overlaps, reaches
from parasuite.model.party import Caller, Party
from parasuite.model.sensors import is_sampling
from parasuite.model.words import CopyVariable, NetworkMode, Protocol, Role, SocketOption

# Where no event says what the range is: the span of what the systems in use assign (IANA's 49152-65535, Linux's
# 32768-60999), so that no port is called hard-coded for want of a fact.
EPHEMERAL_UNKNOWN = (32768, 65535)
NEVER_RELEASED, RELEASED_UNTIMED = -1, -2
_RESOLVER_PORT = 53  # Every program that looks up a name talks to this host's resolver, where there is one.
# What publishes the ports of containers: docker's proxy, and what podman uses without root.
_OF_CONTAINERS = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "pasta", "pasta.avx2"})
_Slot = tuple[int | Party | None, Protocol, int]


@dataclass(slots=True)
class Assignment:
    """A port that the kernel assigned. *drawn_ns*: when.

    *released_ns*: when it was last released by the copy that has it; RELEASED_UNTIMED where no sensor knows when,
    NEVER_RELEASED while it is held.
    """

    drawn_by: Caller
    drawn_ns: int
    released_ns: int = NEVER_RELEASED

    @property
    def is_released(self) -> bool:
        return self.released_ns != NEVER_RELEASED

    def window_ms(self, t_ns: int) -> float | None:
        """From the release to *t_ns*; None where that is not known."""
        return round(max(0, t_ns - self.released_ns) / 1e6, 3) if self.released_ns >= 0 else None


class Knowledge:
    """The holds of now, which ports the kernel assigned to whom, what the processes are called.

    *random_ports*: which explicit ports each origin asked for. *port_lists*: which of them belong together.
    *own_ports*: which ports a worker believes to be its own. *left_behind*: the open holds of tests that are over.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.random_ports = RandomPorts()
        self.port_lists = PortLists()
        self.own_ports = OwnPorts()
        self.left_behind: set[OpenHold] = set()
        self.ephemeral = EPHEMERAL_UNKNOWN
        self._assigned: dict[_Slot, Assignment] = {}
        self._addresses: frozenset[str] = frozenset()
        self._proxies: frozenset[int] = frozenset()
        self._started_s = 0.0
        self._scratch = ""
        self._network = NetworkMode.HOST
        self._processes: dict[int, tuple[str, str]] = {}
        self._strangers: dict[int, dict[tuple[str, Endpoint], tuple[Holder, ...]]] = {}
        self._started_at: dict[int, str] = {}

    def apply(self, event: Event) -> Changes:
        """Learn *event*; returns what it did to the holds."""
        if isinstance(event, RunStarted):
            if event.ephemeral_last:
                self.ephemeral = (event.ephemeral_first, event.ephemeral_last)
            self._addresses = frozenset(canonical_address(address) for address in event.addresses)
            self._scratch = event.scratch
            self._proxies = frozenset(event.proxies)
            self._started_s = event.wall_ns / 1e9
            self._network = event.network_mode
        elif isinstance(event, ProcessSeen):
            pid = event.caller.process.pid
            self._processes[pid] = (event.name, event.command)
            if not is_sampling(event.source):  # It does not look at environments.
                self._started_at[pid] = _started_at(event.environment)
        elif isinstance(event, StrangerSeen):
            at_port = self._strangers.setdefault(event.endpoint.port, {})
            if event.is_gone:
                at_port.pop((event.socket, event.endpoint), None)
            else:
                at_port[event.socket, event.endpoint] = event.holders
        changes = self.ledger.apply(event)
        self.own_ports.learn(event, changes)
        self._learn_explicit_ports(event, changes)
        for hold in changes.closed:
            # Rebinding an assigned port and closing it counts as a new release, unless the socket that the kernel
            # gave the port to is still open.
            for slot in _slots(hold):
                assignment = self._assigned.get(slot)
                if assignment is not None and (hold.asked_port == 0 or assignment.is_released):
                    assignment.released_ns = event.t_ns if hold.release_is_timed else RELEASED_UNTIMED
        for hold in changes.opened:
            if hold.asked_port == 0:
                for slot in _slots(hold):
                    self._assigned[slot] = Assignment(hold.caller, hold.start_ns)
        return changes

    def _learn_explicit_ports(self, event: Event, changes: Changes) -> None:
        if isinstance(event, Bind):
            asked = event.asked
            if asked.port and asked.is_internet and not self.was_assigned(event.party, asked.port):
                self._learn_explicit_port(asked.protocol, asked.port, event.caller)
        else:
            for hold in changes.opened:
                if port := self.explicit_port(hold):
                    self._learn_explicit_port(hold.endpoint.protocol, port, hold.caller)

    def _learn_explicit_port(self, protocol: Protocol, port: int, caller: Caller) -> None:
        if caller.process.party is not None:
            self.random_ports.add(protocol, self.side_of(Role.WANTED, caller).origin, port, caller.process.party)

    def is_ephemeral(self, port: int) -> bool:
        """Whether the kernel may assign *port* to a socket that asks for port 0."""
        first, last = self.ephemeral
        return first <= port <= last

    def assignment(self, party: Party | None, protocol: Protocol, port: int) -> Assignment | None:
        """How the copy of *party* was last assigned *port* by the kernel; None if it never was."""
        return self._assigned.get((_copy_of(party), protocol, port))

    def own_assignment(self, party: Party, protocol: Protocol, port: int) -> Assignment | None:
        """The same for *party* itself, not for the other workers of its copy."""
        return self._assigned.get((party, protocol, port))

    def assignment_of_either(self, party: Party | None, protocol: Protocol, port: int) -> Assignment | None:
        """The same for *protocol*, else for the other.

        Either, since a server of both protocols binds the second socket to the port that the first was given.
        """
        other = Protocol.UDP if protocol == Protocol.TCP else Protocol.TCP
        return self.assignment(party, protocol, port) or self.assignment(party, other, port)

    def was_assigned(self, party: Party | None, port: int) -> bool:
        """Whether the kernel has given *port* to the copy of *party* before now, for either protocol."""
        return self.assignment_of_either(party, Protocol.TCP, port) is not None

    def is_this_host(self, address: str) -> bool:
        """Whether what is sent to *address* stays on this host."""
        address = canonical_address(address)
        return is_loopback(address) or is_wildcard(address) or address in self._addresses

    def strangers_at(self, endpoint: Endpoint) -> list[Holder]:
        """The sockets outside the run that exclude *endpoint*, as the sampler last saw them."""
        return [
            holder
            for (_, held), holders in self._strangers.get(endpoint.port, {}).items()
            if overlaps(canonical(held), endpoint)
            for holder in holders
        ]

    def strangers_serving(self, destination: Endpoint) -> list[Holder]:
        """The sockets outside the run that a client of *destination* can end at, as the sampler last saw them."""
        return [
            holder
            for (_, held), holders in self._strangers.get(destination.port, {}).items()
            if reaches(destination, held)
            for holder in holders
        ]

    def is_provided(self, endpoint: Endpoint, stranger: Holder | None) -> bool:
        """Whether a machine is expected to provide what the process outside the run serves at *endpoint*.

        The resolver of names, the proxy that the environment names, and what publishes a port of a container that was
        started during the run.
        """
        if endpoint.port == _RESOLVER_PORT or endpoint.port in self._proxies:
            return True
        return stranger is not None and stranger.name in _OF_CONTAINERS and stranger.start_s >= self._started_s

    @property
    def is_alone(self) -> bool:
        """Whether no other host can reach the copies: their network is one that parasuite made, which has only the
        loopback device, or this host is known to have only loopback addresses.
        """
        if self._network is not NetworkMode.HOST:
            return True
        return bool(self._addresses) and all(map(is_loopback, self._addresses))

    def explicit_port(self, hold: OpenHold) -> int:
        """The port that the program insisted on, 0 if the kernel chose. Sampled: any outside the kernel's range."""
        if hold.asked_port is None:
            return 0 if self.is_ephemeral(hold.endpoint.port) else hold.endpoint.port
        if hold.asked_port and not self.was_assigned(hold.party, hold.endpoint.port):
            return hold.asked_port
        return 0

    def side_of_hold(self, role: Role, hold: OpenHold) -> Side:
        """*hold*'s owner as a side of a finding."""
        return self.side_of(role, hold.caller, hold.start_ns, hold.options)

    def side_of_call(self, role: Role, event: ProcessEvent, options: tuple[SocketOption, ...] = ()) -> Side:
        """The process that made the call of *event*, as a side of a finding."""
        return self.side_of(role, event.caller, event.t_ns, options)

    def side_of(
        self, role: Role, caller: Caller, at_ns: int | None = None, options: tuple[SocketOption, ...] = ()
    ) -> Side:
        """*caller* as a side of a finding."""
        name, command = self.process(caller.process.pid)
        return Side(
            role=role,
            party=caller.process.party,
            pid=caller.process.pid,
            process=name,
            command=command,
            test=caller.test,
            attribution=caller.attribution,
            frames=tuple(map(self._portable, caller.frames)),
            at_ns=at_ns,
            options=options,
        )

    def process(self, pid: int) -> tuple[str, str]:
        """Name and command line of *pid*, empty where no sensor knew them."""
        return self._processes.get(pid, ("", ""))

    def is_temporary(self, path: str) -> bool:
        """Whether *path* lies in the temporary folder of a copy, which no other copy and no other run has."""
        return bool(self._scratch) and path.startswith(self._scratch + "/")

    def started_at(self, pid: int) -> tuple[Location, ...]:
        """The user's frames at the line that started the process *pid*, () where they are not known."""
        frames = map(Location.parse, self._started_at.get(pid, "").split("\t"))
        return tuple(self._portable(frame) for frame in frames if frame is not None)

    def _portable(self, location: Location) -> Location:
        """*location*, its file as `$TMPDIR/...` if it lies in its copy's temporary folder: equal in every copy."""
        if not self._scratch or self._scratch not in location.file:
            return location
        _, _, below = location.file.partition(self._scratch + "/")
        return location._replace(file="$TMPDIR/" + below.partition("/")[2])


def _started_at(environment: tuple[str, ...]) -> str:
    variables = dict(entry.partition("=")[::2] for entry in environment)
    return variables.get(CopyVariable.STARTED_AT, "")


def _copy_of(party: Party | None) -> int | None:
    return None if party is None else party.copy


def _slots(hold: OpenHold) -> tuple[_Slot, ...]:
    """Under what *hold*'s port is remembered: its copy, and its party."""
    protocol, port = hold.endpoint.protocol, hold.endpoint.port
    if hold.party is None:
        return ((None, protocol, port),)
    return ((hold.party.copy, protocol, port), (hold.party, protocol, port))
