"""`crosstalk`: a connection or datagram of one party reached a socket that only another party listens on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from parasuite.judge.findings.knowledge import Knowledge
from parasuite.judge.findings.table import Occurrence
from parasuite.judge.ledger import Changes, OpenHold
from parasuite.model.events import Connect, Event, Send
from parasuite.model.finding_kinds import FindingKind
from parasuite.model.overlap import canonical, is_wildcard, reaches
from parasuite.model.party import Party
from parasuite.model.words import Evidence, Role, weaker

CROSSTALK_HINT = (
    "connect to the port that your own server reports, and check who answers; "
    "a number that was released before may be anyone's by now"
)


class Crosstalk:
    """A client reached, on this host, a port that only another party serves.

    The server's reply is not reported again: *_awaited* holds, for each request, the party that was asked and the
    socket that waits for its answer.
    """

    def __init__(self) -> None:
        self._awaited: set[tuple[Party | None, OpenHold]] = set()

    def observe(self, event: Event, changes: Changes, knowledge: Knowledge) -> Iterator[Occurrence]:
        del changes
        client = event.party if isinstance(event, Connect | Send) else None
        if not isinstance(event, Connect | Send) or client is None:
            return
        destination = canonical(event.destination)
        if not destination.is_internet or not knowledge.is_this_host(destination.address):
            return
        servers = [
            hold
            for hold in knowledge.ledger.at(destination.protocol, destination.port)
            if hold.listening and reaches(destination, hold.endpoint)
        ]
        if not servers or not all(client.meets(hold.party) for hold in servers):
            return
        if not all(client.meets(holder.party) for holder in event.holders):
            return
        server = min(servers, key=lambda hold: is_wildcard(hold.endpoint.address))
        if (client, server) in self._awaited:
            return
        socket = knowledge.ledger.of(event)
        if socket is not None:
            self._awaited.add((server.party, socket))
        spoken = "connected to" if isinstance(event, Connect) else "sent to"
        yield Occurrence(
            kind=FindingKind.CROSSTALK,
            evidence=weaker(server.evidence, Evidence.EXACT),
            endpoint=destination,
            port=knowledge.explicit_port(server),
            message=f"a client {spoken} {destination}, where only another copy listens",
            hint=CROSSTALK_HINT,
            sides=(
                knowledge.side_of_caller(Role.CLIENT, event),
                knowledge.side_of_hold(Role.SERVER, server),
            ),
        )

    def conclude(self, knowledge: Knowledge) -> Iterable[Occurrence]:
        del knowledge
        return ()
