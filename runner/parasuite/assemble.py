"""From a run folder to a Report, and to the report files.

`parasuite run` and `parasuite report` both end here, so a run that was interrupted or killed is reported like one
that finished. Only the folder is read, and nothing in it is changed but the report files.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from parasuite.judge.copy_ends import copy_ends
from parasuite.judge.copy_results import CopyResults, compared, of_command_copy, of_emptied_copy, of_pytest_copy
from parasuite.judge.explain import explain
from parasuite.judge.findings import find
from parasuite.judge.health import HealthReader
from parasuite.judge.overlap import overlap, overlap_notes
from parasuite.judge.port_range import PortRangeReader
from parasuite.judge.proof import with_proofs
from parasuite.judge.provocation import ProvocationReader
from parasuite.judge.report import Report
from parasuite.judge.stacks import head_of_stacks
from parasuite.judge.suppressions import places_of, stale, stale_remark, with_suppressions
from parasuite.judge.verdict import as_recorded, decide
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import CopyState, Event, RunStarted
from parasuite.model.location import Location
from parasuite.model.results import TEXT_MAX
from parasuite.model.run_record import RunRecord
from parasuite.model.sensors import cannot_see
from parasuite.model.suppression import AllowComment
from parasuite.model.words import CopyPhase, OptionalReport, RunEnd
from parasuite.plan.targets import ResultSource, Target, read_target
from parasuite.record.command_results import command_results
from parasuite.record.control_file import read_controls
from parasuite.record.event_files import ReadingStopped
from parasuite.record.proof_file import read_proofs
from parasuite.record.run_folder import RunFolder
from parasuite.record.tally import Tally, tally_of
from parasuite.record.untrusted import Missing, Unreadable, tail
from parasuite.reports.registry import REPORT_FILES

_STACKS_BYTES_MAX = 1 << 20  # The end of an output in which stacks are looked for.
WHILE_READING = "{stopped} while the record was read"


def _never() -> str:
    return ""


def assemble_report(
    folder: RunFolder,
    record: RunRecord | None = None,
    why_stop: Callable[[], str] = _never,
    read_comments: Callable[[Iterable[Location]], tuple[AllowComment, ...]] | None = None,
    tallies: Sequence[Tally | None] = (),
) -> Report:
    """The Report of a run folder.

    *record*: its run.json, if the caller has it already. *why_stop*: asked now and then while events are read. Once
    it returns a word ("interrupted", "terminated"), the rest is left unread, a note says so, and a run that was
    complete counts as ended in that way. *read_comments*: gives the comments in the source code at those places that
    suppress findings; without it, those in run.json count. *tallies*: what was read of the results of
    each copy while it ran; where there is none, the copy's file is read.

    The verdict is the one in run.json, or is decided here if there is none yet. Raises RunFolderError if run.json
    cannot be read.
    """
    record = record or folder.read_record()
    reading = _Reading(why_stop)
    read_before = [*tallies, *[None] * (record.copies - len(tallies))]
    tallied = [
        tally or tally_of(folder.path, f"{_place(folder, copy)}/results.jsonl")
        for copy, tally in enumerate(read_before)
    ]
    at_once = [tally.at_once.found for tally in tallied]
    judged = find(reading.through(folder.events(reading.is_stopped)), record.ambient, at_once)
    ends = copy_ends(_states_of_copies(reading, folder), record.copies)
    target = read_target(record.target)
    comparison, results = compared(
        [_results_of(folder, end, target, record.collected, tallied[end.copy]) for end in ends]
    )
    health = reading.health.health(
        record.sensors_by_name,
        record.sensors_in_use,
        unreadable_lines=folder.losses.lines,
        unreadable_files=folder.losses.files,
    )
    measured = overlap(ends, results)
    ended = _end_of_run(record, reading)
    explained, explanations = explain(judged.findings, results)
    began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.started_s))
    comments = record.comments if read_comments is None else read_comments(places_of(explained))
    day = began.partition("T")[0]
    marked = with_suppressions(explained, record.suppressions, comments, record.baseline, day)
    decided = decide(
        copy_ends=ends,
        results=results,
        findings=marked.findings,
        health=health,
        fail_on=record.fail_on,
        ended=ended,
        errors=record.errors,
        is_pytest=target.results is ResultSource.PYTEST,
        exit_code_from=record.exit_code_from,
    )
    notes = [*record.errors, *record.notes, *judged.notes, *health.notes, *comparison.notes]
    notes += [*reading.ports.notes(record.port_range, results), *overlap_notes(measured, len(ends)), *reading.note()]
    remarks = [*marked.remarks]
    if decided.code.is_conclusive:
        remarks += stale_remark(stale(record.baseline, marked.findings))
    proven = read_proofs(folder.path)
    controls = read_controls(folder.path)
    notes += [*controls.notes, *proven.notes]
    decided, change = as_recorded(decided, record.verdict_code, record.verdict, record.exit_code)
    if change:
        notes.append(change)
    notes += [remark.text for remark in remarks]
    return Report(
        run_id=folder.run_id,
        folder=display_path(folder.path, Path.cwd()),
        target=record.described,
        wall=began,
        host=record.host,
        duration_s=reading.duration_s,
        start_ns=next((event.t_ns for event in reading.kept if isinstance(event, RunStarted)), 0),
        fail_on=record.fail_on,
        copy_ends=ends,
        results=results,
        findings=with_proofs(marked.findings, proven.proofs),
        health=health,
        verdict=decided,
        overlap=measured,
        cannot_see=cannot_see(health.sensors, without_privilege=record.no_new_privs),
        notes=notes,
        remarks=remarks,
        ended=ended,
        network=record.network,
        port_range=record.port_range,
        started_s=record.started_s,
        selection=record.pytest_args,
        round_name=record.round_name,
        root=record.root,
        root_in_repository=in_git_repository(record.root),
        explanations=explanations,
        stacks=[_stacks_of(folder, end) for end in ends],
        comments=comments,
        provocation=reading.provocation.provocation,
        controls=controls.controls,
        timeline=judged.timeline,
    )


class _Reading:
    """Reads the events once, feeding the judge while collecting what the ends of the copies and health need.

    *kept*: the start of the run and the states of copies. *stopped*: the word that ended the reading, or "".
    """

    _EVENTS_PER_QUESTION = 1000

    def __init__(self, why_stop: Callable[[], str]) -> None:
        self.kept: list[Event] = []
        self.health = HealthReader()
        self.ports = PortRangeReader()
        self.provocation = ProvocationReader()
        self.stopped = ""
        self._why_stop = why_stop
        self._first_ns = self._last_ns = 0
        self._count = 0

    def is_stopped(self) -> bool:
        self.stopped = self.stopped or self._why_stop()
        return bool(self.stopped)

    @property
    def duration_s(self) -> float:
        """From the first event to the last one read."""
        return (self._last_ns - self._first_ns) / 1e9

    def through(self, events: Iterator[Event]) -> Iterator[Event]:
        """*events*, until the reading is stopped."""
        with contextlib.suppress(ReadingStopped):
            yield from self._until_stopped(events)

    def _until_stopped(self, events: Iterator[Event]) -> Iterator[Event]:
        for self._count, event in enumerate(events):
            if self._count % self._EVENTS_PER_QUESTION == 0 and self.is_stopped():
                return
            self._first_ns = self._first_ns or event.t_ns
            self._last_ns = event.t_ns
            if isinstance(event, RunStarted | CopyState):
                self.kept.append(event)
            self.health.read(event)
            self.ports.read(event)
            self.provocation.read(event)
            yield event

    def note(self) -> list[str]:
        """A note for people if not all events were read."""
        if not self.stopped:
            return []
        return [
            WHILE_READING.format(stopped=self.stopped)
            + f": what sockets did after the first {self.duration_s:.1f} s, {self._count:,} events, "
            "was not looked at; `parasuite report` reads all of it"
        ]


def _states_of_copies(reading: _Reading, folder: RunFolder) -> list[Event]:
    """The states that the copies went through, complete even if the reading was stopped: they are in a short file."""
    if reading.stopped:
        reading.kept = [event for event in folder.orchestrator_events() if isinstance(event, RunStarted | CopyState)]
    return reading.kept


def _end_of_run(record: RunRecord, reading: _Reading) -> RunEnd:
    return RunEnd(reading.stopped) if reading.stopped and record.ended is RunEnd.COMPLETE else record.ended


def _results_of(
    folder: RunFolder, end: CopyEnd, target: Target, collected: Sequence[Sequence[str]], tally: Tally
) -> CopyResults:
    """The results of the copy that ended so. *collected*: the JUnit files of each copy of a command. *tally*: of what
    its test runners wrote.
    """
    place = _place(folder, end.copy)
    output, missing = _end_of_output(folder.path, f"{place}/output.log")
    if missing and end.how not in (CopyPhase.FAILED, CopyPhase.LOST):
        return of_emptied_copy(missing)
    if target.results is ResultSource.PYTEST:
        return of_pytest_copy(end, tally, output)
    files = collected[end.copy] if end.copy < len(collected) else ()
    found = command_results(folder.path, place, files, target.tool, tally)
    return of_command_copy(end, target.whole_copy, found, output)


def _stacks_of(folder: RunFolder, end: CopyEnd) -> Sequence[str]:
    if end.how is not CopyPhase.TIMED_OUT:
        return ()
    with contextlib.suppress(Unreadable):
        output = tail(folder.path, f"{_place(folder, end.copy)}/output.log", _STACKS_BYTES_MAX)
        return head_of_stacks(output.decode("utf-8", "backslashreplace"))
    return ()


def _place(folder: RunFolder, copy: int) -> str:
    """The folder of a copy, relative to that of the run."""
    return folder.copy_dir(copy).relative_to(folder.path).as_posix()


def _end_of_output(root: Path, name: str) -> tuple[str, str]:
    """The end of a copy's output, as text; and, if the file does not exist, a message that says so."""
    try:
        return tail(root, name, TEXT_MAX).decode("utf-8", "backslashreplace"), ""
    except Missing as error:
        return "", str(error)
    except Unreadable as error:
        return str(error), ""


def write_reports(folder: RunFolder, report: Report, optional: Collection[OptionalReport]) -> list[str]:
    """Write the report files, of the optional ones those in *optional*; a line for each that could not be written."""
    problems: list[str] = []
    for file in REPORT_FILES:
        if file.option is None or file.option in optional:
            with recording_errors(problems, file.name):
                folder.write(file.name, file.render(report))
    return problems


@contextlib.contextmanager
def recording_errors(problems: list[str], name: str) -> Iterator[None]:
    """Append a line to *problems* if the file *name* cannot be written."""
    try:
        yield
    except OSError as error:
        problems.append(f"{name} could not be written: {error.strerror}")


def in_git_repository(root: str) -> str:
    """The folder *root* relative to the Git repository that it lies in; "" if it is that, or lies in none."""
    folder = Path(root)
    for parent in (folder, *folder.parents) if folder.is_absolute() else ():
        if os.path.lexists(parent / ".git"):
            return "" if parent == folder else folder.relative_to(parent).as_posix()
    return ""


def display_path(path: Path, cwd: Path) -> str:
    """*path* as a person in *cwd* would write it."""
    try:
        return str(path.resolve().relative_to(cwd.resolve()))
    except ValueError:
        return str(path)
