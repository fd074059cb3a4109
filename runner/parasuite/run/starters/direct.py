"""The starter for systems without a Linux supervisor: the orchestrator itself starts and ends the copies.

It reports what the supervisor reports and guarantees less. A process that left its parent (a daemon that forked
twice) is found only if it was seen before it left, and if the orchestrator is killed, nothing ends the copies.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from parasuite.plan.launch import ImporterLaunch, Launch
from parasuite.run.starters.descriptors import inherited_descriptors
from parasuite.run.supervisor.messages import (
    CopyOrder,
    CopyReport,
    DumpStacks,
    EnableSensor,
    KillInit,
    KillTree,
    MainExited,
    Provoke,
    SignalMain,
    SignalTree,
    Started,
    StartFailed,
    TreeGone,
    TreeKilled,
    shell_status,
)

_LOOK_S = 0.05
_DEATH_TIMEOUT_S = 5.0


class Direct:
    """A Starter that starts copies with subprocess and looks at their trees twenty times a second."""

    def __init__(self) -> None:
        self.is_alive = True
        self.failure = ""
        self.importer_answer: str | None = None
        self.notes: list[str] = []
        self.pid = 0
        self._mains: dict[int, psutil.Popen] = {}
        self._trees: dict[int, dict[psutil.Process, None]] = {}
        self._exited: set[int] = set()
        self._pending: list[CopyReport] = []

    def enable_sensor(self, order: EnableSensor) -> None:
        raise NotImplementedError("only the Linux supervisor has a sensor")

    def provoke(self, order: Provoke) -> None:
        raise NotImplementedError("only the Linux supervisor has a sensor")

    def start_importer(self, launch: ImporterLaunch) -> None:
        del launch
        self.importer_answer = "this is not Linux"

    def end_importer(self, *, at_once: bool) -> None:
        """There never is one."""

    def start(self, launch: Launch, output: Path | None, *, is_forked: bool = False) -> None:
        del is_forked
        t_ns = time.monotonic_ns()
        new_group: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True, "pass_fds": inherited_descriptors()}
        )
        try:
            with contextlib.nullcontext() if output is None else output.open("ab") as stream:
                main = psutil.Popen(
                    list(launch.argv),
                    env=dict(launch.env),
                    cwd=launch.cwd,
                    stdin=None if stream is None else subprocess.DEVNULL,
                    stdout=stream,
                    stderr=None if stream is None else subprocess.STDOUT,
                    **new_group,
                )
        except OSError as error:
            why = f"{error.filename or launch.argv[0]}: {error.strerror}"
            self._pending.append(StartFailed(copy=launch.copy, t_ns=t_ns, why=why, status=shell_status(error)))
            return
        self._mains[launch.copy] = main
        self._trees[launch.copy] = {}
        self._pending.append(Started(copy=launch.copy, t_ns=t_ns, pid=main.pid, init=main.pid))

    def order(self, order: CopyOrder) -> None:
        if order.copy not in self._mains:
            return
        processes = self._tree(order.copy)
        match order:
            case KillTree() | KillInit():
                left = tuple(f"{process.name()} (pid {process.pid})" for process in self._kill(processes))
                count = len(processes) - len(left)
                self._pending.append(TreeKilled(copy=order.copy, t_ns=time.monotonic_ns(), count=count, left=left))
            case DumpStacks():
                # Windows has no SIGABRT that one process can send another: there a time-out leaves no stacks.
                for process in processes:
                    with contextlib.suppress(psutil.Error, ValueError):
                        if sys.platform != "win32" and "python" in process.name().lower():
                            process.send_signal(signal.SIGABRT)
            case SignalTree():
                for process in processes:
                    with contextlib.suppress(psutil.Error, ValueError):
                        process.send_signal(order.signal)
            case SignalMain():
                with contextlib.suppress(psutil.Error, ValueError):
                    self._mains[order.copy].send_signal(order.signal)

    def reports(self, wait_s: float) -> Iterator[CopyReport]:
        give_up_s = time.monotonic() + wait_s
        self._look()
        while not self._pending and time.monotonic() < give_up_s:
            # There is nothing to wait on: only Linux reports the end of a whole tree.
            time.sleep(min(_LOOK_S, wait_s))
            self._look()
        while self._pending:
            yield self._pending.pop(0)

    def close(self) -> None:
        for copy in list(self._mains):
            self._kill(self._tree(copy))
        self.is_alive = False

    def _tree(self, copy: int) -> list[psutil.Process]:
        """The living processes of *copy*, as far as they were ever seen."""
        known = self._trees[copy]
        for process in (self._mains[copy], *list(known)):
            with contextlib.suppress(psutil.Error):
                known.update(dict.fromkeys(process.children(recursive=True)))
        alive = [process for process in known if process.is_running()]
        self._trees[copy] = dict.fromkeys(alive)
        main = [] if copy in self._exited else [self._mains[copy]]
        return main + alive

    def _look(self) -> None:
        """Report the main processes and the trees that have ended since the last look."""
        for copy, main in list(self._mains.items()):
            processes = self._tree(copy)
            if copy not in self._exited and (status := main.poll()) is not None:
                self._exited.add(copy)
                self._pending.append(MainExited(copy=copy, t_ns=time.monotonic_ns(), status=status))
                processes = [process for process in processes if process.pid != main.pid]
            if copy in self._exited and not processes:
                del self._mains[copy]
                self._pending.append(TreeGone(copy=copy, t_ns=time.monotonic_ns()))

    def _kill(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        """Kill *processes*; those that are still alive after a while."""
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        alive: list[psutil.Process] = psutil.wait_procs(processes, timeout=_DEATH_TIMEOUT_S)[1]
        return alive
