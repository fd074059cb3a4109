"""One attempt to start a server: start it, wait until it is the process that answers, and end it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from netsupport import owners, process_tree
from netsupport.claims import Claim, fork_lock
from netsupport.leases import Guarantee, Kind
from netsupport.process_tree import pauses
from netsupport.server_log import ServerLog

_IN_USE = (
    "address already in use",
    "eaddrinuse",
    "only one usage of each socket address",
    "port is already allocated",
    os.strerror(errno.EADDRINUSE).lower(),
)
"""What programs print when they end because another process has their port."""

_TAIL_CHARACTERS = 4_000


class ServerError(RuntimeError):
    """A server did not start, or failed while it ran. The message has its last output and the holders of its port."""

    def __init__(
        self,
        message: str,
        *,
        exit_status: int | None = None,
        output: str = "",
        holders: Sequence[owners.Holder] = (),
        lost: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.exit_status = exit_status
        """As in subprocess: negative for a signal; None if the server was still running."""
        self.output = output
        self.holders = tuple(holders)
        """The processes that have the port, including the server's own."""
        self.lost = tuple(lost)
        """Why each earlier attempt failed."""


class PortTaken(Exception):
    """Another process has the port of this attempt."""

    def __init__(self, failure: ServerError, *, strangers: bool) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.strangers = strangers
        """Whether another process was seen on the port. If not, only the server's output says that it was taken."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens on *host* *port*. *lost* says why earlier attempts failed."""

    command: tuple[str, ...]
    host: str
    port: int
    guarantee: Guarantee
    process: subprocess.Popen[bytes]
    log: ServerLog
    lost: tuple[str, ...] = ()

    @property
    def address(self) -> tuple[str, int]:
        """What `socket.connect` takes."""
        return self.host, self.port

    @property
    def pid(self) -> int:
        """The process id of the program that was started. The process that listens may be a descendant."""
        return self.process.pid

    def output(self) -> str:
        """The last million bytes of what the server's processes wrote, standard output and error in order."""
        return self.log.end()


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """The arguments of `running_server`. *words*: the command for a port, its placeholders not filled in."""

    words: Callable[[int], tuple[str, ...]]
    host: str
    kind: Kind
    pattern: re.Pattern[str] | None
    timeout_s: float
    grace_s: float
    env: Mapping[str, str]
    cwd: str | os.PathLike[str] | None

    @property
    def protocols(self) -> tuple[owners.Transport, ...]:
        return ("tcp", "udp") if self.kind == "both" else (self.kind,)

    def filled(self, text: str, port: int, descriptor: int = -1) -> str:
        """*text* with its placeholders filled in. Other braces stay as they are: the text may be program code."""
        return text.replace("{port}", str(port)).replace("{host}", self.host).replace("{fd}", str(descriptor))


@contextlib.contextmanager
def started(
    request: ServerRequest,
    port: int,
    guarantee: Guarantee,
    passed: socket.socket | None = None,
    lost: tuple[str, ...] = (),
) -> Iterator[RunningServer]:
    """One attempt: start, wait until ready, yield, end the tree. Raises PortTaken if another process has *port*.

    If the command is a function, it is called here, before anything is started.
    """
    descriptors = () if passed is None else (passed.fileno(),)
    command = tuple(request.filled(word, port, *descriptors) for word in request.words(port))
    mark = secrets.token_hex(8)
    environment = os.environ | {
        name: request.filled(value, port, *descriptors) for name, value in request.env.items()
    }
    environment[process_tree.MARK] = ":".join(filter(None, (os.environ.get(process_tree.MARK), mark)))
    with contextlib.ExitStack() as cleanup:
        log = ServerLog()
        cleanup.callback(log.close)
        watchdog = cleanup.enter_context(_watchdog(mark))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log.sink,
            stderr=log.sink,
            cwd=request.cwd,
            env=environment,
            pass_fds=descriptors,
            start_new_session=True,
        )
        tree = process_tree.Tree(process.pid, mark, process_tree.started_at(process.pid))
        cleanup.callback(_hang_up, process)
        cleanup.callback(_end, process, tree, request.grace_s, watchdog, os.getpid())
        watchdog.guard(tree)
        if passed is not None:
            # The server has its own copy now. If we kept ours, clients of a dead server would wait for ever.
            passed.close()
        yield _Attempt(
            request, tree, RunningServer(command, request.host, port, guarantee, process, log, lost)
        ).ready()


@dataclass(frozen=True, slots=True)
class _Watchdog:
    """The process that ends a tree if this process is killed or fails to end it; None if there is no watchdog."""

    process: subprocess.Popen[bytes] | None

    def guard(self, tree: process_tree.Tree) -> None:
        """Say which tree to end."""
        if self.process is not None and self.process.stdin is not None:  # pragma: no branch - Windows, embedded
            self.process.stdin.write(f"{tree.root} {tree.started}".encode())
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """End the watchdog: no process of the tree is left."""
        if self.process is not None:  # pragma: no branch - Windows, embedded
            self.process.kill()


@contextlib.contextmanager
def _watchdog(mark: str) -> Iterator[_Watchdog]:
    """A watchdog for the tree of *mark*. Unless it is dismissed in the body, it ends the tree after the body."""
    command = [sys.executable, "-I", "-S", process_tree.__file__, mark]
    if sys.platform == "win32" or not sys.executable:  # pragma: no cover - Windows, embedded
        yield _Watchdog(None)
        return
    with contextlib.ExitStack() as cleanup:
        with fork_lock:
            process = cleanup.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
            )
            assert process.stdin is not None
            # A forked child of this process must not keep the pipe open, because the watchdog waits for its end.
            cleanup.callback(Claim((process.stdin,)).close)
        yield _Watchdog(process)


def _end(
    process: subprocess.Popen[bytes], tree: process_tree.Tree, grace_s: float, watchdog: _Watchdog, starter: int
) -> None:
    """End the whole tree, which process *starter* started. Raises ServerError that names what survives SIGKILL.

    If this is interrupted, the watchdog is not dismissed and ends the rest of the tree.
    """
    if os.getpid() != starter:
        # This is a forked child leaving the `with` block: the server belongs to its parent.
        return
    survivors: list[process_tree.Process] = []
    if sys.platform == "win32":  # pragma: no cover - Windows
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False)
    else:
        survivors = tree.end(grace_s)
    if process.pid not in [each.pid for each in survivors]:
        # A zombie does not count as a member of the tree, but it cannot be reaped while other threads of it run.
        process.kill()
        process.wait()
    watchdog.dismiss()
    if survivors:
        named = ", ".join(f"pid {each.pid} ({owners.command_line(each.pid)})" for each in survivors)
        raise ServerError(f"SIGKILL did not end {named}; end it manually")


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close our end of the standard input of *process*, and discard what is still buffered."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def exit_status_of(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status as in subprocess, None while *process* runs. It is not reaped, so that its id is not reused.

    As in subprocess, 0 if unknown: SIGCHLD is ignored, other code has waited, or this is a forked child.
    """
    if process.returncode is None and sys.platform != "win32":
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    return process.poll()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A started server that may not listen yet."""

    request: ServerRequest
    tree: process_tree.Tree
    server: RunningServer

    def ready(self) -> RunningServer:
        """The server and its port, once this server answers there. Raises ServerError or PortTaken."""
        end_s = time.monotonic() + self.request.timeout_s
        for _ in pauses():
            # Get the status before looking at the sockets: a server that ends in between gets one more look.
            status = exit_status_of(self.server.process)
            members = self._members() if status is not None else []
            port = self._port(members)
            if port and self._answers(port, members):
                return replace(self.server, port=port)
            if status is not None and not members:
                raise self._failure(f"ended with {status_in_words(status)} before it listened", port, status)
            if time.monotonic() >= end_s:
                raise self._failure(f"did not listen in {self.request.timeout_s:g} s", port, None)
        raise AssertionError("unreachable")  # pragma: no cover - the pauses never end

    def _members(self) -> list[int]:
        if sys.platform == "win32":  # pragma: no cover - Windows
            return [self.server.pid]
        return [each.pid for each in self.tree.members()]

    def _look_from(self, members: list[int]) -> int:
        """A living process of the tree, whose /proc folder lists the sockets of the tree's network namespace."""
        return members[0] if members else self.server.pid

    def _owned(self, rows: list[owners.Socket], members: list[int]) -> list[owners.Socket]:
        """Those of *rows* that the server or a descendant has open. Reads the whole tree only if necessary."""
        owned = self._owned_by(rows, [self.server.pid])
        return owned if len(owned) == len(rows) else self._owned_by(rows, members or self._members())

    def _owned_by(self, rows: list[owners.Socket], pids: list[int]) -> list[owners.Socket]:
        inodes = frozenset().union(*map(owners.descriptors, pids))
        return [row for row in rows if row.inode in inodes or row.pid in pids]

    def _port(self, members: list[int]) -> int:
        """The port that was passed to the server, or the one that is read back; 0 while there is none."""
        if self.server.guarantee is not Guarantee.READ_BACK:
            return self.server.port
        if self.request.pattern is not None:
            said = self.request.pattern.search(self.server.log.beginning())
            return int(said.group(1)) if said else 0
        rows = [
            row
            for protocol in self.request.protocols
            for row in owners.sockets(protocol, self._look_from(members))
            if row.serves and owners.answering([row], self.request.host, row.port)
        ]
        ports = {row.port for row in self._owned(rows, members)} if rows else set()
        if len(ports) > 1:
            listed = ", ".join(map(str, sorted(ports)))
            raise self._failure(f"listens on several ports ({listed}; give read_port a pattern)", 0, None)
        return min(ports, default=0)

    def _answers(self, port: int, members: list[int]) -> bool:
        """Whether clients of *port* reach this server, for each protocol; raises if others may answer too."""
        for protocol in self.request.protocols:
            rows = owners.answering(owners.sockets(protocol, self._look_from(members)), self.request.host, port)
            owned = self._owned(rows, members) if rows else []
            if len(owned) < len(rows):
                strange = [row for row in rows if row not in owned]
                owned += owners.hidden_sockets(strange, members or self._members())
            if not owned:
                return False
            if len(owned) < len(rows):
                raise self._failure("shares its port with another process", port, None)
        return True

    def _failure(self, what: str, port: int, status: int | None) -> Exception:
        """The error *what*, with the holders of the port and the last output; PortTaken if that is the reason."""
        holders = [
            holder
            for protocol in self.request.protocols
            if port
            for holder in owners.holders(protocol, port, os.getpid())
        ]
        family = {self.server.pid, *self._members()}
        hidden = owners.hidden_sockets([holder.socket for holder in holders if not holder.pid], family)
        strangers = [
            holder
            for holder in holders
            if holder.is_open and holder.pid not in family and holder.socket not in hidden
        ]
        output = self.server.output()
        where = f"{self.request.host} port {port}" if port else self.request.host
        lines = [f"{shell_line(self.server.command)} {what} on {where}"]
        lines += [f"  {holder}{' (the server itself)' if holder.pid in family else ''}" for holder in holders]
        lines.append(f"its last output:\n{tail(output)}")
        failure = ServerError("\n".join(lines), exit_status=status, output=output, holders=holders)
        reserved = self.server.guarantee in (Guarantee.HOLD_THROUGH, Guarantee.LEASE, Guarantee.PICK)
        said_so = any(words in output.lower() for words in _IN_USE)
        if reserved and (strangers or (said_so and status is not None)):
            return PortTaken(failure, strangers=bool(strangers))
        return failure


def shell_line(command: Sequence[str]) -> str:
    return shlex.join(command)


def status_in_words(status: int) -> str:
    """An exit status in words; negative for a signal, as in subprocess."""
    if status >= 0:
        return f"status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def tail(output: str) -> str:
    """The last lines of *output*, indented."""
    lines = output[-_TAIL_CHARACTERS:].strip().splitlines() or ["(nothing)"]
    return "\n".join(f"    {line}" for line in lines)
