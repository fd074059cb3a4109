"""The holds that a reader of a run is shown over time, chosen while the events are read. Pure.

Theory of operation. A run may have a million holds, and neither memory nor a page has room for them. Which of them
matter is known only at the end, when the findings are. So each hold is weighed when it ends:

- *named*: a detector has seen something at its port, or Unix path, by then;
- *insisted on*: the program asked for that port by number, or it is a Unix path, so a finding may still come;
- *assigned*: the kernel chose the port.

The heaviest HOLDS_MAX are kept, and of equal weight those that lasted longest. At one port, holds after the first
PER_PORT_MAX count as assigned, so that a port that every test uses does not crowd out all others. When a detector
sees something, the hold that ended last at that port is weighed again: it is the draw of a port that was lost.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from parasuite.judge.ledger import Changes, Hold, Ledger, OpenHold
from parasuite.model.events import Endpoint
from parasuite.model.words import Protocol

HOLDS_MAX = 4_000
PER_PORT_MAX = 200
_NAMED_MAX = 5_000  # Ports and Unix paths, of all protocols.
_Slot: TypeAlias = tuple[Protocol, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """*holds*: sorted by start. *left_out*: how many more there were. *end_ns*: when the last event happened."""

    holds: tuple[Hold, ...] = ()
    left_out: int = 0
    end_ns: int = 0


class _Weight(IntEnum):
    ASSIGNED = 0
    INSISTED_ON = 1
    NAMED = 2


class _Weighed(NamedTuple):
    """*number*: tells equal ones apart, so that holds themselves are never compared."""

    weight: _Weight
    duration_ns: int
    number: int
    hold: Hold


class TimelineReader:
    """Is shown what each event did to the holds and what detectors saw in it; keeps the heaviest holds."""

    def __init__(self) -> None:
        self._kept: list[_Weighed] = []  # A heap, the lightest first.
        self._named: dict[_Slot, int] = {}  # When the last hold there that was weighed again had ended.
        self._preferred: Counter[_Slot] = Counter()
        self._count = self._number = 0
        self._end_ns = 0

    def read(self, t_ns: int, changes: Changes) -> None:
        """An event at *t_ns* made *changes*."""
        self._end_ns = max(self._end_ns, t_ns)
        for hold in changes.closed:
            self._add(hold, t_ns if hold.released_ns is None else hold.released_ns)

    def name(self, endpoint: Endpoint, ledger: Ledger) -> None:
        """A detector has seen something at *endpoint*; *ledger*: the holds of that moment."""
        slot = _slot(endpoint)
        if slot not in self._named and len(self._named) == _NAMED_MAX:
            return
        weighed_ns = self._named.setdefault(slot, -1)
        last = ledger.last_at(endpoint)
        if last is None or last.released_ns is None or last.released_ns == weighed_ns:
            return
        self._named[slot] = last.released_ns
        if self._preferred[slot] < PER_PORT_MAX:
            self._preferred[slot] += 1
            self._keep(_Weight.NAMED, last, last.released_ns)

    def timeline(self, still_open: Iterable[OpenHold]) -> Timeline:
        """The holds kept, with those whose end was not seen."""
        for hold in still_open:
            self._add(hold, self._end_ns + 1)
        # What was weighed twice is there twice.
        kept = {(each.hold.socket, each.hold.endpoint, each.hold.start_ns): each.hold for each in self._kept}
        holds = sorted(kept.values(), key=lambda hold: (hold.start_ns, hold.end_ns, hold.socket))
        return Timeline(holds=tuple(holds), left_out=self._count - len(holds), end_ns=self._end_ns)

    def _add(self, hold: OpenHold, end_ns: int) -> None:
        self._count += 1
        self._keep(self._weight(hold), hold, end_ns)

    def _weight(self, hold: OpenHold) -> _Weight:
        slot = _slot(hold.endpoint)
        if slot not in self._named and hold.asked_port == 0:
            return _Weight.ASSIGNED
        self._preferred[slot] += 1
        if self._preferred[slot] > PER_PORT_MAX:
            return _Weight.ASSIGNED
        return _Weight.NAMED if slot in self._named else _Weight.INSISTED_ON

    def _keep(self, weight: _Weight, hold: OpenHold, end_ns: int) -> None:
        duration_ns = end_ns - hold.start_ns
        self._number += 1
        if len(self._kept) < HOLDS_MAX:
            heapq.heappush(self._kept, _Weighed(weight, duration_ns, self._number, hold.ended(end_ns)))
        elif (weight, duration_ns) > self._kept[0][:2]:
            heapq.heapreplace(self._kept, _Weighed(weight, duration_ns, self._number, hold.ended(end_ns)))


def _slot(endpoint: Endpoint) -> _Slot:
    return (endpoint.protocol, endpoint.port or endpoint.address)
