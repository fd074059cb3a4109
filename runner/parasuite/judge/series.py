"""From the rounds of a series to its verdict and exit code. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parasuite.judge.history import History
from parasuite.judge.verdict import INTERRUPTED, PARASUITE_FAILED, PASSED, PORT_FINDINGS, TERMINATED, ExitCode
from parasuite.model.series_record import SeriesRecord
from parasuite.model.words import ExitCodeFrom, RunEnd

NO_END = "unfinished: parasuite was killed, or could not write series.json"
NO_ROUND = "no round was run"
MISSING = "{name} is missing: {why}"
_ON_END = {
    RunEnd.INTERRUPTED: (ExitCode.INTERRUPTED, INTERRUPTED),
    RunEnd.TERMINATED: (ExitCode.TERMINATED, TERMINATED),
    RunEnd.NONE: (ExitCode.BLIND, NO_END),
}
# Of the rounds, the first of these that any has. A failure that one round has shown is not undone by a round that
# could not see; but a series in which nothing failed has not passed if a round proves nothing.
_WORST_FIRST = (
    (ExitCode.TEST_FAILED, "tests failed"),
    (ExitCode.FINDINGS, PORT_FINDINGS),
    (ExitCode.TERMINATED, "rounds were stopped"),
    (ExitCode.INTERRUPTED, "rounds were stopped"),
    (ExitCode.BLIND, "rounds prove nothing"),
    (ExitCode.NO_TESTS, "no test ran"),
    (ExitCode.PASSED, PASSED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReport:
    """What every report of a series is made from.

    *folder*: the path, for people. *paths*: of the run folders, for people, as in `history.runs`. *missing*: a line
    for each run that could not be read. *code*: of the verdict, *exit_code*: what parasuite exits with, another if
    the suite's own was asked for. *reason*: the verdict, for people. *root*, *root_in_repository*: of the first run
    that can be read, as in Report. *pages*: for each path, the run's page relative to the folder, "" without one.
    """

    record: SeriesRecord
    folder: str
    history: History
    paths: Sequence[str]
    missing: Sequence[str]
    code: ExitCode
    reason: str
    exit_code: int
    root: str = ""
    root_in_repository: str = ""
    pages: Sequence[str] = ()

    @property
    def remarks(self) -> Sequence[str]:
        """On the series itself, and on suppressions that do not count: those of the rounds, without repeats."""
        of_rounds = (remark for run in self.history.runs for remark in run.remarks)
        return tuple(dict.fromkeys((*self.record.notes, *of_rounds)))


def decide_series(record: SeriesRecord, history: History, missing: Sequence[str]) -> tuple[ExitCode, str, int]:
    """The code, the reason and the exit code of a series: stopped early, else the worst round.

    *missing*: runs that cannot be read; without a failure in another one, the series proves nothing then.
    """
    code, reason = _ON_END.get(record.ended) or _worst(history)
    problems = [*record.errors, *missing]
    if problems and code not in (ExitCode.TEST_FAILED, ExitCode.FINDINGS):
        code, reason = ExitCode.BLIND, PARASUITE_FAILED.format(why=problems[0])
    if record.exit_code_from is ExitCodeFrom.SUITE and record.ended is RunEnd.COMPLETE and not record.errors:
        return code, reason, next((run.exit_code for run in history.runs if run.exit_code), 0)
    return code, reason, int(code)


def _worst(history: History) -> tuple[ExitCode, str]:
    for code, reason in _WORST_FIRST:
        count = sum(run.code == code for run in history.runs)
        if count:
            return code, reason if code is ExitCode.PASSED else f"{reason} in {count} of {len(history.runs)} rounds"
    return ExitCode.NO_TESTS, NO_ROUND
