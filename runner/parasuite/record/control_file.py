"""control.json: what the failed tests of a run do alone, in the run's folder."""

from __future__ import annotations

from pathlib import Path

from parasuite.model.control import Control, Controls
from parasuite.record.stored_rows import read_rows, rows_text

CONTROL_FILE = "control.json"
CONTROL_FOLDER = "control"


def controls_text(controls: Controls) -> str:
    """What `read_controls` reads."""
    return rows_text((control.to_json() for control in controls.controls), controls.notes)


def read_controls(root: Path) -> Controls:
    """The answers in the run folder *root*. If they cannot be read, a note says so."""
    return Controls(*read_rows(root, CONTROL_FILE, Control.from_json))
