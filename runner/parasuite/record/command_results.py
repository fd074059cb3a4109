"""Reads what a copy of a command left of its tests: JUnit files, or what its test runners wrote by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parasuite.model.results import TestResult, with_distinct_ids
from parasuite.model.words import TestTool
from parasuite.record.junit_files import ResultsError, junit_results
from parasuite.record.outputs.read import output_results
from parasuite.record.tally import Tally

TORN_LINES = "lines of its results.jsonl that could not be read: {count}"


@dataclass(frozen=True, slots=True)
class CommandResults:
    """*tests*: [] if nothing is known of single tests. *problems*: what could not be read, a line each.

    *is_asked_for*: they come from the files that the user named (--collect-junit). Others may come from a program
    whose failure the command ignores, or expects. *lists_all*: False if tests that passed may be missing.
    """

    tests: Sequence[TestResult] = ()
    problems: Sequence[str] = ()
    is_asked_for: bool = False
    lists_all: bool = True


def command_results(
    root: Path, folder: str, junit_files: Sequence[str], tool: TestTool, tally: Tally
) -> CommandResults:
    """The results of one copy, the first of these that there are: its JUnit files, what its Python test runners
    wrote (*tally*), what it printed.

    *folder*: of the copy, below the run folder *root*. *junit_files*: the copy's, relative to *root*. *tool*: the one
    that the command runs.
    """
    if junit_files:
        return _of_junit_files(root, junit_files)
    found = _of_runners(tally)
    return found if found.tests or found.problems else _of_output(root, folder, tool)


def _of_output(root: Path, folder: str, tool: TestTool) -> CommandResults:
    parsed = output_results(root, f"{folder}/output.log", tool)
    return CommandResults(with_distinct_ids(parsed.tests), lists_all=parsed.lists_all)


def _of_junit_files(root: Path, files: Sequence[str]) -> CommandResults:
    cases: list[TestResult] = []
    problems: list[str] = []
    for file in files:
        try:
            cases += junit_results(root, file)
        except ResultsError as error:
            problems.append(str(error))
    return CommandResults(with_distinct_ids(cases), problems, is_asked_for=True)


def _of_runners(tally: Tally) -> CommandResults:
    if tally.is_missing:
        return CommandResults()
    problems = [tally.unreadable] if tally.unreadable else []
    if tally.torn_lines:
        problems.append(TORN_LINES.format(count=tally.torn_lines))
    return CommandResults(tally.results(), problems)
