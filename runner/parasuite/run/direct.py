"""The starter for systems without a Linux supervisor: the orchestrator itself starts and ends the copies.

It keeps the messages of supervisor.py and less of its promise: a process that left its parent (a daemon that forked
twice) is found only if an earlier look saw it, and nobody is left to end the copies if the orchestrator is killed.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from parasuite.plan.launch import Launch
from parasuite.run.descriptors import inherited_descriptors

_LOOK_S = 0.05
_DEATH_TIMEOUT_S = 5.0


class Direct:
    """Starts copies by subprocess and tells what became of them by looking, twenty times a second."""

    def __init__(self) -> None:
        self.alive = True
        self.failure = ""
        self.notes: list[str] = []
        self.pid = 0
        self._mains: dict[int, psutil.Popen] = {}
        self._trees: dict[int, dict[psutil.Process, None]] = {}
        self._exited: set[int] = set()
        self._pending: list[dict[str, Any]] = []

    def watch(self, settings: dict[str, Any]) -> None:
        raise NotImplementedError("the exact sensor is the Linux supervisor's")

    def start(self, launch: Launch, output: Path) -> None:
        t_ns = time.monotonic_ns()
        new_group: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True, "pass_fds": inherited_descriptors()}
        )
        try:
            with output.open("ab") as stream:
                main = psutil.Popen(
                    list(launch.argv),
                    env=dict(launch.env),
                    cwd=launch.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    **new_group,
                )
        except OSError as error:
            why = f"{error.filename or launch.argv[0]}: {error.strerror}"
            self._tell(launch.copy, "failed", why=why, t_ns=t_ns)
            return
        self._mains[launch.copy] = main
        self._trees[launch.copy] = {}
        self._tell(launch.copy, "started", pid=main.pid, init=main.pid, t_ns=t_ns)

    def order(self, copy: int, message: dict[str, Any]) -> None:
        if copy not in self._mains:
            return
        processes = self._tree(copy)
        if message["do"] == "mark":
            return
        if message["do"] in ("kill", "end"):
            left = [f"{process.name()} (pid {process.pid})" for process in self._kill(processes)]
            self._tell(copy, "killed", count=len(processes) - len(left), left=left)
        elif message["do"] == "stacks":
            # Windows has no SIGABRT to send: there a time-out leaves no stacks.
            for process in processes:
                with contextlib.suppress(psutil.Error, ValueError):
                    if sys.platform != "win32" and "python" in process.name().lower():
                        process.send_signal(6)
        else:
            for process in processes:
                with contextlib.suppress(psutil.Error, ValueError):
                    process.send_signal(message["number"])

    def messages(self, wait_s: float) -> Iterator[dict[str, Any]]:
        give_up_s = time.monotonic() + wait_s
        self._look()
        while not self._pending and time.monotonic() < give_up_s:
            # Nothing to wait on: no system but Linux tells of a whole tree's end.
            time.sleep(min(_LOOK_S, wait_s))
            self._look()
        while self._pending:
            yield self._pending.pop(0)

    def close(self) -> None:
        for copy in list(self._mains):
            self._kill(self._tree(copy))
        self.alive = False

    def _tell(self, copy: int, event: str, *, t_ns: int = 0, **facts: object) -> None:
        self._pending.append({"copy": copy, "event": event, "t_ns": t_ns or time.monotonic_ns(), **facts})

    def _tree(self, copy: int) -> list[psutil.Process]:
        """Who of the copy is alive, as far as ever seen."""
        known = self._trees[copy]
        for process in (self._mains[copy], *list(known)):
            with contextlib.suppress(psutil.Error):
                known.update(dict.fromkeys(process.children(recursive=True)))
        alive = [process for process in known if process.is_running()]
        self._trees[copy] = dict.fromkeys(alive)
        main = [] if copy in self._exited else [self._mains[copy]]
        return main + alive

    def _look(self) -> None:
        for copy, main in list(self._mains.items()):
            processes = self._tree(copy)
            if copy not in self._exited and (status := main.poll()) is not None:
                self._exited.add(copy)
                self._tell(copy, "exited", status=status)
                processes = [process for process in processes if process.pid != main.pid]
            if copy in self._exited and not processes:
                del self._mains[copy]
                self._tell(copy, "gone")

    def _kill(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        """Kill *processes*; those that are still alive."""
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        alive: list[psutil.Process] = psutil.wait_procs(processes, timeout=_DEATH_TIMEOUT_S)[1]
        return alive
