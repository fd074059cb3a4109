"""What a starter does, whichever of the two it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from parasuite.plan.launch import ImporterLaunch, Launch
from parasuite.run.supervisor.messages import CopyOrder, CopyReport, EnableSensor, Provoke

STOP_GRACE_S = 5.0
"""From the first signal to SIGKILL when a run is stopped, for the whole tree of every copy."""


class Starter(Protocol):
    """Starts copies, signals and kills their trees, and reports what becomes of them."""

    is_alive: bool
    pid: int
    """Of the supervisor; 0 without one."""
    failure: str
    """Why it is not alive, where more is known than that it died."""
    notes: list[str]
    """What it cannot promise on this machine, a sentence each."""

    def enable_sensor(self, order: EnableSensor) -> None:
        """Have the supervisor's sensor observe every copy that is started from now on."""

    def provoke(self, order: Provoke) -> None:
        """Have that sensor take the ports that the copy will ask for."""

    importer_answer: str | None
    """Why copies cannot be forked from the importer; "" if they can; None as long as it has not said so."""

    def start_importer(self, launch: ImporterLaunch) -> None:
        """Start the process that imports the tests, from which copies are to be forked; `importer_answer` follows."""

    def end_importer(self, *, at_once: bool) -> None:
        """Fork no more copies. *at_once*: kill the importer, and all that it started; no copy was forked from it."""

    def start(self, launch: Launch, output: Path | None, *, is_forked: bool = False) -> None:
        """Start one copy; Started or StartFailed follows as a report.

        *output*: the file that its output is appended to, and it has no input; None: it gets parasuite's own streams.
        *is_forked*: from the importer, which has answered that it can be.
        """

    def order(self, order: CopyOrder) -> None:
        """Have an order carried out; it is ignored if the copy is not there any more."""

    def reports(self, wait_s: float) -> Iterator[CopyReport]:
        """What happened since the last call; waits up to *wait_s* seconds for the first."""

    def close(self) -> None:
        """Kill every tree that is still there, and return when all processes of the starter have ended."""
