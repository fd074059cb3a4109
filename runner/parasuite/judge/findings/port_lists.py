"""Fixed ports that one function has in its text as a list, so that they are one thing to fix.

Theory of operation. A function that tries one port after another (`for port in range(8000, 8010)`), and one that has
a port for each worker (`9000 + worker`), ask for several ports, and changing that one function cures all of them. A
helper that starts three services on three fixed ports is not such a list: it asks for the next port although it had
the one before, and each port has its own line somewhere. So ports belong to one list if

- the same call stack asked for one right after it was refused the other, or
- in one copy each of several workers asked for exactly one of them, in the same function; they are near each other
  (drawn ports are not); and either two workers did so by one call stack, or one of them by several. (A helper with a
  port in the text of each caller would have been asked for one port by one call stack.)

A port that is in a list of one function is charged to that function, whoever else asks for it: one port, one finding.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from parasuite.judge.findings.finding import Side
from parasuite.model.location import Location
from parasuite.model.party import Party
from parasuite.model.words import Protocol

STEP_MAX = 100
"""Between the ports of two workers that count from a common base."""
_Stacks: TypeAlias = set[tuple[Location, ...]]


class PortLists:
    """*origin* is a function ("file:function") or a program."""

    def __init__(self) -> None:
        self._walked: dict[tuple[Protocol, str], set[int]] = defaultdict(set)
        self._asked: dict[tuple[Protocol, str], dict[Party, dict[int, _Stacks]]] = defaultdict(dict)

    def walked(self, protocol: Protocol, origin: str, refused: int, following: int) -> None:
        """*origin* asked for the port *following* right after it was refused the port *refused*."""
        self._walked[protocol, origin].update((refused, following))

    def asked(self, protocol: Protocol, side: Side, port: int) -> None:
        """The worker of *side* asked for *port*; other parties do not matter."""
        if side.party is not None and side.party.worker:
            ports = self._asked[protocol, side.origin].setdefault(side.party, {})
            ports.setdefault(port, set()).add(side.frames)

    def owners(self) -> dict[tuple[Protocol, int], str]:
        """The origin that has a port in a list of several; of two that walk the same port, the first by name."""
        found: dict[tuple[Protocol, int], str] = {}
        for lists in (self._by_worker(), self._walked):
            # The last one to be written counts: those that walk, and of equals the first by name.
            for (protocol, origin), ports in sorted(lists.items(), reverse=True):
                found.update(((protocol, port), origin) for port in ports)
        return found

    def _by_worker(self) -> dict[tuple[Protocol, str], set[int]]:
        """The ports of which each of several workers of one copy asked for one."""
        found: dict[tuple[Protocol, str], set[int]] = {}
        for key, asked in self._asked.items():
            copies: dict[int, list[dict[int, _Stacks]]] = defaultdict(list)
            for party, ports in asked.items():
                copies[party.copy].append(ports)
            for workers in copies.values():
                of_copy = {port for ports in workers for port in ports}
                stacks = [frames for ports in workers for each in ports.values() for frames in each]
                has_one_each = all(len(ports) == 1 for ports in workers) and len(of_copy) == len(workers) > 1
                is_near = has_one_each and max(of_copy) - min(of_copy) <= STEP_MAX * (len(of_copy) - 1)
                if is_near and (len(stacks) > len(workers) or len(set(stacks)) < len(stacks)):
                    found.setdefault(key, set()).update(of_copy)
        return found
