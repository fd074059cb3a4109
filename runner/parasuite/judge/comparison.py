"""Finds the tests that some copies collected and others did not. Pure.

Every copy should run the same tests. If one does not, its own results cannot show it: pytest passes, with fewer
tests. So each test that a copy lacks gets a result in that copy:

- If its module (or class, or folder) was skipped during collection, the test is SKIPPED, with the module's reason.
  The module's own result is dropped, since the results of its tests replace it.
- If the collection of its module failed, nothing is added: that error is a result already.
- Otherwise the test is NOT_COLLECTED, which fails the run.

Parameters may have different names in each copy (a random value, a time, an address). A copy that ran as many cases
of such a test function as any other copy lacks nothing; a note says that they cannot be compared. The order of tests
does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from parasuite.model.results import TestResult, container_of, function_of
from parasuite.model.words import TestOutcome


@dataclass(frozen=True, slots=True)
class Comparison:
    """*results*: of each copy, including those added for tests it lacked. *notes*: for people, a sentence each."""

    results: list[list[TestResult]]
    notes: list[str]


def compare(results: Sequence[Sequence[TestResult]], is_complete: Sequence[bool]) -> Comparison:
    """Add to each copy's *results* the tests that only other copies collected.

    *is_complete*: for each copy, whether it finished its collection. One that died during collection lacks nothing,
    since its death is reported.
    """
    collected = [{result.id for result in copy if not result.is_of_collection} for copy in results]
    copies_of: dict[str, list[int]] = {}
    for number, copy in enumerate(results):
        for result in copy:
            if not result.is_of_collection:
                copies_of.setdefault(result.id, []).append(number)
    cases = [Counter(function_of(test_id) for test_id in ids) for ids in collected]
    most = {name: max(count[name] for count in cases) for name in {function_of(test_id) for test_id in copies_of}}

    completed: list[list[TestResult]] = []
    renamed: set[str] = set()
    for number, copy in enumerate(results):
        containers = {result.id: result for result in copy if result.is_of_collection}
        expanded: set[str] = set()
        added: list[TestResult] = []
        for test_id, copies in copies_of.items():
            if test_id in collected[number]:
                continue
            container = container_of(test_id, containers)
            if container is not None and container.outcome == TestOutcome.SKIPPED:
                expanded.add(container.id)
                added.append(TestResult(id=test_id, outcome=TestOutcome.SKIPPED, message=container.message))
            elif container is not None or not is_complete[number]:
                continue
            elif cases[number][function_of(test_id)] == most[function_of(test_id)]:
                renamed.add(test_id)
            else:
                where = f"{len(copies)} of {len(results)} copies ({', '.join(map(str, copies))})"
                message = f"collected in {where}, not in this one"
                added.append(TestResult(id=test_id, outcome=TestOutcome.NOT_COLLECTED, message=message))
        completed.append([*(result for result in copy if result.id not in expanded), *added])
    notes = []
    if renamed:
        notes.append(
            f"tests whose parameters differ between copies, so that they cannot be compared: {len(renamed):,}, "
            f"such as {min(renamed)}; each copy ran as many of them"
        )
    return Comparison(completed, notes)
