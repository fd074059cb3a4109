"""One round: the copies from their start to the end of the last one, watched, sampled and recorded."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence

from parasuite.model.copy_life import CopyStage
from parasuite.model.events import CopyState, Event
from parasuite.model.sensors import SensorName
from parasuite.model.words import CopyPhase, RunEnd, TestOutcome
from parasuite.plan.capacity import processors
from parasuite.record.event_log import EventLog
from parasuite.record.run_folder import RunFolder
from parasuite.record.tally import GrowingTally, Tally
from parasuite.run.barrier import LIMIT_S, Barrier
from parasuite.run.copies import STOPPED_BEFORE, Copies, Copy
from parasuite.run.failures import Failures
from parasuite.run.progress import CopyView, Progress, ended_line
from parasuite.run.signals import Signals
from parasuite.run.starters.starter import Starter
from parasuite.sensors.orchestrated import orchestrated_sensors

_STEP_S = 0.1
_GRACE_S = 1.0
NOT_FORKED = "the copies were started one by one (--start exec), not forked: {why}"
LATE = "the tests did not begin together: {limit} s after another copy, copy {copies} had not collected its tests"


class Round:
    """The copies of one round, their results, the sensors that the orchestrator looks after, and the record.

    *ended*: how the round ended. *notes*: what the report has to say about it.
    """

    def __init__(
        self,
        folder: RunFolder,
        copies: Copies,
        starter: Starter,
        progress: Progress,
        sensors: Sequence[SensorName],
        failures: Failures,
        barrier: Barrier | None = None,
        *,
        has_own_networks: bool = False,
    ) -> None:
        self._barrier = barrier
        self._copies, self._starter, self._progress = copies, starter, progress
        self._failures = failures
        self._log = EventLog(folder.path, "orchestrator")
        self._tallies = [
            GrowingTally(folder.path, f"copies/{copy.number:03d}/results.jsonl") for copy in copies.copies
        ]
        self._sensors = orchestrated_sensors(
            sensors, self._init_pids, self._test_of, has_own_networks=has_own_networks
        )
        self.ended = RunEnd.COMPLETE
        self.notes: list[str] = []
        self._is_start_noted = False

    @property
    def seeds(self) -> list[dict[str, int | str]]:
        """The seeds that each copy's pytest reported."""
        return [dict(copy.tally.seeds) for copy in self._tallies]

    def tallies(self) -> list[Tally | None]:
        """The results of each copy, once all have ended; None of one whose file has to be read again."""
        return [copy.whole() for copy in self._tallies]

    @property
    def failure(self) -> str:
        """Why events could not be recorded; "" if all were."""
        return self._log.failure

    def record(self, events: Iterable[Event]) -> None:
        for event in events:
            self._log.append(event)

    def run(self, signals: Signals) -> None:
        """Run all copies to their end, whatever happens: signals, time-outs, a dead supervisor."""
        for sensor in self._sensors:
            self.record(sensor.up())
        self._start(signals)
        answered = 0
        is_being_stopped = False
        while not self._copies.are_done:
            is_being_stopped = answered > 0
            for event in self._copies.step(_STEP_S):
                self._log.append(event)
                self._announce(event)
            self._note_start()
            answered = self._answer(signals.received, answered)
            while signals.for_command:
                self._copies.pass_on(signals.for_command.pop(0))
            for sensor in self._sensors:
                self.record(sensor.look())
            self._sweep_lingering()
            self._stop_early()
            self._progress.update([self._view(copy) for copy in self._copies.copies])
            if self._barrier is not None:
                self._let_go(self._barrier, at_once=bool(answered))
        for sensor in self._sensors:
            self.record(sensor.down())
        self._end(signals, is_being_stopped=is_being_stopped)
        if self._barrier is not None:
            self._barrier.open()
        self._log.close()

    def _start(self, signals: Signals) -> None:
        """Start the copies. If the user interrupted before this point, start none and record that."""
        if not signals.received:
            self._copies.start()
            return
        self._progress.say(f"{signal.Signals(signals.received[0]).name}: no copy is started")
        self.record(self._copies.refuse(STOPPED_BEFORE))

    def _note_start(self) -> None:
        """Say it once if the copies could not be forked."""
        if self._copies.why_not_forked and not self._is_start_noted:
            self._is_start_noted = True
            self.notes.append(NOT_FORKED.format(why=self._copies.why_not_forked))
            self._progress.say(self.notes[-1])

    def _end(self, signals: Signals, *, is_being_stopped: bool) -> None:
        """Find out how the round ended."""
        self.notes += self._starter.notes
        if not self._starter.is_alive:
            self.notes.append(f"{self._starter.failure or 'the supervisor died'}: nothing after that was watched")
            self._progress.say(self.notes[-1])
        # If the supervisor dies while the copies are being stopped, that changes nothing: the user wanted no verdict.
        if not self._starter.is_alive and not is_being_stopped:
            self.ended = RunEnd.SUPERVISOR_LOST
        elif signals.received:
            self.ended = signals.run_end

    def _answer(self, received: Sequence[int], answered: int) -> int:
        """Stop the copies if a signal has come since *answered* of them had; how many have come now."""
        if len(received) > answered:
            at_once = answered > 0 or len(received) > 1
            name = signal.Signals(received[-1]).name
            self._progress.say(
                f"{name}: killing the copies" if at_once else f"{name}: stopping the copies; once more kills them"
            )
            self._copies.interrupt(received[-1], at_once=at_once)
        return len(received)

    def _let_go(self, barrier: Barrier, *, at_once: bool) -> None:
        """Let the copies begin their tests if all of them have collected theirs, or *at_once*."""
        if at_once:
            barrier.open()
        if barrier.is_open:
            return
        arrived = {copy.number for copy in self._copies.copies if self._tallies[copy.number].tally.has_collected}
        absent = [copy.number for copy in self._copies.copies if copy.may_run_tests and copy.number not in arrived]
        if barrier.arrived(len(arrived), len(absent)):
            self.notes.append(LATE.format(copies=", ".join(map(str, absent)), limit=f"{LIMIT_S:.0f}"))

    def _sweep_lingering(self) -> None:
        """Kill what outlived a copy's main process and its grace time, after recording what it still holds."""
        for copy in self._copies.copies:
            if copy.stage is not CopyStage.LINGERING or copy.stopping:
                continue
            if time.monotonic_ns() - copy.exited_ns < _grace_s() * 1e9:
                continue
            for sensor in self._sensors:
                self.record(sensor.orphans(copy.number))
            self._copies.sweep(copy)

    def _stop_early(self) -> None:
        """Show which tests have failed since the last call, and stop the copies that --fail-fast stops for them."""
        stopped: dict[str, list[int]] = {}
        for copy in self._copies.copies:
            results = self._tallies[copy.number]
            results.read()
            for line in self._failures.read(copy.number, results.tally.failures):
                # A copy that has parasuite's own streams already shows what fails.
                if not copy.launch.inherits_streams:
                    self._progress.say(line)
        for copy in self._copies.copies:
            if (why := self._failures.why_stop(copy.number)) and self._copies.stop_early(copy, why):
                stopped.setdefault(why, []).append(copy.number)
        for why, copies in stopped.items():
            self.notes.append(f"{why}; stopped: copy {', '.join(map(str, copies))}")
            self._progress.say(self.notes[-1])

    def _init_pids(self) -> dict[int, int]:
        return {copy.init: copy.number for copy in self._copies.copies if copy.init and not copy.is_done}

    def _test_of(self, copy: int) -> str:
        self._tallies[copy].read()
        running = self._tallies[copy].tally.running
        # With several at once (xdist), any of them may have opened the socket, so none is named.
        return running[0] if len(running) == 1 else ""

    def _announce(self, event: CopyState) -> None:
        copy = event.copy
        self._failures.read_state(event)
        results = self._tallies[copy]
        if event.state == CopyPhase.EXITED:
            results.read()
            elapsed_s = (event.t_ns - self._copies.copies[copy].started_ns) / 1e9
            self._progress.say(ended_line(copy, event.status, results.tally.counts, elapsed_s))
        elif event.state in (CopyPhase.FAILED, CopyPhase.TIMED_OUT, CopyPhase.LOST):
            self._progress.say(f"copy {copy}: {event.state}" + (f": {event.why}" if event.why else ""))

    def _view(self, copy: Copy) -> CopyView:
        results = self._tallies[copy.number]
        results.read()
        tally = results.tally
        until_ns = copy.exited_ns or time.monotonic_ns()
        return CopyView(
            copy=copy.number,
            state=copy.stopping or copy.stage,
            doing=" ".join(tally.running[:1]) if copy.has_main_process else "",
            passed=tally.counts[TestOutcome.PASSED],
            failed=tally.counts[TestOutcome.FAILED] + tally.counts[TestOutcome.ERROR],
            collected=tally.collected,
            elapsed_s=(until_ns - copy.started_ns) / 1e9 if copy.started_ns else 0.0,
        )


def _grace_s() -> float:
    """How long a tree may outlive its main process: longer on a busy machine, where dying takes longer too."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 1.0
    return _GRACE_S * max(1.0, load / processors())
