"""The life of a copy: one table of the steps that are possible, and what each makes of how the copy ended. Pure.

Theory of operation. A copy is in one of five stages. `CopyState` events are the steps, and `_TABLE` says which step
leads from which stage to which:

    WAITING --started--> RUNNING --timed-out, interrupted--> STOPPING
                         RUNNING, STOPPING --exited--> LINGERING --gone--> DONE

A copy is LINGERING from the end of its main process to the end of its tree. FAILED and LOST lead to DONE from where
the copy is; UNKILLABLE does as well, since there is nothing more to wait for.

The table is read twice. While the run lasts, `run/copies.py` takes the steps as they are reported, and a report that
is not possible any more is dropped. Later the judge takes them from the record, in order of time, and that order can
differ: a copy may have ended a moment before the orchestrator, which had not heard of it, timed it out. It still
counts as timed out, as was said when it happened. And since a line of the record may be torn, a step that is missing
must not make the ones after it impossible: what is possible while a copy runs is possible while it is WAITING, too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase


class CopyStage(StrEnum):
    """Where a copy is in its life.

    STOPPING: it was timed out or interrupted, and its main process has not ended yet. LINGERING: its main process has
    ended, its tree has not.
    """

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    LINGERING = "lingering"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyEnd:
    """How a copy ended.

    *how*: EXITED, TIMED_OUT (*why*: busy or hung), INTERRUPTED, FAILED (to start, *why*) or LOST (its supervision
    died, or the run did). *status*: of the main process, as subprocess gives it, negative for a signal; if it FAILED,
    as a shell gives it (127, 126); None where it is not known. *left_behind*: how many processes outlived the main
    one and its grace time and were killed. *unkillable*: names of those that could not be killed. *ended_ns*: when
    the main process ended, or was last known to run.
    """

    copy: int
    how: CopyPhase = CopyPhase.LOST
    status: int | None = None
    started_ns: int = 0
    ended_ns: int = 0
    left_behind: int = 0
    unkillable: str = ""
    why: str = ""

    @property
    def is_good(self) -> bool:
        """Whether its main process ended without being stopped, with exit status 0."""
        return self.how == CopyPhase.EXITED and self.status == 0

    @property
    def duration_s(self) -> float:
        """Seconds from its start to the end of its main process."""
        return max(0, self.ended_ns - self.started_ns) / 1e9

    def __str__(self) -> str:
        match self.how:
            case CopyPhase.FAILED:
                return f"could not start: {self.why}"
            case CopyPhase.LOST:
                return SUPERVISION_DIED
            case CopyPhase.EXITED:
                return status_text(self.status)
            case how:
                doing = f" ({self.why})" if self.why else ""
                return how + doing + ("" if self.status is None else f", {status_text(self.status)}")


SUPERVISION_DIED = "lost: its supervision died"


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


_Change = Callable[[CopyEnd, CopyState], CopyEnd]


class _Step(NamedTuple):
    """*stage*: where the copy is after the step. *change*: what the step makes of the copy's end."""

    stage: CopyStage
    change: _Change


def _unchanged(end: CopyEnd, _: CopyState) -> CopyEnd:
    return end


def _started(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, started_ns=event.t_ns, ended_ns=event.t_ns)


def _failed(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(
        end, how=CopyPhase.FAILED, status=event.status, why=event.why, started_ns=event.t_ns, ended_ns=event.t_ns
    )


def _stopped(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, how=event.state, ended_ns=event.t_ns)


def _stopped_early(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, how=event.state, ended_ns=event.t_ns, why=event.why)


def _exited(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, how=CopyPhase.EXITED, status=event.status, ended_ns=event.t_ns)


def _exited_when_stopped(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, status=event.status, ended_ns=event.t_ns)


def _described(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, why=event.why)


def _left_behind(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, left_behind=event.processes)


def _unkillable(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, unkillable=event.why)


def _lost(end: CopyEnd, event: CopyState) -> CopyEnd:
    return replace(end, how=CopyPhase.LOST, ended_ns=event.t_ns)


_WAITING, _RUNNING, _STOPPING, _LINGERING, _DONE = CopyStage
_STOP = {
    _WAITING: _Step(_STOPPING, _stopped),
    _RUNNING: _Step(_STOPPING, _stopped),
    # In order of time, the end of the main process, or of all, may come first.
    _LINGERING: _Step(_LINGERING, _stopped),
    _DONE: _Step(_DONE, _stopped),
}
_STOP_EARLY = {stage: _Step(step.stage, _stopped_early) for stage, step in _STOP.items()}
_TABLE: dict[CopyPhase, dict[CopyStage, _Step]] = {
    CopyPhase.STARTED: {_WAITING: _Step(_RUNNING, _started)},
    CopyPhase.FAILED: {_WAITING: _Step(_DONE, _failed)},
    CopyPhase.TIMED_OUT: _STOP,
    CopyPhase.INTERRUPTED: _STOP,
    CopyPhase.STOPPED_EARLY: _STOP_EARLY,
    CopyPhase.EXITED: {
        _WAITING: _Step(_LINGERING, _exited),
        _RUNNING: _Step(_LINGERING, _exited),
        _STOPPING: _Step(_LINGERING, _exited_when_stopped),
    },
    # Information about the copy, which does not change its stage.
    CopyPhase.DESCRIBED: {stage: _Step(stage, _described) for stage in CopyStage},
    CopyPhase.LEFT_BEHIND: {stage: _Step(stage, _left_behind) for stage in CopyStage},
    CopyPhase.UNKILLABLE: {stage: _Step(_DONE, _unkillable) for stage in CopyStage},
    CopyPhase.LOST: {
        _WAITING: _Step(_DONE, _lost),
        _RUNNING: _Step(_DONE, _lost),
        _STOPPING: _Step(_DONE, _lost),
        # How the main process ended is known by now.
        _LINGERING: _Step(_DONE, _unchanged),
    },
    CopyPhase.GONE: {
        _WAITING: _Step(_DONE, _unchanged),
        _RUNNING: _Step(_DONE, _unchanged),
        _STOPPING: _Step(_DONE, _unchanged),
        _LINGERING: _Step(_DONE, _unchanged),
    },
}


def stage_after(stage: CopyStage, step: CopyPhase) -> CopyStage | None:
    """Where a copy in *stage* is after *step*; None if that step is not possible from there."""
    following = _TABLE[step].get(stage)
    return None if following is None else following.stage


@dataclass(frozen=True, slots=True)
class CopyLife:
    """What a record shows of a copy so far: its stage, and how it has ended if no event follows."""

    end: CopyEnd
    stage: CopyStage = CopyStage.WAITING

    def after(self, event: CopyState) -> CopyLife:
        """The same copy after *event*; unchanged if that step is not possible any more."""
        following = _TABLE[event.state].get(self.stage)
        if following is None:
            return self
        return CopyLife(following.change(self.end, event), following.stage)
