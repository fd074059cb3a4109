"""Tables as columns of numbers, with one table of strings: a page holds a tenth of what a list of objects takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from markupsafe import Markup

from parasuite.reports.wording import printable

NAME_MAX = 300
"""Characters of a name in a table: what a suite calls its tests must not decide how large the page is."""


def shown(text: str, size_max: int = NAME_MAX) -> str:
    """*text*, printable, on one line; its beginning and its end if it has more than *size_max* characters."""
    if len(text) > size_max:
        text = f"{text[: size_max // 2]} [...] {text[-(size_max // 2) :]}"
    return printable(text)


class Strings:
    """Each different string once. *values*: all of them, as they are shown."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Where *text* is in *values*."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def values(self) -> list[str]:
        return list(map(shown, self._numbers))


def columns(names: str, rows: Iterable[tuple[int, ...]]) -> dict[str, list[int]]:
    """*rows* as a column for each of *names*, which spaces separate."""
    found = list(rows)
    return {name: [row[place] for row in found] for place, name in enumerate(names.split())}


def embedded(data: Mapping[str, object]) -> Markup:
    """*data* as JSON for a script element: nothing in it can end the element or begin a comment.

    HTML, section 4.12.1.3: "<!--" and "<script" change how the rest of the element is read. Lone surrogates and
    U+2028 are escaped like all that is not ASCII.
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
