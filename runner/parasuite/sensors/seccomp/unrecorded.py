"""Python processes that published no page: which, why, and what to do about it."""

from __future__ import annotations

import os
import re

from parasuite.model.words import CopyVariable
from parasuite.sensors import proc

_RECORDER = os.path.join(os.fsencode(os.path.dirname(proc.__file__)), b"recorder")
_NAMED_MAX, _KEPT_MAX, _COMMAND_MAX = 3, 1000, 80
_IGNORES_ENVIRONMENT = re.compile(r"-(?![WX])[a-zA-Z]*[IES][a-zA-Z]*")

_SCRUBBED = (
    "they were started without parasuite's environment; pass PYTHONPATH and PARASUITE* on to them"
    " (tox: pass_env = PYTHONPATH, PARASUITE*)"
)
_IGNORED = "they ignore PYTHONPATH (-I, -E, -S); if they are to be recorded, start them without that"
_OTHER = "they are older than Python 3.8, or may not write into the run folder"


class UnrecordedPythons:
    """The commands of such processes, each with the reason."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, pid: int, command: str) -> None:
        """Add the process *pid*, which still runs."""
        if command not in self._reasons and len(self._reasons) < _KEPT_MAX:
            self._reasons[command] = _reason(pid, command)

    def notes(self) -> list[str]:
        """A sentence for each reason."""
        notes = []
        for reason in (_SCRUBBED, _IGNORED, _OTHER):
            commands = [_shortened(command) for command, why in self._reasons.items() if why == reason]
            if commands:
                named = ", ".join(commands[:_NAMED_MAX])
                more = f" and {len(commands) - _NAMED_MAX} more" if len(commands) > _NAMED_MAX else ""
                notes.append(f"no test and line for Python processes, because {reason}: {named}{more}")
        return notes


def _reason(pid: int, command: str) -> str:
    variables = dict(entry.partition(b"=")[::2] for entry in proc.environment(pid))
    entries = variables.get(b"PYTHONPATH", b"").split(os.fsencode(os.pathsep))
    if variables and (CopyVariable.RECORDER.encode() not in variables or _RECORDER not in entries):
        return _SCRUBBED
    arguments = iter(command.split()[1:])
    for argument in arguments:
        if argument in ("-W", "-X"):
            next(arguments, "")
        elif not argument.startswith("-") or argument in ("-c", "-m"):
            break
        elif _IGNORES_ENVIRONMENT.fullmatch(argument):
            return _IGNORED
    return _OTHER


def _shortened(command: str) -> str:
    line = command.partition("\n")[0]
    return line if line == command and len(line) <= _COMMAND_MAX else line[: _COMMAND_MAX - 3] + "..."
