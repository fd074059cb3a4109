"""One run from its plan to its reports: plans, starts, watches, records, and has `judging` say what came of it."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from parasuite import __version__
from parasuite.assemble import assemble_report, display_path, recording_errors, write_reports
from parasuite.judge.report import Report
from parasuite.judge.verdict import with_problems
from parasuite.model.events import CopyState, Event, RunStarted, SensorState
from parasuite.model.run_record import Overlap, RunRecord, Seeds
from parasuite.model.words import CopyPhase, FailOn, RunEnd, SensorStatus, TestOutcome
from parasuite.plan.capacity import conditions, ephemeral_range, processors
from parasuite.plan.launch import Command, describe, launches
from parasuite.plan.settings import RunSpec, target_record
from parasuite.probe import probe
from parasuite.probe.interfaces import host_addresses
from parasuite.probe.probe import Sight
from parasuite.record.event_log import EventLog
from parasuite.record.removal import remove_tree
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.tally import LineReader, Tally
from parasuite.record.untrusted import Unreadable
from parasuite.reports.wording import plural
from parasuite.run.collect_junit import Collected, collect
from parasuite.run.copies import Copies, Copy, Starter, Supervised
from parasuite.run.direct import Direct
from parasuite.run.progress import CopyView, Progress, ended_line
from parasuite.run.scratch import SCRATCH_PREFIX, keep, make_tmpdir, new_scratch_dir
from parasuite.run.scratch_owner import claimed, sweep
from parasuite.sensors import sampler
from parasuite.sensors.recorder import _parasuite_clock

_STEP_S = 0.1
_GRACE_S = 1.0
# From the first signal on, so that the reports are there within the ten seconds that CI gives: copies have 5 of them.
_JUDGED_UNTIL_S = 6.0
_JUDGED_LEAST_S = 1.0
_KEEPING = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST)  # The copy's temporary files are kept.
EVENTS_BYTES_MAX = 1 << 30  # 2.3 million calls, of one sensor; at most 4 MB/s were measured


@dataclass(slots=True)
class _Watched:
    """The results of one copy as they come."""

    reader: LineReader
    tally: Tally

    def read(self) -> None:
        for line in self.reader.new_lines():
            self.tally.feed(line)

    @property
    def bad(self) -> int:
        return self.tally.counts[TestOutcome.FAILED] + self.tally.counts[TestOutcome.ERROR]


class _Signals:
    """Takes note of INT, TERM and HUP from a run's first moment to its last report; none ends parasuite itself.

    The first one that comes while copies run, or before, decides how the run is said to have ended. One that comes
    later, when there are only the reports to be made, changes nothing where they are soon made. Judging stops some
    seconds after the first signal, whatever was recorded; see `judging_is_over`.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._first_s = 0.0
        self._before: dict[int, Any] = {}

    @property
    def word(self) -> str:
        """How a run that they stop has ended; "" without any."""
        if not self.received:
            return ""
        return "interrupted" if self.received[0] == signal.SIGINT else "terminated"

    def judging_is_over(self, began_s: float) -> str:
        """`word`, once the time for judging, which began at *began_s* (monotonic), is over; "" until then."""
        over_s = max(self._first_s + _JUDGED_UNTIL_S, began_s + _JUDGED_LEAST_S)
        return self.word if self.received and time.monotonic() > over_s else ""

    def _receive(self, number: int, _frame: object) -> None:
        self._first_s = self._first_s or time.monotonic()
        self.received.append(number)

    def __enter__(self) -> _Signals:
        numbers = [signal.SIGINT, signal.SIGTERM]
        # nohup has it ignored, and its run is to outlive the terminal.
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Run:
    """One run while it lasts: the copies, their results, the sensor, the record."""

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        copies: Copies,
        starter: Starter,
        progress: Progress,
        sight: Sight,
    ) -> None:
        self._folder, self._copies, self._starter, self._progress = folder, copies, starter, progress
        self._log = EventLog(folder.path, "orchestrator")
        self._watched = [
            _Watched(LineReader(folder.path, f"copies/{copy:03d}/results.jsonl"), Tally())
            for copy in range(spec.copies)
        ]
        self._sampler = sampler.Sampler(self._inits, self._test_of) if sampler.NAME in sight.use else None
        self._sight = sight
        self._sample_due_s = float("-inf")
        self.ended = "complete"
        self.notes: list[str] = []

    @property
    def seeds(self) -> list[dict[str, int | str]]:
        """What each copy's pytest said of the seeds that it used."""
        return [watched.tally.seeds for watched in self._watched]

    @property
    def failure(self) -> str:
        return self._log.failure

    def _inits(self) -> dict[int, int]:
        return {copy.init: copy.number for copy in self._copies.copies if copy.init and copy.state != "done"}

    def _test_of(self, copy: int) -> str:
        self._watched[copy].read()
        running = self._watched[copy].tally.running
        # Several at once (xdist): any of them may have opened the socket, so none is named.
        return running[0] if len(running) == 1 else ""

    def record(self, events: list[Event]) -> None:
        for event in events:
            self._log.append(event)

    def until_finished(self, signals: _Signals) -> None:
        """Run all copies to their end, whatever comes: signals, time-outs, a dead supervisor."""
        received = signals.received
        self.record(self._sight.events())
        if self._sampler:
            self.record([self._sampler.up()])
        if self._sight.recorder_mode:
            self.record([_recorder_state(SensorStatus.UP)])
        self._start(received)
        answered = 0
        is_stopped = False
        while not self._copies.finished:
            is_stopped = answered > 0
            for event in self._copies.step(_STEP_S):
                self._log.append(event)
                self._announce(event)
            answered = self._answer(received, answered)
            self._sample_if_due()
            self._end_lingering()
            self._progress.update([self._view(copy) for copy in self._copies.copies])
        if self._sampler:
            self.record([*self._sampler.sample(), self._sampler.down()])
        if self._sight.recorder_mode:
            self.record([_recorder_state(SensorStatus.DOWN)])
        self.notes += self._starter.notes
        if not self._starter.alive:
            self.notes.append(f"{self._starter.failure or 'the supervisor died'}: nothing after that was watched")
            self._progress.say(self.notes[-1])
        # A supervisor that is lost while the copies are being stopped changes nothing: the user wanted no verdict.
        if not self._starter.alive and not is_stopped:
            self.ended = "supervisor-lost"
        elif signals.word:
            self.ended = signals.word
        self._log.close()

    def _start(self, received: list[int]) -> None:
        """Start the copies, or say that none was: a user who stopped the run before does not want their effects."""
        if not received:
            self._copies.start()
            return
        self._progress.say(f"{signal.Signals(received[0]).name}: no copy is started")
        for copy in self._copies.copies:
            copy.state = "done"
            self._log.append(
                CopyState(
                    t_ns=time.monotonic_ns(),
                    source="orchestrator",
                    copy=copy.number,
                    state=CopyPhase.FAILED,
                    why="the run was stopped before",
                )
            )

    def _answer(self, received: list[int], answered: int) -> int:
        if len(received) > answered:
            at_once = answered > 0 or len(received) > 1
            name = signal.Signals(received[-1]).name
            self._progress.say(
                f"{name}: killing the copies" if at_once else f"{name}: stopping the copies; once more kills them"
            )
            self._copies.interrupt(at_once=at_once)
        return len(received)

    def _sample_if_due(self) -> None:
        started_s = time.monotonic()
        if self._sampler and started_s >= self._sample_due_s:
            cpu_s = time.process_time()
            self.record(self._sampler.sample())
            spent_s = time.process_time() - cpu_s
            self._sample_due_s = started_s + sampler.period_s(spent_s, beside_exact="seccomp" in self._sight.use)

    def _end_lingering(self) -> None:
        """End what outlived a copy's main process and its grace time, having looked at what it still holds."""
        for copy in self._copies.copies:
            if copy.state != "lingering" or copy.stopping:
                continue
            if time.monotonic_ns() - copy.exited_ns < _grace_s() * 1e9:
                continue
            if self._sampler:
                self.record(self._sampler.orphans(copy.number))
            self._copies.sweep(copy)

    def _announce(self, event: CopyState) -> None:
        copy = event.copy
        watched = self._watched[copy]
        if event.state == "exited":
            watched.read()
            elapsed_s = (event.t_ns - self._copies.copies[copy].started_ns) / 1e9
            passed = watched.tally.counts[TestOutcome.PASSED]
            self._progress.say(ended_line(copy, event.status, passed, watched.bad, elapsed_s))
        elif event.state in ("failed", "timed-out", "lost"):
            self._progress.say(f"copy {copy}: {event.state}" + (f": {event.why}" if event.why else ""))

    def _view(self, copy: Copy) -> CopyView:
        watched = self._watched[copy.number]
        watched.read()
        tally = watched.tally
        until_ns = copy.exited_ns or time.monotonic_ns()
        return CopyView(
            copy=copy.number,
            state=copy.stopping or copy.state,
            doing=" ".join(tally.running[:1]) if copy.state == "running" else "",
            passed=tally.counts[TestOutcome.PASSED],
            failed=watched.bad,
            collected=tally.collected,
            elapsed_s=(until_ns - copy.started_ns) / 1e9 if copy.started_ns else 0.0,
        )


def run(
    spec: RunSpec, *, python: str, cwd: Path, environ: Mapping[str, str], progress: Progress
) -> tuple[Report, list[str]]:
    """Run *spec* and write every report; the report, and a line for each one that could not be written.

    Raises RunFolderError before anything is started if the folder cannot be made.
    """
    with _Signals() as signals:
        folder = RunFolder.create(cwd / spec.output_dir, spec.copies)
        record = _new_record(spec, python, folder, environ)
        try:
            # Before all that takes time: a folder without it can be neither reported nor removed with the old ones.
            folder.write_record(record)
            folder.reserve_space()
        except OSError as error:
            folder.discard()
            raise RunFolderError(
                f"cannot write run.json into {folder.path}: {error.strerror}; name another folder with --output-dir"
            ) from error
        progress.say(f"{plural(spec.copies, 'copy')} of {describe(spec.target)}; {display_path(folder.path, cwd)}")
        for note in folder.notes:
            progress.say(note)
        scratch = new_scratch_dir()
        with claimed(scratch):
            try:
                sweep(scratch.parent, SCRATCH_PREFIX)
                running, record = _run_copies(
                    spec, folder, record, scratch, signals, cwd=cwd, environ=environ, progress=progress
                )
                collected = _collect_junit(spec, folder, record.started_s, cwd, signals)
                failures = [running.failure] if running.failure else []
                record = replace(
                    record,
                    ended=RunEnd(running.ended),
                    notes=tuple(running.notes),
                    seeds=replace(record.seeds, copies=tuple(running.seeds)),
                    errors=(*failures, *collected.problems),
                    collected=tuple(map(tuple, collected.files)),
                )
                return _finish(folder, record, scratch, signals)
            finally:
                if left := remove_tree(scratch):
                    progress.say(left)
                folder.close()


def _run_copies(
    spec: RunSpec,
    folder: RunFolder,
    record: RunRecord,
    scratch: Path,
    signals: _Signals,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    progress: Progress,
) -> tuple[_Run, RunRecord]:
    """Try the sensors and run the copies to their end; the record names the sensors in use and the supervisor."""
    sight = probe.look(spec.sensors) if spec.sensors else probe.Sight()
    starter: Starter = Supervised() if sys.platform == "linux" else Direct()
    try:
        record = replace(
            record,
            sensors_in_use=tuple(sight.use),
            supervisor_pid=starter.pid,
            no_new_privs=sight.no_new_privs,
        )
        folder.write_record(record)
        planned = launches(
            spec.target,
            copies=spec.copies,
            python=record.interpreter,
            pytest_args=_pytest_args(spec),
            run_id=folder.run_id,
            run_dir=folder.path.resolve(),
            scratch_dir=scratch,
            cwd=cwd,
            environ=environ,
            timeout_scale=max(1.0, spec.copies / processors() / 2),
            recorder_mode=sight.recorder_mode,
            clock=_parasuite_clock.described(),
        )
        for launch in planned:
            make_tmpdir(launch.scratch)
            if not isinstance(spec.target, Command):
                # If it is missing at the end, the suite has removed it, and with it the results.
                (launch.folder / "results.jsonl").touch()
        copies = Copies(planned, starter, spec.timeout_s)
        running = _Run(spec, folder, copies, starter, progress, sight)
        addresses, unknown = host_addresses()
        if unknown:
            progress.say(unknown)
        started = _run_started(scratch, tuple(sorted(addresses)))
        if "seccomp" in sight.use:
            starter.watch(_exact_settings(folder, spec, sight, started))
        running.record([started])
        running.until_finished(signals)
    finally:
        starter.close()
    return running, record


def _finish(folder: RunFolder, record: RunRecord, scratch: Path, signals: _Signals) -> tuple[Report, list[str]]:
    """Judge, write, tidy up. Each report is tried, whatever became of the others."""
    began_s = time.monotonic()
    problems: list[str] = []
    with recording_errors(problems, "run.json"):
        folder.write_end(record)
    report = assemble_report(folder, record, lambda: signals.judging_is_over(began_s))
    problems += write_reports(folder, report)
    problems += _keep_scratch(folder, report, scratch)
    decided = with_problems(report.verdict, problems)
    if decided != report.verdict:
        # The reports that can be written are not to say that all was well.
        report = replace(report, verdict=decided)
        problems += write_reports(folder, report)
    lasted = report.overlap
    overlap = Overlap(any_s=round(lasted.any_s, 3), two_s=round(lasted.two_s, 3), all_s=round(lasted.all_s, 3))
    with recording_errors(problems, "run.json"):
        folder.write_end(replace(record, overlap=overlap, exit_code=int(decided.code), verdict=decided.reason))
    report = replace(report, verdict=with_problems(decided, problems))
    return report, problems


def _new_record(spec: RunSpec, python: str, folder: RunFolder, environ: Mapping[str, str]) -> RunRecord:
    return RunRecord(
        run_id=folder.run_id,
        parasuite=__version__,
        pid=os.getpid(),
        pid_started_s=psutil.Process().create_time(),
        started_s=time.time(),
        host=platform.node(),
        system=platform.platform(),
        python=sys.version.split()[0],
        copies=spec.copies,
        target=target_record(spec.target),
        described=describe(spec.target),
        interpreter=python,
        fail_on=FailOn(spec.fail_on),
        timeout_s=spec.timeout_s,
        conditions=conditions(),
        seeds=Seeds(hash_seed=environ.get("PYTHONHASHSEED")),
        sensors=spec.sensors,
        sensors_by_name=() if spec.sensors in (("auto",), ()) else spec.sensors,
        pytest_args=_pytest_args(spec),
        collect_junit=spec.collect_junit,
        origins=dict(spec.origins),
    )


def _exact_settings(folder: RunFolder, spec: RunSpec, sight: Sight, started: RunStarted) -> dict[str, Any]:
    """What the supervisor's sensor is told; sensors/exact.py says what each is."""
    root = folder.path.resolve()
    pages = {copy: str(folder.copy_dir(copy).resolve() / "pages") for copy in range(spec.copies)}
    return {
        "events": str(root / "events" / "seccomp.jsonl"),
        "addresses": list(started.addresses),
        "pages": pages if sight.recorder_mode else {},
        "recorded": sight.recorder_mode == "events",
        "bytes_max": EVENTS_BYTES_MAX,
    }


def _recorder_state(state: SensorStatus) -> SensorState:
    return SensorState(t_ns=time.monotonic_ns(), source="orchestrator", sensor="recorder", state=state)


def _pytest_args(spec: RunSpec) -> tuple[str, ...]:
    selected = [*(("-k", spec.keyword) if spec.keyword else ()), *(("-m", spec.marker) if spec.marker else ())]
    return (*selected, *spec.pytest_args)


def _run_started(scratch: Path, addresses: tuple[str, ...]) -> RunStarted:
    first, last = ephemeral_range()
    return RunStarted(
        t_ns=time.monotonic_ns(),
        source="orchestrator",
        wall_ns=time.time_ns(),
        ephemeral_first=first,
        ephemeral_last=last,
        addresses=addresses,
        scratch=str(scratch),
    )


def _collect_junit(spec: RunSpec, folder: RunFolder, started_s: float, cwd: Path, signals: _Signals) -> Collected:
    """Copy the JUnit files that the copies of a command have written since *started_s* into the run folder."""
    if spec.collect_junit is None or not isinstance(spec.target, Command):
        return Collected([], [])
    before = len(signals.received)
    patterns = [spec.collect_junit.replace("{copy}", str(copy)) for copy in range(spec.copies)]
    collected = collect(patterns, cwd, folder.path, started_s, lambda: len(signals.received) > before)
    return replace(collected, problems=[f"--collect-junit: {problem}" for problem in collected.problems])


def _grace_s() -> float:
    """How long a tree may outlive its main process: longer on a busy machine, where dying takes longer too."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 1.0
    return _GRACE_S * max(1.0, load / processors())


def _keep_scratch(folder: RunFolder, report: Report, scratch: Path) -> list[str]:
    """Put the temporary files of a copy that did not end well beside the run."""
    problems = []
    for end in report.copy_ends:
        bad = any(result.outcome in _KEEPING for result in report.results[end.copy])
        if bad or not end.is_good:
            whose = f"temporary files of copy {end.copy}"
            try:
                target = f"copies/{end.copy:03d}/tmp"
                problems += [f"{whose}: {left}" for left in keep(scratch / str(end.copy), folder.path, target)]
            except (OSError, Unreadable) as error:
                problems.append(f"{whose} could not be kept: {error}")
    return problems
