"""Which processes have a port: the sockets of a host with their owners, as the kernel lists them.

Linux: /proc/PID/net/{tcp,tcp6,udp,udp6} and /proc/PID/fd (proc_pid_net(5), proc_pid_fd(5)). macOS and BSD: lsof.
Windows: netstat. None of them lists a TCP socket that is bound but neither listening nor connected.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netsupport import process_tree

Transport = Literal["tcp", "udp"]

_TCP_STATES = {1: "established", 2: "syn-sent", 6: "time-wait", 8: "close-wait", 10: "listening"}

_SOCK_DIAG, _DIAG_BY_FAMILY, _DUMP, _V6ONLY = 4, 20, 0x301, 11
_CLOSE, _LISTEN = 7, 10
_COMMAND_LINE_MAX = 1 << 20

_DIAG_REQUEST = struct.Struct("=IHHII BBBBI 48x")
"""nlmsghdr and inet_diag_req_v2, with any address and port. Source: linux/inet_diag.h."""


@dataclass(frozen=True, slots=True)
class Socket:
    """One socket of the host. *state* is "listening" for a TCP listener and "bound" for a UDP socket.

    On Linux *inode* identifies its descriptors; on other systems *pid* is its process. Both are 0, and *uid* is -1,
    if unknown.
    """

    protocol: Transport
    address: str
    port: int
    state: str
    inode: int = 0
    uid: int = -1
    pid: int = 0

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.protocol} {address}:{self.port} {self.state}"

    @property
    def serves(self) -> bool:
        """Whether it accepts connections or datagrams from any peer."""
        return self.state in ("listening", "bound")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a socket open. If the process cannot be seen, *pid* is 0 and *command* says why."""

    socket: Socket
    pid: int
    command: str

    @property
    def is_open(self) -> bool:
        """Whether any process has the socket open, visible or not. No process has a connection in TIME_WAIT open."""
        return bool(self.pid or self.socket.inode)

    def __str__(self) -> str:
        return f"{self.socket}: {f'pid {self.pid}, ' if self.pid else ''}{self.command}"


def sockets(protocol: Transport, pid: int) -> list[Socket]:
    """The *protocol* sockets in the network namespace of process *pid*; none if the process has ended."""
    if sys.platform == "linux":
        found: list[Socket] = []
        for name in (protocol, f"{protocol}6"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, OSError):
                found += parse_proc_net(protocol, Path(f"/proc/{pid}/net/{name}").read_text("ascii"))
        # While sockets are opened and closed, the kernel may list others twice (3 % of reads beside busy processes).
        return list(dict.fromkeys(found))
    if sys.platform == "win32":  # pragma: no cover - Windows
        # Without -p, which would leave out IPv6: for netstat TCPv6 and UDPv6 are separate protocols.
        return parse_netstat(protocol, _printed("netstat", "-a", "-n", "-o"))
    return parse_lsof(protocol, _printed("lsof", "-nP", f"-i{protocol}", "-FptnT"))  # pragma: no cover - macOS, BSD


def _printed(*command: str) -> str:  # pragma: no cover - macOS, BSD, Windows
    return subprocess.run(command, capture_output=True, check=False, timeout=30).stdout.decode("utf-8", "replace")


def parse_proc_net(protocol: Transport, text: str) -> list[Socket]:
    """The rows of /proc/net/tcp, tcp6, udp or udp6, where addresses are 32-bit words in the host's byte order."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        words, _, port = fields[1].partition(":")
        packed = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
        address = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
        code = int(fields[3], 16)
        connected = fields[2].rpartition(":")[2] != "0000"
        state = _TCP_STATES.get(code, "closing") if protocol == "tcp" else "connected" if connected else "bound"
        found.append(Socket(protocol, address, int(port, 16), state, int(fields[9]), int(fields[7])))
    return found


def parse_lsof(protocol: Transport, text: str) -> list[Socket]:
    """The output of `lsof -nP -iTCP -FptnT`: a letter and a value per line, for process, type, name and state."""
    found: list[Socket] = []
    pid, name, wildcard = 0, "", ""
    for line in text.splitlines():
        letter, value = line[:1], line[1:]
        if letter == "p":
            pid = int(value)
        elif letter == "t":
            wildcard = "::" if value == "IPv6" else "0.0.0.0"
        elif letter == "n":
            name = value.replace("*", wildcard, 1)
            if protocol == "udp" and "->" not in name:
                found += _named(protocol, name, "bound", pid)
        elif letter == "T" and value.startswith("ST=") and protocol == "tcp":
            state = "listening" if value == "ST=LISTEN" else value.removeprefix("ST=").lower()
            found += _named(protocol, name.partition("->")[0], state, pid)
    return found


def parse_netstat(protocol: Transport, text: str) -> list[Socket]:
    """The output of `netstat -a -n -o`. States may be translated, so a listener is recognised by peer port 0."""
    found: list[Socket] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or not fields[0].lower().startswith(protocol) or not fields[-1].isdecimal():
            continue
        state = "bound" if protocol == "udp" else "listening" if fields[2].endswith(":0") else fields[3].lower()
        found += _named(protocol, fields[1], state, int(fields[-1]))
    return found


def _named(protocol: Transport, name: str, state: str, pid: int) -> list[Socket]:
    address, _, port = name.rpartition(":")
    if not port.isdecimal():
        return []
    address = address.strip("[]")
    return [Socket(protocol, address, int(port), state, pid=pid)]


def answering(rows: Iterable[Socket], host: str, port: int) -> list[Socket]:
    """Those of *rows* that receive what a client sends to *host* *port*: the most specific address wins.

    A socket on `::` also serves an IPv4 *host* unless it is IPv6-only. The tables do not show that.
    """
    here = [row for row in rows if row.serves and row.port == port]
    target = ipaddress.ip_address(host)
    if isinstance(target, ipaddress.IPv6Address):
        target = target.ipv4_mapped or target
    # Rows have addresses in the form that str() gives, without a scope, however *host* is written.
    name = str(target).partition("%")[0]
    if target.version == 6:
        here = [row for row in here if ":" in row.address]
        ranks = [{name}, {"::"}]
    else:
        ranks = [{name, f"::ffff:{name}"}, {"0.0.0.0", "::ffff:0.0.0.0"}, {"::"}]
    for rank in ranks:
        if chosen := [row for row in here if row.address in rank]:
            if target.version == 4 and "::" in rank:
                excluded = ipv6_only(chosen[0].protocol)
                return [row for row in chosen if row.inode not in excluded]
            return chosen
    return []


def ipv6_only(protocol: Transport) -> frozenset[int]:
    """The inodes of the IPv6-only sockets (IPV6_V6ONLY) in this network namespace.

    Empty if the kernel cannot be asked: not on Linux, or in a sandbox without netlink. Source: sock_diag(7).
    """
    if sys.platform != "linux":  # pragma: no cover - macOS, BSD, Windows
        return frozenset()
    number, state = (socket.IPPROTO_TCP, _LISTEN) if protocol == "tcp" else (socket.IPPROTO_UDP, _CLOSE)
    request = _DIAG_REQUEST.pack(72, _DIAG_BY_FAMILY, _DUMP, 0, 0, socket.AF_INET6, number, 0, 0, 1 << state)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as link:
            link.send(request)
            return frozenset(inode for inode, only_ipv6 in _diag_rows(link) if only_ipv6)
    except OSError:
        return frozenset()


def _diag_rows(link: socket.socket) -> Iterator[tuple[int, bool]]:
    """The inode of each socket in the kernel's reply, and whether the socket is IPv6-only.

    A message is a nlmsghdr (16 bytes), an inet_diag_msg (72, of which the inode is the last 4), and attributes.
    """
    while True:
        answer = link.recv(1 << 16)
        start = 0
        while start < len(answer):
            length, kind = struct.unpack_from("=IH", answer, start)
            if kind != _DIAG_BY_FAMILY:
                return
            only_ipv6, at = False, start + 88
            while at < start + length:
                size, name = struct.unpack_from("=HH", answer, at)
                only_ipv6 = only_ipv6 or (name == _V6ONLY and answer[at + 4] != 0)
                at += (size + 3) & ~3
            yield struct.unpack_from("=I", answer, start + 84)[0], only_ipv6
            start += (length + 3) & ~3


def descriptors(pid: int) -> frozenset[int]:
    """The inodes of the sockets that process *pid* has open; none if it has ended or belongs to another user."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(int(target[8:-1]))
    return frozenset(inodes)


def hidden_sockets(rows: Iterable[Socket], pids: Iterable[int]) -> list[Socket]:
    """Those of *rows* that a process of *pids* may have open, hidden from us.

    They are owned by the same user and not visible in any other process. A program with capabilities or a set-user-id
    bit hides its descriptors even from its own user, and any program can. Source: prctl(2), PR_SET_DUMPABLE;
    proc_pid_fd(5).
    """
    uids = {uid for pid in pids if _hides(pid) for uid in _uids(pid)}
    unseen = [row for row in rows if row.inode and row.uid in uids]
    seen = frozenset().union(*map(descriptors, _all_pids())) if unseen else frozenset()
    return [row for row in unseen if row.inode not in seen]


def _hides(pid: int) -> bool:
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            os.readlink(f"/proc/{pid}/fd/{name}")
    except PermissionError:
        # Only root can inspect a zombie, too, but a zombie has nothing open.
        return process_tree.process(pid) is not None
    except OSError:
        # The process has ended, or has just closed this descriptor.
        return False
    return False


def _uids(pid: int) -> list[int]:
    """The real, effective, saved and file system uid of process *pid*. Source: proc_pid_status(5)."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_bytes()
        return [int(uid) for uid in status.partition(b"\nUid:")[2].partition(b"\n")[0].split()]
    return []


def command_line(pid: int) -> str:
    """The command line of process *pid*; "" if the process has ended."""
    if sys.platform != "linux":  # pragma: no cover - macOS, BSD, Windows
        return _printed("ps", "-o", "command=", "-p", str(pid)).strip() if sys.platform != "win32" else ""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            # A process can make it gigabytes long (prctl(2), PR_SET_MM).
            words = file.read(_COMMAND_LINE_MAX).rstrip(b"\0").split(b"\0")
        return b" ".join(words).decode("utf-8", "backslashreplace")
    return ""


def holders(protocol: Transport, port: int, pid: int) -> list[Holder]:
    """Every socket with local port *port* in the namespace of process *pid*, with the processes that have it open."""
    rows = [row for row in sockets(protocol, pid) if row.port == port]
    if not rows:
        return []
    if sys.platform == "linux":
        inodes = {row.inode for row in rows} - {0}
        owners = [(each, shared) for each in _all_pids() if (shared := descriptors(each) & inodes)]
    else:  # pragma: no cover - macOS, BSD, Windows
        owners = []
    found = []
    for row in rows:
        pids = [row.pid] if row.pid else [each for each, shared in owners if row.inode in shared]
        found += [Holder(row, each, command_line(each)) for each in pids]
        if not pids:
            found.append(Holder(row, 0, _unseen(row)))
    return found


def _unseen(row: Socket) -> str:
    if row.inode == 0:
        return "closed by all processes"
    return f"a process of uid {row.uid} that cannot be inspected from here"


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
