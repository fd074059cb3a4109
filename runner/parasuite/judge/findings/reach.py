"""`exposed` and `orphan`: who can reach a listener, and how long it outlives its copy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from parasuite.judge.findings.knowledge import Facts
from parasuite.judge.findings.model import Side
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Event, Orphaned
from parasuite.model.overlap import canonical, is_loopback, is_multicast

EXPOSED_HINT = "bind 127.0.0.1 (or ::1): other hosts have no business with a test's server"
ORPHAN_HINT = "stop the server in the teardown of the test or fixture that started it, and wait for its process"


class Exposed:
    """A copy listens where other hosts can reach it. In a private network namespace and on `lo` there are none."""

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            if hold.endpoint.protocol == "tcp" and self._reachable(hold):
                yield self._occurrence(hold, facts)
        for hold in changes.closed:
            yield from self._datagram(hold, facts)

    def conclude(self, facts: Facts) -> Iterator[Occurrence]:
        for hold in facts.ledger.open_holds():
            yield from self._datagram(hold, facts)

    def _datagram(self, hold: OpenHold, facts: Facts) -> Iterator[Occurrence]:
        # Judged at its end: a datagram socket that connects is a client. The sampler cannot tell a client that has
        # only sent from a server, except by a port that the kernel does not assign.
        if hold.endpoint.protocol != "udp" or not hold.listening or not self._reachable(hold):
            return
        if hold.evidence != "sampled" or facts.explicit_port(hold):
            yield self._occurrence(hold, facts)

    def _reachable(self, hold: OpenHold) -> bool:
        address = hold.endpoint.address
        return (
            hold.copy is not None
            and not hold.endpoint.netns
            and "loopback-device" not in hold.options
            and not is_loopback(address)
            and not is_multicast(address)
        )

    def _occurrence(self, hold: OpenHold, facts: Facts) -> Occurrence:
        return Occurrence(
            kind="exposed",
            evidence=hold.evidence,
            endpoint=hold.endpoint,
            port=facts.explicit_port(hold),
            message=f"a listener on {hold.endpoint} can be reached from other hosts",
            hint=EXPOSED_HINT,
            sides=(facts.side("holder", hold),),
        )


class Orphan:
    """An endpoint held after its copy's main process had ended and a grace time was over."""

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        del changes
        if not isinstance(event, Orphaned):
            return
        kind, _, inode = event.socket.partition(":")
        endpoint = canonical(event.endpoint)
        hold = facts.ledger.by_inode(endpoint.netns, int(inode)) if kind == "inode" and inode.isdigit() else None
        yield Occurrence(
            kind="orphan",
            evidence="sampled" if hold is None else hold.evidence,
            endpoint=endpoint,
            port=facts.explicit_port(hold) if hold is not None else 0,
            message=f"{endpoint} is still held after the main process of its copy has ended",
            hint=ORPHAN_HINT,
            sides=(self._side(event, hold, facts),),
        )

    def conclude(self, facts: Facts) -> Iterable[Occurrence]:
        del facts
        return ()

    def _side(self, event: Orphaned, hold: OpenHold | None, facts: Facts) -> Side:
        # The event names the process that holds it now, the hold the test that opened it.
        side = facts.caller("holder", event)
        if hold is None:
            return side
        opened = facts.side("holder", hold)
        return replace(opened, pid=side.pid, process=side.process, command=side.command)
