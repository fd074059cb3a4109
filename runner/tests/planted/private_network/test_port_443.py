"""Clients beside a copy that listens on every address, but in a network namespace of its own: nobody meets.

Not one packet leaves this host: a socket bound to 127.0.0.1 cannot connect to another host (EINVAL, ENETUNREACH).
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

import pytest

HERE, PORT = "127.0.0.1", 443
ELSEWHERE = "192.0.2.1"  # TEST-NET-1, which no host has: RFC 5737 section 3.
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


def enter_a_network_of_ones_own():
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


class Apart:
    """A child that does *body* in a network of its own and stays there until it is let go."""

    def __init__(self, body):
        self._here, there = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            status = 1
            try:
                self._here.close()
                enter_a_network_of_ones_own()
                kept = body()
                there.send(b"x")
                there.recv(1)
                status = 0
                del kept
            finally:
                os._exit(status)
        there.close()
        self.is_up = self._here.recv(1) == b"x"

    def let_go(self):
        self._here.close()
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


@pytest.fixture
def apart():
    if Apart(lambda: None).let_go() != 0:
        pytest.skip("user and network namespaces are refused here")
    return Apart


def beside_a_private_listener(apart, meet, copy, client):
    if copy == 0:
        server = apart(lambda: socket.create_server(("0.0.0.0", PORT)))
        assert server.is_up
        meet("up")
        meet("tried")
        assert server.let_go() == 0
    else:
        meet("up")
        client()
        meet("tried")


def test_a_client_of_the_internet(apart, meet, copy):
    def connect():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(type=kind) as client:
                client.bind((HERE, 0))
                assert client.connect_ex((ELSEWHERE, PORT)) in (errno.EINVAL, errno.ENETUNREACH)

    beside_a_private_listener(apart, meet, copy, connect)


def test_a_client_of_the_same_number_in_another_network_of_its_own(apart, meet, copy):
    def connect():
        with socket.socket() as client:
            assert client.connect_ex((HERE, PORT)) == errno.ECONNREFUSED

    def connect_apart():
        client = apart(connect)
        assert client.is_up
        assert client.let_go() == 0

    beside_a_private_listener(apart, meet, copy, connect_apart)
