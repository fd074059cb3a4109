"""What was seen, one event a line: the leaf that every stage imports.

An event is a record that nobody changes once it is made; `encode` and `decode` turn it into a line of JSON and back,
leaving out what has its default value. (The supervisor makes one for each call that it traps: a frozen dataclass
takes three times as long to make.) Times are CLOCK_MONOTONIC nanoseconds, one clock for all processes of a host (not
across time namespaces).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple


class EventError(ValueError):
    """A line that is not an event; its message says why."""


class Endpoint(NamedTuple):
    """Where a socket can be reached.

    *protocol*: "tcp", "udp", "unix" or "vsock". *address*: numeric text as inet_ntop(3) writes it, a Unix path,
    or "@name" for an abstract name. *port*: 0 where the protocol has none. *netns*: the namespace's inode, 0 for the
    one that parasuite runs in. *v6only*: of an AF_INET6 socket; None where the sensor cannot tell.
    """

    protocol: str
    address: str
    port: int = 0
    netns: int = 0
    v6only: bool | None = None

    def __str__(self) -> str:
        if self.protocol in ("unix", "vsock"):
            return f"{self.protocol}:{self.address}" + (f":{self.port}" if self.port else "")
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}" + ("/udp" if self.protocol == "udp" else "")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who had the endpoint when a bind or listen failed.

    *copy*: None outside the run. *state*: "listen", "bound", "established", "time-wait", "unconnected", "gone"
    (a connection that its process has closed and the kernel not yet).
    """

    copy: int | None
    pid: int
    state: str
    cookie: int = 0
    command: str = ""


@dataclass(slots=True, kw_only=True)
class Event:
    """What every line carries.

    *source*: the sensor that wrote it. *copy*: its number from 0, None outside the run. *process_start*: seconds
    since the epoch, which with *pid* names a process for good; 0.0 where unknown. *test*: a test id, "" outside a
    test. *source_line*: "file:line:function" of the first frame of the user's own, "" where unknown. *attribution*:
    how *test* was told.
    """

    kind: ClassVar[str] = ""

    t_ns: int
    source: str = ""
    copy: int | None = None
    pid: int = 0
    process_start: float = 0.0
    tid: int = 0
    test: str = ""
    source_line: str = ""
    attribution: str = ""


@dataclass(slots=True, kw_only=True)
class RunStarted(Event):
    """The clocks and the host's facts that judging needs, first in every run.

    *wall_ns*: time since the epoch at *t_ns*. *ephemeral_first*, *ephemeral_last*: the range that the kernel draws
    port 0 from, both ends included. *addresses*: this host's own. *scratch*: the folder in which each copy has its
    temporary one, named by its number.
    """

    kind = "run"

    wall_ns: int
    ephemeral_first: int = 0
    ephemeral_last: int = 0
    addresses: tuple[str, ...] = ()
    scratch: str = ""


@dataclass(slots=True, kw_only=True)
class CopyState(Event):
    """What became of a copy, one event a change.

    *state*: "started"; "failed" (to start, *why*); "timed-out", "interrupted" (parasuite is stopping it); "exited"
    (its main process, *status* as subprocess gives it); "left-behind" (*processes* outlived it and its grace time);
    "described" (a copy over its time, in its processes.txt; *why*: whether it was busy); "unkillable" (*processes*
    could not be ended, *why* names them);
    "lost" (its supervision died); "gone" (its whole tree).
    """

    kind = "copy"

    state: str
    status: int | None = None
    processes: int = 0
    why: str = ""


@dataclass(slots=True, kw_only=True)
class ProcessSeen(Event):
    """What a process is: written once, when one of its sockets is first seen."""

    kind = "process"

    name: str = ""
    command: str = ""
    parent: int = 0


@dataclass(slots=True, kw_only=True)
class SocketCall(Event):
    """A call on one socket.

    *cookie* (SO_COOKIE) names the socket within its namespace, over dup, fork and SCM_RIGHTS. *socket*: names it
    where the OS has no cookies (the recorder's own numbering).
    """

    cookie: int = 0
    netns: int = 0
    inode: int = 0
    socket: str = ""


@dataclass(slots=True, kw_only=True)
class Bind(SocketCall):
    """A bind(2). *asked*: the address of the call. *got*: what the socket has now; None when refused or unknown.

    *errno*: its name ("EADDRINUSE"); "" when it succeeded; "?" where only the attempt was seen. *options*:
    names among "reuseaddr", "reuseport", "exclusive", "loopback-device" (SO_BINDTODEVICE with `lo`; said only where
    the address is no loopback one). *holders*: who had it, after EADDRINUSE.
    """

    kind = "bind"

    asked: Endpoint
    got: Endpoint | None = None
    errno: str = ""
    options: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Listen(SocketCall):
    """A listen(2); fields as in Bind. On an unbound socket the kernel picks the port here (autobind)."""

    kind = "listen"

    got: Endpoint | None = None
    errno: str = ""
    options: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Connect(SocketCall):
    """A connect(2) towards *destination*; it was tried, its result is not known.

    *holders*: who listened there at that instant; filled where only another copy was known to.
    """

    kind = "connect"

    destination: Endpoint
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Send(SocketCall):
    """A sendto(2) with an address; *holders* as in Connect."""

    kind = "send"

    destination: Endpoint
    holders: tuple[Holder, ...] = ()


@dataclass(slots=True, kw_only=True)
class Release(SocketCall):
    """The last reference to a socket is gone."""

    kind = "release"


@dataclass(slots=True, kw_only=True)
class Seen(Event):
    """A listener (UDP: an unconnected socket) that the sampler sees for the first time.

    *socket*: names it: "inode:N" where the OS tells the inode, else "pid:fd". *copy* is None outside the run.
    """

    kind = "seen"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class Unseen(Event):
    """The first sample in which that socket is missing."""

    kind = "unseen"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class Orphaned(Event):
    """An endpoint still held when its copy's main process had ended and the grace time was over."""

    kind = "orphaned"

    endpoint: Endpoint
    socket: str


@dataclass(slots=True, kw_only=True)
class SensorState(Event):
    """*state*: "up", "down" (ended in order), "missing" (at the probe), "partial" (it sees less than it could) or
    "blind" (lost later); *why* for people. *samples* of the sampler; *calls* of the exact sensor, with its *cpu_s*.
    """

    kind = "sensor"

    sensor: str
    state: str
    why: str = ""
    samples: int = 0
    calls: int = 0
    cpu_s: float = 0.0


_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        RunStarted,
        CopyState,
        ProcessSeen,
        Bind,
        Listen,
        Connect,
        Send,
        Release,
        Seen,
        Unseen,
        Orphaned,
        SensorState,
    )
}
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_JSON_OF = {None: "null", True: "true", False: "false"}
_OF_PROCESS = ("source", "copy", "pid", "process_start", "tid")
_take_process = attrgetter(*_OF_PROCESS)
_quoted = json.encoder.encode_basestring_ascii


def _plan(kind: type[Event]) -> tuple[tuple[str, str, Any], ...]:
    """Name, key and default of the fields that `encode` does not write out by name."""
    written = {field.name for field in fields(Event)}
    if issubclass(kind, SocketCall):
        written |= {"cookie", "netns", "inode", "socket"}
    return tuple(
        (field.name, f',"{field.name}":', field.default) for field in fields(kind) if field.name not in written
    )


_PLANS = {kind: _plan(kind) for kind in _KINDS.values()}


def _whole(value: Any) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
        raise TypeError(f"not a whole number of 64 bits: {value!r:.80}")
    return value


def _number(value: Any) -> float:
    if type(value) is int:
        value = float(_whole(value))
    if type(value) is not float or not math.isfinite(value):
        raise TypeError(f"not a number: {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"not text: {value!r:.80}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"not a list: {value!r:.80}")
    return value


def _unpacked_endpoint(value: Any) -> Endpoint:
    protocol, address, port, netns, v6only = _list(value)
    if v6only is not None and type(v6only) is not bool:
        raise TypeError(f"v6only is neither true nor false: {v6only!r:.80}")
    return Endpoint(_text(protocol), _text(address), _whole(port), _whole(netns), v6only)


def _unpacked_holders(value: Any) -> tuple[Holder, ...]:
    found = []
    for copy, pid, state, cookie, command in map(_list, _list(value)):
        owner = None if copy is None else _whole(copy)
        found.append(Holder(owner, _whole(pid), _text(state), _whole(cookie), _text(command)))
    return tuple(found)


_FROM_JSON: dict[str, Callable[[Any], Any]] = {  # By the type of the field, as the classes above write it.
    "int": _whole,
    "int | None": lambda value: None if value is None else _whole(value),
    "float": _number,
    "str": _text,
    "tuple[str, ...]": _texts,
    "tuple[Holder, ...]": _unpacked_holders,
    "Endpoint": _unpacked_endpoint,
    "Endpoint | None": lambda value: None if value is None else _unpacked_endpoint(value),
}
_READERS = {kind: {field.name: _FROM_JSON[str(field.type)] for field in fields(kind)} for kind in _KINDS.values()}


def encode(event: Event) -> str:
    """*event* as one line of JSON, without the line's end. Lone surrogates are escaped, so any name survives."""
    # Written out, and what many events share remembered: the supervisor encodes each call that it traps, and
    # json.dumps took three times as long.
    line = f'{{"kind":"{event.kind}","t_ns":{event.t_ns}{_process(*_take_process(event))}'
    if event.test:
        line += f',"test":{_quoted(event.test)}'
    if event.source_line:
        line += f',"source_line":{_quoted(event.source_line)}'
    if event.attribution:
        line += f',"attribution":{_quoted(event.attribution)}'
    if isinstance(event, SocketCall):
        if event.cookie:
            line += f',"cookie":{event.cookie}'
        if event.netns:
            line += f',"netns":{event.netns}'
        if event.inode:
            line += f',"inode":{event.inode}'
        if event.socket:
            line += f',"socket":{_quoted(event.socket)}'
    for name, key, default in _PLANS[type(event)]:
        value = getattr(event, name)
        if value is default or value == default:
            continue
        if type(value) is Endpoint:
            line += key + _endpoint(value)
        elif name == "options":
            line += key + _options(value)
        elif name == "holders":
            line += key + _to_json([[h.copy, h.pid, h.state, h.cookie, h.command] for h in value])
        else:
            line += key + _to_json(value)
    return line + "}"


_options = lru_cache(maxsize=64)(_to_json)


@lru_cache(maxsize=1024)
def _endpoint(endpoint: Endpoint) -> str:
    protocol, address, port, netns, v6only = endpoint
    return f"[{_quoted(protocol)},{_quoted(address)},{port},{netns},{_JSON_OF[v6only]}]"


@lru_cache(maxsize=1024)
def _process(*values: Any) -> str:
    """The fields that say which thread of which process made a call."""
    return "".join(
        f',"{name}":{_to_json(value)}'
        for name, value in zip(_OF_PROCESS, values, strict=True)
        if value != Event.__dataclass_fields__[name].default
    )


def decode(line: str | bytes) -> Event:
    """The event of one line. Raises EventError for a torn line, an unknown kind, a missing or unknown field, and a
    value that is not of its field's type: a copy can write into every file of events.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EventError(f"not JSON: {error}") from error
    if type(found) is not dict:
        raise EventError(f"not an object: {line!r:.80}")
    kind = _KINDS.get(str(found.pop("kind", "")))
    if kind is None:
        raise EventError(f"no such kind of event: {line!r:.80}")
    readers = _READERS[kind]
    try:
        for name, value in found.items():
            found[name] = readers[name](value)
        return kind(**found)
    except KeyError as error:
        raise EventError(f"{kind.kind}: no such field: {error}") from error
    except (TypeError, ValueError) as error:
        raise EventError(f"{kind.kind}: {error}") from error
