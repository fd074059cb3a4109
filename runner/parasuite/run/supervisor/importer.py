"""The supervisor's end of the importer: the process that has imported the tests, from which copies are forked."""

from __future__ import annotations

import socket

from parasuite.run.supervisor.channel import Channel
from parasuite.run.supervisor.messages import (
    ForkInit,
    ImporterReady,
    RunMainProcess,
    StartImporter,
    from_json,
    to_json,
)
from parasuite.run.supervisor.spawner import PACKET_MAX

ENDED_EARLY = "pytest ended before it had collected the tests"


class Importer:
    """*channel*: to the process that becomes the importer; used once, for what it is to execute.

    *there*: the importer's end of the socket for orders, a packet each, to be closed here once it is passed on.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.is_ready = False
        self.why_unfit = ENDED_EARLY
        self._orders, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        return self._orders.fileno()

    def execute(self, order: StartImporter, descriptors: tuple[int, int]) -> None:
        """*descriptors*: see RunMainProcess."""
        self.channel.send(
            RunMainProcess(
                argv=order.argv,
                env=order.env,
                cwd=order.cwd,
                output=order.output,
                ignored=(),
                descriptors=descriptors,
            )
        )

    def receive(self) -> None:
        """Read its answer, if there is one: sets `is_ready`, or *why_unfit*, why copies cannot be forked from it."""
        try:
            packet = self._orders.recv(PACKET_MAX, socket.MSG_DONTWAIT)
        except OSError:
            packet = b""
        if packet:
            answer = from_json(packet)
            assert isinstance(answer, ImporterReady)
            self.is_ready, self.why_unfit = not answer.why, answer.why

    def fork(self, copy: int, sockets: list[socket.socket]) -> bool:
        """Have it fork the init of *copy*, which gets *sockets*; False if it has ended."""
        try:
            packet = [to_json(ForkInit(copy))]
            socket.send_fds(self._orders, packet, [sock.fileno() for sock in sockets], socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """It ends once it has carried out what it was ordered."""
        self.channel.close()
        self._orders.close()
