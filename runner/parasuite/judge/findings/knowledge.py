"""What judging has learned from the events it has read so far."""

from __future__ import annotations

from parasuite.judge.findings.finding import Side
from parasuite.judge.findings.random_ports import RandomPorts
from parasuite.judge.ledger import Changes, Ledger, OpenHold
from parasuite.model.events import Bind, Event, ProcessEvent, ProcessSeen, RunStarted
from parasuite.model.location import Location
from parasuite.model.overlap import canonical_address, is_loopback, is_wildcard
from parasuite.model.party import Caller, Party
from parasuite.model.words import Protocol, Role, SocketOption

# Where no event says what the range is: the span of what the systems in use assign (IANA's 49152-65535, Linux's
# 32768-60999), so that no port is called hard-coded for want of a fact.
EPHEMERAL_UNKNOWN = (32768, 65535)
NEVER_RELEASED, RELEASED_UNTIMED = -1, -2
_Slot = tuple[Party | None, Protocol, int]


class Knowledge:
    """The holds of now, which ports the kernel assigned to whom, what the processes are called.

    *random_ports*: which explicit ports each origin asked for. *assigned*: (party, protocol, port) to
    the time when that socket was released, RELEASED_UNTIMED where no sensor knows it, or NEVER_RELEASED.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.random_ports = RandomPorts()
        self.assigned: dict[_Slot, int] = {}
        self._ephemeral_first, self._ephemeral_last = EPHEMERAL_UNKNOWN
        self._addresses: frozenset[str] = frozenset()
        self._scratch = ""
        self._processes: dict[int, tuple[str, str]] = {}

    def apply(self, event: Event) -> Changes:
        """Learn *event*; returns what it did to the holds."""
        if isinstance(event, RunStarted):
            if event.ephemeral_last:
                self._ephemeral_first, self._ephemeral_last = event.ephemeral_first, event.ephemeral_last
            self._addresses = frozenset(canonical_address(address) for address in event.addresses)
            self._scratch = event.scratch
        elif isinstance(event, ProcessSeen):
            self._processes[event.caller.process.pid] = (event.name, event.command)
        changes = self.ledger.apply(event)
        self._learn_explicit_ports(event, changes)
        for hold in changes.closed:
            # Rebinding an assigned port and closing it counts as a new release, unless the socket that the kernel
            # gave the port to is still open.
            if hold.asked_port == 0 or self.assigned.get(_slot(hold), NEVER_RELEASED) != NEVER_RELEASED:
                self.assigned[_slot(hold)] = event.t_ns if hold.release_is_timed else RELEASED_UNTIMED
        for hold in changes.opened:
            if hold.asked_port == 0:
                self.assigned[_slot(hold)] = NEVER_RELEASED
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
            location = self._portable(caller.location)
            origin = location.place if location is not None else self.process(caller.process.pid)[0]
            self.random_ports.add(protocol, origin, port, caller.process.party)

    def is_ephemeral(self, port: int) -> bool:
        """Whether the kernel may assign *port* to a socket that asks for port 0."""
        return self._ephemeral_first <= port <= self._ephemeral_last

    def was_assigned(self, party: Party | None, port: int) -> bool:
        """Whether the kernel has given *port* to *party* before now, for either protocol.

        Either, since a server of both protocols binds the second socket to the port that the first was given.
        """
        return (party, Protocol.TCP, port) in self.assigned or (party, Protocol.UDP, port) in self.assigned

    def is_this_host(self, address: str) -> bool:
        """Whether what is sent to *address* stays on this host."""
        address = canonical_address(address)
        return is_loopback(address) or is_wildcard(address) or address in self._addresses

    def explicit_port(self, hold: OpenHold) -> int:
        """The port that the program insisted on, 0 if the kernel chose. Sampled: any outside the kernel's range."""
        if hold.asked_port is None:
            return 0 if self.is_ephemeral(hold.endpoint.port) else hold.endpoint.port
        if hold.asked_port and not self.was_assigned(hold.party, hold.endpoint.port):
            return hold.asked_port
        return 0

    def side_of_hold(self, role: Role, hold: OpenHold) -> Side:
        """*hold*'s owner as a side of a finding."""
        return self._side(role, hold.caller, hold.start_ns, hold.options)

    def side_of_caller(self, role: Role, event: ProcessEvent, options: tuple[SocketOption, ...] = ()) -> Side:
        """The process that made the call of *event*, as a side of a finding."""
        return self._side(role, event.caller, event.t_ns, options)

    def process(self, pid: int) -> tuple[str, str]:
        """Name and command line of *pid*, empty where no sensor knew them."""
        return self._processes.get(pid, ("", ""))

    def _side(self, role: Role, caller: Caller, since_ns: int, options: tuple[SocketOption, ...]) -> Side:
        name, command = self.process(caller.process.pid)
        return Side(
            role=role,
            party=caller.process.party,
            pid=caller.process.pid,
            process=name,
            command=command,
            test=caller.test,
            attribution=caller.attribution,
            location=self._portable(caller.location),
            since_ns=since_ns,
            options=options,
        )

    def _portable(self, location: Location | None) -> Location | None:
        """*location*, its file as `$TMPDIR/...` if it lies in its copy's temporary folder: equal in every copy."""
        if location is None or not self._scratch or self._scratch not in location.file:
            return location
        _, _, below = location.file.partition(self._scratch + "/")
        return location._replace(file="$TMPDIR/" + below.partition("/")[2])


def _slot(hold: OpenHold) -> _Slot:
    return (hold.party, hold.endpoint.protocol, hold.endpoint.port)
