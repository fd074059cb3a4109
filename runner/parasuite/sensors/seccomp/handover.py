"""A filter's notify descriptor goes from the process that installs the filter to the one that serves it.

If the two are in different networks, sockets that show the first one's go with it: a netlink socket shows the network
that it was made in, wherever it is used.
"""

from __future__ import annotations

import os
import socket

from parasuite.sensors import netlink
from parasuite.sensors.seccomp.filter import Installed, NetworkWindow, SeccompError, install

_RESTART_SAFE, _NOT_RESTART_SAFE = b"restart-safe", b"not-restart-safe"
_MESSAGE_MAX = 256
_SOCKETS = 3  # The table, the one of Unix sockets, the notices of ends.


def install_and_send(channel: socket.socket, *, with_network: bool = False) -> None:
    """Install the filter on this thread and send its notify descriptor over *channel*; *with_network*: and what shows
    the network of this process.

    Raises SeccompError if the filter cannot be installed; the other side is sent the reason.
    """
    sockets: list[socket.socket] = []
    try:
        if with_network:
            # Before the filter is there: it would trap their bind.
            sockets = [netlink.open_socket() for _ in range(_SOCKETS)]
        installed = install()
    except OSError as error:
        channel.send(f"{error.errno} {error.strerror}".encode())
        raise SeccompError(error.errno or 0, error.strerror or "") from error
    message = _RESTART_SAFE if installed.restart_safe else _NOT_RESTART_SAFE
    message += b" %d" % os.stat("/proc/self/ns/net").st_ino
    socket.send_fds(channel, [message], [installed.fd, *(sock.fileno() for sock in sockets)])
    os.close(installed.fd)
    for sock in sockets:
        sock.close()


def receive(channel: socket.socket) -> Installed | None:
    """What `install_and_send` sends; None if the other side ended before it did. Waits for it.

    Raises SeccompError if the filter could not be installed.
    """
    message, fds, _, _ = socket.recv_fds(channel, _MESSAGE_MAX, 1 + _SOCKETS)
    if fds:
        for descriptor in fds:
            os.set_inheritable(descriptor, False)
        how, _, inode = message.partition(b" ")
        network = NetworkWindow(fds[1], fds[2], fds[3], int(inode)) if len(fds) > _SOCKETS else None
        return Installed(fds[0], restart_safe=how == _RESTART_SAFE, network=network)
    if not message:
        return None
    code, _, words = message.decode().partition(" ")
    raise SeccompError(int(code), words)
