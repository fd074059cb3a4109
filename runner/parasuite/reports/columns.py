"""Two lists of text beside each other, as columns of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.cells import chop_cells, set_cell_size

BESIDE_FROM = 94
"""The least width for two sides next to each other: a terminal of 100 columns, less the indent of an effect."""
_GAP = 2


def beside(left: Sequence[str], right: Sequence[str], columns: int) -> Iterator[str]:
    """The lines of *left* and of *right* in two columns of equal width, *columns* wide together.

    An entry that is too long for its column goes on in the next line. All text must be printable.
    """
    width = (columns - _GAP) // 2
    for first, second in zip_longest(_folded(left, width), _folded(right, width), fillvalue=""):
        yield (set_cell_size(first, width + _GAP) + second).rstrip()


def _folded(entries: Sequence[str], width: int) -> Iterator[str]:
    for entry in entries:
        yield from chop_cells(entry, width) or [""]
