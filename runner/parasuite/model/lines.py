"""Events as lines of JSON: `encode` and `decode`. What has its default value is left out.

A copy can write into every file of events, so `decode` checks each value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import astuple, fields, replace
from functools import lru_cache
from typing import Any

from parasuite.model.events import (
    Ancestor,
    Bind,
    Connect,
    CopyState,
    Endpoint,
    Event,
    Holder,
    Listen,
    Orphaned,
    OtherRun,
    PortTaken,
    PortVisited,
    ProcessEvent,
    ProcessSeen,
    Release,
    RunStarted,
    Seen,
    Send,
    SensorState,
    SocketCall,
    StrangerSeen,
    Unseen,
)
from parasuite.model.location import FRAMES_MAX, Location
from parasuite.model.network import Network
from parasuite.model.party import Caller, Fixture, Party, Process
from parasuite.model.words import (
    AttributedBy,
    CopyPhase,
    NetworkMode,
    Protocol,
    SensorStatus,
    SocketOption,
    SocketState,
)


class EventError(ValueError):
    """A line that is not an event; its message says why."""


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
        StrangerSeen,
        Orphaned,
        PortTaken,
        PortVisited,
        SensorState,
    )
}
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_JSON_OF = {None: "null", True: "true", False: "false"}
_quoted = json.encoder.encode_basestring_ascii


def _plan(kind: type[Event]) -> tuple[tuple[str, str, Any], ...]:
    """Name, key and default of the fields that `encode` does not write out by name."""
    written = {field.name for field in fields(ProcessEvent)}
    if issubclass(kind, SocketCall):
        written |= {field.name for field in fields(SocketCall)}
    return tuple(
        (field.name, f',"{field.name}":', field.default) for field in fields(kind) if field.name not in written
    )


_PLANS = {kind: _plan(kind) for kind in _KINDS.values()}


def encode(event: Event) -> str:
    """*event* as one line of JSON, without the line's end. Lone surrogates are escaped, so any name survives."""
    # Written out, and what many events share remembered: the supervisor encodes each call that it traps, and
    # json.dumps took three times as long.
    line = f'{{"kind":"{event.kind}","t_ns":{event.t_ns}'
    if event.source:
        line += f',"source":{_quoted(event.source)}'
    if isinstance(event, ProcessEvent):
        line += _encoded_caller(event.caller)
    if isinstance(event, SocketCall):
        if event.cookie:
            line += f',"cookie":{event.cookie}'
        if event.network.namespace:
            line += f',"netns":{event.network.namespace}'
        if event.inode:
            line += f',"inode":{event.inode}'
        if event.socket:
            line += f',"socket":{_quoted(event.socket)}'
    for name, key, default in _PLANS[type(event)]:
        value = getattr(event, name)
        if value is default or value == default:
            continue
        if type(value) is Endpoint:
            line += key + _encoded_endpoint(value)
        elif name == "options":
            line += key + _encoded_options(value)
        elif name == "holders":
            line += key + _to_json([_encoded_holder(holder) for holder in value])
        else:
            line += key + _to_json(value)
    return line + "}"


_encoded_options = lru_cache(maxsize=64)(_to_json)


def _endpoint_values(endpoint: Endpoint) -> list[object]:
    protocol, address, port, network, v6only = endpoint
    return [protocol, address, port, network.namespace, v6only]


@lru_cache(maxsize=1024)
def _encoded_endpoint(endpoint: Endpoint) -> str:
    protocol, address, port, network, v6only = endpoint
    return f"[{_quoted(protocol)},{_quoted(address)},{port},{network.namespace},{_JSON_OF[v6only]}]"


@lru_cache(maxsize=1024)
def _encoded_caller(caller: Caller) -> str:
    process, tid, test, frames, attribution, fixture, library = caller
    party, pid, start_s = process
    line = ""
    if party is not None:
        line += f',"copy":{party.copy}'
        line += f',"worker":{_quoted(party.worker)}' if party.worker else ""
    line += f',"pid":{pid}' if pid else ""
    line += f',"process_start":{start_s!r}' if start_s else ""
    line += f',"tid":{tid}' if tid else ""
    line += f',"test":{_quoted(test)}' if test else ""
    line += f',"source_line":{_encoded_frames(frames)}' if frames else ""
    line += f',"attribution":{_quoted(attribution)}' if attribution else ""
    line += f',"fixture":{_quoted(str(fixture))}' if fixture is not None else ""
    line += f',"library":{_quoted(library)}' if library else ""
    return line


def _encoded_frames(frames: tuple[Location, ...]) -> str:
    """Text if it is one frame, as most often; else a list, innermost first."""
    return _quoted(str(frames[0])) if len(frames) == 1 else _to_json([str(frame) for frame in frames])


def _encoded_holder(holder: Holder) -> list[object]:
    party = holder.party
    values: list[object] = [party and party.copy, holder.pid, holder.state, holder.cookie, holder.command]
    worker = party.worker if party is not None else ""
    details = _encoded_details(holder)
    if details:
        return [*values, worker, details]
    return [*values, worker] if worker else values


def _encoded_details(holder: Holder) -> dict[str, object]:
    """What is known of a holder outside the run, without what is not."""
    details: dict[str, object] = {}
    if holder.name:
        details["name"] = holder.name
    if holder.start_s:
        details["start"] = holder.start_s
    if holder.uid is not None:
        details["uid"] = holder.uid
    if holder.peer is not None:
        details["peer"] = _endpoint_values(holder.peer)
    if holder.other_run is not None:
        details["run"] = astuple(holder.other_run)
    return details


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


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"neither true nor false: {value!r:.80}")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"not a list: {value!r:.80}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _options(value: Any) -> tuple[SocketOption, ...]:
    return tuple(map(SocketOption, _texts(value)))


def _endpoint(value: Any) -> Endpoint:
    protocol, address, port, namespace, v6only = _list(value)
    if v6only is not None and type(v6only) is not bool:
        raise TypeError(f"v6only is neither true nor false: {v6only!r:.80}")
    return Endpoint(Protocol(_text(protocol)), _text(address), _whole(port), Network(_whole(namespace)), v6only)


def _ancestors(value: Any) -> tuple[Ancestor, ...]:
    return tuple(_ancestor(*_list(ancestor)) for ancestor in _list(value))


def _ancestor(pid: Any, start_s: Any, name: Any, command: Any, environment: Any, xdist_worker: Any) -> Ancestor:
    return Ancestor(
        _whole(pid), _number(start_s), _text(name), _text(command), _texts(environment), _text(xdist_worker)
    )


def _holders(value: Any) -> tuple[Holder, ...]:
    return tuple(_holder(*_list(holder)) for holder in _list(value))


def _holder(
    copy: Any, pid: Any, state: Any, cookie: Any, command: Any, worker: Any = "", details: Any = None
) -> Holder:
    party = None if copy is None else Party(_whole(copy), _text(worker))
    holder = Holder(party, _whole(pid), SocketState(_text(state)), _whole(cookie), _text(command))
    if details is None:
        return holder
    if type(details) is not dict:
        raise TypeError(f"not an object: {details!r:.80}")
    return _detailed(holder, **details)


def _detailed(
    holder: Holder, /, *, name: Any = "", start: Any = 0.0, uid: Any = None, peer: Any = None, run: Any = None
) -> Holder:
    return replace(
        holder,
        name=_text(name),
        start_s=_number(start),
        uid=None if uid is None else _whole(uid),
        peer=None if peer is None else _endpoint(peer),
        other_run=None if run is None else _other_run(*_list(run)),
    )


def _other_run(run_id: Any, copy: Any, folder: Any, test: Any) -> OtherRun:
    return OtherRun(_text(run_id), _whole(copy), _text(folder), _text(test))


@lru_cache(maxsize=1024, typed=True)
def _caller(
    copy: Any,
    worker: Any,
    pid: Any,
    start_s: Any,
    tid: Any,
    test: Any,
    frames: tuple[Any, ...],
    attribution: Any,
    fixture: Any,
    library: Any,
) -> Caller:
    party = None if copy is None else Party(_whole(copy), _text(worker))
    return Caller(
        process=Process(party, _whole(pid), _number(start_s)),
        tid=_whole(tid),
        test=_text(test),
        frames=tuple(location for text in frames if (location := Location.parse(_text(text))) is not None),
        attribution=AttributedBy(_text(attribution)),
        fixture=Fixture.parse(_text(fixture)),
        library=_text(library),
    )


def _frames(value: Any) -> tuple[Any, ...]:
    return tuple(value[:FRAMES_MAX]) if type(value) is list else (value,)


_FROM_JSON: dict[str, Callable[[Any], object]] = {  # By the type of the field, as the classes write it.
    "int": _whole,
    "int | None": lambda value: None if value is None else _whole(value),
    "float": _number,
    "bool": _truth,
    "str": _text,
    "tuple[str, ...]": _texts,
    "tuple[int, ...]": lambda value: tuple(map(_whole, _list(value))),
    "tuple[SocketOption, ...]": _options,
    "tuple[Holder, ...]": _holders,
    "tuple[Ancestor, ...]": _ancestors,
    "Network": lambda value: Network(_whole(value)),
    "NetworkMode": lambda value: NetworkMode(_text(value)),
    "CopyPhase": lambda value: CopyPhase(_text(value)),
    "SensorStatus": lambda value: SensorStatus(_text(value)),
    "Endpoint": _endpoint,
    "Endpoint | None": lambda value: None if value is None else _endpoint(value),
}
_KEY_OF = {"network": "netns"}
_READERS = {
    kind: {
        _KEY_OF.get(field.name, field.name): (field.name, _FROM_JSON[str(field.type)])
        for field in fields(kind)
        if field.name != "caller"
    }
    for kind in _KINDS.values()
}


def decode(line: str | bytes) -> Event:
    """The event of one line. Raises EventError for a torn line, an unknown kind, a missing or unknown field, and a
    value that is not of its field's type.
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
    values: dict[str, Any] = {}
    try:
        if issubclass(kind, ProcessEvent):
            take = found.pop
            values["caller"] = _caller(
                take("copy", None),
                take("worker", ""),
                take("pid", 0),
                take("process_start", 0.0),
                take("tid", 0),
                take("test", ""),
                _frames(take("source_line", "")),
                take("attribution", ""),
                take("fixture", ""),
                take("library", ""),
            )
        for key, value in found.items():
            name, read = readers[key]
            values[name] = read(value)
        return kind(**values)
    except KeyError as error:
        raise EventError(f"{kind.kind}: no such field: {error}") from error
    except (TypeError, ValueError) as error:
        raise EventError(f"{kind.kind}: {error}") from error
