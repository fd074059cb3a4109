"""From the events of a run to how each of its copies ended. Pure."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace

from parasuite.model.events import CopyState, Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a copy ended.

    *how*: "exited", "timed-out" (*why*: busy or hung), "interrupted", "failed" (to start, *why*) or "lost" (its
    supervision died, or the run did). *status*: as subprocess gives it, negative for a signal; None where there is
    none. *left_behind*: processes that outlived the main one and its grace time and were killed. *unkillable*: names
    of those that could not be.
    """

    copy: int
    how: str = "lost"
    status: int | None = None
    started_ns: int = 0
    ended_ns: int = 0
    left_behind: int = 0
    unkillable: str = ""
    why: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds from its start to the end of its main process."""
        return max(0, self.ended_ns - self.started_ns) / 1e9

    def __str__(self) -> str:
        match self.how:
            case "failed":
                return f"could not start: {self.why}"
            case "lost":
                return "lost: its supervision died"
            case "exited":
                return status_text(self.status)
            case how:
                doing = f" ({self.why})" if self.why else ""
                return how + doing + ("" if self.status is None else f", {status_text(self.status)}")


def status_text(status: int | None) -> str:
    """An exit status in words: "exit status 2", "killed by SIGKILL"."""
    if status is None:
        return "no exit status"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def outcomes(events: Iterable[Event], copies: int) -> list[Outcome]:
    """One Outcome per copy; a copy without an end is "lost", so that started = finished + lost, always."""
    found = {copy: Outcome(copy=copy) for copy in range(copies)}
    for event in events:
        if isinstance(event, CopyState) and event.copy in found:
            found[event.copy] = _after(found[event.copy], event)
    return list(found.values())


def _after(outcome: Outcome, event: CopyState) -> Outcome:
    match event.state:
        case "started":
            return replace(outcome, started_ns=event.t_ns, ended_ns=event.t_ns)
        case "failed":
            return replace(outcome, how="failed", why=event.why, started_ns=event.t_ns, ended_ns=event.t_ns)
        case "timed-out" | "interrupted":
            return replace(outcome, how=event.state, ended_ns=event.t_ns)
        case "exited":
            how = "exited" if outcome.how == "lost" else outcome.how
            return replace(outcome, how=how, status=event.status, ended_ns=event.t_ns)
        case "described":
            return replace(outcome, why=event.why)
        case "left-behind":
            return replace(outcome, left_behind=event.processes)
        case "unkillable":
            return replace(outcome, unkillable=event.why)
        case "lost" if outcome.status is None:
            return replace(outcome, how="lost", ended_ns=event.t_ns)
        case _:
            return outcome
