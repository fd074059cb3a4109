"""Programs that draw their ports at random, as resolvers do: two parties may meet on one of them by chance.

Theory of operation. An *origin* (a function, else a program) that asks for explicit ports either has them in its text
or draws them. From outside only the ports are seen, so the judgement rests on how they are spread over the parties:

- fixed ports, and lists of ports, are asked for by every party that gets that far;
- drawn ports differ from party to party, and only a few coincide.

An origin draws its ports if it asked for several, most of them in one party only, and such ports occur in at least
two parties. (When all parties walk the same list, only the one that got furthest has ports the others never used.)
What cannot be known: an origin that was seen with fewer ports than PORTS_MIN is taken to have them in its text.
"""

from __future__ import annotations

from collections import defaultdict

from parasuite.model.party import Party
from parasuite.model.words import Protocol

PORTS_MIN = 4


class RandomPorts:
    """Which explicit ports each origin asked for, in which parties."""

    def __init__(self) -> None:
        self._asked: dict[tuple[Protocol, str], dict[int, set[Party]]] = defaultdict(lambda: defaultdict(set))

    def add(self, protocol: Protocol, origin: str, port: int, party: Party) -> None:
        """*party* asked for *port*, whether it was granted or not."""
        self._asked[protocol, origin][port].add(party)

    def is_drawn(self, protocol: Protocol, origin: str) -> bool:
        """Whether the ports of *origin* look drawn."""
        ports = self._asked.get((protocol, origin), {})
        unshared = [parties for parties in ports.values() if len(parties) == 1]
        alone = set[Party]().union(*unshared)
        return len(ports) >= PORTS_MIN and len(unshared) * 2 > len(ports) and len(alone) >= 2

    def parties(self, protocol: Protocol, origin: str) -> set[Party]:
        """All that *origin* was seen in, with an explicit port of *protocol*."""
        return set[Party]().union(*self._asked.get((protocol, origin), {}).values())
