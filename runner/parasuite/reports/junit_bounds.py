"""Keeps a JUnit file within what its readers take, and says what was left out.

Readers refuse a file of more than 30 MB or 250,000 elements, so one that large would say nothing at all. Each case is
kept in brief as long as there is room: those of the ports and the audit first, then failures, skipped tests, and
tests that passed. Then failures get their whole text back, as far as there is room: a failure in the last copy is not
left out because the first copy printed much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parasuite.reports.junit_case import Case

BYTES_MAX = 30_000_000
ELEMENTS_MAX = 250_000
_ROOM_BYTES = 100_000  # For the head of the document, the note about what was left out, and the like.
_SUITE_BYTES = 1_000  # A suite's own tags: counts, name, time, host.
_RANKS = ("failure", "error", "skipped", "")


@dataclass(frozen=True, slots=True)
class Suite:
    """A testsuite. *is_report*: it is about the run, not about single tests."""

    name: str
    cases: Sequence[Case]
    is_report: bool = False


@dataclass(frozen=True, slots=True)
class Bounded:
    """*suites*: with the cases that fit. *left_out*: how many cases do not. *shortened*: of how many the text does
    not.
    """

    suites: list[Suite]
    left_out: int = 0
    shortened: int = 0


def bounded(suites: Sequence[Suite], bytes_max: int = BYTES_MAX, elements_max: int = ELEMENTS_MAX) -> Bounded:
    """As much of *suites* as fits into a file of *bytes_max* with *elements_max*."""
    room = _Room(bytes_max - _ROOM_BYTES - _SUITE_BYTES * len(suites), elements_max - len(suites) - 10)
    places = [(suite, number) for suite in range(len(suites)) for number in range(len(suites[suite].cases))]
    places.sort(key=lambda place: _rank(suites[place[0]], place[1]))
    kept: dict[tuple[int, int], Case] = {}
    for suite, number in places:
        brief = suites[suite].cases[number].brief
        if room.takes(brief):
            kept[suite, number] = brief
    cut = 0
    for place in (place for place in places if place in kept):
        whole = suites[place[0]].cases[place[1]]
        if whole is not kept[place]:
            if room.takes(whole, instead_of=kept[place]):
                kept[place] = whole
            else:
                cut += 1
    fitting = [
        Suite(suite.name, [kept[at, number] for number in range(len(suite.cases)) if (at, number) in kept])
        for at, suite in enumerate(suites)
    ]
    return Bounded(fitting, len(places) - len(kept), cut)


def _rank(suite: Suite, number: int) -> int:
    return -1 if suite.is_report else _RANKS.index(suite.cases[number].element)


class _Room:
    """What is left of the bytes and elements of a file."""

    def __init__(self, size: int, elements: int) -> None:
        self._bytes, self._elements = size, elements

    def takes(self, case: Case, instead_of: Case | None = None) -> bool:
        """Whether there is room for *case*, which is then taken."""
        before = 0 if instead_of is None else _size(instead_of)
        if len(case.text) > self._bytes + before:
            return False  # Its XML would be longer still, so it need not be made.
        size, elements = _size(case) - before, case.elements
        if instead_of is not None:
            elements -= instead_of.elements
        if size > self._bytes or elements > self._elements:
            return False
        self._bytes -= size
        self._elements -= elements
        return True


def _size(case: Case) -> int:
    return len(case.xml.encode())
