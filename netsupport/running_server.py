"""Run an external server on a port that no other process has, and make sure that this server answers there.

    with running_server(["openssl", "s_server", "-accept", "{port}", ...]) as server:
        socket.create_connection(server.address)

    def nginx(port):
        configuration.write_text(f"events {{}} http {{ server {{ listen 127.0.0.1:{port}; }} }}")
        return ["nginx", "-g", "daemon off;", "-c", configuration]

    with running_server(nginx) as server:
        ...

A server that can report its port (`read_port`) or accept a bound socket (`pass_fd`) needs no reservation; any other
gets a port from `reserve_port`. A server is ready when its process, or a descendant, owns the listening socket: a
connection that succeeds would only prove that some process answers.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from netsupport.leases import Guarantee, Kind, check_host, reserve_port
from netsupport.ports import HOST, listening_socket
from netsupport.server_attempt import (
    PortTaken,
    RunningServer,
    ServerError,
    ServerRequest,
    exit_status_of,
    shell_line,
    started,
    status_in_words,
    tail,
)
from netsupport.server_command import Command, words_for_port

__all__ = ["RunningServer", "ServerError", "running_server"]


@contextlib.contextmanager
def running_server(
    command: Command,
    *,
    host: str = HOST,
    kind: Kind = "tcp",
    read_port: bool | str | re.Pattern[str] = False,
    pass_fd: bool = False,
    child_reuses_address: bool = True,
    attempts: int = 3,
    timeout_s: float = 30.0,
    grace_s: float = 5.0,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    check: bool = True,
) -> Iterator[RunningServer]:
    """Start *command*, wait until it listens on *host*, yield it, and stop it with all its descendants.

    If the server reads its port from a configuration file, *command* is a function: it is called with the port
    before each attempt, writes the file and returns the program and its arguments. A port that was lost is not used
    again, so the function is then called with another one. What it raises is raised here.

    `{port}` and `{host}` are filled in, in *command* and in the values of *env* (which is added to the environment);
    so is `{fd}` if *pass_fd* is true. The port comes from one of these, best first:

    - *pass_fd*: the server takes over a listening socket, descriptor `{fd}` (POSIX, TCP);
    - *read_port*: `{port}`, or the port that the function is given, is 0 and the kernel assigns the server a port.
      True reads the port from the table of listening sockets; a pattern finds it in the output, as its first group;
    - otherwise `reserve_port(host, kind=kind, child_reuses_address=...)`. If another process takes the port anyway,
      this tries another port, up to *attempts* in all. It changes to a lease if the server seems not to set
      SO_REUSEADDR.

    The server is ready when the socket that answers on *host* belongs to the process or a descendant (on Windows: to
    the process). *timeout_s* limits each attempt; SIGKILL follows SIGTERM after *grace_s* seconds. Standard input is
    an open, silent pipe; output is kept. All descendants of the server are ended, on Linux daemons too. If this
    process is killed, or interrupted while it ends the server, a watchdog ends it (POSIX). A forked child leaving the
    `with` block does not stop the server.

    Raises ServerError if the server does not start; if it ends in the body with a status other than 0 and *check* is
    true; or if a process survives SIGKILL. If the body raises, the server's last output is added as a note. Raises
    ValueError if *command* does not say which port to use or *host* is a name; TypeError if *command*, or what it
    returns, is not a list of text and paths; OSError if the command cannot be executed.
    """
    reads = bool(read_port)
    words_of = words_for_port(command)

    def words_for(port: int) -> tuple[str, ...]:
        words = words_of(port)
        _check_placeholders([*words, *(env or {}).values()], knows_port=reads or callable(command), passes=pass_fd)
        return words

    pattern = re.compile(read_port) if isinstance(read_port, str) else read_port
    request = ServerRequest(
        words_for,
        host,
        kind,
        pattern if isinstance(pattern, re.Pattern) else None,
        timeout_s,
        grace_s,
        dict(env or {}),
        cwd,
    )
    _check(request, reads=reads, passes=pass_fd, attempts=attempts)
    if not callable(command):
        words_for(0)  # A mistake in it is an error before anything starts.
    with contextlib.ExitStack() as cleanup:
        if pass_fd:
            server = cleanup.enter_context(_passed(request))
        elif reads:
            server = cleanup.enter_context(started(request, 0, Guarantee.READ_BACK))
        else:
            server = cleanup.enter_context(_reserved(request, attempts, child_reuses_address))
        try:
            yield server
        except BaseException as failure:
            failure.add_note(f"last output of the server {shell_line(server.command)}:\n{tail(server.output())}")
            raise
        status = exit_status_of(server.process)
        if check and status:
            raise ServerError(
                f"{shell_line(server.command)} ended with {status_in_words(status)} before it was stopped; "
                f"its last output:\n{tail(server.output())}",
                exit_status=status,
                output=server.output(),
            )


def _check(request: ServerRequest, *, reads: bool, passes: bool, attempts: int) -> None:
    check_host(request.host)
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}; it must be 1 or more")
    if passes and (reads or request.kind != "tcp" or os.name != "posix"):
        raise ValueError("pass_fd passes a listening TCP socket: it needs POSIX, kind='tcp' and no read_port")
    if reads and request.kind == "both":
        raise ValueError("read_port reads one port and kind='both' has two; {port} reserves one port for both")


def _check_placeholders(texts: Sequence[str], *, knows_port: bool, passes: bool) -> None:
    """*texts*: of the command and the environment. *knows_port*: whether the port need not be in them."""
    if passes and not any("{fd}" in text for text in texts):
        raise ValueError("pass_fd needs {fd} in command or env, to tell the server which descriptor to use")
    if not (passes or knows_port or any("{port}" in text for text in texts)):
        raise ValueError(
            "nothing tells the server its port; write {port} in command or env, use read_port or pass_fd, or let "
            "command be a function of the port that writes the server's configuration file"
        )


@contextlib.contextmanager
def _passed(request: ServerRequest) -> Iterator[RunningServer]:
    with listening_socket(request.host) as sock:
        with started(request, sock.getsockname()[1], Guarantee.PASSED, sock) as server:
            yield server


@contextlib.contextmanager
def _reserved(request: ServerRequest, attempts: int, child_reuses_address: bool) -> Iterator[RunningServer]:
    lost: list[str] = []
    reuses = child_reuses_address
    while True:
        with contextlib.ExitStack() as cleanup:
            lease = cleanup.enter_context(reserve_port(request.host, kind=request.kind, child_reuses_address=reuses))
            try:
                server = cleanup.enter_context(started(request, lease.port, lease.guarantee, lost=tuple(lost)))
            except PortTaken as attempt:
                lost.append(f"port {lease.port} ({lease.guarantee}): {str(attempt).splitlines()[0]}")
                if len(lost) >= attempts:
                    failure = attempt.failure
                    raise ServerError(
                        f"{failure}\ngave up after {len(lost)} attempts:\n" + "\n".join(f"  {why}" for why in lost),
                        exit_status=failure.exit_status,
                        output=failure.output,
                        holders=failure.holders,
                        lost=lost[:-1],
                    ) from None
                # No other process is visible on the held port, so our own hold was in the way: no SO_REUSEADDR.
                reuses = reuses and attempt.strangers
                continue
            yield server
            return
