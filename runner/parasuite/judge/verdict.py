"""From results, findings and the health of the sensors to one verdict and one exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from parasuite.judge.copy_ends import Outcome
from parasuite.judge.findings import Finding
from parasuite.model.events import Event, Listen, Release, Seen, SensorState, SocketCall
from parasuite.model.results import TestResult
from parasuite.model.words import TestOutcome


class ExitCode(IntEnum):
    """What `parasuite run` and `parasuite report` exit with; the first that applies, in the order of `verdict`."""

    PASSED = 0
    TEST_FAILED = 1
    USAGE = 2
    BLIND = 3
    NO_TESTS = 4
    FINDINGS = 66
    INTERRUPTED = 130
    TERMINATED = 143


SELF_TEST = "self-test"  # The name under which probe.py records the planted collision of each run's start.
_MORE_OR_LESS = {"missing": "is missing", "partial": "saw less than it could"}
_UNREADABLE_SHOWN = 3
NO_TESTS_COLLECTED = 5  # pytest's own exit status for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the audit could see.

    *sensors*: name -> last state. *blind*: why silence is not a pass; "" if it is. *listeners*: seen by the exact
    sensors where there are any, else by the sampler. *calls*: bind, listen, connect and send that were seen one by
    one. *proven*: what the self-test showed to be visible. *notes*: what was missing or seen only in part, and why,
    a sentence each.
    """

    sensors: dict[str, str]
    samples: int = 0
    listeners: int = 0
    blind: str = ""
    calls: int = 0
    proven: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end of a run. *reason*: one line for people. *failing*: findings at or above `--fail-on`."""

    code: ExitCode
    reason: str
    failing: tuple[Finding, ...] = ()


def health(events: Iterable[Event], asked_for: Sequence[str] = (), in_use: Sequence[str] = ()) -> Health:
    """What the sensors said of themselves; as HealthReader has it."""
    reader = HealthReader()
    for event in events:
        reader.read(event)
    return reader.health(asked_for, in_use)


class HealthReader:
    """Takes a run's events one by one, as they are read for others too."""

    def __init__(self) -> None:
        self._states: dict[str, SensorState] = {}
        self._seen = self._listened = self._calls = 0
        self._notes: list[str] = []
        self._proven = ""

    def read(self, event: Event) -> None:
        """Note what *event* says of the sensors."""
        if isinstance(event, SensorState):
            self._read_state(event)
        elif isinstance(event, Seen):
            self._seen += 1
        elif isinstance(event, SocketCall) and not isinstance(event, Release):
            self._calls += 1
            self._listened += isinstance(event, Listen) and event.errno in ("", "?")

    def _read_state(self, event: SensorState) -> None:
        if event.sensor == SELF_TEST and event.state == "down":
            self._proven = event.why
            return
        if event.state in _MORE_OR_LESS:
            self._notes.append(f"{event.sensor} {_MORE_OR_LESS[event.state]}: {event.why}")
        earlier = self._states.get(event.sensor)
        if earlier is None or earlier.state != "blind":
            self._states[event.sensor] = event

    def health(
        self,
        asked_for: Sequence[str],
        in_use: Sequence[str],
        unreadable_lines: int = 0,
        unreadable_files: Sequence[str] = (),
    ) -> Health:
        """What the sensors said of themselves.

        *asked_for*: those named by `--sensors`; () for none. *in_use*: those that ran. *unreadable_lines*: how many
        lines of events were none. *unreadable_files*: for each file of events that could not be read, why.

        Blind is: a sensor lost after the start, one that never said that it ended in order, one asked for by name and
        missing, a sampler without one complete sample, a self-test that did not see what it planted, a line or a file
        that cannot be read.
        """
        return Health(
            sensors={name: state.state for name, state in self._states.items() if name != SELF_TEST},
            samples=self._samples,
            listeners=self._listened if self._calls else self._seen,
            blind="; ".join(self._blind(asked_for, in_use, unreadable_lines, unreadable_files)),
            calls=self._calls,
            proven=self._proven,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    @property
    def _samples(self) -> int:
        return sum(state.samples for state in self._states.values())

    def _blind(
        self, asked_for: Sequence[str], in_use: Sequence[str], unreadable_lines: int, unreadable_files: Sequence[str]
    ) -> list[str]:
        states = self._states
        found = [f"{name} was lost: {state.why}" for name, state in states.items() if state.state == "blind"]
        found += [
            f"{name} is missing here" for name in asked_for if name not in states or states[name].state == "missing"
        ]
        if "sampler" in states and not self._samples and not found:
            found.append("the sampler took no complete sample")
        # What it wrote last is gone: a disk that was full for a while, a file that was cut.
        found += [
            f"{name} never said that it ended: its last events are lost"
            for name in in_use
            if name not in states or states[name].state in ("up", "partial")
        ]
        if unreadable_lines:
            found.append(f"lines of events that could not be read: {unreadable_lines}")
        found += unreadable_files[:_UNREADABLE_SHOWN]
        if len(unreadable_files) > _UNREADABLE_SHOWN:
            found.append(f"and {len(unreadable_files) - _UNREADABLE_SHOWN} more files could not be read")
        return found


def has_run(result: TestResult) -> bool:
    """Whether *result* is one of a test, or of the copy itself, that pytest came to: one that it skipped counts."""
    return not result.is_of_collection and result.outcome not in (TestOutcome.NOT_RUN, TestOutcome.NOT_COLLECTED)


def is_failing(finding: Finding, fail_on: str) -> bool:
    """Whether *finding* stands at or above *fail_on*."""
    return fail_on == "warning" or (fail_on == "error" and finding.severity == "error")


def verdict(
    *,
    outcomes: Sequence[Outcome],
    results: Sequence[Sequence[TestResult]],
    findings: Sequence[Finding],
    health: Health,
    fail_on: str,
    ended: str,
    errors: Sequence[str],
    is_pytest: bool,
) -> Verdict:
    """The verdict, the first that applies: interrupted, blind, failed, nothing ran, findings, passed.

    *ended*: how the run ended: "complete", "interrupted", "terminated", "supervisor-lost", or "" for one that has no
    end. *errors*: what parasuite itself failed at. *is_pytest*: whether every test that ran has
    a result, so that without any nothing ran.
    """
    failing = tuple(finding for finding in findings if is_failing(finding, fail_on))
    code, reason = _first_that_applies(outcomes, results, failing, health, ended, errors, is_pytest)
    return Verdict(code=code, reason=reason, failing=failing)


def with_problems(decided: Verdict, problems: Sequence[str]) -> Verdict:
    """*decided*, unless what was learned could not all be written (*problems*): such a run did not end well."""
    if not problems or decided.code not in (ExitCode.PASSED, ExitCode.NO_TESTS, ExitCode.FINDINGS):
        return decided
    return replace(decided, code=ExitCode.BLIND, reason=f"parasuite failed: {problems[0]}")


def _first_that_applies(
    outcomes: Sequence[Outcome],
    results: Sequence[Sequence[TestResult]],
    failing: Sequence[Finding],
    health: Health,
    ended: str,
    errors: Sequence[str],
    is_pytest: bool,
) -> tuple[ExitCode, str]:
    if ended == "interrupted":
        return ExitCode.INTERRUPTED, "interrupted"
    if ended == "terminated":
        return ExitCode.TERMINATED, "terminated"
    if ended == "supervisor-lost":
        return ExitCode.BLIND, "void: the supervisor died, so nothing after that was watched"
    if ended != "complete":
        return ExitCode.BLIND, "void: the run has no end; parasuite itself was killed"
    if errors:
        return ExitCode.BLIND, f"parasuite failed: {errors[0]}"
    if health.blind:
        return ExitCode.BLIND, f"blind: {health.blind}"
    if any(result.outcome.is_bad for copy in results for result in copy):
        return ExitCode.TEST_FAILED, "failed"
    # pytest ends with 0 too where nothing ran: --collect-only, --version, a conftest that calls pytest.exit.
    ran = any(has_run(result) for copy in results for result in copy)
    if is_pytest and not ran and all(outcome.status in (0, NO_TESTS_COLLECTED) for outcome in outcomes):
        return ExitCode.NO_TESTS, "no test ran in any copy"
    if any(outcome.how != "exited" or outcome.status != 0 for outcome in outcomes):
        return ExitCode.TEST_FAILED, "failed"
    if failing:
        return ExitCode.FINDINGS, "every test passed, and a port finding stands"
    return ExitCode.PASSED, "passed"
