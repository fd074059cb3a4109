"""What judging has learned so far from the events it has read."""

from __future__ import annotations

from parasuite.judge.findings.model import Side
from parasuite.judge.ledger import EVIDENCE, Changes, Ledger, OpenHold
from parasuite.model.events import Event, ProcessSeen, RunStarted
from parasuite.model.overlap import canonical_address, is_loopback, is_wildcard

# Where no event told the range: the span of what the systems in use assign (IANA's 49152-65535, Linux' 32768-60999),
# so that nothing is called hard-coded for want of a fact.
EPHEMERAL_UNKNOWN = (32768, 65535)
NEVER_RELEASED = -1


class Facts:
    """The holds of now, who was assigned which port by the kernel, what the processes are called.

    *assigned*: (copy, protocol, port) to the time when that socket was released, or NEVER_RELEASED.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.assigned: dict[tuple[int | None, str, int], int] = {}
        self.ephemeral_first, self.ephemeral_last = EPHEMERAL_UNKNOWN
        self.last_ns = 0
        self._addresses: frozenset[str] = frozenset()
        self._scratch = ""
        self._processes: dict[int, tuple[str, str]] = {}

    def apply(self, event: Event) -> Changes:
        """Learn *event*; returns what it did to the holds."""
        self.last_ns = event.t_ns
        if isinstance(event, RunStarted):
            if event.ephemeral_last:
                self.ephemeral_first, self.ephemeral_last = event.ephemeral_first, event.ephemeral_last
            self._addresses = frozenset(canonical_address(address) for address in event.addresses)
            self._scratch = event.scratch
        elif isinstance(event, ProcessSeen):
            self._processes[event.pid] = (event.name, event.command)
        changes = self.ledger.apply(event)
        for hold in changes.closed:
            # One that was bound again by number was released anew; not so while the socket that was given it lives.
            if hold.asked_port == 0 or self.assigned.get(_slot(hold), NEVER_RELEASED) != NEVER_RELEASED:
                self.assigned[_slot(hold)] = event.t_ns
        for hold in changes.opened:
            if hold.asked_port == 0:
                self.assigned[_slot(hold)] = NEVER_RELEASED
        return changes

    def ephemeral(self, port: int) -> bool:
        """Whether the kernel draws *port* when asked for port 0."""
        return self.ephemeral_first <= port <= self.ephemeral_last

    def was_assigned(self, copy: int | None, port: int) -> bool:
        """Whether the kernel has given *port* to *copy* before now, for either protocol.

        Either, since a server of both binds the second to the number that the first was given.
        """
        return (copy, "tcp", port) in self.assigned or (copy, "udp", port) in self.assigned

    def this_host(self, address: str) -> bool:
        """Whether what is sent to *address* stays on this host."""
        address = canonical_address(address)
        return is_loopback(address) or is_wildcard(address) or address in self._addresses

    def explicit_port(self, hold: OpenHold) -> int:
        """The number the program insisted on, 0 if the kernel chose. Sampled: any outside the kernel's range."""
        if hold.asked_port is None:
            return 0 if self.ephemeral(hold.endpoint.port) else hold.endpoint.port
        if hold.asked_port and not self.was_assigned(hold.copy, hold.endpoint.port):
            return hold.asked_port
        return 0

    def side(self, role: str, hold: OpenHold) -> Side:
        """*hold*'s owner as a party of a finding."""
        name, command = self.process(hold.pid)
        return Side(
            role=role,
            copy=hold.copy,
            pid=hold.pid,
            process=name,
            command=command,
            test=hold.test,
            attribution=hold.attribution,
            source=self._portable(hold.source_line),
            since_ns=hold.start_ns,
            options=hold.options,
        )

    def caller(self, role: str, event: Event, options: tuple[str, ...] = ()) -> Side:
        """The one that made the call of *event*, as a party of a finding."""
        name, command = self.process(event.pid)
        return Side(
            role=role,
            copy=event.copy,
            pid=event.pid,
            process=name,
            command=command,
            test=event.test,
            attribution=event.attribution,
            source=self._portable(event.source_line),
            since_ns=event.t_ns,
            options=options,
        )

    def process(self, pid: int) -> tuple[str, str]:
        """Name and command line of *pid*, empty where no sensor told."""
        return self._processes.get(pid, ("", ""))

    def _portable(self, source_line: str) -> str:
        """*source_line*, its file as `$TMPDIR/...` if it lies in its copy's temporary folder: equal in every copy."""
        if not self._scratch or self._scratch not in source_line:
            return source_line
        _, _, below = source_line.partition(self._scratch + "/")
        return "$TMPDIR/" + below.partition("/")[2]


def _slot(hold: OpenHold) -> tuple[int | None, str, int]:
    return (hold.copy, hold.endpoint.protocol, hold.endpoint.port)


def source_of(side: Side) -> str:
    """What insisted on a number: a function, else a program."""
    file, _, rest = side.source.rpartition(":")
    return f"{file.rpartition(':')[0]}:{rest}" if side.source else side.process


def weaker(*evidence: str) -> str:
    """The weakest of *evidence*: a finding is as good as its worse side."""
    return min(evidence, key=EVIDENCE.index)
