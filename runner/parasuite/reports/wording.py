"""Words that several reports share: phrases, plurals, and what a terminal may be sent.

Tests that look for a phrase in a report take it from here, so that a phrase can be improved in one place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from parasuite.judge.findings import Explanation, Finding
from parasuite.model.control import Control, ControlAnswer
from parasuite.model.words import NetworkMode, TestOutcome

NOTE = "note: {note}"
ALL_OUTPUT = "all of its output: {path}"
OUTPUT_IS_ELSEWHERE = (
    "(with --exit-code suite, the output of the only copy is not kept: it went to parasuite's own streams)"
)
STACK_THEN = "where its first Python process was then, innermost first; all stacks are in its output:"
NO_SENSOR = "no sensor looked (--sensors none)"
NOT_SEEN_BY = "not seen by {sensors}:"
LIMITS_COUNTED = "the sensors have {limits}: `parasuite doctor` lists them"
COPIES_COUNTED = "copies: {good} of {copies} ended well"
TIME_AND_FOLDER = "time: {seconds} s; everything is in {folder}"
CANNOT_SEE = "what the {sensors} cannot see"
PROVES_NOTHING = "the run proves nothing: {reason}"
EXPLAINED_BY = "explained by {label} {title}"
MAYBE_EXPLAINED_BY = "may be explained by {label} {title}"
EXPLAINS = "explains the failure of {tests}"
RECOVERED = ", and went on with another port"
WINDOW = "the port had been free for at least {ms} ms"
SUPPRESSED = "suppressed{by}{until}: {reason}"
EXPIRED = "no longer suppressed, since {until} is over: {reason}"
SUPPRESSED_COUNTED = "{findings} suppressed:"
IN_BASELINE_COUNTED = "{findings} suppressed by the baseline: see findings.json"
MORE = "{problems}: see the summary of the step, or the run folder"
NOTES_COUNTED = "{findings} of severity note: see findings.json"
CONTROL = "control: {answer}"
APART = " and in {passed} of {copies} with a network each"
_ANSWERS = {
    ControlAnswer.COLLISION: "{times}: a collision, proven",
    ControlAnswer.PASSES_ALONE: "{times}: flaky, or it does not bear the load",
    ControlAnswer.FAILS_ALONE: "fails alone, too: not a port problem",
    ControlAnswer.ONLY_OBSERVED: "{times}, and fails only under parasuite: please report that",
    ControlAnswer.UNKNOWN: "it has no result alone",
}
ID = "id {id}, evidence {evidence}; more: `parasuite explain {topic}`"
_TITLE_END = re.compile("[:;] ")

# Characters that are letters or marks to str.isprintable, and that no font draws: Default_Ignorable_Code_Point of
# Unicode's DerivedCoreProperties.txt, as far as it is not of category Cf.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def in_network(mode: NetworkMode, port_range: int | None = None) -> str:
    """Where copies or a self-test use sockets: `in the host's network`."""
    if mode is NetworkMode.HOST:
        return "in the host's network"
    if mode is NetworkMode.EACH:
        return "each in a network of its own"
    return "in a private network" + (f" with {plural(port_range, 'ephemeral port')}" if port_range else "")


def printable(text: str) -> str:
    """*text* as one line that a terminal shows and does not obey; everything that parasuite prints goes through here.

    Names come from outside: test ids, processes, files, messages of exceptions. Control characters (line ends,
    escape, C1), marks of direction, characters without width and lone surrogates are shown as Python's escapes, so
    that no name can move the cursor, set a title, or add a line to a report.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() and not _INVISIBLE.match(char) else char.encode("unicode_escape").decode()
        for char in text
    )


def plural(count: int, noun: str) -> str:
    """`1 test`, `2 tests`, `3 copies`, `4 processes`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun.removesuffix('y')}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def in_copies(copies: Sequence[int], total: int) -> str:
    """`2 of 4 copies (0, 3)`; `the only copy` of a run with one."""
    if total == 1:
        return "the only copy"
    return f"{len(copies)} of {total} copies ({', '.join(map(str, copies))})"


def outcome_counts(counts: Mapping[TestOutcome, int], failed_attempts: int = 0) -> str:
    """`tests: 4 passed, 0 failed, 2 skipped, 1 failed attempt run again`: passed and failed always, others if any."""
    shown = [
        counted(counts.get(outcome, 0), outcome)
        for outcome in _OUTCOMES
        if counts.get(outcome) or outcome in (TestOutcome.PASSED, TestOutcome.FAILED)
    ]
    if failed_attempts:
        shown.append(f"{plural(failed_attempts, 'failed attempt')} run again")
    return "tests: " + ", ".join(shown)


def counted(count: int, outcome: TestOutcome) -> str:
    """`2 passed`, `2 errors`."""
    return plural(count, outcome) if outcome is TestOutcome.ERROR else f"{count:,} {outcome}"


_OUTCOMES = (
    TestOutcome.PASSED,
    TestOutcome.FAILED,
    TestOutcome.ERROR,
    TestOutcome.LOST,
    TestOutcome.NOT_COLLECTED,
    TestOutcome.SKIPPED,
    TestOutcome.NOT_RUN,
)


def exit_code_of_suite(code: int, parasuites: int) -> str:
    """That a run exits with *code*, the suite's own, although parasuite itself came to *parasuites*."""
    return f"exit code {code}: the suite's own (--exit-code suite); parasuite's would be {parasuites}"


def left_behind(copy: int, processes: int, *, all_ended: bool) -> str:
    """Which processes outlived the main process of a copy, and whether parasuite could end them."""
    ended = "ended" if all_ended else "not all could be ended"
    return f"copy {copy} left {plural(processes, 'process')} behind; {ended}"


def not_seen_by(sensors: Iterable[str]) -> str:
    """The line above what *sensors* cannot see."""
    return NOT_SEEN_BY.format(sensors=", ".join(sorted(sensors)))


def listeners_seen(listeners: int, *, calls: int | None = None, samples: int | None = None) -> str:
    """`3 listeners seen in 20 calls and 4 samples`; None for what the sensors of the run do not count."""
    how = [plural(count, noun) for count, noun in ((calls, "call"), (samples, "sample")) if count is not None]
    return f"{plural(listeners, 'listener')} seen in {' and '.join(how) or 'no call'}"


def label(finding: Finding) -> str:
    """`0123456789 [hard-coded]`: how other parts of a report name it."""
    return f"{finding.id} [{finding.cause}]"


def short_title(finding: Finding) -> str:
    """Its title up to what may differ from run to run: `TCP port 8025 is fixed`."""
    return _TITLE_END.split(finding.title)[0]


def explained_by(finding: Finding, *, is_certain: bool, is_brief: bool = False) -> str:
    """What is said of a test whose failure *finding* explains, or may explain.

    *is_brief*: for a report that shows the finding's whole title elsewhere.
    """
    title = short_title(finding) if is_brief else finding.title
    return (EXPLAINED_BY if is_certain else MAYBE_EXPLAINED_BY).format(label=label(finding), title=title)


def controlled(control: Control) -> str:
    """What a failed test does alone, and what that means: `passes alone 3 of 3 times: a collision, proven`.

    And in how many copies it passes that run at once with a network each, if that was tried.
    """
    times = f"passes alone {control.passed} of {plural(control.runs, 'time')}"
    if control.apart_runs:
        times += APART.format(passed=control.apart_passed, copies=plural(control.apart_runs, "copy"))
    return CONTROL.format(answer=_ANSWERS[control.answer].format(times=times))


def failures_explained(failures: int, explanations: Collection[Explanation]) -> str:
    """`3 of 4 failures explained by 1 finding`, and how many more may be; "" if none is and none may be."""
    certain = [each.finding for each in explanations if each.is_certain]
    maybe = [each.finding for each in explanations if not each.is_certain]
    if certain:
        more = f", {len(maybe)} more may be" if maybe else ""
        return f"{_share(certain, failures)} explained by {plural(len(set(certain)), 'finding')}{more}"
    return f"{_share(maybe, failures)} may be explained by {plural(len(set(maybe)), 'finding')}" if maybe else ""


def _share(explained: Sequence[str], failures: int) -> str:
    return f"{len(explained)} of {plural(failures, 'failure')}"
