"""One invocation of `parasuite run`: the folder, the probe, the copies' launches, and at the end every report."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from parasuite import __version__
from parasuite.assemble import assemble_report, display_path, recording_errors, write_reports
from parasuite.judge.report import Report
from parasuite.judge.summary import summarize
from parasuite.judge.verdict import NO_TESTS_COLLECTED, with_problems
from parasuite.model.events import RunStarted
from parasuite.model.run_record import Overlap, RunRecord, Seeds
from parasuite.model.sensors import SENSORS
from parasuite.model.suspect import Suspect
from parasuite.model.words import NetworkMode, StartMode, TestOutcome
from parasuite.plan.capacity import conditions, ephemeral_range, processors
from parasuite.plan.launch import ImporterLaunch, Launch, importer_launch, launches
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.seeds import copy_seed
from parasuite.plan.targets import ResultSource, Target
from parasuite.probe import probe
from parasuite.probe.interfaces import host_addresses
from parasuite.probe.probe import Visibility
from parasuite.record.history_file import append_to_history
from parasuite.record.removal import remove_tree
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.sources import allow_comments
from parasuite.record.tally import Tally
from parasuite.record.untrusted import Unreadable
from parasuite.reports.wording import OUTPUT_IS_ELSEWHERE, in_network, plural
from parasuite.run.barrier import Barrier
from parasuite.run.baseline import baseline_entries
from parasuite.run.collect_junit import collect
from parasuite.run.copies import Copies
from parasuite.run.environment import proxies_of_this_host
from parasuite.run.failures import Failures
from parasuite.run.networks.surroundings import plan_network
from parasuite.run.progress import Progress
from parasuite.run.round import Round
from parasuite.run.scratch import SCRATCH_PREFIX, keep_folder, make_tmpdir, new_scratch_dir
from parasuite.run.scratch_owner import claimed, remove_abandoned
from parasuite.run.signals import IGNORED_AT_START, PASSED_ON, Signals
from parasuite.run.starters.direct import Direct
from parasuite.run.starters.starter import Starter
from parasuite.run.starters.supervised import Supervised
from parasuite.run.supervisor.messages import EnableSensor, Provoke
from parasuite.sensors.recorder import _parasuite_clock

_KEEPING = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST)  # The copy's temporary files are kept.
SEEDED = "the seed of this run is {seed}: --seed {seed} gives its copies the same seeds again"
EVENTS_BYTES_MAX = 1 << 30  # 2.3 million calls, of one sensor; at most 4 MB/s were measured


def run(
    spec: RunSpec,
    *,
    python: str,
    cwd: Path,
    work_dir: Path,
    environ: Mapping[str, str],
    progress: Progress,
    inside: RunFolder | None = None,
    round_name: str = "",
    suspect: Suspect | None = None,
    signals: Signals | None = None,
) -> tuple[Report, list[str]]:
    """Run *spec* and write every report; the report, and a line for each one that could not be written.

    *cwd*: the user's folder, where run folders go. *work_dir*: the folder that the copies run in. *inside*: the
    folder to use, of a run that belongs to another run; by default a new one is made. *round_name*: which round of a
    series it is. *suspect*: what to provoke.
    *signals*: entered already, for several runs. Raises RunFolderError before anything is started if the folder
    cannot be made.
    """
    with contextlib.ExitStack() as entered:
        if signals is None:
            signals = entered.enter_context(Signals(PASSED_ON if spec.is_observed_only else ()))
        folder = inside or RunFolder.create(cwd / spec.output_dir, spec.copies)
        record = _new_record(spec, python, folder, environ, work_dir)
        baseline = baseline_entries(spec.accepted, record, cwd / spec.output_dir)
        record = replace(record, baseline=baseline, round_name=round_name)
        try:
            # Before anything that takes time: a folder without run.json can be neither reported nor pruned.
            folder.write_record(record)
            folder.reserve_space()
        except OSError as error:
            folder.discard()
            raise RunFolderError(
                f"cannot write run.json into {folder.path}: {error.strerror}; name another folder with --output-dir"
            ) from error
        what = f"{plural(spec.copies, 'copy')} of {spec.target.description}"
        hint = f" ({spec.target.hint})" if spec.target.hint else ""
        # The path is not resolved: the python of a virtual environment is a link to one without its packages.
        shown = os.path.relpath(python, cwd) if Path(python).is_relative_to(cwd) else python
        run_by = f", run by {shown}" if python else ""
        network = in_network(spec.network, spec.port_range)
        progress.say(f"{what}{hint}{run_by}, {network}; {display_path(folder.path, cwd)}")
        for note in (*folder.notes, *spec.notes):
            progress.say(note)
        scratch = new_scratch_dir()
        with claimed(scratch):
            try:
                remove_abandoned(scratch.parent, SCRATCH_PREFIX)
                session = _Session(spec, folder, scratch, signals, work_dir, environ, progress, suspect)
                record, tallies = session.run_copies(record)
                record = session.collect_junit(record)
                return session.report(record, tallies)
            finally:
                if not_removed := remove_tree(scratch):
                    progress.say(not_removed)
                folder.close()


@dataclass(frozen=True, slots=True)
class _Session:
    """One run from its first copy to its reports. Its methods return the record with what they found out."""

    spec: RunSpec
    folder: RunFolder
    scratch: Path
    signals: Signals
    work_dir: Path
    environ: Mapping[str, str]
    progress: Progress
    suspect: Suspect | None = None

    @property
    def _begins_together(self) -> bool:
        """Whether the copies wait for each other between collecting their tests and running them."""
        is_pytest = self.spec.target.results is ResultSource.PYTEST
        return is_pytest and self.spec.copies > 1 and self.spec.stagger_s is None

    def run_copies(self, record: RunRecord) -> tuple[RunRecord, list[Tally | None]]:
        """Probe the sensors and run the copies to their end; also the results of each, as far as they were read."""
        visibility = probe.probe_sensors(self.spec.sensors) if self.spec.sensors else probe.Visibility()
        own_network = plan_network(host_addresses()[0]) if self.spec.network is NetworkMode.EACH else None
        # Ports are taken by the supervisor, which is then in the network of the only copy, too.
        is_supervisors = self.suspect is not None
        linux = sys.platform == "linux"
        starter: Starter = Supervised(own_network, is_supervisors=is_supervisors) if linux else Direct()
        try:
            record = replace(
                record,
                sensors_in_use=tuple(visibility.use),
                supervisor_pid=starter.pid,
                no_new_privs=visibility.no_new_privs,
            )
            self.folder.write_record(record)
            planned = self._launches(visibility, record)
            importer = self._importer(planned[0], record)
            copies = Copies(planned, starter, self.spec.timeout_s, self.spec.stagger_s, importer)
            # Without a mode it is not put into the copies, although it was asked for: the probe failed.
            sensors = [name for name in visibility.use if visibility.recorder_mode or not SENSORS[name].is_inside]
            failures = Failures(self.spec.fail_fast, _good_statuses(self.spec.target))
            barrier = Barrier(self.folder.path) if self._begins_together else None
            copies_round = Round(
                self.folder,
                copies,
                starter,
                self.progress,
                sensors,
                failures,
                barrier,
                has_own_networks=own_network is not None,
            )
            started = self._run_started()
            if any(SENSORS[name].is_supervised for name in sensors):
                starter.enable_sensor(self._sensor_order(visibility, started))
                if self.suspect is not None:
                    starter.provoke(Provoke(**asdict(self.suspect)))
            copies_round.record([started, *visibility.events()])
            copies_round.run(self.signals)
        finally:
            starter.close()
        tallies = copies_round.tallies()
        record = replace(
            record,
            ended=copies_round.ended,
            notes=(*self.spec.notes, *self._seed_note(), *copies_round.notes),
            seeds=replace(record.seeds, copies=tuple(self._with_seeds(copies_round.seeds, copies.is_forking))),
            errors=(copies_round.failure,) if copies_round.failure else (),
        )
        return record, tallies

    def _with_seeds(
        self, reported: Sequence[Mapping[str, int | str]], are_forked: bool
    ) -> Iterator[Mapping[str, int | str]]:
        """*reported*, the seeds of each copy, with the one that it was given; forked ones have copy 0's hash seed."""
        for copy, seeds in enumerate(reported):
            hashing = 0 if are_forked else copy
            given = {} if self.spec.seed is None else {"PYTHONHASHSEED": copy_seed(self.spec.seed, hashing)}
            yield {**given, **seeds}

    def _seed_note(self) -> list[str]:
        return [] if self.spec.seed is None else [SEEDED.format(seed=self.spec.seed)]

    def _launches(self, visibility: Visibility, record: RunRecord) -> list[Launch]:
        """What each copy is to run; its folders are made."""
        planned = launches(
            self.spec.target,
            copies=self.spec.copies,
            python=record.interpreter,
            pytest_args=_pytest_args(self.spec),
            run_id=self.folder.run_id,
            run_dir=self.folder.path.resolve(),
            scratch_dir=self.scratch,
            cwd=self.work_dir,
            environ=self.environ,
            timeout_scale=max(1.0, self.spec.copies / processors() / 2),
            recorder_mode=visibility.recorder_mode,
            clock=_parasuite_clock.described(),
            inherits_streams=self.spec.is_observed_only,
            dumps_stacks=not self.spec.is_observed_only or self.spec.timeout_s is not None,
            ignored_signals=IGNORED_AT_START if self.spec.is_observed_only else (),
            seed=self.spec.seed,
        )
        for launch in planned:
            make_tmpdir(launch.scratch)
            if launch.inherits_streams:
                (launch.folder / "output.log").write_text(OUTPUT_IS_ELSEWHERE + "\n")
            if self.spec.target.results is ResultSource.PYTEST:
                # If it is missing at the end, the suite has removed it, and with it the results.
                (launch.folder / "results.jsonl").touch()
        return planned

    def _importer(self, first: Launch, record: RunRecord) -> ImporterLaunch | None:
        """What the copies are to be forked from, with its folders made; None if each is to be executed.

        A single copy has no other to share with, and one that is only observed starts as it would without parasuite.
        """
        is_pytest = self.spec.target.results is ResultSource.PYTEST
        if self.spec.start is StartMode.EXEC or self.spec.copies == 1 or not is_pytest:
            return None
        planned = importer_launch(
            self.spec.target,
            first,
            python=record.interpreter,
            pytest_args=_pytest_args(self.spec),
            run_dir=self.folder.path.resolve(),
            scratch_dir=self.scratch,
        )
        self.folder.make_importer()
        make_tmpdir(Path(planned.env["TMPDIR"]))
        return planned

    def _run_started(self) -> RunStarted:
        addresses, unknown = host_addresses()
        if unknown:
            self.progress.say(unknown)
        first, last = ephemeral_range()
        return RunStarted(
            t_ns=time.monotonic_ns(),
            source="orchestrator",
            wall_ns=time.time_ns(),
            ephemeral_first=first,
            ephemeral_last=last,
            addresses=tuple(sorted(addresses)),
            scratch=str(self.scratch),
            proxies=proxies_of_this_host(self.environ, addresses),
            network_mode=self.spec.network,
        )

    def _sensor_order(self, visibility: Visibility, started: RunStarted) -> EnableSensor:
        pages = tuple(str(self.folder.copy_dir(copy).resolve() / "pages") for copy in range(self.spec.copies))
        return EnableSensor(
            events_path=str(self.folder.path.resolve() / "events" / "seccomp.jsonl"),
            addresses=started.addresses,
            page_folders=pages if visibility.recorder_mode else (),
            is_recorded=visibility.recorder_mode == "events",
            events_bytes_max=EVENTS_BYTES_MAX,
        )

    def collect_junit(self, record: RunRecord) -> RunRecord:
        """Copy the JUnit files that the copies of a command wrote into the run folder."""
        if self.spec.collect_junit is None:
            return record
        before = len(self.signals.received)
        patterns = [self.spec.collect_junit.replace("{copy}", str(copy)) for copy in range(self.spec.copies)]
        collected = collect(
            patterns, self.work_dir, self.folder.path, record.started_s, lambda: len(self.signals.received) > before
        )
        return replace(
            record,
            collected=tuple(map(tuple, collected.files)),
            errors=(*record.errors, *(f"--collect-junit: {problem}" for problem in collected.problems)),
        )

    def report(self, record: RunRecord, tallies: Sequence[Tally | None]) -> tuple[Report, list[str]]:
        """Judge, write the reports, tidy up. Each report is tried, whatever became of the others."""
        began_s = time.monotonic()
        problems: list[str] = []
        with recording_errors(problems, "run.json"):
            self.folder.write_end(record)
        report = assemble_report(
            self.folder,
            record,
            lambda: self.signals.judging_is_over(began_s),
            lambda places: allow_comments(self.work_dir, places),
            tallies,
        )
        problems += write_reports(self.folder, report, self.spec.optional_reports)
        problems += _keep_scratch(self.folder, report, self.scratch)
        decided = with_problems(report.verdict, problems)
        if decided != report.verdict:
            # The reports that can be written must not say that all was well.
            report = replace(report, verdict=decided)
            problems += write_reports(self.folder, report, self.spec.optional_reports)
        lasted = report.overlap
        overlap = Overlap(any_s=round(lasted.any_s, 3), two_s=round(lasted.two_s, 3), all_s=round(lasted.all_s, 3))
        with recording_errors(problems, "run.json"):
            self.folder.write_end(
                replace(
                    record,
                    overlap=overlap,
                    comments=report.comments,
                    exit_code=decided.exit_code,
                    verdict_code=int(decided.code),
                    verdict=decided.reason,
                )
            )
        report = replace(report, verdict=with_problems(decided, problems))
        # A run inside another one is a part of that one.
        base = self.folder.output_folder
        if base is not None and (why := append_to_history(base, summarize(report))):
            self.progress.say(why)
        return report, problems


def _new_record(
    spec: RunSpec, python: str, folder: RunFolder, environ: Mapping[str, str], work_dir: Path
) -> RunRecord:
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
        target=spec.target.record(),
        described=spec.target.description,
        interpreter=python,
        fail_on=spec.fail_on,
        exit_code_from=spec.exit_code_from,
        timeout_s=spec.timeout_s,
        conditions=conditions(),
        seeds=Seeds(hash_seed=environ.get("PYTHONHASHSEED")),
        sensors=spec.sensors,
        sensors_by_name=() if spec.sensors in (("auto",), ()) else spec.sensors,
        pytest_args=_pytest_args(spec),
        collect_junit=spec.collect_junit,
        origins={name: str(source) for name, source in spec.origins.items()},
        root=str(work_dir),
        network=spec.network,
        port_range=spec.port_range,
        ambient=spec.ambient,
        suppressions=spec.suppressions,
    )


def _good_statuses(target: Target) -> tuple[int, ...]:
    """With which exit statuses a copy has not died."""
    return (0, NO_TESTS_COLLECTED) if target.results is ResultSource.PYTEST else (0,)


def _pytest_args(spec: RunSpec) -> tuple[str, ...]:
    selected = [*(("-k", spec.keyword) if spec.keyword else ()), *(("-m", spec.marker) if spec.marker else ())]
    return (*selected, *spec.pytest_args)


def _keep_scratch(folder: RunFolder, report: Report, scratch: Path) -> list[str]:
    """Move the temporary files of each copy that did not end well into the run folder; a line for each left out."""
    problems = []
    for end in report.copy_ends:
        bad = any(result.outcome in _KEEPING for result in report.results[end.copy])
        if bad or not end.is_good:
            whose = f"temporary files of copy {end.copy}"
            try:
                target = f"copies/{end.copy:03d}/tmp"
                left_out = keep_folder(scratch / str(end.copy), folder.path, target)
                problems += [f"{whose}: {file}" for file in left_out]
            except (OSError, Unreadable) as error:
                problems.append(f"{whose} could not be kept: {error}")
    return problems
