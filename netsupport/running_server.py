"""Run an external server on a port that is its own, and know that it is the one that answers.

    with running_server(["openssl", "s_server", "-accept", "{port}", ...]) as server:
        socket.create_connection(server.address)

A server that can say which port it took (`read_port`) or take a bound socket (`pass_fd`) needs no reservation;
any other gets a number from `reserve_port`. It counts as ready when *it*, or a descendant, owns the listening
socket: a connection that succeeds proves only that somebody answers.
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
    shown,
    started,
    status_in_words,
    tail,
)

__all__ = ["RunningServer", "ServerError", "running_server"]


@contextlib.contextmanager
def running_server(
    command: Sequence[str | os.PathLike[str]],
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
    """Start *command*, wait until it listens on *host*, yield it, and stop it with everything it started.

    In *command* and in the values of *env* (added to the environment), `{port}` and `{host}` are filled in, and
    `{fd}` with *pass_fd*. Where the port comes from, best first:

    - *pass_fd*: the server takes over a listening socket, descriptor `{fd}` (POSIX, TCP);
    - *read_port*: `{port}` is 0 and the server binds what the kernel gives; True reads the port from the table of
      listening sockets, a pattern from the output, where its first group is the port;
    - else `reserve_port(host, kind=kind, child_reuses_address=...)`. If somebody else has the port all the same,
      another number is tried, *attempts* in all; a lease, if it seems that the server does not set SO_REUSEADDR.

    Ready means that the socket which answers on *host* belongs to the process or a descendant (Windows: to the
    process). *timeout_s* bounds each attempt; SIGTERM comes before SIGKILL by *grace_s* seconds. Standard input is a
    pipe on which nothing comes; output is kept. The server ends with all its descendants, on Linux daemons too. If
    this process is killed, or interrupted while it ends the server, a watchdog does (POSIX). A forked child that
    leaves the body ends nothing.

    Raises ServerError if the server does not start; if it ended in the body with a status other than 0 and *check* is
    true; or if some process outlives SIGKILL. A failure of the body gets the server's last output as a note.
    ValueError for a *command* that says nowhere which port to take and for a *host* that is a name; OSError if the
    command cannot be executed.
    """
    words = tuple(os.fspath(word) for word in command)
    pattern = re.compile(read_port) if isinstance(read_port, str) else read_port
    request = ServerRequest(
        words,
        host,
        kind,
        pattern if isinstance(pattern, re.Pattern) else None,
        timeout_s,
        grace_s,
        dict(env or {}),
        cwd,
    )
    _check(request, reads=bool(read_port), passes=pass_fd, attempts=attempts)
    with contextlib.ExitStack() as cleanup:
        if pass_fd:
            server = cleanup.enter_context(_passed(request))
        elif read_port:
            server = cleanup.enter_context(started(request, 0, Guarantee.READ_BACK))
        else:
            server = cleanup.enter_context(_reserved(request, attempts, child_reuses_address))
        try:
            yield server
        except BaseException as failure:
            failure.add_note(f"the server beside it, {shown(server.command)}, said last:\n{tail(server.output())}")
            raise
        status = exit_status_of(server.process)
        if check and status:
            raise ServerError(
                f"{shown(server.command)} ended with {status_in_words(status)} before it was stopped; "
                f"its last output:\n{tail(server.output())}",
                exit_status=status,
                output=server.output(),
            )


def _check(request: ServerRequest, *, reads: bool, passes: bool, attempts: int) -> None:
    texts = [*request.command, *request.env.values()]
    if not request.command:
        raise ValueError("command is empty; give the program and its arguments")
    check_host(request.host)
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}; at least 1 is needed")
    if passes and (reads or request.kind != "tcp" or os.name != "posix"):
        raise ValueError("pass_fd hands over a listening TCP socket: POSIX only, kind='tcp', and without read_port")
    if passes and not any("{fd}" in text for text in texts):
        raise ValueError("pass_fd needs {fd} somewhere in command or env, where the server reads the descriptor")
    if not (passes or reads or any("{port}" in text for text in texts)):
        raise ValueError(
            "the server is not told its port; write {port} in command or env, or pass read_port or pass_fd"
        )
    if reads and request.kind == "both":
        raise ValueError("read_port reads one port and kind='both' has two; reserve one number for both instead")


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
                        f"{failure}\ngiven up after {len(lost)} attempts:\n" + "\n".join(f"  {why}" for why in lost),
                        exit_status=failure.exit_status,
                        output=failure.output,
                        holders=failure.holders,
                        lost=lost[:-1],
                    ) from None
                # Nobody to be seen on a held port: it was our own hold, and the server does not set SO_REUSEADDR.
                reuses = reuses and attempt.strangers
                continue
            yield server
            return
