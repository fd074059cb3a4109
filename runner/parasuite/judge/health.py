"""What the sensors of a run could see, from their own accounts and from the state of their files. Pure.

A sensor writes a SensorState when it starts, when it learns that it sees less than it could, when it stops seeing
and when it ends in order. Each state replaces the one before, but a sensor that was blind once stays blind: what
happened meanwhile was not seen. If the last state of a sensor is not an end, its file was cut, and its last events
are missing.

The silence of a blind sensor proves nothing, so `Health.blind` makes the run exit with 3. A sensor that is missing
or saw only a part is a note, unless the user asked for it by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from parasuite.model.events import Event, Listen, Release, Seen, SensorState, SocketCall
from parasuite.model.sensors import SELF_TEST, SENSORS
from parasuite.model.words import SensorStatus

# Said of a sensor in a note; {sensor} and {why} are filled in.
DEGRADED = {
    SensorStatus.MISSING: "{sensor} is missing: {why}",
    SensorStatus.PARTIAL: "{sensor} saw less than it could: {why}",
}
WAS_LOST = "{sensor} was lost: {why}"
NOT_HERE = "{sensor} is missing here"
NO_SAMPLE = "the {sensor} took no complete sample"
NEVER_ENDED = "{sensor} never said that it ended: its last events are lost"
UNREADABLE_LINES = "lines of events that could not be read: {count}"
_UNREADABLE_FILES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the sensors could see.

    *sensors*: name -> last status. *blind*: why silence is not a pass; "" if it is. *listeners*: seen by the exact
    sensors where there are any, else by the sampler. *calls*: bind, listen, connect and send that were seen one by
    one. *proven*: what the self-test showed to be visible. *notes*: what was missing or seen only in part, and why,
    a sentence each.
    """

    sensors: dict[str, SensorStatus]
    samples: int = 0
    listeners: int = 0
    blind: str = ""
    calls: int = 0
    proven: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_sampled(self) -> bool:
        """Whether a sampling sensor was among the sensors."""
        return any(info.is_sampling and name in self.sensors for name, info in SENSORS.items())


def health(events: Iterable[Event], asked_for: Sequence[str] = (), in_use: Sequence[str] = ()) -> Health:
    """The health that all *events* together show; the rest as in `HealthReader.health`."""
    reader = HealthReader()
    for event in events:
        reader.read(event)
    return reader.health(asked_for, in_use)


class HealthReader:
    """Collects what each event says about the sensors: the events are read only once, for several readers."""

    def __init__(self) -> None:
        self._states: dict[str, SensorState] = {}
        self._listeners_sampled = self._listeners_exact = self._calls = 0
        self._notes: dict[str, None] = {}  # in order, each once
        self._proven = ""

    def read(self, event: Event) -> None:
        """Take one event; events must come in the order of time."""
        if isinstance(event, SensorState):
            self._read_state(event)
        elif isinstance(event, Seen):
            self._listeners_sampled += 1
        elif isinstance(event, SocketCall) and not isinstance(event, Release):
            self._calls += 1
            self._listeners_exact += isinstance(event, Listen) and event.errno in ("", "?")

    def _read_state(self, event: SensorState) -> None:
        if event.sensor == SELF_TEST and event.state == SensorStatus.DOWN:
            self._proven = event.why
            return
        for status, note in DEGRADED.items():
            if event.state == status:
                self._notes[note.format(sensor=event.sensor, why=event.why)] = None
        earlier = self._states.get(event.sensor)
        if earlier is None or earlier.state != SensorStatus.BLIND:
            self._states[event.sensor] = event

    def health(
        self,
        asked_for: Sequence[str] = (),
        in_use: Sequence[str] = (),
        *,
        unreadable_lines: int = 0,
        unreadable_files: Sequence[str] = (),
    ) -> Health:
        """The health that the events read so far show.

        *asked_for*: sensors named by `--sensors`; () for none. *in_use*: sensors that ran. *unreadable_lines*: how
        many lines of the record were not events. *unreadable_files*: for each file of events that could not be read,
        why.
        """
        blind = [
            *self._lost(asked_for, in_use),
            *_unreadable(unreadable_lines, unreadable_files),
        ]
        return Health(
            sensors={name: state.state for name, state in self._states.items() if name != SELF_TEST},
            samples=self._samples,
            listeners=self._listeners_exact if self._calls else self._listeners_sampled,
            blind="; ".join(blind),
            calls=self._calls,
            proven=self._proven,
            notes=tuple(self._notes),
        )

    @property
    def _samples(self) -> int:
        return sum(state.samples for state in self._states.values())

    def _lost(self, asked_for: Sequence[str], in_use: Sequence[str]) -> list[str]:
        """Which sensors did not see all that they should have, and why."""
        states = self._states
        lost = [
            WAS_LOST.format(sensor=name, why=state.why)
            for name, state in states.items()
            if state.state == SensorStatus.BLIND
        ]
        lost += [
            NOT_HERE.format(sensor=name)
            for name in asked_for
            if name not in states or states[name].state == SensorStatus.MISSING
        ]
        if not lost and not self._samples:
            lost += [
                NO_SAMPLE.format(sensor=name) for name, info in SENSORS.items() if info.is_sampling and name in states
            ]
        # Nothing else shows that the end of a file is missing: the disk was full for a while, or the file was cut.
        lost += [
            NEVER_ENDED.format(sensor=name)
            for name in in_use
            if name not in states or states[name].state in (SensorStatus.UP, SensorStatus.PARTIAL)
        ]
        return lost


def _unreadable(lines: int, files: Sequence[str]) -> Iterator[str]:
    if lines:
        yield UNREADABLE_LINES.format(count=lines)
    yield from files[:_UNREADABLE_FILES_SHOWN]
    if len(files) > _UNREADABLE_FILES_SHOWN:
        yield f"and {len(files) - _UNREADABLE_FILES_SHOWN} more files could not be read"
