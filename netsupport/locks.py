"""A lock per port number, which the kernel opens when its owner dies; and the numbers worth locking.

On Linux the lock is an abstract Unix name (unix(7)): it belongs to a network namespace, just as the port does, and
excludes all users in it. Any program in any language can take part: it binds `\\0netsupport/port/NUMBER`.
Elsewhere it is a locked file in a folder of the user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOWEST = 20_000
"""Below it lie the ports that people give to their databases and web servers."""

HIGHEST = 65_535

_NO_PORT = 1 << 16
"""The self-test's: from here on locks stand for no port."""

IANA_EPHEMERAL = (49_152, 65_535)
"""RFC 6335 section 6; the default of macOS, Windows and NetBSD."""


class Lock:
    """One port's lock, held until `close()` or the end of the process, however it ends."""

    __slots__ = ("_descriptor", "_socket")

    def __init__(self, sock: socket.socket | None, descriptor: int) -> None:
        self._socket, self._descriptor = sock, descriptor

    def close(self) -> None:
        """Give the lock back."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)

    def fileno(self) -> int:
        """The descriptor that keeps the lock."""
        return self._descriptor


def abstract_name_lock(port: int) -> Lock | None:
    """Take *port*'s abstract Unix name, or None if somebody in this network namespace has it.

    Raises OSError where there are no such names.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.bind(f"\0netsupport/port/{port}")
    except OSError as refusal:
        sock.close()
        if refusal.errno == errno.EADDRINUSE:
            return None
        raise
    return Lock(sock, sock.fileno())


def file_lock(port: int) -> Lock | None:
    """Lock *port*'s file in `lock_folder()`, or None if another process of this user has it.

    The file stays behind and means nothing by itself; deleting it would let two processes lock two files of one
    name. Raises OSError as open(2) and flock(2).
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(lock_folder() / f"port-{port}.lock", flags, 0o600)
    try:
        if sys.platform == "win32":  # pragma: no cover - Windows
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refusal:
        os.close(descriptor)
        if refusal.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return None
        raise
    return Lock(None, descriptor)


def lock_folder() -> Path:
    """The folder of this user's lock files: NETSUPPORT_LOCK_DIR, else one that no TMPDIR moves.

    Copies of a suite that run at once often get a TMPDIR each, and must see the same locks all the same.
    Raises PermissionError for a folder that another user made or may write to.
    """
    named = os.environ.get("NETSUPPORT_LOCK_DIR")
    if sys.platform == "win32":  # pragma: no cover - Windows
        folder = Path(named or Path(os.environ.get("LOCALAPPDATA", str(Path.home())), "netsupport-ports"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder = Path(named or f"/tmp/netsupport-ports-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise PermissionError(
            f"{folder} must be a folder of uid {os.getuid()} that nobody else may write to; "
            "remove it or name another in NETSUPPORT_LOCK_DIR"
        )
    return folder


def port_lock(port: int) -> Lock | None:
    """The best lock on *port* that this system has, or None if somebody holds it. Raises OSError if it has none."""
    if sys.platform == "linux":
        return abstract_name_lock(port)
    return file_lock(port)  # pragma: no cover - macOS, BSD, Windows


def why_no_lock() -> str:
    """Prove that a lock keeps a second one out; "" if it does, else why not. Raises OSError if there are no locks."""
    # On Linux, where no file stays behind, this process's own, so that no two use one name.
    number = _NO_PORT + (os.getpid() if sys.platform == "linux" else 0)
    with contextlib.ExitStack() as cleanup:
        first = port_lock(number)
        if first is not None:
            cleanup.callback(first.close)
            second = port_lock(number)
            if second is not None:
                second.close()
                return "this system gave one lock to two owners"
    # Where the first was refused, another process is at this very test: the lock excludes.
    return ""


def ephemeral_range() -> tuple[int, int]:
    """The first and the last port that the kernel gives out by itself.

    Source: ip(7), ip_local_port_range (which is per network namespace); on macOS and BSD sysctl
    net.inet.ip.portrange.first and .last; on Windows, and where that fails, RFC 6335's.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            first, last = proc_text("ip_local_port_range").split()
            return int(first), int(last)
    elif sys.platform != "win32":  # pragma: no cover - macOS, BSD
        names = ("net.inet.ip.portrange.first", "net.inet.ip.portrange.last")
        with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
            output = subprocess.run(["sysctl", "-n", *names], capture_output=True, check=True, timeout=10).stdout
            first, last = output.split()
            return int(first), int(last)
    return IANA_EPHEMERAL


def reserved_ports() -> frozenset[int]:
    """Numbers that the administrator set aside (ip_local_reserved_ports) for an owner; no lease takes them."""
    if sys.platform != "linux":  # pragma: no cover - macOS, BSD, Windows
        return frozenset()
    try:
        text = proc_text("ip_local_reserved_ports")
    except OSError:
        return frozenset()
    return frozenset(port for piece in text.split(",") if piece.strip() for port in _span(piece))


def proc_text(name: str) -> str:
    descriptor = os.open(f"/proc/sys/net/ipv4/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 65_536).decode("ascii")
    finally:
        os.close(descriptor)


def _span(piece: str) -> range:
    first, _, last = piece.strip().partition("-")
    return range(int(first), int(last or first) + 1)


def lease_ranges(ephemeral: tuple[int, int], asked: str = "") -> tuple[range, range]:
    """The numbers below and above the *ephemeral* range, from LOWEST on, or within *asked*, "first-last".

    Neither part holds a number that the kernel gives out by itself. Raises ValueError if *asked* is no range.
    """
    first, last = LOWEST, HIGHEST
    if asked:
        try:
            wanted = _span(asked)
            first, last = wanted.start, wanted.stop - 1
        except ValueError:
            first = 0
        if not 1 <= first <= last <= HIGHEST:
            raise ValueError(f'NETSUPPORT_PORT_RANGE is {asked!r}; write "first-last", each from 1 to {HIGHEST}')
    below = range(first, min(last, ephemeral[0] - 1) + 1)
    above = range(max(first, ephemeral[1] + 1), last + 1)
    return below, above


def from_a_random_start(ranges: tuple[range, range]) -> Iterator[int]:
    """Every number of *ranges* once, from a random one on and around.

    Not the random module: test plug-ins seed it, and copies that all start at the same number collide at each step.
    """
    below, above = ranges
    count = len(below) + len(above)
    start = secrets.randbelow(count) if count else 0
    for step in range(count):
        place = (start + step) % count
        yield below[place] if place < len(below) else above[place - len(below)]
