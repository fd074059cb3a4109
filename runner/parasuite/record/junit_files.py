"""Reads the JUnit files that a test command wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from parasuite.model.results import TEXT_MAX, Attempt, TestResult, is_duration, shortened
from parasuite.model.words import TestOutcome
from parasuite.record.untrusted import Unreadable, open_file

_FILE_BYTES_MAX = 512 << 20
_ID_CHARS_MAX = 64_000
_ATTEMPTS_MAX = 100
_ATTEMPT_TAGS = ("flakyFailure", "flakyError", "rerunFailure", "rerunError")  # Of Maven Surefire and Jenkins.
_OUTCOME_OF_TAG = {"failure": TestOutcome.FAILED, "error": TestOutcome.ERROR, "skipped": TestOutcome.SKIPPED}


class ResultsError(ValueError):
    """A result file that cannot be read; the message names it."""


def junit_results(root: Path, name: str) -> list[TestResult]:
    """The cases of the JUnit file *name* below *root*, read piece by piece.

    Raises ResultsError, naming the file, if it cannot be read, is not XML or contains no testsuite.
    """
    try:
        with open_file(root, name) as stream:
            return junit_cases(stream, name)
    except (Unreadable, OSError) as error:
        raise ResultsError(str(error)) from error


def junit_cases(stream: BinaryIO, name: str) -> list[TestResult]:
    """As `junit_results`, of an open file; *name* appears in error messages."""
    results: list[TestResult] = []
    is_junit = False
    if os.fstat(stream.fileno()).st_size > _FILE_BYTES_MAX:
        raise ResultsError(f"{name} is larger than {_FILE_BYTES_MAX >> 20} MiB")
    try:
        for _event, element in ElementTree.iterparse(stream):
            tag = element.tag.rpartition("}")[2]
            is_junit = is_junit or tag in ("testsuite", "testsuites")
            if tag == "testcase":
                results.append(_result(element))
                element.clear()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        # ValueError and LookupError: an encoding that the parser cannot use, or that Python does not know.
        raise ResultsError(f"{name} is not a JUnit file: {error}") from error
    if not is_junit:
        raise ResultsError(f"{name} is not a JUnit file: it has no testsuite")
    return results


def _result(case: ElementTree.Element) -> TestResult:
    outcome, message, text = TestOutcome.PASSED, "", ""
    attempts = []
    for child in case:
        tag = child.tag.rpartition("}")[2]
        if tag in _ATTEMPT_TAGS:
            attempts.append(Attempt(shortened(child.get("message", "")), (child.text or "")[-TEXT_MAX:]))
        # A case that was skipped and then failed, in its teardown say, has failed.
        elif tag in _OUTCOME_OF_TAG and outcome in (TestOutcome.PASSED, TestOutcome.SKIPPED):
            outcome = _OUTCOME_OF_TAG[tag]
            message, text = child.get("message", ""), child.text or ""
    classname = case.get("classname", "")
    # pytest writes a module that was skipped or failed during collection in this way, with the reason as text.
    is_of_collection = not classname and message in ("collection skipped", "collection failure")
    return TestResult(
        id=(f"{classname}::{case.get('name', '')}" if classname else case.get("name", ""))[:_ID_CHARS_MAX],
        outcome=outcome,
        duration_s=_seconds(case.get("time", "0")),
        message=shortened(text.strip() or message if is_of_collection else message),
        text=text[-TEXT_MAX:],
        attempts=tuple(attempts[:_ATTEMPTS_MAX]),
        is_of_collection=is_of_collection,
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if is_duration(seconds) else 0.0
