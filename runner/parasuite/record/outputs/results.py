"""What the parsers of outputs give."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from parasuite.model.results import TEXT_MAX, TestResult

_RESULTS_MAX = 200_000
_LINES_APART = 100
_TEXTS_CHARS_MAX = 32 << 20  # Of all texts of an output; later ones are left out.


@dataclass(frozen=True, slots=True)
class Parsed:
    """*tests*: as the tool reported them. *lists_all*: False if tests that passed may be missing."""

    tests: list[TestResult]
    lists_all: bool = True


class Text:
    """Collects the lines that belong to one test; of too many, the last ones."""

    __slots__ = ("_chars", "_lines")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._chars = 0

    def add(self, line: str) -> None:
        self._lines.append(line[:TEXT_MAX])
        self._chars += len(self._lines[-1]) + 1
        if self._chars > 2 * TEXT_MAX:
            self._lines = ["[...]", str(self)[-TEXT_MAX:]]
            self._chars = TEXT_MAX
        elif len(self._lines) > _LINES_APART:
            self._lines = [str(self)]  # A million short strings would take many times their length.

    def __str__(self) -> str:
        return "\n".join(self._lines)

    @property
    def first_line(self) -> str:
        """The first line that is not empty."""
        return next((line.strip() for line in str(self).splitlines() if line.strip()), "")


class Budget:
    """How much more of an output's results is kept."""

    def __init__(self) -> None:
        self._results_left, self._chars_left = _RESULTS_MAX, _TEXTS_CHARS_MAX

    @property
    def is_spent(self) -> bool:
        """Whether no further result can be kept."""
        return self._results_left <= 0

    def spend(self) -> None:
        """A result is going to be kept."""
        self._results_left -= 1

    def text(self, text: object) -> str:
        """*text*, or "" once the texts of an output are more than a report can hold."""
        found = str(text)
        if len(found) > self._chars_left:
            return ""
        self._chars_left -= len(found)
        return found


Lines = Iterable[str]
