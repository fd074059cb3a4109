"""Fixed ports that one function has in its text as a list, so that they are one thing to fix.

Theory of operation. A function that tries one port after another (`for port in range(8000, 8010)`), and one that has
a port for each worker (`9000 + worker`), ask for several ports, and changing that one function cures all of them. A
helper that starts three services on three fixed ports is not such a list: it asks for the next port although it had
the one before, and each port has its own line somewhere. So ports belong to one list if

- the same call stack asked for one right after it was refused the other, or
- in one copy each of several workers asked for exactly one of them, in the same function, and they are near each
  other (drawn ports are not).

A port that is in a list of one function is charged to that function, whoever else asks for it: one port, one finding.
"""

from __future__ import annotations

from collections import defaultdict

from parasuite.model.party import Party
from parasuite.model.words import Protocol

STEP_MAX = 100
"""Between the ports of two workers that count from a common base."""


class PortLists:
    """*origin* is a function ("file:function") or a program."""

    def __init__(self) -> None:
        self._walked: dict[tuple[Protocol, str], set[int]] = defaultdict(set)
        self._asked: dict[tuple[Protocol, str], dict[Party, set[int]]] = defaultdict(lambda: defaultdict(set))

    def walked(self, protocol: Protocol, origin: str, refused: int, following: int) -> None:
        """*origin* asked for the port *following* right after it was refused the port *refused*."""
        self._walked[protocol, origin].update((refused, following))

    def asked(self, protocol: Protocol, origin: str, party: Party, port: int) -> None:
        """*party* asked for *port*."""
        self._asked[protocol, origin][party].add(port)

    def owner(self, protocol: Protocol, port: int) -> str | None:
        """The origin that has *port* in a list of several; None if none has."""
        for (of, origin), ports in self._walked.items():
            if of == protocol and port in ports:
                return origin
        for of, origin in self._asked:
            if of == protocol and port in self._by_worker(of, origin):
                return origin
        return None

    def _by_worker(self, protocol: Protocol, origin: str) -> frozenset[int]:
        copies: dict[int, list[set[int]]] = defaultdict(list)
        for party, ports in self._asked.get((protocol, origin), {}).items():
            if party.worker:
                copies[party.copy].append(ports)
        found: set[int] = set()
        for workers in copies.values():
            ports = set[int]().union(*workers)
            is_one_each = all(len(own) == 1 for own in workers) and len(ports) == len(workers) > 1
            if is_one_each and max(ports) - min(ports) <= STEP_MAX * (len(ports) - 1):
                found |= ports
        return frozenset(found)
