"""`shared` and `crosstalk`: two copies at one endpoint, and nothing failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import Facts, weaker
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Connect, Event, Send
from parasuite.model.overlap import canonical, is_wildcard, overlaps, reaches

SHARED_HINT = (
    "bind port 0 and hand the number on, or drop SO_REUSEPORT (UDP: SO_REUSEADDR too) so that the second bind fails"
)
CROSSTALK_HINT = (
    "connect to the port that your own server reports, and check who answers; "
    "a number that was released before may be anyone's by now"
)


class Shared:
    """Two copies accepted on overlapping endpoints at once.

    A TCP socket that is bound and does not listen meets nobody (on Linux SO_REUSEADDR lets others bind beside it):
    what its owner loses is a later listen, which is refused.
    """

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        del event
        for hold in changes.listening:
            yield from self._met(hold, facts)

    def conclude(self, facts: Facts) -> Iterable[Occurrence]:
        del facts
        return ()

    def _met(self, hold: OpenHold, facts: Facts) -> Iterator[Occurrence]:
        """The first meeting of *hold*, which begins to accept, with each other copy."""
        if hold.copy is None:
            return
        told = {hold.copy, None}
        for other in facts.ledger.at(hold.endpoint.protocol, hold.endpoint.port):
            if other.copy not in told and other.socket != hold.socket and self._collide(hold, other):
                told.add(other.copy)
                yield self._occurrence(other, hold, facts)

    def _collide(self, hold: OpenHold, other: OpenHold) -> bool:
        # Of an attempt it is not known whether the bind succeeded: whoever goes on to listen was let in, and of a
        # datagram socket nothing more is heard.
        if hold.endpoint.protocol == "udp" and "attempted" in (hold.evidence, other.evidence):
            return False
        return other.listening and overlaps(hold.endpoint, other.endpoint)

    def _occurrence(self, earlier: OpenHold, later: OpenHold, facts: Facts) -> Occurrence:
        ports = {facts.explicit_port(earlier), facts.explicit_port(later)}
        same = earlier.endpoint.address == later.endpoint.address
        where = f"{later.endpoint}" if same else f"{earlier.endpoint} and {later.endpoint}"
        return Occurrence(
            kind="shared",
            evidence=weaker(earlier.evidence, later.evidence),
            endpoint=later.endpoint,
            port=ports.pop() if len(ports) == 1 else 0,
            message=f"two copies held {where} at the same time and nothing failed; a client may reach either",
            hint=SHARED_HINT,
            sides=(facts.side("held", earlier), facts.side("held", later)),
        )


class Crosstalk:
    """A client reached, on this host, a port that only another copy serves; its answer is no second finding."""

    def __init__(self) -> None:
        self._asked: set[tuple[int | None, OpenHold]] = (
            set()
        )  # Who was asked, and the socket that waits for an answer.

    def observe(self, event: Event, changes: Changes, facts: Facts) -> Iterator[Occurrence]:
        del changes
        if not isinstance(event, Connect | Send) or event.copy is None:
            return
        destination = canonical(event.destination)
        if destination.protocol not in ("tcp", "udp") or not facts.this_host(destination.address):
            return
        servers = [
            hold
            for hold in facts.ledger.at(destination.protocol, destination.port)
            if hold.listening and reaches(destination, hold.endpoint)
        ]
        if not servers or any(hold.copy in (event.copy, None) for hold in servers):
            return
        if any(holder.copy in (event.copy, None) for holder in event.holders):
            return
        server = min(servers, key=lambda hold: is_wildcard(hold.endpoint.address))
        if (event.copy, server) in self._asked:
            return
        client = facts.ledger.of(event)
        if client is not None:
            self._asked.add((server.copy, client))
        spoken = "connected to" if isinstance(event, Connect) else "sent to"
        yield Occurrence(
            kind="crosstalk",
            evidence=weaker(server.evidence, "exact"),
            endpoint=destination,
            port=facts.explicit_port(server),
            message=f"a client {spoken} {destination}, where only another copy listens",
            hint=CROSSTALK_HINT,
            sides=(facts.caller("client", event), facts.side("server", server)),
        )

    def conclude(self, facts: Facts) -> Iterable[Occurrence]:
        del facts
        return ()
