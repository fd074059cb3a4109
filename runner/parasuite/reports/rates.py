"""How often something happened, in words that every report about several runs shares."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.judge.history import FindingHistory, History, Rate, TestHistory
from parasuite.reports.wording import plural

IN_ROUNDS = "in {count} of {rounds}"
ELSEWHERE = "and in {rounds} that {prove} nothing"
_HOSTS_SHOWN = 5
PASSES = "passed {where}; {failed} of {executions} failed"


def rate(found: Rate, noun: str = "round") -> str:
    """`in 4 of 20 rounds (20 %, 95 % interval 8 to 42 %)`; without an interval if there was no round."""
    where = IN_ROUNDS.format(count=f"{found.count:,}", rounds=plural(found.of, noun))
    if not found.of:
        return where
    low, high = (round(100 * each) for each in found.interval)
    return f"{where} ({100 * found.share:.0f} %, 95 % interval {low} to {high} %)"


def finding_rates(finding: FindingHistory, noun: str = "round") -> Iterator[str]:
    """In how many rounds a finding was seen, and in how many it had an effect of each kind."""
    elsewhere = ""
    if finding.seen_elsewhere:
        prove = "proves" if finding.seen_elsewhere == 1 else "prove"
        elsewhere = ", " + ELSEWHERE.format(rounds=plural(finding.seen_elsewhere, noun), prove=prove)
    yield f"seen {rate(finding.seen, noun)}{elsewhere}"
    for kind, found in finding.effects.items():
        yield f"{kind} {rate(found, noun)}"


def on_hosts(finding: FindingHistory, history: History) -> str:
    """`on 2 of 3 hosts: ci-1, ci-2`."""
    hosts = plural(len(history.hosts), "host")
    more = (
        f" and {plural(len(finding.hosts) - _HOSTS_SHOWN, 'more host')}" if len(finding.hosts) > _HOSTS_SHOWN else ""
    )
    return f"on {len(finding.hosts)} of {hosts}: {', '.join(finding.hosts[:_HOSTS_SHOWN])}{more}"


def rate_of_test(test: TestHistory, noun: str = "round") -> str:
    """`passed in 16 of 20 rounds (80 %, 95 % interval 58 to 92 %); 4 of 40 executions failed`."""
    executions = test.executions
    return PASSES.format(
        where=rate(test.passed, noun), failed=executions.failed, executions=plural(executions.ran, "execution")
    )
