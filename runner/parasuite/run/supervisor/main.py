"""The supervisor's entry point: what it does before it serves."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import time

from parasuite.run.networks.namespace import NetworkError, enter_network
from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.messages import Ping, Pong, StartCopy, StartFailed, network_of
from parasuite.run.supervisor.process_tree import become_subreaper, continue_when_parent_dies, set_name
from parasuite.run.supervisor.spawner import Spawner
from parasuite.run.supervisor.supervisor import SPAWNER_GRACE_S, Supervisor


def main(descriptor: int, lifeline_descriptor: int, network: str = "") -> None:
    """Serve the orchestrator at the other end of the socket *descriptor*, until it has gone.

    INT, TERM and HUP are ignored: what they mean is the orchestrator's decision. *lifeline_descriptor*: a socket that
    supervisor, spawner and inits keep open for as long as they live. *network*: that all of them are to be in, as
    `network_text` gives it; "" for that of now.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    set_name("parasuite-super")
    orchestrator, lifeline = socket.socket(fileno=descriptor), socket.socket(fileno=lifeline_descriptor)
    for sock in (orchestrator, lifeline):
        sock.set_inheritable(False)
    descriptors = _raise_descriptor_limit()
    try:
        if network:
            enter_network(network_of(network))
    except NetworkError as error:
        _refuse_copies(Channel(orchestrator), f"no network of its own: {error.strerror}")
        return
    try:
        spawner, spawner_pid = _fork_spawner(orchestrator, lifeline)
    except OSError as error:
        _refuse_copies(Channel(orchestrator), f"fork: {error.strerror}")
        return
    become_subreaper()
    Supervisor(Channel(orchestrator), spawner, spawner_pid, lifeline, descriptors).run()


def _raise_descriptor_limit() -> tuple[int, int]:
    """Let this process open as many descriptors as it may ever; the limits until now, as setrlimit(2) has them.

    The exact sensor holds some for each thread that it remembers, and each copy takes three.
    """
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        # Refused if the limit of the whole system (fs.nr_open) has been lowered below that.
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def _fork_spawner(orchestrator: socket.socket, lifeline: socket.socket) -> tuple[socket.socket, int]:
    """Start the spawner, as long as this process has no threads; the socket to it, and its pid. Raises OSError."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        there.close()
        here.settimeout(SPAWNER_GRACE_S)
        return here, pid
    status = 1
    try:
        here.close()
        orchestrator.close()
        set_name("parasuite-spawn")
        # If it is stopped when the supervisor is killed, no one else would let it go on.
        continue_when_parent_dies()
        Spawner(there, lifeline).run()
        status = 0
    finally:
        os._exit(status)


def _refuse_copies(orchestrator: Channel, why: str) -> None:
    """Answer each order to start a copy with *why* that is impossible, until the orchestrator has gone."""
    while not orchestrator.at_end:
        select.select([orchestrator], [], [])
        for message in orchestrator.receive():
            match message:
                case StartCopy(copy=copy):
                    orchestrator.send(StartFailed(copy=copy, t_ns=time.monotonic_ns(), why=why))
                case Ping():
                    orchestrator.send(Pong())
