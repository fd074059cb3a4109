"""A copy's init: starts the main process, reaps the copy's tree, reports what becomes of it, carries out orders.

Its tree is exactly what the copy started, since it is a child subreaper. End of file on its channel means that the
supervisor has died: it kills the tree and ends. It ends with status 0 once no process of the tree is left; any other
end makes the spawner kill what it leaves.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from parasuite.run.networks.namespace import NetworkError, enter_network
from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.child_wakeup import ChildWakeup
from parasuite.run.supervisor.main_process import become_main_process
from parasuite.run.supervisor.messages import (
    Described,
    DumpStacks,
    InitReady,
    KillTree,
    MainExited,
    Message,
    NoteCpuTime,
    RunMainProcess,
    SignalMain,
    SignalTree,
    Started,
    StartFailed,
    TreeGone,
    TreeKilled,
)
from parasuite.run.supervisor.process_list import busy_or_hung, cpu_ticks, process_list
from parasuite.run.supervisor.process_tree import (
    become_subreaper,
    is_python,
    kill_tree,
    send_signal,
    state_of,
    tree_of,
)

_LIST_TIMEOUT_S = 2.0
_LIST_POLL_S = 0.005


class Init:
    """*channel*: to the supervisor. *sensor*: where the main process sends the sensor's descriptor, if observed.

    *start*: starts the main process, instead of a fork and an execution: returns its pid and a descriptor from which
    comes why that failed, in words, and then end of file. May raise OSError.
    """

    def __init__(
        self,
        copy: int,
        channel: Channel,
        sensor: socket.socket | None,
        start: Callable[[RunMainProcess], tuple[int, int]] | None = None,
    ) -> None:
        self._copy = copy
        self._channel = channel
        self._sensor = sensor
        self._start = start or self._fork_main
        self._main = 0
        self._cpu_noted: tuple[float, int] | None = None  # When, and the CPU time of the tree until then.
        self._wakeup = ChildWakeup()

    def run(self) -> None:
        """Serve until the tree is empty, the copy could not be started, or the supervisor has gone."""
        no_subreaper = become_subreaper()
        self._channel.send(InitReady(os.getpid(), no_subreaper))
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            is_started = False
            while not is_started or self._reap():
                selector.select()
                self._wakeup.drain()
                for message in self._channel.receive():
                    if is_started:
                        self._carry_out(message)
                    elif isinstance(message, RunMainProcess):
                        if not self._start_main(message):
                            return
                        is_started = True
                if self._channel.at_end:
                    kill_tree()
                    return
        self._channel.send(TreeGone(copy=self._copy, t_ns=time.monotonic_ns()))

    def _start_main(self, order: RunMainProcess) -> bool:
        """Start the main process and report how that went; whether it runs.

        A network of the copy's own is entered before: a socket that shows it must be made in it.
        """
        t_ns = time.monotonic_ns()
        if order.network is not None:
            try:
                enter_network(order.network)
            except NetworkError as error:
                why = f"no network of its own: {error.strerror}"
                self._channel.send(StartFailed(copy=self._copy, t_ns=t_ns, why=why))
                return False
        try:
            self._main, read_fd = self._start(order)
        except OSError as error:
            self._channel.send(StartFailed(copy=self._copy, t_ns=t_ns, why=f"fork: {error.strerror}"))
            return False
        if self._sensor is not None:
            self._sensor.close()
        with open(read_fd, "rb") as stream:
            failure = stream.read()
        if failure:
            why = failure.decode("utf-8", "backslashreplace")
            status = os.waitstatus_to_exitcode(os.waitpid(self._main, 0)[1])
            self._channel.send(StartFailed(copy=self._copy, t_ns=t_ns, why=why, status=status))
            return False
        self._channel.send(Started(copy=self._copy, t_ns=t_ns, pid=self._main, init=os.getpid()))
        return True

    def _fork_main(self, order: RunMainProcess) -> tuple[int, int]:
        read_fd, write_fd = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read_fd)
            become_main_process(order, write_fd, self._sensor)
        # The main process's end is closed by the program's execution (close-on-exec), or after an error was written.
        os.close(write_fd)
        return pid, read_fd

    def _reap(self) -> bool:
        """Collect the children that have ended; whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self._main = 0  # From now on another process may have this pid.
                code = os.waitstatus_to_exitcode(status)
                self._channel.send(MainExited(copy=self._copy, t_ns=time.monotonic_ns(), status=code))

    def _carry_out(self, order: Message) -> None:
        here = os.getpid()
        match order:
            case SignalTree():
                for pid in tree_of(here):
                    send_signal(pid, order.signal)
            case SignalMain() if self._main:
                send_signal(self._main, order.signal)
            case NoteCpuTime():
                self._cpu_noted = (time.monotonic(), cpu_ticks(tree_of(here), here))
            case DumpStacks():
                self._describe(order.list_path)
                for pid in tree_of(here):
                    if is_python(pid):
                        send_signal(pid, signal.SIGABRT)
            case KillTree():
                killed = kill_tree(collect=self._reap)
                t_ns = time.monotonic_ns()
                self._channel.send(TreeKilled(copy=self._copy, t_ns=t_ns, count=killed.count, left=killed.left))

    def _describe(self, path: str) -> None:
        """Write the list of the copy's processes to *path*, and report whether the copy was busy lately."""
        tree = tree_of(os.getpid())
        why = ""
        if self._cpu_noted is not None:
            noted_s, ticks = self._cpu_noted
            why = busy_or_hung(cpu_ticks(tree, os.getpid()) - ticks, time.monotonic() - noted_s)
        pid = -1
        with contextlib.suppress(OSError):
            pid = os.fork()
        if pid == 0:
            try:
                with open(path, "w", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.writelines(line + "\n" for line in process_list(tree))
            finally:
                os._exit(0)
        # If reading about a process takes for ever, the child is killed later with the tree.
        give_up_s = time.monotonic() + _LIST_TIMEOUT_S
        while pid > 0 and state_of(pid)[0] not in "ZX" and time.monotonic() < give_up_s:
            time.sleep(_LIST_POLL_S)
        self._channel.send(Described(copy=self._copy, t_ns=time.monotonic_ns(), why=why))
