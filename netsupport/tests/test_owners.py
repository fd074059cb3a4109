"""Which processes have a port: what the kernel lists, and what lsof and netstat print on other systems."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsupport import bind_port, bound_socket, listening_socket, owners
from netsupport.owners import Holder, Socket

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Made by hand after proc_pid_net(5), with documentation's addresses where a peer is needed.
PROC_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1
   1: 0100007F:1F90 0200007F:C350 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   2: 00000000:0050 00000000:0000 0B 00000000:00000000 00:00000000 00000000     0        0 7 1
"""

LSOF = """\
p4711
f3
tIPv4
n127.0.0.1:8080
TST=LISTEN
f4
tIPv6
n*:8081
TST=LISTEN
f5
tIPv4
n127.0.0.1:8080->127.0.0.1:50000
TST=ESTABLISHED
p4712
f3
tIPv6
n[::1]:*
TST=CLOSED
"""

LSOF_UDP = "p9\nf3\ntIPv4\nn*:53\nf4\ntIPv4\nn127.0.0.1:5000->127.0.0.1:53\n"

NETSTAT = """\

Aktive Verbindungen

  Proto  Lokale Adresse         Remoteadresse          Status           PID
  TCP    0.0.0.0:135            0.0.0.0:0              ABHOEREN         900
  TCP    [::1]:8080             [::]:0                 ABHOEREN         4711
  TCP    127.0.0.1:50000        127.0.0.1:8080         HERGESTELLT      4712
  TCPv6  [::]:445               [::]:0                 ABHOEREN         4
"""

NETSTAT_UDP = """\
  UDP    127.0.0.1:5353         *:*                                    77
  UDPv6  [::]:5353              *:*                                    77
"""


@LINUX
def test_the_kernels_table_is_read_with_addresses_states_and_owners() -> None:
    assert owners.parse_proc_net("tcp", PROC_TCP) == [
        Socket("tcp", "127.0.0.1", 8080, "listening", inode=4242, uid=1000),
        Socket("tcp", "127.0.0.1", 8080, "time-wait", inode=0, uid=0),
        Socket("tcp", "0.0.0.0", 80, "closing", inode=7, uid=0),
    ]


def test_the_list_of_lsof_is_read_by_its_letters() -> None:
    assert owners.parse_lsof("tcp", LSOF) == [
        Socket("tcp", "127.0.0.1", 8080, "listening", pid=4711),
        Socket("tcp", "::", 8081, "listening", pid=4711),
        Socket("tcp", "127.0.0.1", 8080, "established", pid=4711),
    ]
    assert owners.parse_lsof("udp", LSOF_UDP) == [Socket("udp", "0.0.0.0", 53, "bound", pid=9)]


def test_the_list_of_netstat_is_read_in_any_language() -> None:
    assert owners.parse_netstat("tcp", NETSTAT) == [
        Socket("tcp", "0.0.0.0", 135, "listening", pid=900),
        Socket("tcp", "::1", 8080, "listening", pid=4711),
        Socket("tcp", "127.0.0.1", 50000, "hergestellt", pid=4712),
        Socket("tcp", "::", 445, "listening", pid=4),
    ]
    assert owners.parse_netstat("udp", NETSTAT + NETSTAT_UDP) == [
        Socket("udp", "127.0.0.1", 5353, "bound", pid=77),
        Socket("udp", "::", 5353, "bound", pid=77),
    ]


@LINUX
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::"])
def test_our_own_listener_is_in_the_table_with_the_inode_of_its_descriptor(host: str) -> None:
    with listening_socket(host) as sock:
        inode = os.fstat(sock.fileno()).st_ino
        expected = Socket("tcp", host, sock.getsockname()[1], "listening", inode, os.getuid())
        assert expected in owners.sockets("tcp", os.getpid())
        assert inode in owners.descriptors(os.getpid())


@LINUX
def test_a_udp_socket_is_bound_until_it_is_connected() -> None:
    with bound_socket(kind=socket.SOCK_DGRAM) as peer, bound_socket(kind=socket.SOCK_DGRAM) as sock:
        inode = os.fstat(sock.fileno()).st_ino

        def states() -> list[str]:
            return [row.state for row in owners.sockets("udp", os.getpid()) if row.inode == inode]

        assert states() == ["bound"]
        sock.connect(peer.getsockname())
        assert states() == ["connected"]


@pytest.fixture
def gone() -> Iterator[int]:
    """The id of a process that has ended and is not reaped, so that no other process gets the id."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


@LINUX
def test_a_process_that_has_ended_has_no_sockets_no_descriptors_and_no_command(gone: int) -> None:
    assert owners.sockets("tcp", gone) == []
    assert owners.descriptors(gone) == frozenset()
    assert owners.command_line(gone) == ""
    assert owners.command_line(2**30) == ""


@LINUX
def test_the_holder_of_a_port_is_named_with_its_command_line(lone_listener: socket.socket) -> None:
    port = lone_listener.getsockname()[1]
    (holder,) = owners.holders("tcp", port, os.getpid())
    assert (holder.pid, holder.command) == (os.getpid(), owners.command_line(os.getpid()))
    assert str(holder) == f"tcp 127.0.0.1:{port} listening: pid {os.getpid()}, {holder.command}"


@LINUX
def test_every_process_that_shares_a_socket_is_a_holder(lone_listener: socket.socket) -> None:
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[lone_listener.fileno()],
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        holders = owners.holders("tcp", lone_listener.getsockname()[1], os.getpid())
    assert {holder.pid for holder in holders} == {os.getpid(), child.pid}


@LINUX
def test_a_connection_in_time_wait_is_a_holder_without_a_process(scene: Any) -> None:
    port, holders = scene("a_connection_in_time_wait")
    assert holders == [f"tcp 127.0.0.1:{port} time-wait: closed by all processes"]


@LINUX
def test_a_socket_is_listed_once_while_others_come_and_go(scene: Any) -> None:
    assert scene("a_listener_in_a_crowd") == [1]


@LINUX
def test_an_unused_port_has_no_holder() -> None:
    with listening_socket() as sock:
        port = sock.getsockname()[1]
        assert owners.holders("udp", 65_536 + port, os.getpid()) == []


@LINUX
def test_a_socket_of_a_process_that_cannot_be_inspected_is_named_by_its_user(
    lone_listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an unprivileged user meets root's: what /proc would show of the descriptors is made empty."""
    monkeypatch.setattr(owners, "descriptors", lambda _pid: frozenset())
    (holder,) = owners.holders("tcp", lone_listener.getsockname()[1], os.getpid())
    assert holder.pid == 0
    assert holder.command == f"a process of uid {os.getuid()} that cannot be inspected from here"


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    holder = Holder(Socket("tcp", "::1", 80, "listening"), 7, "httpd")
    assert str(holder) == "tcp [::1]:80 listening: pid 7, httpd"


def listening_on(*addresses: str) -> list[Socket]:
    return [Socket("tcp", address, 80, "listening") for address in addresses]


@pytest.mark.parametrize(
    ("host", "listeners", "answer"),
    [
        ("127.0.0.1", ["127.0.0.1", "0.0.0.0", "::"], ["127.0.0.1"]),
        ("127.0.0.1", ["::ffff:127.0.0.1", "::"], ["::ffff:127.0.0.1"]),
        ("127.0.0.1", ["127.0.0.2", "0.0.0.0"], ["0.0.0.0"]),
        ("127.0.0.1", ["::", "::1"], ["::"]),
        ("127.0.0.1", ["127.0.0.2", "::1"], []),
        ("127.0.0.1", ["0.0.0.0", "0.0.0.0"], ["0.0.0.0", "0.0.0.0"]),
        ("::1", ["0.0.0.0", "127.0.0.1", "::"], ["::"]),
        ("::1", ["::1", "::"], ["::1"]),
        ("::1", ["0.0.0.0"], []),
        ("0:0::0001", ["::1", "::"], ["::1"]),
        ("FE80::1%eth0", ["fe80::1", "::"], ["fe80::1"]),
        ("::ffff:127.0.0.1", ["127.0.0.1", "::"], ["127.0.0.1"]),
    ],
)
def test_the_most_specific_listener_answers(host: str, listeners: list[str], answer: list[str]) -> None:
    assert [row.address for row in owners.answering(listening_on(*listeners), host, 80)] == answer


@given(
    st.lists(
        st.builds(
            Socket,
            st.just("tcp"),
            st.sampled_from(["127.0.0.1", "0.0.0.0", "::", "::1"]),
            st.integers(80, 82),
            st.sampled_from(["listening", "established", "time-wait"]),
        )
    ),
    st.sampled_from(["127.0.0.1", "::1"]),
)
def test_only_listeners_on_the_port_answer_and_all_on_one_address(rows: list[Socket], host: str) -> None:
    chosen = owners.answering(rows, host, 80)
    assert all(row.port == 80 and row.state == "listening" for row in chosen)
    assert len({row.address for row in chosen}) <= 1


def on_every_ipv6_address(kind: socket.SocketKind, *, alone: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
    bind_port(sock, "::")
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


KINDS: list[tuple[owners.Transport, socket.SocketKind]] = [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)]


@LINUX
@pytest.mark.parametrize(("protocol", "kind"), KINDS)
def test_a_socket_on_every_ipv6_address_answers_on_ipv4_unless_it_is_ipv6_only(
    protocol: owners.Transport, kind: socket.SocketKind
) -> None:
    answers = {}
    for alone in (False, True):
        with on_every_ipv6_address(kind, alone=alone) as sock:
            rows = owners.answering(owners.sockets(protocol, os.getpid()), "127.0.0.1", sock.getsockname()[1])
            answers[alone] = [row.address for row in rows]
    assert answers == {False: ["::"], True: []}


@LINUX
def test_where_the_kernel_cannot_be_asked_a_socket_on_every_ipv6_address_counts_for_ipv4(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a sandbox that has no netlink: the refusal is made up."""
    with on_every_ipv6_address(socket.SOCK_STREAM, alone=True) as sock:
        rows = owners.sockets("tcp", os.getpid())

        def refused(*_arguments: int) -> NoReturn:
            raise PermissionError

        monkeypatch.setattr(socket, "socket", refused)
        assert len(owners.answering(rows, "127.0.0.1", sock.getsockname()[1])) == 1


@LINUX
def test_a_socket_counts_as_hidden_only_if_no_visible_process_has_it(
    monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    """A program's own user meets it so, root does not: what /proc would answer is made up."""

    def refused(_path: str) -> NoReturn:
        raise PermissionError

    def unseen(inode: int, uid: int) -> Socket:
        return Socket("tcp", "127.0.0.1", 80, "listening", inode, uid)

    mine, another_users, ownerless = unseen(1, os.getuid()), unseen(1, os.getuid() + 1), unseen(0, os.getuid())
    with listening_socket() as sock:
        seen = unseen(os.fstat(sock.fileno()).st_ino, os.getuid())
        rows = [mine, another_users, ownerless, seen]
        assert owners.hidden_sockets(rows, [os.getpid(), gone, 2**30]) == []
        monkeypatch.setattr(owners, "_hides", lambda _pid: True)
        assert owners.hidden_sockets(rows, [os.getpid(), 2**30]) == [mine]
        monkeypatch.undo()
        monkeypatch.setattr(os, "readlink", refused)
        assert owners.hidden_sockets(rows, [os.getpid()]) == [mine, seen]
