"""The failures of a round while it runs: which are shown at once, and which copies `--fail-fast` stops for them.

Findings are not among them, since they are known only when the run is judged: a refused bind may be meant, or the
program may recover. A test that failed has failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from parasuite.model.copy_life import status_text
from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase, FailFast

FAILED_IN = "failed: {test} in copy {copy}"
MORE_FAILED = "more tests failed; the report will list them"
STOPPED_FOR = "--fail-fast: {why}"
SHOWN_MAX = 20
_DIED = (CopyPhase.FAILED, CopyPhase.TIMED_OUT, CopyPhase.LOST)


class Failures:
    """*mode*: what is to be stopped. *good*: the exit statuses with which no copy has died."""

    def __init__(self, mode: FailFast, good: Sequence[int]) -> None:
        self._mode, self._good = mode, good
        self._first_of: dict[int, str] = {}
        self._shown: dict[str, None] = {}
        self._read_of: dict[int, int] = {}

    def read(self, copy: int, failed: Sequence[str]) -> Iterator[str]:
        """Take the tests that have *failed* in *copy* so far, in order; a line for each test that is to be shown."""
        new = failed[self._read_of.get(copy, 0) :]
        self._read_of[copy] = len(failed)
        for test in new:
            self._first_of.setdefault(copy, f"{test} failed in copy {copy}")
            if test in self._shown or len(self._shown) > SHOWN_MAX:
                continue
            self._shown[test] = None
            yield MORE_FAILED if len(self._shown) > SHOWN_MAX else FAILED_IN.format(test=test, copy=copy)

    def read_state(self, event: CopyState) -> None:
        """Take a step in the life of a copy."""
        if event.state in _DIED:
            self._first_of.setdefault(event.copy, f"copy {event.copy}: {event.state}")
        elif event.state is CopyPhase.EXITED and event.status not in self._good:
            self._first_of.setdefault(event.copy, f"copy {event.copy} ended: {status_text(event.status)}")

    def why_stop(self, copy: int) -> str:
        """Why *copy* is to be stopped; "" if it is not."""
        why = ""
        if self._mode is FailFast.ALL:
            why = next(iter(self._first_of.values()), "")
        elif self._mode is FailFast.COPY:
            why = self._first_of.get(copy, "")
        return STOPPED_FOR.format(why=why) if why else ""
