"""From a run folder to a Report, and to every report as a file: the same for finished, interrupted and killed runs.

All that `parasuite report` does is here. Only the folder is read, and nothing in it is changed but the reports.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parasuite.judge.comparison import Comparison, compare
from parasuite.judge.copy_ends import Outcome, outcomes
from parasuite.judge.findings import Finding, find
from parasuite.judge.overlap import LOW, overlap
from parasuite.judge.report import Report
from parasuite.judge.verdict import (
    NO_TESTS_COLLECTED,
    ExitCode,
    HealthReader,
    Verdict,
    has_run,
    is_failing,
    verdict,
)
from parasuite.model.events import CopyState, Event, RunStarted
from parasuite.model.results import TEXT_MAX, TestResult, with_distinct_ids
from parasuite.model.sensors import cannot_see
from parasuite.model.words import TestOutcome
from parasuite.record.event_files import ReadingStopped
from parasuite.record.junit_files import ResultsError, junit_results
from parasuite.record.run_folder import RunFolder
from parasuite.record.tally import tally_of
from parasuite.record.untrusted import Missing, Unreadable, tail
from parasuite.reports.findings_json import findings_json
from parasuite.reports.junit_xml import junit, junit_merged

_REPORTS: dict[str, Callable[[Report], str]] = {
    "findings.json": findings_json,
    "junit.xml": junit,
    "junit-merged.xml": junit_merged,
}


def _never() -> str:
    return ""


def judge(folder: RunFolder, facts: Mapping[str, Any] | None = None, stopped: Callable[[], str] = _never) -> Report:
    """The Report of a run folder: a pure function of what lies in it. *facts*: run.json, if it was read already.

    Its verdict is the one that run.json holds; where there is none yet, it is decided here. *stopped*: asked now and
    then while events are read; once it gives a word ("interrupted", "terminated") the rest is left unread, a note
    says so, and a run that was complete ended in that way.

    Raises RunFolderError for a folder whose run.json cannot be read.
    """
    facts = folder.read_run() if facts is None else facts
    reading = _Reading(stopped)
    judged = find(reading.through(folder.events(reading.is_stopped)))
    if reading.stopped:
        # How the copies ended is in a file of its own, which is short.
        reading.kept = [event for event in folder.orchestrator_events() if isinstance(event, RunStarted | CopyState)]
    ended = outcomes(reading.kept, facts["copies"])
    found = judged.findings
    seen = reading.reader.health(
        facts["sensors_by_name"], facts["sensors_in_use"], folder.losses.lines, folder.losses.files
    )
    compared, results = _results([_copy_results(folder, outcome, facts) for outcome in ended])
    is_pytest = facts["target"]["kind"] != "command"
    errors, run_ended = facts["errors"], facts["ended"]
    decided = verdict(
        outcomes=ended,
        results=results,
        findings=found,
        health=seen,
        fail_on=facts["fail_on"],
        ended=reading.stopped if reading.stopped and run_ended == "complete" else run_ended,
        errors=errors,
        is_pytest=is_pytest,
    )
    notes = [*errors, *facts["notes"], *judged.notes, *seen.notes, *compared.notes]
    overlapped = overlap(ended, results)
    if overlapped.share < LOW and len(ended) > 1:
        share = f"{overlapped.share:.0%}".replace("%", " %")
        notes.append(f"copies ran tests at once for {share} of the time that tests ran: only then can they collide")
    if reading.stopped:
        at_s = (reading.last_ns - reading.first_ns) / 1e9
        notes.append(
            f"{reading.stopped} while the record was read: what sockets did after the first {at_s:.1f} s, "
            f"{reading.count:,} events, was not looked at; `parasuite report` reads all of it"
        )
    stored = _stored_verdict(facts, found)
    if stored is not None:
        if decided.code != stored.code != ExitCode.BLIND:
            notes.append(f"the record has changed since the run ended; judged again, it says: {decided.reason}")
        decided = stored
    start = next((event for event in reading.kept if isinstance(event, RunStarted)), None)
    return Report(
        run_id=folder.run_id,
        folder=shown(folder.path, Path.cwd()),
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
        overlap=overlapped,
        cannot_see=cannot_see(seen.sensors, without_privilege=bool(facts.get("no_new_privs"))),
        notes=notes,
    )


def _stored_verdict(facts: Mapping[str, Any], findings: Sequence[Finding]) -> Verdict | None:
    """The verdict that the run ended with, if it came to one: whoever asks later is to hear the same.

    The run may know what its folder does not show, such as a report that could not be written.
    """
    code, reason = facts.get("exit_code"), facts.get("verdict")
    if not isinstance(code, int) or code not in set(ExitCode) or not isinstance(reason, str):
        return None
    failing = tuple(finding for finding in findings if is_failing(finding, facts["fail_on"]))
    return Verdict(code=ExitCode(code), reason=reason, failing=failing)


class _Reading:
    """Reads a run's events once for all who judge: what few need is kept, what only counts is counted."""

    _ASKED_EVERY = 1000

    def __init__(self, stopped: Callable[[], str]) -> None:
        self.kept: list[Event] = []
        self.reader = HealthReader()
        self.first_ns = self.last_ns = 0
        self.count = 0
        self.stopped = ""
        self._ask = stopped

    def is_stopped(self) -> bool:
        self.stopped = self.stopped or self._ask()
        return bool(self.stopped)

    def through(self, events: Iterator[Event]) -> Iterator[Event]:
        with contextlib.suppress(ReadingStopped):
            yield from self._until_stopped(events)

    def _until_stopped(self, events: Iterator[Event]) -> Iterator[Event]:
        for self.count, event in enumerate(events):
            if self.count % self._ASKED_EVERY == 0 and self.is_stopped():
                return
            self.first_ns = self.first_ns or event.t_ns
            self.last_ns = event.t_ns
            if isinstance(event, RunStarted | CopyState):
                self.kept.append(event)
            self.reader.read(event)
            yield event


@dataclass(frozen=True, slots=True)
class _CopyResults:
    """What one copy's tests left. *own*: of the copy itself, where no test says what became of it."""

    tests: list[TestResult]
    is_complete: bool
    own: TestResult | None = None


def _copy_results(folder: RunFolder, outcome: Outcome, facts: Mapping[str, Any]) -> _CopyResults:
    place = folder.copy_dir(outcome.copy).relative_to(folder.path).as_posix()
    output, missing = _output_tail(folder.path, f"{place}/output.log")
    if missing and outcome.how not in ("failed", "lost"):
        # Whatever else was in there may be gone as well.
        return _CopyResults([], False, _of_copy(f"its folder was emptied: {missing}"))
    if facts["target"]["kind"] == "command":
        return _command_results(folder, outcome, facts, output)
    ended_well = outcome.how == "exited" and outcome.status == 0
    tally = tally_of(folder.path, f"{place}/results.jsonl")
    results = tally.results()
    if tally.unreadable and outcome.how != "failed":
        return _CopyResults(results, False, _of_copy(tally.unreadable))
    # A line that cannot be read may be a test's.
    is_complete = tally.ended is not None and not tally.torn_lines
    if tally.torn_lines:
        torn = f"lines of its results.jsonl that could not be read: {tally.torn_lines}"
        return _CopyResults(results, is_complete, _of_copy(torn))
    nothing_selected = outcome.how == "exited" and outcome.status == NO_TESTS_COLLECTED
    nothing_selected = nothing_selected and all(result.is_of_collection for result in results)
    if ended_well or nothing_selected or _has_failure(results):
        return _CopyResults(results, is_complete)
    message = f"{outcome}, and no test tells why" if outcome.how == "exited" else str(outcome)
    return _CopyResults(results, is_complete, _of_copy(message, tally.internal_error or output))


def _of_copy(message: str, text: str = "") -> TestResult:
    return TestResult(id="copy", outcome=TestOutcome.ERROR, message=message, text=text)


def _command_results(folder: RunFolder, outcome: Outcome, facts: Mapping[str, Any], output: str) -> _CopyResults:
    """The cases of the JUnit files that were collected for this copy of a command, and the command as a whole."""
    ended_well = outcome.how == "exited" and outcome.status == 0
    collected = facts["collected"][outcome.copy] if outcome.copy < len(facts["collected"]) else []
    found: list[TestResult] = []
    unreadable: list[TestResult] = []
    for file in collected:
        try:
            found += junit_results(folder.path, file)
        except ResultsError as error:
            unreadable.append(_of_copy(str(error)))
    results = with_distinct_ids([*found, *unreadable])
    whole = TestResult(
        id=Path(facts["target"]["argv"][0]).name,
        outcome=TestOutcome.PASSED if ended_well else TestOutcome.FAILED,
        duration_s=outcome.duration_s,
        message="" if ended_well else str(outcome),
        text="" if ended_well else output,
    )
    is_explained = bool(results) and (ended_well or _has_failure(results))
    is_complete = outcome.how == "exited" and not unreadable
    return _CopyResults(results, is_complete, None if is_explained else whole)


def _has_failure(results: Sequence[TestResult]) -> bool:
    return any(result.outcome in (TestOutcome.FAILED, TestOutcome.ERROR) for result in results)


def _results(copies: Sequence[_CopyResults]) -> tuple[Comparison, list[list[TestResult]]]:
    """The copies' tests, compared; and the results of each copy, its own included.

    A copy in which no test ran though others ran some has one that says so: nothing else would. Where none ran in
    any copy, the verdict says it.
    """
    ran = [any(has_run(result) for result in [*copy.tests, *([copy.own] if copy.own else [])]) for copy in copies]
    is_complete = [copy.is_complete and some for copy, some in zip(copies, ran, strict=True)]
    compared = compare([copy.tests for copy in copies], is_complete)
    empty = _of_copy("no test ran in this copy, though others ran some")
    results = []
    for tests, copy, some in zip(compared.results, copies, ran, strict=True):
        own = copy.own or (empty if any(ran) and not some else None)
        results.append([*tests, own] if own else tests)
    return compared, results


def _output_tail(root: Path, name: str) -> tuple[str, str]:
    """The end of a copy's output, whatever bytes it holds; and where there is no such file any more, what says so."""
    try:
        return tail(root, name, TEXT_MAX).decode("utf-8", "backslashreplace"), ""
    except Missing as error:
        return "", str(error)
    except Unreadable as error:
        return str(error), ""


def write_reports(folder: RunFolder, report: Report) -> list[str]:
    """Write every report of *report* into its folder; a line for each that could not be written."""
    problems: list[str] = []
    for name, render in _REPORTS.items():
        with noting(problems, name):
            folder.write(name, render(report))
    return problems


@contextlib.contextmanager
def noting(problems: list[str], name: str) -> Iterator[None]:
    """Turn a file that cannot be written into a line in *problems*."""
    try:
        yield
    except OSError as error:
        problems.append(f"{name} could not be written: {error.strerror}")


def shown(path: Path, cwd: Path) -> str:
    """*path* as a person in *cwd* would write it."""
    try:
        return str(path.resolve().relative_to(cwd.resolve()))
    except ValueError:
        return str(path)
