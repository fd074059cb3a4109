"""What a reader has to look at, one by one: findings, tests that failed, copies that ended badly, a blind run.

Every format that is a list of problems (annotations, code quality, SARIF, ...) is made from these, so that none of
them leaves out what another one shows. Each has a place in the repository where that is known.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

from parasuite.judge.findings import Explanation, Finding, Side
from parasuite.judge.report import Report
from parasuite.model.causes import CAUSES
from parasuite.model.copy_life import CopyEnd
from parasuite.model.finding_id import id_of
from parasuite.model.location import Location
from parasuite.model.results import TestResult
from parasuite.model.suppression import Suppressed
from parasuite.model.words import CopyPhase, Severity
from parasuite.reports.finding_text import finding_lines, suppressed_before, suppressed_for
from parasuite.reports.wording import PROVES_NOTHING, controlled, explained_by, in_copies

_LINE_MAX = 500
_LINES_MAX = 60


class OtherRule(StrEnum):
    """The kind of a problem that is not a finding; the rule of a finding is its cause."""

    FAILED_TEST = "failed-test"
    BAD_COPY = "bad-copy"
    PROVES_NOTHING = "proves-nothing"
    SUPPRESSION = "suppression"


@dataclass(frozen=True, slots=True)
class Rule:
    """*title*: a few words. *help*: what to do about its problems. *severity*: of most of them."""

    title: str
    help: str
    severity: Severity


RULES: dict[str, Rule] = {
    **{
        cause: Rule(info.title, f"{info.hint}. `parasuite explain {cause}` says more.", info.severity)
        for cause, info in CAUSES.items()
    },
    OtherRule.FAILED_TEST: Rule(
        "test that failed, was lost or was not collected",
        "Look at the finding that explains it, or at the output of its copy in the run folder.",
        Severity.ERROR,
    ),
    OtherRule.BAD_COPY: Rule(
        "copy of the suite that ended badly", "Look at its output in the run folder.", Severity.ERROR
    ),
    OtherRule.PROVES_NOTHING: Rule(
        "run that proves nothing",
        "Its silence is not a pass: `parasuite doctor` says what can be observed on the machine.",
        Severity.ERROR,
    ),
    OtherRule.SUPPRESSION: Rule(
        "suppression that has expired, is not needed any more, or cannot be used",
        "Mend or remove the row of pyproject.toml, the entry of the baseline, or the comment.",
        Severity.NOTE,
    ),
}
"""By the name of each rule: the causes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """*rule*: a key of RULES. *id*: the same in every run that has the problem. *details*: more lines about it.

    *place*: where it is, and *others*: where else to look and what is there. Their files are relative to the
    repository, and their lines may be 0. *suppressed*: why it does not count; None if it does.
    """

    rule: str
    id: str
    severity: Severity
    title: str
    details: tuple[str, ...] = ()
    place: Location | None = None
    others: tuple[tuple[Location, str], ...] = ()
    suppressed: Suppressed | None = None


def problems(report: Report) -> Iterator[Problem]:
    """Whether the run proves anything; then the findings, the failed tests and the copies, the gravest kind first."""
    code = report.verdict.code
    if not code.is_conclusive:
        title = PROVES_NOTHING.format(reason=report.verdict.reason)
        yield other_problem(OtherRule.PROVES_NOTHING, report.verdict.reason, title, report.notes)
    for finding in report.findings:
        yield _of_finding(finding, report)
    reasons = {
        explanation: explained_by(finding, is_certain=explanation.is_certain)
        for finding in report.findings
        for explanation in (Explanation(finding.id, True), Explanation(finding.id, False))
    }
    yield from _failed_tests(report, reasons)
    yield from _bad_copies(report, reasons)
    for remark in report.remarks:
        place = remark.place._replace(file=in_repository(remark.place.file, report)) if remark.place else None
        found = other_problem(
            OtherRule.SUPPRESSION, remark.text, remark.text, (), place if place and place.file else None
        )
        yield replace(found, severity=Severity.NOTE)


class Rooted(Protocol):
    """What a report says of the place that its files are relative to, as in Report."""

    @property
    def root(self) -> str: ...
    @property
    def root_in_repository(self) -> str: ...


def in_repository(file: str, report: Rooted) -> str:
    """*file* relative to the repository; "" if it lies elsewhere. A relative one begins where the run was started."""
    root = PurePosixPath(report.root or "/")
    inside = PurePosixPath(report.root_in_repository)
    repository = root.parents[len(inside.parts) - 1] if inside.parts else root
    parts: list[str] = []
    for part in PurePosixPath(root / file).parts:
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    path = PurePosixPath(*parts)
    return path.relative_to(repository).as_posix() if path != repository and path.is_relative_to(repository) else ""


def other_problem(
    rule: OtherRule, subject: str, title: str, details: Sequence[str], place: Location | None = None
) -> Problem:
    """An error that is not a finding. *subject*: what makes its id, the same in every run that has the problem."""
    return Problem(
        rule=rule,
        id=id_of(f"{rule}\0{subject}"),
        severity=Severity.ERROR,
        title=title[:_LINE_MAX],
        details=tuple(line[:_LINE_MAX] for line in details[:_LINES_MAX]),
        place=place,
    )


def _of_finding(finding: Finding, report: Report) -> Problem:
    suppressed = finding.suppressed
    title, *details = finding_lines(finding, report.start_ns, is_brief=True)
    sides = [*finding.sides, *(side for effect in finding.effects for side in effect.sides)]
    places: dict[Location, str] = {}
    for side in sides:
        for frame in side.frames[:1]:
            if file := in_repository(frame.file, report):
                places.setdefault(frame._replace(file=file), _did(side))
    return Problem(
        rule=finding.cause,
        id=finding.id,
        severity=finding.severity if suppressed is None else Severity.NOTE,
        title=title[:_LINE_MAX] + _on_suppression(finding)[:_LINE_MAX],
        details=tuple(line[:_LINE_MAX] for line in details[:_LINES_MAX]),
        place=next(iter(places), None) or _of_first_test(finding, report),
        others=tuple(places.items())[1:],
        suppressed=suppressed,
    )


def _on_suppression(finding: Finding) -> str:
    """What a title says of that, since some formats show nothing else of a finding."""
    if finding.suppressed is not None:
        return f"; {suppressed_for(finding.suppressed)}"
    return "" if finding.expired is None else f"; {suppressed_before(finding.expired)}"


def _did(side: Side) -> str:
    """Who did what there, for people."""
    party = "" if side.party is None else str(side.party)
    return f"{side.role}: " + ", ".join(part for part in (party, side.test) if part)


def _of_first_test(finding: Finding, report: Report) -> Location | None:
    """Where no line is known: the file of the first test that has one."""
    return next((place for test in finding.tests if (place := file_of_test(test, report))), None)


def file_of_test(test_id: str, report: Rooted) -> Location | None:
    """The file that a pytest node id begins with."""
    file, colons, _ = test_id.partition("::")
    found = in_repository(file, report) if colons and PurePosixPath(file).suffix else ""
    return Location(found, 0, "") if found else None


def place_of_failure(result: TestResult, report: Report) -> Location | None:
    """The last line of the test's own file in its traceback; at least the file, if that is known."""
    of_test = file_of_test(result.id, report)
    if of_test is None:
        return None
    file = re.escape(result.id.partition("::")[0])
    lines = re.findall(rf'^(?:{file}:|  File ".*{file}", line )([0-9]{{1,7}})\b', result.text, re.MULTILINE)
    return of_test._replace(line=int(lines[-1])) if lines else of_test


def _failed_tests(report: Report, reasons: Mapping[Explanation, str]) -> Iterator[Problem]:
    failed: dict[str, list[tuple[int, TestResult]]] = {}
    for copy, results in enumerate(report.results):
        for result in results:
            if result.outcome.is_bad and not result.is_of_copy:
                failed.setdefault(result.id, []).append((copy, result))
    controls = {control.test: control for control in report.controls}
    for test, runs in failed.items():
        outcome = Counter(result.outcome for _, result in runs).most_common(1)[0][0]
        where = in_copies([copy for copy, _ in runs], len(report.results))
        _, first = runs[0]
        why = _explained([(copy, test) for copy, _ in runs], report, reasons)
        alone = [controlled(controls[test])] if test in controls else []
        details = [*first.message.splitlines(), *why, *alone]
        place = place_of_failure(first, report)
        yield other_problem(OtherRule.FAILED_TEST, test, f"{outcome} {test} in {where}", details, place)


def _explained(failures: Iterable[tuple[int, str]], report: Report, reasons: Mapping[Explanation, str]) -> list[str]:
    """What is said of the findings that explain *failures*, each the copy and id of a result."""
    explanations = (report.explanations.get(failure) for failure in failures)
    return list(dict.fromkeys(reasons[each] for each in explanations if each is not None and each in reasons))


def _bad_copies(report: Report, reasons: Mapping[Explanation, str]) -> Iterator[Problem]:
    """Copies that ended alike are one problem."""
    copies: dict[str, list[int]] = {}
    for end, results in zip(report.copy_ends, report.results, strict=True):
        own = [result for result in results if result.is_of_copy and result.outcome.is_bad]
        messages = [result.message.strip().partition("\n")[0] for result in own]
        if not messages and is_abnormal(end):
            messages = [str(end)]
        for message in messages:
            copies.setdefault(message, []).append(end.copy)
    for message, those in copies.items():
        own_results = [(copy, result.id) for copy in those for result in report.results[copy] if result.is_of_copy]
        title = f"{in_copies(those, len(report.copy_ends))}: {message}"
        outputs = [f"its output: {report.folder}/copies/{copy:03d}/output.log" for copy in those]
        yield other_problem(OtherRule.BAD_COPY, message, title, [*_explained(own_results, report, reasons), *outputs])


def is_abnormal(end: CopyEnd) -> bool:
    """Whether the copy ended otherwise than by its main process's own exit, and --fail-fast did not stop it."""
    if end.how is CopyPhase.STOPPED_EARLY:
        return False
    return end.how != CopyPhase.EXITED or (end.status or 0) < 0
