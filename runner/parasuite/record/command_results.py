"""Reads what a copy of a command left of its tests: JUnit files, or what its test runners wrote by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parasuite.model.results import TestResult, with_distinct_ids
from parasuite.record.junit_files import ResultsError, junit_results
from parasuite.record.tally import tally_of

TORN_LINES = "lines of its results.jsonl that could not be read: {count}"


@dataclass(frozen=True, slots=True)
class CommandResults:
    """*tests*: [] if nothing is known of single tests. *problems*: what could not be read, a line each.

    *is_asked_for*: they come from the files that the user named (--collect-junit). Others may come from a program
    whose failure the command ignores, or expects.
    """

    tests: Sequence[TestResult] = ()
    problems: Sequence[str] = ()
    is_asked_for: bool = False


def command_results(root: Path, folder: str, junit_files: Sequence[str]) -> CommandResults:
    """The results of one copy; the first of these that there are: its JUnit files, and what its Python test runners
    wrote.

    *folder*: of the copy, below the run folder *root*. *junit_files*: the copy's, relative to *root*.
    """
    if junit_files:
        return _of_junit_files(root, junit_files)
    return _of_runners(root, folder)


def _of_junit_files(root: Path, files: Sequence[str]) -> CommandResults:
    cases: list[TestResult] = []
    problems: list[str] = []
    for file in files:
        try:
            cases += junit_results(root, file)
        except ResultsError as error:
            problems.append(str(error))
    return CommandResults(with_distinct_ids(cases), problems, is_asked_for=True)


def _of_runners(root: Path, folder: str) -> CommandResults:
    tally = tally_of(root, f"{folder}/results.jsonl")
    if tally.is_missing:
        return CommandResults()
    problems = [tally.unreadable] if tally.unreadable else []
    if tally.torn_lines:
        problems.append(TORN_LINES.format(count=tally.torn_lines))
    return CommandResults(tally.results(), problems)
