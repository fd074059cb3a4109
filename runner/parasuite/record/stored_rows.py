"""A file in the run folder with what runs inside it have shown: rows and notes, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from parasuite.model.json_fields import is_object, is_objects, is_texts
from parasuite.record.untrusted import Missing, Unreadable, read_json

T = TypeVar("T")

FORMAT = 1
DAMAGED = "{name} is damaged, or of another version of parasuite"
_FILE_BYTES_MAX = 16 << 20


def rows_text(rows: Iterable[dict[str, object]], notes: Sequence[str]) -> str:
    """What `read_rows` reads."""
    return json.dumps({"format": FORMAT, "rows": list(rows), "notes": list(notes)}, indent=1) + "\n"


def read_rows(
    root: Path, name: str, from_json: Callable[[Mapping[str, object]], T | None]
) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """The rows and the notes in the file *name* of the run folder *root*; none if there is no such file.

    *from_json*: reads a row; None for one that is damaged. What cannot be read is left out, and a note says so.
    """
    try:
        value = read_json(root, name, _FILE_BYTES_MAX)
    except Missing:
        return (), ()
    except Unreadable as error:
        return (), (str(error),)
    damaged = DAMAGED.format(name=name)
    if not is_object(value) or value.get("format") != FORMAT:
        return (), (damaged,)
    rows, notes = value.get("rows"), value.get("notes")
    if not is_objects(rows) or not is_texts(notes):
        return (), (damaged,)
    read = tuple(each for row in rows if (each := from_json(row)) is not None)
    return read, (*notes, damaged) if len(read) < len(rows) else tuple(notes)
