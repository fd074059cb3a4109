"""The signals that parasuite is sent, from a run's first moment to its last report."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from parasuite.model.words import RunEnd

# From the first signal on, so that the reports are there within the ten seconds that CI gives: copies have 5 of them.
_JUDGED_UNTIL_S = 6.0
_JUDGED_AT_LEAST_S = 1.0


def _numbers(*names: str) -> tuple[int, ...]:
    """The numbers of those signals that this system has."""
    return tuple(int(getattr(signal, name)) for name in names if hasattr(signal, name))


PASSED_ON = _numbers("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
"""What a command that is only observed is to receive, and parasuite is not."""

IGNORED_AT_START = tuple(
    number for number in _numbers("SIGINT", "SIGTERM", "SIGHUP") if signal.getsignal(number) == signal.SIG_IGN
)
"""Which of the signals that end a run were ignored when parasuite was started: HUP by nohup, INT by a shell's `&`.
(What PIPE was is not known: Python ignores it in any case.)
"""


class Signals:
    """Notes the signals that come while it is entered; none of them ends parasuite itself.

    *passed_on*: signals that change nothing about the run; `for_command` has those that have come.

    The first one that comes while copies run, or before, decides how the run ended. One that comes when only the
    reports are still to be made changes nothing if they are made soon: judging stops some seconds after the first
    signal, whatever was recorded; see `judging_is_over`.
    """

    def __init__(self, passed_on: Sequence[int] = ()) -> None:
        self.received: list[int] = []
        self.for_command: list[int] = []
        self._passed_on = passed_on
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

    def _receive_for_command(self, number: int, _frame: object) -> None:
        self.for_command.append(number)

    def __enter__(self) -> Signals:
        numbers = [signal.SIGINT, signal.SIGTERM]
        # If nohup has it ignored, the run is meant to outlive the terminal.
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._handlers_before[number] = signal.signal(number, self._receive)
        for for_command in self._passed_on:
            # One that is ignored is ignored by the command, too.
            if signal.getsignal(for_command) != signal.SIG_IGN:
                self._handlers_before[for_command] = signal.signal(for_command, self._receive_for_command)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
