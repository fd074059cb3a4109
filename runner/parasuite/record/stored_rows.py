"""A file in the run folder with what runs inside it have shown: rows and notes, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from parasuite.model.json_fields import is_object, is_objects, is_texts
from parasuite.record.untrusted import Missing, Unreadable, read_json

FORMAT = 1
DAMAGED = "{name} is damaged, or of another version of parasuite"
_FILE_BYTES_MAX = 16 << 20


def rows_text(rows: Iterable[dict[str, object]], notes: Sequence[str]) -> str:
    """What `read_rows` reads."""
    return json.dumps({"format": FORMAT, "rows": list(rows), "notes": list(notes)}, indent=1) + "\n"


def read_rows(root: Path, name: str) -> tuple[list[dict[str, object]], list[str]]:
    """The rows and the notes in the file *name* of the run folder *root*. If it cannot be read, a note says so."""
    try:
        value = read_json(root, name, _FILE_BYTES_MAX)
    except Missing:
        return [], []
    except Unreadable as error:
        return [], [str(error)]
    if not is_object(value) or value.get("format") != FORMAT:
        return [], [DAMAGED.format(name=name)]
    rows, notes = value.get("rows"), value.get("notes")
    if not is_objects(rows) or not is_texts(notes):
        return [], [DAMAGED.format(name=name)]
    return rows, notes
