"""Wires the stages: the only module that knows them all.

`run` plans, runs and records; `judge` turns a run folder into a Report, and nothing else does, so that a finished, an
interrupted and a killed run are reported in the same way.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from parasuite import __version__, probe
from parasuite.config import RunSpec, target_facts
from parasuite.copies import Copies, Copy, Starter, Supervised
from parasuite.direct import Direct
from parasuite.events import CopyState, Event, RunStarted, SensorState
from parasuite.findings import judge as judge_events
from parasuite.launch import Command, describe, launches
from parasuite.limits import ephemeral_range
from parasuite.outcomes import Outcome, outcomes
from parasuite.probe import Sight
from parasuite.progress import CopyView, Progress, ended_line
from parasuite.reports.findings_json import findings_json
from parasuite.reports.junit_xml import junit, junit_merged
from parasuite.reports.model import Report
from parasuite.reports.plain import plural
from parasuite.results import LineReader, ResultsError, Tally, TestResult, junit_results, tally_of
from parasuite.run_folder import EventLog, RunFolder
from parasuite.sensors import sampler
from parasuite.verdict import NO_TESTS_COLLECTED, ExitCode, HealthReader, verdict

_STEP_S = 0.1
_GRACE_S = 1.0
_TEXT_MAX = 16_000
_REPORTS: dict[str, Callable[[Report], str]] = {
    "findings.json": findings_json,
    "junit.xml": junit,
    "junit-merged.xml": junit_merged,
}


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
        return self.tally.counts["failed"] + self.tally.counts["error"]


class _Signals:
    """Counts INT and TERM while the run lasts; the first one decides how the run is said to have ended."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, lambda number, _frame: self.received.append(number))
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
        self._log = EventLog(folder, "orchestrator")
        self._watched = [
            _Watched(LineReader(folder.copy_dir(copy) / "results.jsonl"), Tally()) for copy in range(spec.copies)
        ]
        self._sampler = sampler.Sampler(self._inits, self._test_of) if sampler.NAME in sight.use else None
        self._sight = sight
        self._sampled_s = float("-inf")
        self.ended = "complete"

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

    def until_finished(self) -> None:
        """Run all copies to their end, whatever comes: signals, time-outs, a dead supervisor."""
        with _Signals() as signals:
            self.record(self._sight.events())
            if self._sampler:
                self.record([self._sampler.up()])
            if self._sight.recorder_mode:
                self.record([_recorder_state("up")])
            self._copies.start()
            answered = 0
            while not self._copies.finished:
                for event in self._copies.step(_STEP_S):
                    self._log.append(event)
                    self._announce(event)
                answered = self._answer(signals.received, answered)
                self._sample_if_due()
                self._end_lingering()
                self._progress.update([self._view(copy) for copy in self._copies.copies])
            if self._sampler:
                self.record([*self._sampler.sample(), self._sampler.down()])
            if self._sight.recorder_mode:
                self.record([_recorder_state("down")])
            if not self._starter.alive:
                self.ended = "supervisor-lost"
            elif signals.received:
                self.ended = "interrupted" if signals.received[0] == signal.SIGINT else "terminated"
        self._log.close()

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
        if self._sampler and time.monotonic() - self._sampled_s >= sampler.PERIOD_S:
            self._sampled_s = time.monotonic()
            self.record(self._sampler.sample())

    def _end_lingering(self) -> None:
        """End what outlived a copy's main process and its grace time, having looked at what it still holds."""
        for copy in self._copies.copies:
            if copy.state != "lingering" or copy.stopping:
                continue
            if time.monotonic_ns() - copy.exited_ns < _grace_s() * 1e9:
                continue
            if self._sampler:
                self.record(self._sampler.orphans(copy.number))
            self._copies.sweep(copy, _processes_below(copy.init))

    def _announce(self, event: CopyState) -> None:
        copy = event.copy or 0
        watched = self._watched[copy]
        if event.state == "exited":
            watched.read()
            elapsed_s = (event.t_ns - self._copies.copies[copy].started_ns) / 1e9
            passed = watched.tally.counts["passed"]
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
            passed=tally.counts["passed"],
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
    folder = RunFolder.create(cwd / spec.output_dir, spec.copies)
    scratch = _scratch_dir()
    sight = probe.look(spec.sensors) if spec.sensors else probe.Sight()
    starter: Starter = Supervised() if sys.platform == "linux" else Direct()
    facts = {**_start_facts(spec, python, folder), "supervisor_pid": starter.pid}
    folder.write_run(facts)
    progress.say(f"{plural(spec.copies, 'copy')} of {describe(spec.target)}; {_shown(folder.path, cwd)}")
    planned = launches(
        spec.target,
        copies=spec.copies,
        python=python,
        pytest_args=_pytest_args(spec),
        run_id=folder.run_id,
        run_dir=folder.path.resolve(),
        scratch_dir=scratch,
        cwd=cwd,
        environ=environ,
        timeout_scale=max(1.0, spec.copies / (os.cpu_count() or 1) / 2),
        recorder_mode=sight.recorder_mode,
    )
    for launch in planned:
        launch.scratch.mkdir()
    copies = Copies(planned, starter, spec.timeout_s)
    running = _Run(spec, folder, copies, starter, progress, sight)
    started = _run_started()
    if "seccomp" in sight.use:
        starter.watch(_exact_settings(folder, spec, sight, started))
    try:
        running.record([started])
        running.until_finished()
    finally:
        starter.close()
        progress.close()
    facts["ended"] = running.ended
    facts["errors"] = [running.failure] if running.failure else []
    facts["errors"] += _collect_junit(spec, folder, cwd, facts["started_s"])
    return _finish(folder, facts, scratch)


def _finish(folder: RunFolder, facts: dict[str, Any], scratch: Path) -> tuple[Report, list[str]]:
    """Judge, write, tidy up. Each report is tried, whatever became of the others."""
    problems: list[str] = []
    with _noting(problems, "run.json"):
        folder.write_run(facts)
    report = judge(folder, facts)
    problems += write_reports(folder, report)
    _keep_scratch(folder, report, scratch)
    facts["exit_code"], facts["verdict"] = int(report.verdict.code), report.verdict.reason
    with _noting(problems, "run.json"):
        folder.write_run(facts)
    return report, problems


def write_reports(folder: RunFolder, report: Report) -> list[str]:
    """Write every report of *report* into its folder; a line for each that could not be written."""
    problems: list[str] = []
    for name, render in _REPORTS.items():
        with _noting(problems, name):
            folder.write(name, render(report))
    return problems


@contextlib.contextmanager
def _noting(problems: list[str], name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problems.append(f"{name} could not be written: {error.strerror}")


def judge(folder: RunFolder, facts: Mapping[str, Any] | None = None) -> Report:
    """The Report of a run folder: a pure function of what lies in it. *facts*: run.json, if it was read already.

    Raises RunFolderError for a folder whose run.json cannot be read.
    """
    facts = folder.read_run() if facts is None else facts
    reading = _Reading()
    judged = judge_events(reading.through(folder.events()))
    ended = outcomes(reading.kept, facts["copies"])
    found = judged.findings
    seen = reading.reader.health(facts["sensors_by_name"])
    results = [_copy_results(folder, outcome, facts) for outcome in ended]
    is_pytest = facts["target"]["kind"] != "command"
    errors = facts.get("errors", [])
    decided = verdict(
        outcomes=ended,
        results=results,
        findings=found,
        health=seen,
        fail_on=facts["fail_on"],
        ended=facts.get("ended", ""),
        errors=errors,
        is_pytest=is_pytest,
    )
    notes = [*errors, *judged.notes, *seen.notes]
    if folder.unreadable_lines:
        notes.append(f"event lines that could not be read and were left out: {folder.unreadable_lines}")
    start = next((event for event in reading.kept if isinstance(event, RunStarted)), None)
    return Report(
        run_id=folder.run_id,
        folder=_shown(folder.path, Path.cwd()),
        target=facts["described"],
        wall=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(facts["started_s"])),
        host=facts["host"],
        duration_s=(reading.last_ns - reading.first_ns) / 1e9,
        start_ns=start.t_ns if start else 0,
        fail_on=facts["fail_on"],
        outcomes=ended,
        results=results,
        findings=found,
        health=seen,
        verdict=decided,
        cannot_see=_cannot_see(seen.sensors),
        notes=notes,
    )


class _Reading:
    """Reads a run's events once for all who judge: what few need is kept, what only counts is counted."""

    def __init__(self) -> None:
        self.kept: list[Event] = []
        self.reader = HealthReader()
        self.first_ns = self.last_ns = 0

    def through(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            self.first_ns = self.first_ns or event.t_ns
            self.last_ns = event.t_ns
            if isinstance(event, RunStarted | CopyState):
                self.kept.append(event)
            self.reader.read(event)
            yield event


def _copy_results(folder: RunFolder, outcome: Outcome, facts: Mapping[str, Any]) -> list[TestResult]:
    """What is known of each test of one copy, and of the copy itself where no test tells what became of it."""
    place = folder.copy_dir(outcome.copy)
    ended_well = outcome.how == "exited" and outcome.status == 0
    if facts["target"]["kind"] == "command":
        results = [result for file in sorted(place.glob("junit-*.xml")) for result in junit_results(file)]
        name = Path(facts["target"]["argv"][0]).name
        whole = TestResult(
            id=name,
            outcome="passed" if ended_well else "failed",
            duration_s=outcome.duration_s,
            message="" if ended_well else str(outcome),
            text="" if ended_well else output_tail(place / "output.log"),
        )
        is_told = any(result.outcome in ("failed", "error") for result in results)
        return results if results and (ended_well or is_told) else [*results, whole]
    tally = tally_of(place / "results.jsonl")
    results = tally.results()
    nothing_selected = outcome.how == "exited" and outcome.status == NO_TESTS_COLLECTED and not results
    if ended_well or nothing_selected or any(result.outcome in ("failed", "error") for result in results):
        return results
    message = f"{outcome}, and no test tells why" if outcome.how == "exited" else str(outcome)
    text = tally.internal_error or output_tail(place / "output.log")
    return [*results, TestResult(id="copy", outcome="error", message=message, text=text)]


def output_tail(path: Path) -> str:
    """The end of a copy's output, whatever bytes it holds."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TEXT_MAX))
            return stream.read().decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        return ""


def _start_facts(spec: RunSpec, python: str, folder: RunFolder) -> dict[str, Any]:
    by_name = () if spec.sensors in (("auto",), ()) else spec.sensors
    return {
        "parasuite": __version__,
        "run_id": folder.run_id,
        "pid": os.getpid(),
        "started_s": time.time(),
        "host": platform.node(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "copies": spec.copies,
        "target": target_facts(spec.target),
        "described": describe(spec.target),
        "interpreter": python,
        "fail_on": spec.fail_on,
        "timeout_s": spec.timeout_s,
        "sensors": list(spec.sensors),
        "sensors_by_name": list(by_name),
        "pytest_args": list(_pytest_args(spec)),
        "collect_junit": spec.collect_junit,
        "origins": dict(spec.origins),
        "ended": "",
        "errors": [],
    }


def _exact_settings(folder: RunFolder, spec: RunSpec, sight: Sight, started: RunStarted) -> dict[str, Any]:
    """What the supervisor's sensor is told; sensors/exact.py says what each is."""
    root = folder.path.resolve()
    pages = {copy: str(folder.copy_dir(copy).resolve() / "pages") for copy in range(spec.copies)}
    return {
        "events": str(root / "events" / "seccomp.jsonl"),
        "addresses": list(started.addresses),
        "pages": pages if sight.recorder_mode else {},
        "recorded": sight.recorder_mode == "events",
    }


def _recorder_state(state: str) -> SensorState:
    return SensorState(t_ns=time.monotonic_ns(), source="orchestrator", sensor="recorder", state=state)


def _cannot_see(sensors: Mapping[str, str]) -> tuple[str, ...]:
    """What the best of *sensors* is blind to."""
    if "seccomp" in sensors:
        return probe.SECCOMP_CANNOT_SEE
    if "recorder" in sensors:
        return probe.RECORDER_CANNOT_SEE
    return sampler.CANNOT_SEE if sampler.NAME in sensors else ()


def _pytest_args(spec: RunSpec) -> tuple[str, ...]:
    selected = [*(("-k", spec.keyword) if spec.keyword else ()), *(("-m", spec.marker) if spec.marker else ())]
    return (*selected, *spec.pytest_args)


def _run_started() -> RunStarted:
    first, last = ephemeral_range()
    addresses = {
        address.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family in (socket.AF_INET, socket.AF_INET6)
    }
    return RunStarted(
        t_ns=time.monotonic_ns(),
        source="orchestrator",
        wall_ns=time.time_ns(),
        ephemeral_first=first,
        ephemeral_last=last,
        addresses=tuple(sorted(addresses)),
    )


def _collect_junit(spec: RunSpec, folder: RunFolder, cwd: Path, started_s: float) -> list[str]:
    """Copy what the copies of a command wrote into their folders; a line for each file that cannot be used."""
    if spec.collect_junit is None or not isinstance(spec.target, Command):
        return []
    problems = []
    owner: dict[Path, int] = {}
    for copy in range(spec.copies):
        pattern = spec.collect_junit.replace("{copy}", str(copy))
        # A file of an earlier run would vouch for a copy that wrote none in this one.
        fresh = sorted(path for path in cwd.glob(pattern) if path.stat().st_mtime >= started_s - 1)
        if not fresh:
            problems.append(f"--collect-junit: copy {copy} wrote no file that matches {pattern}")
        for number, path in enumerate(fresh):
            if owner.setdefault(path, copy) != copy:
                problems.append(f"--collect-junit: {path} matches for copy {owner[path]} and for copy {copy}")
                continue
            try:
                junit_results(path)
                shutil.copyfile(path, folder.copy_dir(copy) / f"junit-{number}.xml")
            except (ResultsError, OSError) as error:
                problems.append(f"--collect-junit: {error}")
    return problems


def _grace_s() -> float:
    """How long a tree may outlive its main process: longer on a busy machine, where dying takes longer too."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 1.0
    return _GRACE_S * max(1.0, load / (os.cpu_count() or 1))


def _processes_below(pid: int) -> int:
    try:
        children = psutil.Process(pid).children(recursive=True)
        return sum(child.status() != psutil.STATUS_ZOMBIE for child in children)
    except psutil.NoSuchProcess:
        return 0


def _scratch_dir() -> Path:
    """A new folder with a short path for the copies' temporary files: below it a Unix socket's path must fit."""
    base = tempfile.gettempdir()
    if len(base) > 20 and os.path.isdir("/tmp"):
        base = "/tmp"
    return Path(tempfile.mkdtemp(prefix="ps-", dir=base))


def _keep_scratch(folder: RunFolder, report: Report, scratch: Path) -> None:
    """Put the temporary files of a copy that did not end well beside the run, and remove the others."""
    for outcome in report.outcomes:
        source = scratch / str(outcome.copy)
        bad = any(result.outcome in ("failed", "error", "lost") for result in report.results[outcome.copy])
        if (bad or outcome.how != "exited" or outcome.status != 0) and any(source.iterdir()):
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(source, folder.copy_dir(outcome.copy) / "tmp", symlinks=True, ignore=_special_files)
    shutil.rmtree(scratch, ignore_errors=True)


def _special_files(folder: str, names: list[str]) -> list[str]:
    """Sockets, pipes and devices: they cannot be copied."""

    def is_special(name: str) -> bool:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))

    return [name for name in names if is_special(name)]


def _shown(path: Path, cwd: Path) -> str:
    """*path* as a person in *cwd* would write it."""
    try:
        return str(path.resolve().relative_to(cwd.resolve()))
    except ValueError:
        return str(path)


__all__ = ["ExitCode", "judge", "run", "write_reports"]
