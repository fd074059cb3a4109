"""INT, TERM and HUP, from a run's first moment to its last report."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

from parasuite.model.words import RunEnd

# From the first signal on, so that the reports are there within the ten seconds that CI gives: copies have 5 of them.
_JUDGED_UNTIL_S = 6.0
_JUDGED_AT_LEAST_S = 1.0


class Signals:
    """Notes the signals that come while it is entered; none of them ends parasuite itself.

    The first one that comes while copies run, or before, decides how the run ended. One that comes when only the
    reports are still to be made changes nothing if they are made soon: judging stops some seconds after the first
    signal, whatever was recorded; see `judging_is_over`.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._first_s = 0.0
        self._handlers_before: dict[int, Any] = {}

    @property
    def run_end(self) -> RunEnd:
        """How a run that they stop has ended; NONE if none came."""
        if not self.received:
            return RunEnd.NONE
        return RunEnd.INTERRUPTED if self.received[0] == signal.SIGINT else RunEnd.TERMINATED

    def judging_is_over(self, began_s: float) -> RunEnd:
        """`run_end` once the time for judging, which began at *began_s* (monotonic), is over; NONE until then."""
        over_s = max(self._first_s + _JUDGED_UNTIL_S, began_s + _JUDGED_AT_LEAST_S)
        return self.run_end if self.received and time.monotonic() > over_s else RunEnd.NONE

    def _receive(self, number: int, _frame: object) -> None:
        self._first_s = self._first_s or time.monotonic()
        self.received.append(number)

    def __enter__(self) -> Signals:
        numbers = [signal.SIGINT, signal.SIGTERM]
        # If nohup has it ignored, the run is meant to outlive the terminal.
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._handlers_before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
