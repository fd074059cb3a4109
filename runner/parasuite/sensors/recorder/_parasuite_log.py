"""The recorder's own events, for runs without the seccomp sensor: each call with its result.

Each process writes JSON lines to files that are mapped into memory: a written line survives SIGKILL, closed
descriptors and fork, and costs no system call. A file is longer than its lines; the first NUL ends them. Calls of
Python's socket class are written with their results. Of calls by native code (gevent) the audit hook shows only the
request, and the result is read from the socket at the thread's next step. A release means "this process closed the
socket"; the last close of a shared socket is not known.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import json
import operator
import os
import sys
from _thread import _local, allocate_lock
from collections import deque

import _parasuite_clock
import _parasuite_tests as tests
from _parasuite_clock import now_ns
from _parasuite_frames import user_frames
from _parasuite_guard import failed, guarded
from _parasuite_page import BIND, CONNECT, mapped, start_ticks
from _parasuite_restart import hide_frames

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from _parasuite_tests import CallSite

    class Identity(TypedDict, total=False):
        """What names a socket in an event."""

        cookie: int
        inode: int
        socket: str

    class Fields(Identity, total=False):
        """An event as a line has it (parasuite.model.lines). *source_line*: one frame, or several."""

        kind: str
        t_ns: int
        source: str
        copy: int
        pid: int
        process_start: float
        tid: int
        test: str
        attribution: str
        source_line: str | list[str]
        library: str
        fixture: str
        name: str
        command: str
        parent: int
        environment: list[str]
        xdist_worker: str
        asked: list[Any]
        got: list[Any] | None
        destination: list[Any]
        options: list[str]
        errno: str


_SIZE, _SIZE_MAX = 1 << 14, 1 << 24
_TEST_MAX = 4096
_INET = (_socket.AF_INET, getattr(_socket, "AF_INET6", -1))
_UNIX = getattr(_socket, "AF_UNIX", -1)
_VSOCK = getattr(_socket, "AF_VSOCK", -1)
# The default, TCP, UDP, MPTCP. SCTP and UDP-Lite have the socket types of TCP and UDP, but separate ports.
_FOLLOWED = (0, _socket.IPPROTO_TCP, _socket.IPPROTO_UDP, 262)
_PROTOCOLS = {_socket.SOCK_STREAM: "tcp", _socket.SOCK_DGRAM: "udp"}
_SO_COOKIE = 57
_NO_CALL_SITE = ("", "", 0, "")
# Those that tell a worker of a test runner (parasuite.model.workers), but for the test that runs.
WORKER_VARIABLES = (
    "JEST_WORKER_ID",
    "MOCHA_WORKER_ID",
    "NODE_TEST_CONTEXT",
    "NEXTEST_EXECUTION_MODE",
    "PARALLEL_SEQ",
    "TOX_ENV_NAME",
    "TEST_SHARD_INDEX",
    "TEST_TARGET",
    "CTEST_PARALLEL_LEVEL",
)
_ATTRIBUTIONS = ("thread", "thread's start", "process")
_OPTIONS = tuple(
    (name, getattr(_socket, constant))
    for name, constant in (
        ("reuseaddr", "SO_REUSEADDR"),
        ("reuseport", "SO_REUSEPORT"),
        ("exclusive", "SO_EXCLUSIVEADDRUSE"),
    )
    if hasattr(_socket, constant)
)
# Read once: a test may remove a constant temporarily.
_AF_INET = _socket.AF_INET
_SOL_SOCKET = _socket.SOL_SOCKET
_V6ONLY = (getattr(_socket, "IPPROTO_IPV6", 41), getattr(_socket, "IPV6_V6ONLY", -1))
# Taken from the class: a program's subclass may override them.
_family = _socket.socket.family.__get__
_type = _socket.socket.type.__get__
_proto = _socket.socket.proto.__get__
_fileno = _socket.socket.fileno
_getsockname = _socket.socket.getsockname
_getsockopt = _socket.socket.getsockopt
_HAS_COOKIES = os.name == "posix" and hasattr(_socket, "AF_NETLINK")
_SO_ACCEPTCONN = getattr(_socket, "SO_ACCEPTCONN", 30)
_SO_BINDTODEVICE = getattr(_socket, "SO_BINDTODEVICE", None)
_INTERFACE_NAME_MAX = 16


def _boot_s() -> float:
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/stat", "rb") as stream:
            for line in stream:
                if line.startswith(b"btime "):
                    return float(line.split()[1])
    return 0.0


def _line(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _port(number: Any) -> int:
    """*number* as a plain int: Python accepts any object with __index__ as a port."""
    return int.__index__(operator.index(number))


def _name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


class _Lines:
    """The files of one process, each twice as long as the previous one.

    Nothing here blocks: a thread that finds the writer busy queues its line for it. The writer may be this very
    thread, interrupted by the signal handler or finalizer that adds the line, so that waiting would never end.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, f"{os.getpid()}-{now_ns()}")
        self._waiting: deque[bytes] = deque()
        self._writing = allocate_lock()
        self._maps: list[Any] = []  # All are kept; `mapped` says why.
        self._at = self._size = 0

    def add(self, line: bytes) -> None:
        """Write *line*, which ends with a newline."""
        self._waiting.append(line)
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                while self._waiting:
                    self._put(self._waiting.popleft())
            finally:
                self._writing.release()

    def _put(self, line: bytes) -> None:
        if self._at + len(line) > self._size and not self._begin_file(len(line)):
            return
        # The newline commits the line, so it is written last.
        memory, end = self._maps[-1], self._at + len(line) - 1
        memory[self._at : end] = line[:-1]
        memory[end] = 10
        self._at = end + 1

    def _begin_file(self, needed: int) -> bool:
        number = len(self._maps)
        size = max(needed, min(_SIZE << number, _SIZE_MAX))
        try:
            self._maps.append(mapped(f"{self._path}-{number}.jsonl", size, size))
        except OSError as error:
            failed(f"there was no space for events: {error.strerror}")
            return False
        self._at, self._size = 0, size
        return True


class Log:
    """The events of one process; none as long as it *is_importer* (_parasuite_recorder)."""

    is_importer = False

    def __init__(self, folder: str, copy: int) -> None:
        self._folder = folder
        self._copy = copy
        self._boot_s = _boot_s()
        self._inside = _local()
        self._parents: list[_Lines] = []
        self._begin()
        if _parasuite_clock.PROBLEM:
            failed(_parasuite_clock.PROBLEM)

    def _begin(self) -> None:
        self._lines = _Lines(self._folder)
        self._is_introduced = False
        self._sockets: dict[str, bool] = {}
        self.pending: dict[int, tuple[int, Fields]] = {}
        self._pid = os.getpid()
        self._start = 0.0
        if self._boot_s:
            self._start = round(self._boot_s + start_ticks("self") / os.sysconf("SC_CLK_TCK"), 2)

    def forked(self) -> None:
        """Called in a forked child: it gets its own file as soon as it writes an event."""
        self._parents.append(self._lines)
        self._begin()

    def become_copy(self, folder: str, copy: int) -> None:
        """Write into *folder* from now on, as a process of *copy*."""
        self._folder, self._copy, self.is_importer = folder, copy, False
        self._begin()

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, fields: Fields) -> None:
        if self.is_importer:
            return
        lines = self._lines
        if not self._is_introduced:
            self._is_introduced = True
            # At the time of the event: what a process is must be known before what it did.
            lines.add(_line({**self._introduction(), "t_ns": fields["t_ns"]}))
        lines.add(_line(fields))

    def _introduction(self) -> Fields:
        program = sys.executable or "python"
        command = " ".join([program, *map(str, getattr(sys, "argv", None) or ())])[:500]
        fields = self._event("process", _NO_CALL_SITE)
        fields["name"], fields["command"] = os.path.basename(program), command
        fields["parent"] = getattr(os, "getppid", int)()
        environment = [f"{name}={os.environ[name]}" for name in WORKER_VARIABLES if name in os.environ]
        if tests.started_at:
            started_at = tests.started_at.replace("\n", "\t")
            environment.append(f"PARASUITE_STARTED_AT={started_at}")
        if environment:
            fields["environment"] = environment
        worker = tests.xdist_worker()
        if worker:
            fields["xdist_worker"] = worker
        return fields

    def _event(self, kind: str, call_site: CallSite) -> Fields:
        test, frames, attribution, fixture = call_site
        fields: Fields = {
            "kind": kind,
            "t_ns": now_ns(),
            "source": "recorder",
            "copy": self._copy,
            "pid": self._pid,
            "process_start": self._start,
            "tid": tests.native_id(),
        }
        if test:
            fields["test"], fields["attribution"] = test[-_TEST_MAX:], _ATTRIBUTIONS[attribution]
        if frames:
            frames, _, library = frames.partition("\n\n")
            fields["source_line"] = frames.split("\n") if "\n" in frames else frames
            if library:
                fields["library"] = library
        if fixture:
            fields["fixture"] = fixture
        return fields

    # --- what a socket is -------------------------------------------------------------------------------------------

    def _identity(self, sock: Any) -> Identity:
        """The fields that identify the socket; the same across dup, fork and detach if the system identifies
        sockets.
        """
        found: Identity = {}
        with contextlib.suppress(OSError):
            raw = _getsockopt(sock, _SOL_SOCKET, _SO_COOKIE, 8) if _HAS_COOKIES else b""
            if len(raw) == 8:
                found["cookie"] = int.from_bytes(raw, "little")
        with contextlib.suppress(OSError):
            inode = os.fstat(_fileno(sock)).st_ino
            if inode:
                found["inode"] = inode
        if "cookie" not in found:
            found["socket"] = f"recorder:{self._pid}:{_fileno(sock)}"
        return found

    def _endpoint(self, sock: Any, address: Any) -> list[Any] | None:
        protocol = _PROTOCOLS.get(_type(sock) & 15)
        if protocol is None or _proto(sock) not in _FOLLOWED or not isinstance(address, tuple) or len(address) < 2:
            return None
        v6only = None
        if _family(sock) != _AF_INET:
            with contextlib.suppress(OSError):
                v6only = bool(_getsockopt(sock, *_V6ONLY))
        host = address[0]
        if not isinstance(host, str):
            host = bytes(host).decode("ascii", "replace")
        wildcards = {"": "::" if _family(sock) != _AF_INET else "0.0.0.0", "<broadcast>": "255.255.255.255"}
        host = wildcards.get(host, host).partition("%")[0]
        return [protocol, host, _port(address[1]), 0, v6only]

    def _name(self, sock: Any) -> list[Any] | None:
        try:
            return self._endpoint(sock, _getsockname(sock))
        except OSError:
            return None

    def _set_options(self, sock: Any) -> list[str]:
        found = []
        for name, option in _OPTIONS:
            with contextlib.suppress(OSError):
                if _getsockopt(sock, _SOL_SOCKET, option):
                    found.append(name)
        return found + self._device_option(sock)

    def _device_option(self, sock: Any) -> list[str]:
        """["loopback-device"] if the socket is bound to it. Asked only if its address is not a loopback address."""
        if _SO_BINDTODEVICE is None:
            return []
        with contextlib.suppress(OSError):
            host = _getsockname(sock)[0]
            if host != "::1" and not host.startswith("127."):
                name = _getsockopt(sock, _SOL_SOCKET, _SO_BINDTODEVICE, _INTERFACE_NAME_MAX)
                return ["loopback-device"] if name.rstrip(b"\0") == b"lo" else []
        return []

    # --- calls ------------------------------------------------------------------------------------------------------

    def write_announced(self, kind: int, sock: Any, address: Any, call_site: CallSite) -> None:
        """Called by the audit hook before the call. For native code and for connects this is all that is known."""
        if kind == BIND:
            if getattr(self._inside, "bind", None) == id(sock):
                return  # Its result will be written.
            if _family(sock) in (_UNIX, _VSOCK):
                self._named_bind(sock, address, call_site)
            else:
                self._native_bind(sock, address, call_site)
        else:
            to = self._endpoint(sock, address)
            if to is not None:
                fields = self._event("connect" if kind == CONNECT else "send", call_site)
                self._write({**fields, "destination": to, **self._identity(sock)})

    def _native_bind(self, sock: Any, address: Any, call_site: CallSite) -> None:
        asked = self._endpoint(sock, address) if _family(sock) in _INET else None
        if asked is not None:
            fields: Fields = {**self._event("bind", call_site), "asked": asked, **self._identity(sock)}
            self.pending[tests.native_id()] = (_fileno(sock), fields)

    def write_pending(self) -> None:
        """Write the calling thread's last native bind, with its result, which is read from the socket at the
        thread's next step.
        """
        known = self.pending.pop(tests.native_id(), None)
        if known is None:
            return
        descriptor, fields = known
        try:
            if os.fstat(descriptor).st_ino != fields.get("inode", os.fstat(descriptor).st_ino):
                raise OSError
            sock = _socket.socket(fileno=os.dup(descriptor))
        except OSError:
            self._write({**fields, "errno": "?"})  # Closed already: whether it was bound cannot be known.
            return
        try:
            got = self._name(sock)
            if got is None or got[2] == 0:
                self._write({**fields, "errno": "?"})
                return
            fields["options"] = self._set_options(sock)
            self._remember(fields)
            self._write({**fields, "got": got})
            if _getsockopt(sock, _SOL_SOCKET, _SO_ACCEPTCONN):
                listen: Fields = {**fields, "kind": "listen", "t_ns": now_ns(), "got": got}
                del listen["asked"]
                self._write(listen)
        except OSError:
            self._write({**fields, "errno": "?"})
        finally:
            sock.close()

    def _path(self, address: Any) -> list[Any]:
        """The endpoint of a Unix socket's *address*: a str, or any buffer."""
        name = os.fsdecode(address if isinstance(address, str) else bytes(address))
        if name.startswith("\0"):
            name = "@" + name[1:].replace("\0", "\\0")
        elif name:
            with contextlib.suppress(OSError):  # The working folder may have been removed.
                name = os.path.abspath(name)
        return ["unix", name, 0, 0, None]

    def _named_bind(self, sock: Any, address: Any, call_site: CallSite) -> None:
        if _family(sock) == _VSOCK:
            asked = ["vsock", str(address[0]), _port(address[1]), 0, None]
        else:
            asked = self._path(address)
        self._write({**self._event("bind", call_site), "asked": asked, "errno": "?", **self._identity(sock)})

    def listening(self, sock: Any, call_site: CallSite, listen: Any) -> None:
        """Call *listen* and write its result."""
        try:
            listen()
        except OSError as error:
            guarded(self._listened, sock, call_site, _name_of(error))
            raise
        guarded(self._listened, sock, call_site, "")

    def _listened(self, sock: Any, call_site: CallSite, failure: str) -> None:
        got = self._name(sock)
        if got is None:
            return
        self._ended({**self._event("listen", call_site), "got": got}, sock, failure)

    def _bound(self, sock: Any, address: Any, call_site: CallSite, failure: str) -> None:
        is_unix = _family(sock) == _UNIX
        asked = self._path(address) if is_unix else self._endpoint(sock, address)
        if asked is None:
            return
        fields: Fields = {**self._event("bind", call_site), "asked": asked}
        if not failure:
            # Not from getsockname: the working folder may have changed since a relative path was bound.
            fields["got"] = (asked if asked[1] else self._path(_getsockname(sock))) if is_unix else self._name(sock)
        self._ended(fields, sock, failure)

    def _ended(self, fields: Fields, sock: Any, failure: str) -> None:
        """Write *fields*, a call on *sock*; *failure* is the errno's name, "" if the call succeeded."""
        fields = {**fields, **self._identity(sock)}
        if _family(sock) in _INET:
            fields["options"] = self._set_options(sock)
        if failure:
            fields["errno"] = failure
        else:
            self._remember(fields)
        self._write(fields)

    def _remember(self, fields: Identity) -> None:
        self._sockets[str(fields.get("cookie") or fields.get("socket"))] = True

    def _write_release(self, sock: Any) -> None:
        if not self._sockets or _fileno(sock) < 0 or (_family(sock) not in _INET and _family(sock) != _UNIX):
            return
        identity = self._identity(sock)
        if self._sockets.pop(str(identity.get("cookie") or identity.get("socket")), False):
            self._write({**self._event("release", _NO_CALL_SITE), **identity})

    # --- Python's class ---------------------------------------------------------------------------------------------

    def _call_site_of_bind(self, sock: Any, frame: Any) -> CallSite | None:
        """The attribution of a bind that is about to be made; None if the audit hook writes it (as for VSOCK
        sockets).
        """
        if not isinstance(sock, _socket.socket) or (_family(sock) not in _INET and _family(sock) != _UNIX):
            return None
        test, attribution, fixture = tests.current()
        return test, user_frames(frame, tests.frames_of_starter), attribution, fixture

    def patch(self, module: Any) -> None:
        """*module*: socket. Patch its class so that it writes the result of each bind, and each close."""
        kind = module.socket
        bind, real_close = kind.bind, kind._real_close
        log = self

        def recorded_bind(self: Any, *args: Any) -> None:
            try:
                record_bind(self, *args)
            except BaseException as error:
                hide_frames(error)
                raise

        def record_bind(self: Any, *args: Any) -> Any:
            call_site = guarded(log._call_site_of_bind, self, sys._getframe(2))
            if call_site is None:
                return bind(self, *args)
            outer = getattr(log._inside, "bind", None)
            log._inside.bind = id(self)
            try:
                bind(self, *args)
            except OSError as error:
                # An address that Python itself rejects or cannot resolve never reached the system.
                if (error.errno or 0) > 0 and not isinstance(error, _socket.gaierror):
                    guarded(log._bound, self, args[0], call_site, _name_of(error))
                raise
            finally:
                log._inside.bind = outer
            guarded(log._bound, self, args[0], call_site, "")
            return None

        def _real_close(self: Any, *args: Any, **kwargs: Any) -> Any:
            guarded(log._write_release, self)
            return real_close(self, *args, **kwargs)

        for function, name in ((recorded_bind, "bind"), (_real_close, "_real_close")):
            function.__name__ = name
            function.__qualname__ = f"socket.{name}"
            function.__module__ = "socket"  # Where pickle looks for it by its qualified name.
        recorded_bind.__doc__ = bind.__doc__
        kind.bind, kind._real_close, kind.__del__ = recorded_bind, _real_close, _Finalizer(log)


class _Finalizer:
    """`__del__` of Python's sockets: writes the release when `__del__` is looked up, then gives the original.

    A descriptor rather than a function, so that ResourceWarning still points at the program's line.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._finish: Any = getattr(_socket.socket, "__del__")  # noqa: B009 - typeshed does not know it

    def __get__(self, sock: Any, kind: Any = None) -> Any:
        if sock is None:
            return self._finish
        with contextlib.suppress(BaseException):
            # What a signal handler raises in a finalizer is lost, and without us it would have run later. The socket
            # must be closed anyway.
            guarded(self._log._write_release, sock)
        return self._finish.__get__(sock, kind)
