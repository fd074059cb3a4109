"""The copies while they run: starts them, times them out, stops them: [Launch] -> CopyState events.

The orchestrator's side. Which step is possible when is in model/copy_life.py; whose processes they are is the
starter's business. Nothing here waits for one copy alone: `step` takes what has happened since, and returns.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from parasuite.model.copy_life import CopyStage, stage_after
from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase
from parasuite.plan.launch import ImporterLaunch, Launch
from parasuite.run.starters.starter import STOP_GRACE_S, Starter
from parasuite.run.supervisor.messages import (
    CopyOrder,
    CopyReport,
    Described,
    DumpStacks,
    InitLost,
    KillInit,
    KillTree,
    MainExited,
    NoteCpuTime,
    SignalMain,
    SignalTree,
    Started,
    StartFailed,
    TreeGone,
    TreeKilled,
)

_NAMED_MAX = 10
_CPU_NOTED_BEFORE_S = 3.0
IMPORTED_TOO_LONG = "importing the tests took longer than {seconds:g} s"
STOPPED_BEFORE = "the run was stopped before"
SWEPT = "swept"
"""In `Copy.stopping`: what outlived the main process is being killed."""


class _StopStep(NamedTuple):
    """One step of stopping a copy. *after_s*: from the first."""

    after_s: float
    order: CopyOrder


def _interrupt(copy: int, first: int) -> list[_StopStep]:
    """The steps that begin with the signal *first*."""
    term = _StopStep(STOP_GRACE_S / 2, SignalTree(copy, signal.SIGTERM))
    return [
        _StopStep(0.0, SignalTree(copy, first)),
        # A second one may be taken for the order to end at once.
        *([] if first == signal.SIGTERM else [term]),
        _StopStep(STOP_GRACE_S, KillTree(copy)),
        # An init that has not answered by then is stopped itself.
        _StopStep(2 * STOP_GRACE_S, KillInit(copy)),
    ]


def _kill(copy: int) -> list[_StopStep]:
    return [_StopStep(0.0, KillTree(copy)), _StopStep(STOP_GRACE_S, KillInit(copy))]


def _time_out(copy: int, list_path: str) -> list[_StopStep]:
    """First SIGABRT, upon which faulthandler writes the stack of every thread into the copy's output."""
    return [
        _StopStep(0.0, DumpStacks(copy, list_path)),
        _StopStep(STOP_GRACE_S / 5, SignalTree(copy, signal.SIGTERM)),
        _StopStep(STOP_GRACE_S, KillTree(copy)),
        _StopStep(2 * STOP_GRACE_S, KillInit(copy)),
    ]


@dataclass(slots=True)
class Copy:
    """One copy while it lives.

    *init*: the pid whose descendants are its tree; 0 until it has started. *exited_ns*: when its main process ended,
    0 until then. *is_ordered*: whether its start was ordered. *stopping*: why it is being stopped ("timed-out",
    "interrupted", ..., SWEPT), "" if it is not.
    """

    launch: Launch
    stage: CopyStage = CopyStage.WAITING
    init: int = 0
    started_ns: int = 0
    exited_ns: int = 0
    stopping: str = ""
    is_cpu_noted: bool = False
    is_ordered: bool = False
    _steps: list[_StopStep] = field(default_factory=list)
    _stop_ns: int = 0

    @property
    def number(self) -> int:
        return self.launch.copy

    @property
    def is_done(self) -> bool:
        return self.stage is CopyStage.DONE

    @property
    def has_main_process(self) -> bool:
        return self.stage in (CopyStage.RUNNING, CopyStage.STOPPING)

    @property
    def may_run_tests(self) -> bool:
        """Whether it may still come to its first test, as far as is known from its process."""
        return not self.stopping and self.stage in (CopyStage.WAITING, CopyStage.RUNNING)

    def stop(self, why: str, steps: list[_StopStep], now_ns: int) -> None:
        """Replace what was left of an earlier stop by *steps*."""
        self.stopping, self._steps, self._stop_ns = why, steps, now_ns

    def due_order(self, now_ns: int) -> CopyOrder | None:
        """The next step of stopping it whose time has come."""
        if self.is_done or not self._steps or now_ns - self._stop_ns < self._steps[0].after_s * 1e9:
            return None
        return self._steps.pop(0).order


class Copies:
    """All copies of a round. Call `step` until `are_done`; the events that it returns are the whole record.

    *importer*: what the copies are to be forked from; None to execute each. *why_not_forked*: why they were
    not forked from it; "" if they were.
    """

    def __init__(
        self,
        launches: Sequence[Launch],
        starter: Starter,
        timeout_s: float | None,
        stagger_s: float | None = None,
        importer: ImporterLaunch | None = None,
    ) -> None:
        self.copies = [Copy(launch) for launch in launches]
        self._starter = starter
        self._timeout_s = timeout_s
        self._stagger_s = stagger_s or 0.0
        self._importer = importer
        self._is_importing = False
        self.is_forking = False
        self.why_not_forked = ""
        self._began_ns = 0
        self._new: list[CopyState] = []

    def start(self) -> None:
        """Start them all at once, so that they overlap; or the first, and the others in later steps, if staggered.

        With an importer, they start in a later step: once it has imported the tests, or if it cannot be used.
        """
        self._began_ns = time.monotonic_ns()
        if self._importer is None:
            self._start_due(self._began_ns)
        else:
            self._is_importing = True
            self._starter.start_importer(self._importer)

    def _await_importer(self, now_ns: int) -> None:
        """Go on with the start once the importer has answered, or has taken longer than a copy may."""
        answer = self._starter.importer_answer
        if answer is None and self._timeout_s is not None and now_ns - self._began_ns > self._timeout_s * 1e9:
            answer = IMPORTED_TOO_LONG.format(seconds=self._timeout_s)
            self._starter.end_importer(at_once=True)
        if answer is not None:
            self._is_importing, self.is_forking, self.why_not_forked = False, not answer, answer
            self._began_ns = now_ns

    def _start_due(self, now_ns: int) -> None:
        for copy in self.copies:
            if copy.is_ordered or copy.is_done or now_ns - self._began_ns < copy.number * self._stagger_s * 1e9:
                continue
            copy.is_ordered = True
            output = None if copy.launch.inherits_streams else copy.launch.folder / "output.log"
            self._starter.start(copy.launch, output, is_forked=self.is_forking)
            if self.is_forking and all(other.is_ordered for other in self.copies):
                self._starter.end_importer(at_once=False)

    def refuse(self, why: str) -> list[CopyState]:
        """Start none of them, because of *why*."""
        for copy in self.copies:
            self._take(copy, CopyPhase.FAILED, time.monotonic_ns(), source="orchestrator", why=why)
        return self._taken()

    @property
    def are_done(self) -> bool:
        return all(copy.is_done for copy in self.copies)

    def step(self, wait_s: float) -> list[CopyState]:
        """Take what happens within *wait_s* seconds, and go on stopping the copies that are being stopped."""
        for report in self._starter.reports(wait_s):
            self._read(self.copies[report.copy], report)
        now_ns = time.monotonic_ns()
        if self._is_importing:
            self._await_importer(now_ns)
        if self._starter.is_alive and not self._is_importing:
            self._start_due(now_ns)
        for copy in self.copies:
            if not self._starter.is_alive:
                self._take(copy, CopyPhase.LOST, now_ns)
            if not copy.is_cpu_noted and self._is_overdue(copy, now_ns, before_s=self._cpu_noted_before_s):
                copy.is_cpu_noted = True
                self._starter.order(NoteCpuTime(copy.number))
            if self._is_overdue(copy, now_ns):
                steps = _time_out(copy.number, str(copy.launch.folder / "processes.txt"))
                self._stop(copy, CopyPhase.TIMED_OUT, steps)
            self._go_on_stopping(copy, now_ns)
        return self._taken()

    def interrupt(self, received: int, *, at_once: bool = False) -> None:
        """Stop every copy: INT, TERM, KILL within STOP_GRACE_S; KILL alone if *at_once*.

        *received*: the signal that parasuite was sent. A command that is only observed is sent that one first.
        """
        for copy in self.copies:
            if not copy.is_ordered:
                self._take(copy, CopyPhase.FAILED, time.monotonic_ns(), source="orchestrator", why=STOPPED_BEFORE)
            elif not copy.is_done:
                first = received if copy.launch.inherits_streams else signal.SIGINT
                steps = _kill(copy.number) if at_once else _interrupt(copy.number, first)
                self._stop(copy, CopyPhase.INTERRUPTED, steps)

    def stop_early(self, copy: Copy, why: str) -> bool:
        """Stop *copy* as an interrupt does, because of *why*; False if it does not run or is being stopped."""
        if copy.stage is not CopyStage.RUNNING or copy.stopping:
            return False
        self._stop(copy, CopyPhase.STOPPED_EARLY, _interrupt(copy.number, signal.SIGINT), why=why)
        return True

    def pass_on(self, number: int) -> None:
        """Send the signal *number* to the main process of each copy that runs."""
        for copy in self.copies:
            if copy.stage is CopyStage.RUNNING:
                self._starter.order(SignalMain(copy.number, number))

    def sweep(self, copy: Copy) -> None:
        """Kill what outlived the main process of *copy*; LEFT_BEHIND says how many processes that were."""
        copy.stop(SWEPT, _kill(copy.number), now_ns := time.monotonic_ns())
        self._go_on_stopping(copy, now_ns)

    def _taken(self) -> list[CopyState]:
        new, self._new = self._new, []
        return new

    @property
    def _cpu_noted_before_s(self) -> float:
        """How long before its time-out a copy's CPU time is noted, to tell a busy copy from one that hangs."""
        return min(_CPU_NOTED_BEFORE_S, (self._timeout_s or 0) / 2)

    def _is_overdue(self, copy: Copy, now_ns: int, before_s: float = 0.0) -> bool:
        if self._timeout_s is None or copy.stage is not CopyStage.RUNNING or copy.stopping:
            return False
        return now_ns - copy.started_ns > (self._timeout_s - before_s) * 1e9

    def _stop(self, copy: Copy, step: CopyPhase, steps: list[_StopStep], *, why: str = "") -> None:
        now_ns = time.monotonic_ns()
        if copy.stage is CopyStage.RUNNING and not copy.stopping:
            self._take(copy, step, now_ns, why=why)
        copy.stop(step, steps, now_ns)
        self._go_on_stopping(copy, now_ns)

    def _go_on_stopping(self, copy: Copy, now_ns: int) -> None:
        while order := copy.due_order(now_ns):
            self._starter.order(order)

    def _take(self, copy: Copy, step: CopyPhase, t_ns: int, *, source: str = "supervisor", **details: Any) -> bool:
        """Take *step* and record it, unless it is not possible any more; whether it was."""
        stage = stage_after(copy.stage, step)
        if stage is None:
            return False
        copy.stage = stage
        self._new.append(CopyState(t_ns=t_ns, source=source, copy=copy.number, state=step, **details))
        return True

    def _read(self, copy: Copy, report: CopyReport) -> None:
        """Take the step that *report* is about."""
        match report:
            case Started(t_ns=t_ns):
                copy.init, copy.started_ns = report.init, t_ns
                self._take(copy, CopyPhase.STARTED, t_ns, pid=report.pid)
            case StartFailed(t_ns=t_ns):
                self._take(copy, CopyPhase.FAILED, t_ns, status=report.status, why=report.why)
            case MainExited(t_ns=t_ns):
                if self._take(copy, CopyPhase.EXITED, t_ns, status=report.status):
                    copy.exited_ns = t_ns
            case Described(t_ns=t_ns):
                self._take(copy, CopyPhase.DESCRIBED, t_ns, why=report.why)
            case TreeKilled(t_ns=t_ns):
                processes = report.count + len(report.left)
                if copy.stopping == SWEPT and processes:
                    self._take(copy, CopyPhase.LEFT_BEHIND, t_ns, processes=processes)
                self._take_unkillable(copy, t_ns, report.left)
            case InitLost(t_ns=t_ns):
                if self._take(copy, CopyPhase.LOST, t_ns):
                    self._take_unkillable(copy, t_ns, report.left)
            case TreeGone(t_ns=t_ns):
                self._take(copy, CopyPhase.GONE, t_ns)

    def _take_unkillable(self, copy: Copy, t_ns: int, left: tuple[str, ...]) -> None:
        if left:
            self._take(copy, CopyPhase.UNKILLABLE, t_ns, processes=len(left), why=", ".join(left[:_NAMED_MAX]))
