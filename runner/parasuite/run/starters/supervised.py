"""The Linux starter: the orchestrator's end of the supervisor, in a process and a session of its own.

The supervisor ignores the terminal's signals, and is given up when it does not answer (watchdog.py): killing it
closes its sockets, whereupon spawner and inits end the copies. See the package `supervisor` for the processes below
it.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from parasuite.model.network_plan import NetworkPlan
from parasuite.plan.launch import ImporterLaunch, Launch
from parasuite.run.starters.descriptors import inherited_descriptors
from parasuite.run.starters.starter import STOP_GRACE_S
from parasuite.run.starters.watchdog import PING_S, Silence
from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.messages import (
    CopyOrder,
    CopyReport,
    EnableSensor,
    EndImporter,
    ImporterReady,
    NoSubreaper,
    NoteCpuTime,
    Ping,
    Pong,
    Provoke,
    SignalMain,
    StartCopy,
    StartImporter,
    network_text,
)
from parasuite.run.supervisor.process_tree import main_thread_of

# By state letters of proc_pid_stat(5).
_STATES = {
    "T": "stopped",
    "t": "stopped by a tracer",
    "S": "blocked in a system call",
    "D": "blocked in a system call",
}


class Supervised:
    """A Starter whose processes are the supervisor's. *network*: what each copy gets for itself; None for nothing.

    *is_supervisors*: the supervisor enters one such network itself, and its copies are in that one.
    """

    def __init__(self, network: NetworkPlan | None = None, *, is_supervisors: bool = False) -> None:
        self._network = None if is_supervisors else network
        entered = network_text(network) if is_supervisors and network is not None else ""
        here, there = socket.socketpair()
        self._lifeline, lifeline_there = socket.socketpair()
        root = str(Path(__file__).parents[3])
        # -I -S -B: nothing of the user's environment, no site-packages, and nothing written where parasuite lies.
        script = (
            f"import sys; sys.path.insert(0, {root!r}); from parasuite.run.supervisor.main import main; "
            f"main({there.fileno()}, {lifeline_there.fileno()}, {entered!r})"
        )
        with there, lifeline_there:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", *(["-B"] if sys.dont_write_bytecode else []), "-c", script],
                pass_fds=[there.fileno(), lifeline_there.fileno(), *inherited_descriptors()],
                # Its standard streams are ours: it uses none of them, but may have to pass them on to a copy.
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.is_alive = True
        self.failure = ""
        self.importer_answer: str | None = None
        self.notes: list[str] = []
        self._channel = Channel(here)
        self._silence: Silence | None = None
        self._checked_s = time.monotonic()
        self._ping_at_s = self._checked_s
        self._is_stopping = False

    def enable_sensor(self, order: EnableSensor) -> None:
        self._channel.send(order)

    def provoke(self, order: Provoke) -> None:
        self._channel.send(order)

    def start_importer(self, launch: ImporterLaunch) -> None:
        if self._network is not None:
            self.importer_answer = "each has a network of its own"
            return
        self._channel.send(
            StartImporter(
                argv=launch.argv, env=dict(launch.env), cwd=str(launch.cwd), output=str(launch.folder / "output.log")
            )
        )

    def end_importer(self, *, at_once: bool) -> None:
        self._channel.send(EndImporter(at_once))

    def start(self, launch: Launch, output: Path | None, *, is_forked: bool = False) -> None:
        self._channel.send(
            StartCopy(
                copy=launch.copy,
                argv=launch.argv,
                env=dict(launch.env),
                cwd=str(launch.cwd),
                output="" if output is None else str(output),
                ignored=launch.ignored_signals,
                network=self._network,
                is_forked=is_forked,
            )
        )

    def order(self, order: CopyOrder) -> None:
        self._is_stopping = self._is_stopping or not isinstance(order, NoteCpuTime | SignalMain)
        self._channel.send(order)

    def reports(self, wait_s: float) -> Iterator[CopyReport]:
        if not self.is_alive:
            return
        # Orders for which the supervisor had no room are sent as soon as it has some.
        self._channel.flush()
        poll = select.poll()
        poll.register(self._channel, select.POLLIN | (select.POLLOUT if self._channel.has_unsent else 0))
        if poll.poll(wait_s * 1000):
            for message in self._channel.receive():
                match message:
                    case Pong():
                        self._silence = None
                        self._ping_at_s = time.monotonic() + PING_S
                    case ImporterReady(why=why):
                        self.importer_answer = why
                    case NoSubreaper(why=why):
                        self._note_no_subreaper(why)
                    case _ if isinstance(message, CopyReport):
                        yield message
            self.is_alive = not self._channel.at_end
        if self.is_alive:
            self._check_supervisor()

    def _note_no_subreaper(self, why: str) -> None:
        note = (
            f"PR_SET_CHILD_SUBREAPER is refused ({why}): a daemon that leaves its parent is neither watched nor ended"
        )
        if note not in self.notes:
            self.notes.append(note)

    def _check_supervisor(self) -> None:
        """Ask the supervisor for an answer every second, and kill it if it gives none for too long."""
        now_s = time.monotonic()
        elapsed_s, self._checked_s = now_s - self._checked_s, now_s
        if self._silence is None:
            if now_s >= self._ping_at_s:
                self._silence = Silence()
                self._channel.send(Ping())
            return
        state, ticks = main_thread_of(self.pid)
        self._silence.step(elapsed_s, state, ticks, is_urgent=self._is_stopping)
        if self._silence.is_too_long(is_urgent=self._is_stopping):
            doing = _STATES.get(state, f"in state {state}")
            self.failure = (
                f"the supervisor, {doing}, did not answer for {self._silence.silent_s:.0f} s and was killed"
            )
            self.is_alive = False
            self._process.kill()

    def close(self) -> None:
        """Close the socket, which ends everything below, and wait until supervisor, spawner and inits have gone."""
        if self._lifeline.fileno() < 0:
            return
        self.is_alive = False
        self._channel.close()
        if not self._have_all_gone(2 * STOP_GRACE_S):
            # It is stopped, or blocked in a system call. Spawner and inits end when it dies.
            self._process.kill()
            self._have_all_gone(2 * STOP_GRACE_S)
        self._lifeline.close()
        self._process.wait()

    def _have_all_gone(self, wait_s: float) -> bool:
        """Whether supervisor, spawner and inits end within *wait_s*: each holds the lifeline's other end."""
        poll = select.poll()
        poll.register(self._lifeline, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))
