"""The sensors that the orchestrator looks after itself, as a round of copies uses them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from parasuite.model.events import Event, SensorState
from parasuite.model.sensors import SENSORS, SensorName
from parasuite.model.words import SensorStatus
from parasuite.sensors import sampler


class OrchestratedSensor(Protocol):
    """What each call returns is to be recorded."""

    def up(self) -> list[Event]:
        """The round begins."""

    def look(self) -> list[Event]:
        """Called several times a second while copies run; looks only when it is time to."""

    def orphans(self, copy: int) -> list[Event]:
        """What *copy*, whose main process has ended, still holds now."""

    def down(self) -> list[Event]:
        """All copies have ended."""


class _Sampling:
    """A sensor that looks now and then. *is_second*: another sensor sees everything, so this one looks less often."""

    def __init__(self, sensor: sampler.Sampler, *, is_second: bool) -> None:
        self._sensor = sensor
        self._is_second = is_second
        self._due_s = float("-inf")

    def up(self) -> list[Event]:
        return [self._sensor.up()]

    def look(self) -> list[Event]:
        started_s = time.monotonic()
        if started_s < self._due_s:
            return []
        cpu_s = time.process_time()
        events = self._sensor.sample()
        spent_s = time.process_time() - cpu_s
        self._due_s = started_s + sampler.period_s(spent_s, beside_exact=self._is_second)
        return events

    def orphans(self, copy: int) -> list[Event]:
        return self._sensor.orphans(copy)

    def down(self) -> list[Event]:
        return [*self._sensor.sample(), self._sensor.down()]


class _InsideCopies:
    """A sensor that runs in the copies' processes and writes files of its own; only its state is recorded here."""

    def __init__(self, name: SensorName) -> None:
        self._name = name

    def up(self) -> list[Event]:
        return [self._state(SensorStatus.UP)]

    def look(self) -> list[Event]:
        return []

    def orphans(self, copy: int) -> list[Event]:  # noqa: ARG002
        return []

    def down(self) -> list[Event]:
        return [self._state(SensorStatus.DOWN)]

    def _state(self, state: SensorStatus) -> Event:
        return SensorState(t_ns=time.monotonic_ns(), source="orchestrator", sensor=self._name, state=state)


def orchestrated_sensors(
    names: Collection[SensorName],
    init_pids: Callable[[], dict[int, int]],
    test_of: Callable[[int], str],
    *,
    has_own_networks: bool = False,
) -> list[OrchestratedSensor]:
    """Those among *names* that the orchestrator looks after.

    *init_pids*: asked at each look, the copy of each pid whose descendants are a copy's tree. *test_of*: the test
    that a copy runs now, "" where it does not run exactly one. *has_own_networks*: each copy has its own network.
    """
    is_second = any(SENSORS[name].is_supervised for name in names)
    sensors: list[OrchestratedSensor] = []
    for name in names:
        if SENSORS[name].is_sampling:
            # A sensor that sees every call also names the strangers that matter: those that copies meet.
            made = sampler.Sampler(
                init_pids, test_of, with_strangers=not is_second, has_own_networks=has_own_networks
            )
            sensors.append(_Sampling(made, is_second=is_second))
        elif SENSORS[name].is_inside:
            sensors.append(_InsideCopies(name))
    return sensors
