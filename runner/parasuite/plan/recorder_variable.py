"""PARASUITE_RECORDER, the variable that starts the recorder in the Python processes of a copy.

Apart from `launch`, since the supervisor needs only this: importing all about targets would add more than half to the
time of its start.
"""

from __future__ import annotations

from pathlib import Path


def recorder_variable(mode: str, copy: int, folder: Path) -> str:
    """PARASUITE_RECORDER for the processes of *copy*: all that a recorder must know, in one variable, since a program
    may remove the others. *folder*: the copy's.
    """
    return f"{mode} {copy} {folder}"


def in_events_mode(variable: str) -> str:
    """*variable*, a `recorder_variable`, with the mode "events"."""
    return f"events {variable.partition(' ')[2]}"
