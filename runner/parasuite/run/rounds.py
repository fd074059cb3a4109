"""A series: one run after the other, each with a folder of its own, until enough is known."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from parasuite import __version__
from parasuite.assemble import display_path, recording_errors
from parasuite.gather import assemble_series, write_series_reports
from parasuite.judge.report import Report
from parasuite.judge.series import SeriesReport
from parasuite.judge.verdict import ExitCode
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import RunEnd, Until
from parasuite.plan.run_spec import RunSpec
from parasuite.plan.seeds import round_seed
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.record.series import SeriesFolder
from parasuite.reports.wording import plural
from parasuite.run import session
from parasuite.run.progress import Progress
from parasuite.run.signals import PASSED_ON, Signals

STARTS = "{rounds} of {target}; {folder}"
ENDED = "{verdict} ({findings})"
STOPS = "the series stops: {why}"


def run_series(
    spec: RunSpec, *, python: str, cwd: Path, work_dir: Path, environ: Mapping[str, str], progress: Progress
) -> tuple[SeriesReport, list[str]]:
    """Run the rounds of *spec* and write every report; arguments and result as of `session.run`.

    Raises RunFolderError if the folder of the series cannot be written.
    """
    with Signals(PASSED_ON if spec.is_observed_only else ()) as signals:
        base = cwd / spec.output_dir
        folder = SeriesFolder.create(base)
        record = _new_record(spec, folder.series_id)
        try:
            folder.write_record(record)
        except OSError as error:
            folder.discard()
            raise RunFolderError(f"cannot write {folder.path}: {error.strerror}; name another folder") from error
        try:
            progress.say(
                STARTS.format(
                    rounds=_asked(spec), target=spec.target.description, folder=display_path(folder.path, cwd)
                )
            )

            def run_one(run_folder: RunFolder, number: int) -> Report:
                report, problems = session.run(
                    spec if spec.seed is None else replace(spec, seed=round_seed(spec.seed, number)),
                    python=python,
                    cwd=cwd,
                    work_dir=work_dir,
                    environ=environ,
                    progress=progress,
                    inside=run_folder,
                    round_name=_round_name(number, spec.repeat),
                    signals=signals,
                )
                for problem in problems:
                    progress.say(problem)
                return report

            record = _Rounds(spec, base, folder, signals, progress, run_one).run(record)
            problems: list[str] = []
            with recording_errors(problems, "series.json"):
                folder.write_record(record)
            report = assemble_series(folder)
            problems += write_series_reports(folder, report, spec.optional_reports)
            return report, problems
        finally:
            folder.close()


def _new_record(spec: RunSpec, series_id: str) -> SeriesRecord:
    return SeriesRecord(
        series_id=series_id,
        parasuite=__version__,
        started_s=time.time(),
        host=platform.node(),
        described=spec.target.description,
        repeat=spec.repeat,
        duration_s=spec.duration_s,
        until=spec.until,
        exit_code_from=spec.exit_code_from,
    )


def _round_name(number: int, repeat: int | None) -> str:
    return f"round {number} of {repeat}" if repeat else f"round {number}"


def _asked(spec: RunSpec) -> str:
    """The rounds that were asked for, in words: `20 rounds, until finding`."""
    parts = [plural(spec.repeat, "round") if spec.repeat else "rounds"]
    if spec.duration_s is not None:
        parts.append(f"for {spec.duration_s:g} s")
    if spec.until is not None:
        parts.append(f"until {spec.until}")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The rounds of one series. *run_one*: runs one of them, by its number, in its folder."""

    spec: RunSpec
    base: Path
    folder: SeriesFolder
    signals: Signals
    progress: Progress
    run_one: Callable[[RunFolder, int], Report]

    def run(self, record: SeriesRecord) -> SeriesRecord:
        """Run rounds until there are enough; the record of the series with its end."""
        began_s = time.monotonic()
        number = 0
        while self._goes_on(number, time.monotonic() - began_s):
            number += 1
            self.progress.enter_round(_round_name(number, self.spec.repeat))
            try:
                report, record = self._one(record, number)
            except (OSError, RunFolderError) as error:
                # The disk is full, or a limit was reached: what was recorded so far can be reported.
                self.progress.say(STOPS.format(why=error))
                return replace(record, ended=RunEnd.COMPLETE, errors=(*record.errors, str(error)))
            findings = plural(len(report.findings), "finding")
            self.progress.say(ENDED.format(verdict=report.verdict.reason, findings=findings))
            if self._is_over(report):
                break
        self.progress.enter_round("")
        return replace(record, ended=self.signals.run_end if self.signals.received else RunEnd.COMPLETE)

    def _one(self, record: SeriesRecord, number: int) -> tuple[Report, SeriesRecord]:
        run_folder = RunFolder.create(self.base, self.spec.copies, is_latest=False)
        listed = replace(record, runs=(*record.runs, self.folder.relative(run_folder.path)))
        try:
            # Before the round: if parasuite is killed in it, the series knows of it.
            self.folder.write_record(listed)
        except OSError:
            run_folder.discard()
            raise
        return self.run_one(run_folder, number), listed

    def _goes_on(self, done: int, elapsed_s: float) -> bool:
        """Whether another round is to be started after *done* rounds, which took *elapsed_s*."""
        if self.signals.received or done == self.spec.repeat:
            return False
        return not done or self.spec.duration_s is None or elapsed_s < self.spec.duration_s

    def _is_over(self, report: Report) -> bool:
        """Whether no round is to follow the one that *report* is about."""
        match self.spec.until:
            case Until.FAILURE:
                return report.verdict.code is ExitCode.TEST_FAILED
            case Until.FINDING:
                return bool(report.verdict.failing)
        return False
