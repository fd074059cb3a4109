"""Where no sensor sees the calls from outside: the recorder writes them down itself, with their results.

One file of JSON lines per process, mapped into memory: what was written survives a SIGKILL, a closed descriptor and
a fork, and costs no system call. The file is longer than its lines; a NUL ends them. Python's own classes tell
results; native users of a socket (gevent) tell what they ask for, and what came of it is read from the socket at
their next step. A release here is "this process let go"; the last close of a shared socket is not known.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import json
import mmap
import os
import threading
import time

import _parasuite_tests as tests
from _parasuite_page import BIND, CONNECT, start_ticks

TYPE_CHECKING = False  # As typing has it, without the price of importing that.
if TYPE_CHECKING:
    from typing import Any

_SIZE = 1 << 18
_INET = (_socket.AF_INET, getattr(_socket, "AF_INET6", -1))
_UNIX = getattr(_socket, "AF_UNIX", -1)
_VSOCK = getattr(_socket, "AF_VSOCK", -1)
# By default, TCP, UDP, MPTCP; SCTP and UDP-Lite have the types of TCP and UDP, and ports of their own.
_FOLLOWED = (0, _socket.IPPROTO_TCP, _socket.IPPROTO_UDP, 262)
_PROTOCOLS = {_socket.SOCK_STREAM: "tcp", _socket.SOCK_DGRAM: "udp"}
_SO_COOKIE = 57
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
# Read once: a test may take a constant away for a while.
_AF_INET = _socket.AF_INET
_SOL_SOCKET = _socket.SOL_SOCKET
_V6ONLY = (getattr(_socket, "IPPROTO_IPV6", 41), getattr(_socket, "IPV6_V6ONLY", -1))
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


def _name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


class Log:
    """The events of one process."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._copy = int(os.environ.get("PARASUITE_COPY", "0"))
        self._boot_s = _boot_s()
        self._inside = threading.local()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._start = 0.0
        if self._boot_s:
            self._start = round(self._boot_s + start_ticks("self") / os.sysconf("SC_CLK_TCK"), 2)
        self._sockets: dict[str, bool] = {}
        self.pending: dict[int, tuple[int, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._files = 0
        self._memory: mmap.mmap | None = None
        self._at = 0

    def forked(self) -> None:
        """In a forked child: a file of its own, made when it has something to say."""
        self._begin()

    # --- writing ----------------------------------------------------------------------------------------------------

    def _write(self, fields: dict[str, Any]) -> None:
        line = json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
        with self._lock:
            memory = self._memory
            if memory is None or self._at + len(line) > _SIZE:
                try:
                    memory = self._memory = self._open()
                except OSError:
                    return  # The run's folder has gone, or its disk is full: the program must not notice.
            # The line's end is what commits it, so it is written last.
            memory[self._at : self._at + len(line) - 1] = line[:-1]
            memory[self._at + len(line) - 1] = 10
            self._at += len(line)

    def _open(self) -> mmap.mmap:
        self._files += 1
        path = os.path.join(self._folder, f"{self._pid}-{time.monotonic_ns()}-{self._files}.jsonl")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            memory = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._at = 0
        if self._files == 1:
            self._introduce(memory)
        return memory

    def _introduce(self, memory: mmap.mmap) -> None:
        import sys

        name = os.path.basename(sys.executable or "python")
        command = " ".join([sys.executable or "python", *getattr(sys, "argv", [])])[:500]
        fields = self._event("process", ("", "", 0))
        fields.update(name=name, command=command, parent=getattr(os, "getppid", int)())
        line = json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"
        memory[0 : len(line)] = line
        self._at = len(line)

    def _event(self, kind: str, said: tuple[str, str, int]) -> dict[str, Any]:
        test, line, attribution = said
        fields: dict[str, Any] = {
            "kind": kind,
            "t_ns": time.monotonic_ns(),
            "source": "recorder",
            "copy": self._copy,
            "pid": self._pid,
            "process_start": self._start,
            "tid": tests.native_id(),
        }
        if test:
            fields.update(test=test, attribution=_ATTRIBUTIONS[attribution])
        if line:
            fields["source_line"] = line
        return fields

    # --- what a socket is
    # ---------------------------------------------------------------------------------------------

    def _identity(self, sock: Any) -> dict[str, Any]:
        """The fields that name the socket; the same over dup, fork and detach where the system has names for
        sockets.
        """
        found: dict[str, Any] = {}
        with contextlib.suppress(OSError):
            raw = _socket.socket.getsockopt(sock, _SOL_SOCKET, _SO_COOKIE, 8) if _HAS_COOKIES else b""
            if len(raw) == 8:
                found["cookie"] = int.from_bytes(raw, "little")
        with contextlib.suppress(OSError):
            inode = os.fstat(_socket.socket.fileno(sock)).st_ino
            if inode:
                found["inode"] = inode
        if "cookie" not in found:
            found["socket"] = f"recorder:{self._pid}:{_socket.socket.fileno(sock)}"
        return found

    def _endpoint(self, sock: Any, address: Any) -> list[Any] | None:
        protocol = _PROTOCOLS.get(sock.type & 15)
        if protocol is None or sock.proto not in _FOLLOWED or not isinstance(address, tuple) or len(address) < 2:
            return None
        v6only = None
        if sock.family != _AF_INET:
            with contextlib.suppress(OSError):
                v6only = bool(_socket.socket.getsockopt(sock, *_V6ONLY))
        host = address[0]
        if not isinstance(host, str):
            host = bytes(host).decode("ascii", "replace")
        wildcards = {"": "::" if sock.family != _AF_INET else "0.0.0.0", "<broadcast>": "255.255.255.255"}
        host = wildcards.get(host, host).partition("%")[0]
        return [protocol, host, address[1], 0, v6only]

    def _name(self, sock: Any) -> list[Any] | None:
        try:
            return self._endpoint(sock, _socket.socket.getsockname(sock))
        except OSError:
            return None

    def _set_options(self, sock: Any) -> list[str]:
        found = []
        for name, option in _OPTIONS:
            with contextlib.suppress(OSError):
                if _socket.socket.getsockopt(sock, _SOL_SOCKET, option):
                    found.append(name)
        return found + self._device_option(sock)

    def _device_option(self, sock: Any) -> list[str]:
        """Whether the loopback device keeps a wildcard to this host; asked only where the address does not."""
        if _SO_BINDTODEVICE is None:
            return []
        with contextlib.suppress(OSError):
            host = _socket.socket.getsockname(sock)[0]
            if host != "::1" and not host.startswith("127."):
                name = _socket.socket.getsockopt(sock, _SOL_SOCKET, _SO_BINDTODEVICE, _INTERFACE_NAME_MAX)
                return ["loopback-device"] if name.rstrip(b"\0") == b"lo" else []
        return []

    # --- calls
    # --------------------------------------------------------------------------------------------------------

    def announced(self, kind: int, sock: Any, address: Any, said: tuple[str, str, int]) -> None:
        """The audit hook's word, before the call: all that is known of native users, and of connects."""
        if kind == BIND:
            if sock.family in (_UNIX, _VSOCK):
                self._named_bind(sock, address, said)
            elif getattr(self._inside, "bind", None) != id(sock):
                self._native_bind(sock, address, said)
        else:
            to = self._endpoint(sock, address)
            if to is not None:
                fields = self._event("connect" if kind == CONNECT else "send", said)
                self._write({**fields, "destination": to, **self._identity(sock)})

    def _native_bind(self, sock: Any, address: Any, said: tuple[str, str, int]) -> None:
        asked = self._endpoint(sock, address) if sock.family in _INET else None
        if asked is not None:
            fields = {**self._event("bind", said), "asked": asked, **self._identity(sock)}
            self.pending[tests.native_id()] = (_socket.socket.fileno(sock), fields)

    def settle(self) -> None:
        """What came of the calling thread's native bind: asked of its socket at the next thing that the thread
        does.
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
            self._write({**fields, "errno": "?"})  # Closed again: nobody knows whether it was ever bound.
            return
        try:
            got = self._name(sock)
            if got is None or got[2] == 0:
                self._write({**fields, "errno": "?"})
                return
            fields["options"] = self._set_options(sock)
            self._remember(fields)
            self._write({**fields, "got": got})
            if _socket.socket.getsockopt(sock, _SOL_SOCKET, _SO_ACCEPTCONN):
                listen = {name: value for name, value in fields.items() if name != "asked"}
                self._write({**listen, "kind": "listen", "t_ns": time.monotonic_ns(), "got": got})
        except OSError:
            self._write({**fields, "errno": "?"})
        finally:
            sock.close()

    def _named_bind(self, sock: Any, address: Any, said: tuple[str, str, int]) -> None:
        if sock.family == _VSOCK:
            asked = ["vsock", str(address[0]), address[1], 0, None]
        else:
            # Text, or any buffer.
            name = os.fsdecode(address if isinstance(address, str) else bytes(address))
            if name.startswith("\0"):
                name = "@" + name[1:].replace("\0", "\\0")
            elif name:
                name = os.path.abspath(name)
            asked = ["unix", name, 0, 0, None]
        self._write({**self._event("bind", said), "asked": asked, "errno": "?", **self._identity(sock)})

    def listening(self, sock: Any, said: tuple[str, str, int], listen: Any) -> None:
        """Carry *listen* out and write down what came of it."""
        failure = ""
        try:
            listen()
        except OSError as error:
            failure = _name_of(error)
            raise
        finally:
            got = self._name(sock)
            if got is not None:
                fields = {**self._event("listen", said), "got": got, **self._identity(sock)}
                fields["options"] = self._set_options(sock)
                if failure:
                    fields["errno"] = failure
                else:
                    self._remember(fields)
                self._write(fields)

    def _bound(self, sock: Any, address: Any, said: tuple[str, str, int], failure: str) -> None:
        asked = self._endpoint(sock, address)
        if asked is None:
            return
        fields = {**self._event("bind", said), "asked": asked, **self._identity(sock)}
        fields["options"] = self._set_options(sock)
        if failure:
            fields["errno"] = failure
        else:
            fields["got"] = self._name(sock)
            self._remember(fields)
        self._write(fields)

    def _remember(self, fields: dict[str, Any]) -> None:
        self._sockets[str(fields.get("cookie") or fields.get("socket"))] = True

    def _let_go(self, sock: Any) -> None:
        if sock.family not in _INET or _socket.socket.fileno(sock) < 0:
            return
        identity = self._identity(sock)
        if self._sockets.pop(str(identity.get("cookie") or identity.get("socket")), False):
            self._write({**self._event("release", ("", "", 0)), **identity})

    # --- Python's class
    # -----------------------------------------------------------------------------------------------

    def patch(self, module: Any) -> None:
        """*module*: socket. Its class tells results, and when it lets go of a descriptor."""
        kind = module.socket
        bind, real_close = _socket.socket.bind, kind._real_close
        finish: Any = getattr(_socket.socket, "__del__")  # noqa: B009 - typeshed does not know it
        log = self
        import sys

        from _parasuite_recorder import source_line

        def bind_and_tell(self: Any, address: Any, /) -> None:
            if self.family not in _INET:
                return bind(self, address)
            test, attribution = tests.current()
            said = (test, source_line(sys._getframe(1)), attribution)
            log._inside.bind = id(self)
            try:
                bind(self, address)
            except OSError as error:
                # An address that Python itself refuses, or cannot resolve, never came to the system.
                if (error.errno or 0) > 0 and not isinstance(error, _socket.gaierror):
                    log._bound(self, address, said, _name_of(error))
                raise
            finally:
                log._inside.bind = None
            log._bound(self, address, said, "")
            return None

        def _real_close(self: Any, *args: Any, **kwargs: Any) -> Any:
            log._let_go(self)
            return real_close(self, *args, **kwargs)

        def __del__(self: Any) -> None:
            with contextlib.suppress(OSError, AttributeError, TypeError):
                # At the interpreter's end the modules used here may be gone already.
                log._let_go(self)
            finish(self)

        for function, name in ((bind_and_tell, "bind"), (_real_close, "_real_close")):
            function.__name__ = name
            function.__qualname__ = f"socket.{name}"
        bind_and_tell.__doc__ = bind.__doc__
        kind.bind, kind._real_close, kind.__del__ = bind_and_tell, _real_close, __del__
