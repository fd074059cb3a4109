"""One lock per port, which the kernel releases when its owner ends; and the ports that may be leased under it.

On Linux the lock is an abstract Unix socket name (unix(7)). It belongs to a network namespace, as ports do, and
excludes all users in it. A program in any language can take part by binding `\\0netsupport/port/PORT`.
On other systems the lock is a locked file in a folder of the user.
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
"""Ports below this one are left to databases, web servers and the like, which people configure by hand."""

HIGHEST = 65_535

_NO_PORT = 1 << 16
"""Locks from this number on do not belong to a port; the self-test uses them."""

IANA_EPHEMERAL = (49_152, 65_535)
"""RFC 6335 section 6; the default of macOS, Windows and NetBSD."""


class Lock:
    """The lock of one port, held until `close()` or until the process ends, for whatever reason."""

    __slots__ = ("_descriptor", "_socket")

    def __init__(self, sock: socket.socket | None, descriptor: int) -> None:
        self._socket, self._descriptor = sock, descriptor

    def close(self) -> None:
        """Release the lock."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._descriptor


def abstract_name_lock(port: int) -> Lock | None:
    """Take the abstract Unix socket name of *port*; None if another socket in this network namespace has it.

    Raises OSError on systems without abstract names.
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
    """Lock the file of *port* in `lock_folder()`; None if another process of this user has locked it.

    The file is never deleted: if it were, two processes could each lock a different file of the same name. A file
    that is not locked has no meaning. Raises OSError as open(2) and flock(2).
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
    """The folder of this user's lock files: NETSUPPORT_LOCK_DIR, else a fixed one that does not depend on TMPDIR.

    Test suites that run at the same time often have a TMPDIR each, and still have to see the same locks. Raises
    PermissionError if the folder belongs to another user, or if another user may write to it.
    """
    named = os.environ.get("NETSUPPORT_LOCK_DIR")
    if sys.platform == "win32":  # pragma: no cover - Windows
        folder = Path(named or Path(os.environ.get("LOCALAPPDATA", str(Path.home())), "netsupport-ports"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder = Path(named or f"/tmp/netsupport-ports-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"{folder} must be a folder that belongs to uid {os.getuid()} and that only this user can write to; "
            "remove it, or set NETSUPPORT_LOCK_DIR to another folder"
        )
    return folder


def port_lock(port: int) -> Lock | None:
    """Lock *port*; None if it is locked already. Raises OSError if this system offers no lock."""
    if sys.platform == "linux":
        return abstract_name_lock(port)
    return file_lock(port)  # pragma: no cover - macOS, BSD, Windows


def why_no_lock() -> str:
    """Test whether a lock excludes a second owner; "" if so, else why not. Raises OSError if there are no locks."""
    # On Linux each process uses its own number. Elsewhere all use the same, since each number leaves a file behind.
    number = _NO_PORT + (os.getpid() if sys.platform == "linux" else 0)
    with contextlib.ExitStack() as cleanup:
        first = port_lock(number)
        if first is not None:
            cleanup.callback(first.close)
            second = port_lock(number)
            if second is not None:
                second.close()
                return "this system let two owners take the same lock"
    # If even the first attempt failed, another process is running this test, which proves that the lock works.
    return ""


def ephemeral_range() -> tuple[int, int]:
    """The first and the last port that the kernel may assign, to port-0 binds and to clients.

    Source: ip(7), ip_local_port_range (one per network namespace); on macOS and BSD the sysctls
    net.inet.ip.portrange.first and .last; on Windows, and if reading fails, the range of RFC 6335.
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
    """Ports that the administrator has set aside (ip_local_reserved_ports); they are never leased."""
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
    """The ports below and above the *ephemeral* range, from LOWEST to HIGHEST or within *asked*, "first-last".

    The kernel assigns none of them. Raises ValueError if *asked* is not a range of ports.
    """
    first, last = LOWEST, HIGHEST
    if asked:
        try:
            wanted = _span(asked)
            first, last = wanted.start, wanted.stop - 1
        except ValueError:
            first = 0
        if not 1 <= first <= last <= HIGHEST:
            raise ValueError(f'NETSUPPORT_PORT_RANGE is {asked!r}; it must be "first-last", each from 1 to {HIGHEST}')
    below = range(first, min(last, ephemeral[0] - 1) + 1)
    above = range(max(first, ephemeral[1] + 1), last + 1)
    return below, above


def from_a_random_start(ranges: tuple[range, range]) -> Iterator[int]:
    """Every port of *ranges* once, starting at a random one and wrapping around.

    Does not use the random module: test plug-ins seed it, and then all processes would try the same ports in the same
    order.
    """
    below, above = ranges
    count = len(below) + len(above)
    start = secrets.randbelow(count) if count else 0
    for step in range(count):
        place = (start + step) % count
        yield below[place] if place < len(below) else above[place - len(below)]
