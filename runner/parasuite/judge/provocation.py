"""What a run in which parasuite played the other side has recorded of that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from parasuite.judge.findings.hard_coded import IN_USE
from parasuite.model.events import Bind, Connect, Event, PortTaken, PortVisited, ProcessSeen, Send, SensorState
from parasuite.model.overlap import canonical, overlaps, reaches
from parasuite.model.sensors import SensorName
from parasuite.model.words import SensorStatus

_VISITORS_MAX = 16


@dataclass(slots=True)
class Provocation:
    """*taken*: the ports that parasuite took. *not_taken*: those that it could not take. *visits*: how many
    connections and datagrams came there. *visitors*: the processes that they came from, as far as is known, with
    their tests. *has_recovered*: whether a program that was refused such a port went on with another. *why_unable*:
    why the sensor could not take any port; "" if it could.
    """

    taken: list[PortTaken] = field(default_factory=list)
    not_taken: list[PortTaken] = field(default_factory=list)
    visits: int = 0
    visitors: dict[str, None] = field(default_factory=dict)
    has_recovered: bool = False
    why_unable: str = ""

    @property
    def since_ns(self) -> int:
        """When the first port was taken; 0 if none was."""
        return min((taken.t_ns for taken in self.taken), default=0)


class ProvocationReader:
    """Collects a Provocation: the events are read only once, for several readers."""

    def __init__(self) -> None:
        self.provocation = Provocation()
        self._names: dict[int, str] = {}
        self._refused: dict[int, list[Bind]] = {}  # By pid.

    def read(self, event: Event) -> None:
        """Take one event; events must come in the order of time."""
        match event:
            case PortTaken():
                (self.provocation.not_taken if event.errno else self.provocation.taken).append(event)
            case PortVisited():
                self.provocation.visits += event.visits
            case ProcessSeen():
                self._names[event.caller.process.pid] = event.name
            case Bind() if self.provocation.taken:
                self._bound(event)
            case Connect() | Send() if self.provocation.taken and len(self.provocation.visitors) < _VISITORS_MAX:
                self._visited(event, self.provocation.taken)
            case SensorState(sensor=SensorName.SECCOMP, source="orchestrator"):
                if event.state in (SensorStatus.MISSING, SensorStatus.PARTIAL):
                    self.provocation.why_unable = event.why

    def _bound(self, event: Bind) -> None:
        refused = self._refused.setdefault(event.caller.process.pid, [])
        if event.errno in IN_USE:
            asked = canonical(event.asked)
            if any(overlaps(asked, each.endpoint) for each in self.provocation.taken):
                refused.append(event)
        elif event.got is not None and any(_goes_on(event, before) for before in refused):
            self.provocation.has_recovered = True

    def _visited(self, event: Connect | Send, taken: Sequence[PortTaken]) -> None:
        destination = canonical(event.destination)
        if any(reaches(destination, each.endpoint) for each in taken):
            pid = event.caller.process.pid
            who = f"{self._names.get(pid, 'a process')} (pid {pid})"
            self.provocation.visitors[f"{who} in {event.caller.test}" if event.caller.test else who] = None


def _goes_on(event: Bind, refused: Bind) -> bool:
    """Whether *event* is how the program of *refused* got another port: for the same protocol and address, in the
    same test, and from the same function where it is known.
    """
    asked, wanted = event.asked, refused.asked
    if not asked.port or asked.port == wanted.port:
        return False
    if (asked.protocol, asked.address, event.caller.test) != (wanted.protocol, wanted.address, refused.caller.test):
        return False
    place, before = event.caller.location, refused.caller.location
    return place is None or before is None or place.place == before.place
