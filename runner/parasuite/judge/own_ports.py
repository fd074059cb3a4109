"""Which ports a worker believes to be its own: what tells a misled client from one of a server that workers share.

Workers of one copy often share a server on purpose: the first of them starts a database under a file lock, and all
connect to it. So a connection from one worker to another's listener is a defect only if the client takes the port for
its own. It does if

- it has asked for the port, or was assigned it, in the very test that connects (or outside any test, as it does now);
- it was assigned the port before, and the kernel has not assigned it to another worker since: ports are used again.

What the parent of the workers was assigned does not count: it may be handed to all of them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from parasuite.judge.ledger import Changes
from parasuite.model.events import Bind, Endpoint, Event
from parasuite.model.party import Party
from parasuite.model.words import Protocol

_Port: TypeAlias = tuple[Protocol, int]


class _Claim(NamedTuple):
    """Why a party may believe that a port is its own. *is_assigned*: the kernel gave it; else it was asked for."""

    test: str
    is_assigned: bool


class OwnPorts:
    """Learns from the binds of a run, in order of time. Memory grows with the ports of each party."""

    def __init__(self) -> None:
        self._claims: dict[_Port, dict[Party, _Claim]] = {}

    def learn(self, event: Event, changes: Changes) -> None:
        """Learn what *event* asked for, and what *changes* says that the kernel assigned."""
        if isinstance(event, Bind) and event.party is not None and event.asked.port and event.asked.is_internet:
            claims = self._claims.setdefault((event.asked.protocol, event.asked.port), {})
            earlier = claims.get(event.party)
            # A port that was drawn, released and is bound again is still one that was assigned.
            is_assigned = earlier is not None and earlier.is_assigned
            claims[event.party] = _Claim(event.caller.test, is_assigned)
        for hold in changes.opened:
            if hold.asked_port == 0 and hold.party is not None:
                claims = self._claims.setdefault((hold.endpoint.protocol, hold.endpoint.port), {})
                for party, claim in claims.items():
                    if party.meets(hold.party):
                        claims[party] = claim._replace(is_assigned=False)
                claims[hold.party] = _Claim(hold.caller.test, is_assigned=True)

    def believes_own(self, client: Party, test: str, destination: Endpoint) -> bool:
        """Whether *client*, in *test* ("": outside of tests), takes the port of *destination* for its own."""
        claims = self._claims.get((destination.protocol, destination.port), {})
        return any(
            claim.is_assigned or claim.test == test for party, claim in claims.items() if party.is_within(client)
        )
