"""Makes bind, listen and connect again if a signal interrupted them before the kernel had begun them.

Under the seccomp sensor a call waits until the supervisor receives it, and a signal ends that wait with EINTR. The
kernel without a filter never interrupts bind and listen, nor a connect before it begins. So Python raises the EINTR
(bind, listen, non-blocking connect), or assumes that the connect continues in the background (PEP 475): it polls, an
unconnected socket polls writable, and connect returns success without a connection. Signal handlers have run by then,
and what they raise propagates as usual.

The program does not notice the second call, and tracebacks do not show the functions here (before Python 3.11 they
do). Standard library only, Python 3.8 or newer.
"""

from __future__ import annotations

import _socket
import os
from errno import EINTR

TYPE_CHECKING = False  # Like typing.TYPE_CHECKING, without the cost of importing typing.
if TYPE_CHECKING:
    from typing import Any

# Never reached in practice: each further try needs another signal within microseconds.
_TRIES_MAX = 1000
# For a connect that may succeed without changing anything: to port 0, or by name to the peer that the socket has.
_SAME_PEER_TRIES_MAX = 5
_HERE = os.path.join(os.path.dirname(__file__), "")
_INET = (_socket.AF_INET, getattr(_socket, "AF_INET6", -1))
_UNIX = getattr(_socket, "AF_UNIX", -1)
_TCP_INFO = getattr(_socket, "TCP_INFO", 11)
_TCP_CLOSE = 7
# tcpi_state is the first byte of struct tcp_info, tcpi_segs_out (Linux 4.2) a u32 at 136. Source: linux/tcp.h.
_SEGMENTS_AT, _SEGMENTS_END = 136, 140
# Read once, from the class: a program may replace the module's names or define a socket class of its own.
_SOCKET = _socket.socket
_SOCK_STREAM, _IPPROTO_TCP = _socket.SOCK_STREAM, _socket.IPPROTO_TCP
_family = _SOCKET.family.__get__
_type = _SOCKET.type.__get__
_getpeername = _SOCKET.getpeername
_getsockopt = _SOCKET.getsockopt
_bind, _listen, _connect, _connect_ex = _SOCKET.bind, _SOCKET.listen, _SOCKET.connect, _SOCKET.connect_ex


def _progress(sock: Any) -> Any:
    """A value that changes once a connect of *sock* has begun; None if there is none.

    For TCP the number of segments sent, None once it is connected. (State and name do not change if the connection
    is reset at once or the socket was bound before, and reading SO_ERROR clears it.) For other sockets the peer.
    """
    try:
        if _family(sock) in _INET and _type(sock) & 15 == _SOCK_STREAM:
            info = _getsockopt(sock, _IPPROTO_TCP, _TCP_INFO, _SEGMENTS_END)
            if info[0] != _TCP_CLOSE or len(info) < _SEGMENTS_END:
                return None
            return info[_SEGMENTS_AT:]
        if _family(sock) in _INET or _family(sock) == _UNIX:
            return _peer(sock)
    except OSError:
        pass
    return None


def _peer(sock: Any) -> Any:
    try:
        return "peer", _getpeername(sock)
    except OSError:
        return "no peer"


def _is_connect_unbegun(before: Any, sock: Any, address: Any, tries: int) -> bool:
    """Whether a connect that returned success never began. *before*: the socket's _progress before the call."""
    if before is None or _progress(sock) != before:
        return False
    if isinstance(before, bytes):
        return True
    peer = before[1] if isinstance(before, tuple) else None
    is_same_peer = peer[:2] == address[:2] if isinstance(peer, tuple) else peer == address
    return not is_same_peer and tries < _SAME_PEER_TRIES_MAX


def hide_frames(error: BaseException) -> None:
    """Remove the recorder's frames from the traceback of *error*; from Python 3.11 a bare `raise` adds none again."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_HERE):
        traceback = traceback.tb_next
    error.__traceback__ = traceback


def _again(call: Any, self: Any, arguments: tuple[Any, ...]) -> Any:
    for _ in range(_TRIES_MAX):
        try:
            return call(self, *arguments)
        except InterruptedError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # A signal handler raised it: it has frames below this one.
    return call(self, *arguments)


def bind(self: Any, *args: Any) -> None:
    try:
        _again(_bind, self, args)
    except BaseException as error:
        hide_frames(error)
        raise


def listen(self: Any, *args: Any) -> None:
    try:
        _again(_listen, self, args)
    except BaseException as error:
        hide_frames(error)
        raise


def connect(self: Any, *args: Any) -> None:
    try:
        for tries in range(_TRIES_MAX):
            before = _progress(self) if isinstance(self, _SOCKET) else None
            _again(_connect, self, args)
            if not _is_connect_unbegun(before, self, args[0], tries):
                return
    except BaseException as error:
        hide_frames(error)
        raise


def connect_ex(self: Any, *args: Any) -> int:
    try:
        result = EINTR
        for tries in range(_TRIES_MAX):
            before = _progress(self) if isinstance(self, _SOCKET) else None
            result = _connect_ex(self, *args)
            if result != EINTR and (result or not _is_connect_unbegun(before, self, args[0], tries)):
                break
        return result
    except BaseException as error:
        hide_frames(error)
        raise


def patch(kind: Any) -> None:
    """*kind*: a subclass of _socket.socket. The methods of _socket.socket itself cannot be replaced."""
    for function in (bind, listen, connect, connect_ex):
        original = getattr(_SOCKET, function.__name__)
        function.__doc__ = original.__doc__
        function.__qualname__ = f"socket.{function.__name__}"
        function.__module__ = "socket"  # Where pickle looks for it by its qualified name.
        setattr(kind, function.__name__, function)
