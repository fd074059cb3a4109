"""Starts the copies, watches them, times them out, stops them: [Launch] -> CopyState events.

The orchestrator's side. On Linux it talks to supervisor.py over a socket; elsewhere `direct.py` is behind the same
interface. Nothing here waits for one copy alone: `step` takes what has happened since and returns.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from parasuite.model.events import CopyState
from parasuite.model.words import CopyPhase
from parasuite.plan.launch import Launch
from parasuite.run.channel import Channel
from parasuite.run.descriptors import inherited_descriptors
from parasuite.run.process_tree import main_thread_of
from parasuite.run.watchdog import PING_S, Silence

_NAMED_MAX = 10
_MARK_S = 3.0

STOP_GRACE_S = 5.0
"""From the first signal to the last when a run is stopped, over the whole tree of every copy."""

# By state letters of proc_pid_stat(5).
_DOING = {
    "T": "stopped",
    "t": "stopped by a tracer",
    "S": "blocked in a system call",
    "D": "blocked in a system call",
}

_Stage = tuple[float, dict[str, Any]]
_INTERRUPT: tuple[_Stage, ...] = (
    (0.0, {"do": "signal", "number": int(signal.SIGINT)}),
    (STOP_GRACE_S / 2, {"do": "signal", "number": int(signal.SIGTERM)}),
    (STOP_GRACE_S, {"do": "kill"}),
    # An init that has not answered by then is stopped itself.
    (2 * STOP_GRACE_S, {"do": "end"}),
)
_KILL: tuple[_Stage, ...] = ((0.0, {"do": "kill"}), (STOP_GRACE_S, {"do": "end"}))


class Starter(Protocol):
    """Who owns the processes. Messages are dicts with `copy`, `event` and `t_ns`, as supervisor.py sends them."""

    alive: bool
    pid: int
    failure: str
    """Why it is not *alive*, where more is known than that it died."""
    notes: list[str]
    """What is done with less of a promise here, a sentence each."""

    def watch(self, settings: dict[str, Any]) -> None:
        """Put every copy started from now on under the exact sensor; *settings* as sensors/exact.py has them."""

    def start(self, launch: Launch, output: Path) -> None:
        """Start one copy; "started" or "failed" follows as a message."""

    def order(self, copy: int, message: dict[str, Any]) -> None:
        """Have the tree of *copy* signalled or killed."""

    def messages(self, wait_s: float) -> Iterator[dict[str, Any]]:
        """What happened; waits up to *wait_s* seconds for the first."""

    def close(self) -> None:
        """Let go; every tree still there is killed."""


class Supervised:
    """The Linux starter: a supervisor process of its own session, deaf to the terminal's signals."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self._lifeline, lifeline_there = socket.socketpair()
        root = str(Path(__file__).parents[2])
        # -I -S -B: nothing of the user's environment, no site-packages, and nothing written where parasuite lies.
        script = (
            f"import sys; sys.path.insert(0, {root!r}); from parasuite.run.supervisor import main; "
            f"main({there.fileno()}, {lifeline_there.fileno()})"
        )
        with there, lifeline_there:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", *(["-B"] if sys.dont_write_bytecode else []), "-c", script],
                pass_fds=[there.fileno(), lifeline_there.fileno(), *inherited_descriptors()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.alive = True
        self.failure = ""
        self.notes: list[str] = []
        self._channel = Channel(here)
        self._silence: Silence | None = None
        self._looked_s = time.monotonic()
        self._ping_at_s = self._looked_s
        self._is_stopping = False

    def watch(self, settings: dict[str, Any]) -> None:
        self._channel.send(do="watch", **settings)

    def start(self, launch: Launch, output: Path) -> None:
        self._channel.send(
            do="start",
            copy=launch.copy,
            argv=list(launch.argv),
            env=dict(launch.env),
            cwd=str(launch.cwd),
            output=str(output),
        )

    def order(self, copy: int, message: dict[str, Any]) -> None:
        self._is_stopping = self._is_stopping or message["do"] != "mark"
        self._channel.send(copy=copy, **message)

    def messages(self, wait_s: float) -> Iterator[dict[str, Any]]:
        if not self.alive:
            return
        # A supervisor that has no room for orders yet is asked again soon.
        self._channel.flush()
        poll = select.poll()
        poll.register(self._channel, select.POLLIN | (select.POLLOUT if self._channel.has_unsent else 0))
        if poll.poll(wait_s * 1000):
            for message in self._channel.receive():
                if message["event"] == "pong":
                    self._silence = None
                    self._ping_at_s = time.monotonic() + PING_S
                elif message["event"] == "no-subreaper":
                    note = (
                        f"PR_SET_CHILD_SUBREAPER is refused ({message['why']}): a daemon that leaves its parent is "
                        "neither watched nor ended"
                    )
                    if note not in self.notes:
                        self.notes.append(note)
                else:
                    yield message
            self.alive = not self._channel.at_end
        if self.alive:
            self._watch_supervisor()

    def _watch_supervisor(self) -> None:
        """Ask the supervisor for a sign of life, and end it if it gives none: then the inits end their copies."""
        now_s = time.monotonic()
        elapsed_s, self._looked_s = now_s - self._looked_s, now_s
        if self._silence is None:
            if now_s >= self._ping_at_s:
                self._silence = Silence()
                self._channel.send(do="ping")
            return
        state, ticks = main_thread_of(self.pid)
        self._silence.step(elapsed_s, state, ticks, is_urgent=self._is_stopping)
        if self._silence.is_too_long(is_urgent=self._is_stopping):
            doing = _DOING.get(state, f"in state {state}")
            self.failure = (
                f"the supervisor, {doing}, did not answer for {self._silence.silent_s:.0f} s and was killed"
            )
            self.alive = False
            self._process.kill()

    def close(self) -> None:
        """Close the socket, whereupon everything ends, and wait until supervisor, spawner and inits have gone."""
        if self._lifeline.fileno() < 0:
            return
        self.alive = False
        self._channel.close()
        if not self._all_have_gone(2 * STOP_GRACE_S):
            # Stopped, or blocked in a system call; the spawner and the inits end by this.
            self._process.kill()
            self._all_have_gone(2 * STOP_GRACE_S)
        self._lifeline.close()
        self._process.wait()

    def _all_have_gone(self, wait_s: float) -> bool:
        """Whether supervisor, spawner and inits have ended within *wait_s*: each holds the lifeline's other end."""
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))


@dataclass(slots=True)
class Copy:
    """One copy while it lives. *state*: "waiting", "running", "lingering" (main process gone, tree not) or "done"."""

    launch: Launch
    state: str = "waiting"
    init: int = 0
    started_ns: int = 0
    exited_ns: int = 0
    status: int | None = None
    stopping: str = ""
    stages: list[_Stage] = field(default_factory=list)
    stop_ns: int = 0
    is_marked: bool = False

    @property
    def number(self) -> int:
        return self.launch.copy


def _time_out(copy: Copy) -> tuple[_Stage, ...]:
    """What is done to a copy that is over its time.

    First SIGABRT: faulthandler then writes the stack of every thread into the copy's output.
    """
    return (
        (0.0, {"do": "stacks", "list": str(copy.launch.folder / "processes.txt")}),
        (STOP_GRACE_S / 5, {"do": "signal", "number": int(signal.SIGTERM)}),
        (STOP_GRACE_S, {"do": "kill"}),
        (2 * STOP_GRACE_S, {"do": "end"}),
    )


class Copies:
    """All copies of a run. Call `step` until `finished`; what it gives is the whole record."""

    def __init__(self, launches: Sequence[Launch], starter: Starter, timeout_s: float | None) -> None:
        self.copies = [Copy(launch) for launch in launches]
        self._starter = starter
        self._timeout_s = timeout_s
        self._new: list[CopyState] = []

    def start(self) -> None:
        """Start them all at once: they are to overlap."""
        for copy in self.copies:
            self._starter.start(copy.launch, copy.launch.folder / "output.log")

    @property
    def finished(self) -> bool:
        return all(copy.state == "done" for copy in self.copies)

    def step(self, wait_s: float) -> list[CopyState]:
        """Take what happens within *wait_s* seconds, and stop whom it is time to stop."""
        for message in self._starter.messages(wait_s):
            self._take(self.copies[message["copy"]], message)
        now_ns = time.monotonic_ns()
        for copy in self.copies:
            if not self._starter.alive and copy.state != "done":
                copy.state = "done"
                self._note(copy, now_ns, "lost")
            if not copy.is_marked and self._is_overdue(copy, now_ns, before_s=self._mark_before_s):
                copy.is_marked = True
                self._starter.order(copy.number, {"do": "mark"})
            if self._is_overdue(copy, now_ns):
                self._stop(copy, "timed-out", _time_out(copy))
            self._next_stage(copy, now_ns)
        new, self._new = self._new, []
        return new

    def interrupt(self, *, at_once: bool = False) -> None:
        """Stop every copy: INT, TERM, KILL within STOP_GRACE_S; KILL alone if *at_once*."""
        for copy in self.copies:
            if copy.state != "done":
                self._stop(copy, "interrupted", _KILL if at_once else _INTERRUPT)

    def sweep(self, copy: Copy) -> None:
        """Kill what outlived the main process of *copy*; "left-behind" says how many that were."""
        self._stop(copy, "swept", _KILL)

    @property
    def _mark_before_s(self) -> float:
        """How long before its time-out a copy's CPU time is noted, to tell a busy copy from one that hangs."""
        return min(_MARK_S, (self._timeout_s or 0) / 2)

    def _is_overdue(self, copy: Copy, now_ns: int, before_s: float = 0.0) -> bool:
        if self._timeout_s is None or copy.state != "running" or copy.stopping:
            return False
        return now_ns - copy.started_ns > (self._timeout_s - before_s) * 1e9

    def _stop(self, copy: Copy, why: str, stages: tuple[_Stage, ...]) -> None:
        now_ns = time.monotonic_ns()
        if copy.state == "running" and not copy.stopping:
            self._note(copy, now_ns, why)
        copy.stopping, copy.stages, copy.stop_ns = why, list(stages), now_ns
        self._next_stage(copy, now_ns)

    def _next_stage(self, copy: Copy, now_ns: int) -> None:
        while copy.state != "done" and copy.stages and now_ns - copy.stop_ns >= copy.stages[0][0] * 1e9:
            _, message = copy.stages.pop(0)
            self._starter.order(copy.number, message)

    def _note(self, copy: Copy, t_ns: int, state: str, **facts: Any) -> None:
        self._new.append(CopyState(t_ns=t_ns, source="supervisor", copy=copy.number, state=CopyPhase(state), **facts))

    def _take(self, copy: Copy, message: dict[str, Any]) -> None:
        t_ns = message["t_ns"]
        match message["event"]:
            case "started":
                copy.state, copy.init, copy.started_ns = "running", message["init"], t_ns
                self._note(copy, t_ns, "started", pid=message["pid"])
            case "exited" if copy.state != "done":
                copy.state, copy.status, copy.exited_ns = "lingering", message["status"], t_ns
                self._note(copy, t_ns, "exited", status=copy.status)
            case "failed":
                copy.state = "done"
                self._note(copy, t_ns, "failed", why=message["why"])
            case "described":
                self._note(copy, t_ns, "described", why=message["why"])
            case "killed":
                if copy.stopping == "swept" and message["count"] + len(message["left"]):
                    processes = message["count"] + len(message["left"])
                    self._note(copy, t_ns, "left-behind", processes=processes)
                self._note_unkillable(copy, t_ns, message["left"])
                if message["left"]:
                    # There is nothing more to wait for.
                    copy.state = "done"
            case "lost" | "gone" as state if copy.state != "done":
                copy.state = "done"
                self._note(copy, t_ns, state)
                self._note_unkillable(copy, t_ns, message.get("left", []))

    def _note_unkillable(self, copy: Copy, t_ns: int, left: list[str]) -> None:
        if left:
            self._note(copy, t_ns, "unkillable", processes=len(left), why=", ".join(left[:_NAMED_MAX]))
