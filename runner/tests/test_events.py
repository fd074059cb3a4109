"""An event survives its line, and a line that is none is told."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model import events
from parasuite.model.events import Bind, Endpoint, Holder, OtherRun, Release, RunStarted
from parasuite.model.lines import EventError, decode, encode
from parasuite.model.location import FRAMES_MAX, Location
from parasuite.model.network import Network
from parasuite.model.party import Caller, Fixture, Party, Process
from parasuite.model.words import (
    AttributedBy,
    CopyPhase,
    FixtureScope,
    NetworkMode,
    Protocol,
    SensorStatus,
    SocketOption,
    SocketState,
)

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and kind.kind and kind is not events.Event
]
networks = st.builds(Network, st.integers(0, 2**32))
endpoints = st.builds(
    Endpoint,
    protocol=st.sampled_from(Protocol),
    address=st.text(max_size=20),
    port=st.integers(0, 65535),
    network=networks,
    v6only=st.sampled_from([None, True, False]),
)
parties = st.none() | st.builds(Party, st.integers(0, 9), st.text(max_size=5))
other_runs = st.builds(
    OtherRun, run_id=st.text(max_size=9), copy=st.integers(0, 9), folder=st.text(max_size=9), test=st.text(max_size=9)
)
holders = st.builds(
    Holder,
    party=parties,
    pid=st.integers(0, 9),
    state=st.sampled_from(SocketState),
    cookie=st.integers(0, 2**64 - 1),
    command=st.text(max_size=9),
    name=st.text(max_size=9),
    start_s=st.floats(allow_nan=False, allow_infinity=False),
    uid=st.none() | st.integers(0, 2**32 - 1),
    peer=st.none() | endpoints,
    other_run=st.none() | other_runs,
)
locations = st.text(min_size=1, max_size=20).map(Location.parse) | st.builds(
    Location, st.text(max_size=9), st.integers(1, 9), st.just("function")
)
ancestors = st.builds(
    events.Ancestor,
    pid=st.integers(0, 9),
    start_s=st.floats(allow_nan=False, allow_infinity=False),
    environment=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)
callers = st.builds(
    Caller,
    process=st.builds(
        Process, party=parties, pid=st.integers(0, 9), start_s=st.floats(allow_nan=False, allow_infinity=False)
    ),
    tid=st.integers(0, 9),
    test=st.text(max_size=20),
    frames=st.lists(locations, max_size=FRAMES_MAX).map(tuple),
    attribution=st.sampled_from(AttributedBy),
    fixture=st.none() | st.builds(Fixture, st.sampled_from(FixtureScope), st.text(max_size=9)),
    library=st.text(max_size=9),
)
VALUES = {
    "int": st.integers(-(2**63), 2**63),
    "str": st.text(max_size=20),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "int | None": st.one_of(st.none(), st.integers(0, 2**63)),
    "tuple[str, ...]": st.lists(st.text(max_size=5), max_size=3).map(tuple),
    "tuple[int, ...]": st.lists(st.integers(0, 65535), max_size=3).map(tuple),
    "tuple[SocketOption, ...]": st.lists(st.sampled_from(SocketOption), max_size=2).map(tuple),
    "CopyPhase": st.sampled_from(CopyPhase),
    "NetworkMode": st.sampled_from(NetworkMode),
    "SensorStatus": st.sampled_from(SensorStatus),
    "Network": networks,
    "Caller": callers,
    "tuple[Holder, ...]": st.lists(holders, max_size=2).map(tuple),
    "tuple[Ancestor, ...]": st.lists(ancestors, max_size=2).map(tuple),
    "Endpoint": endpoints,
    "Endpoint | None": st.one_of(st.none(), endpoints),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@given(data=st.data())
def test_decoding_undoes_encoding(kind: type[events.Event], data: st.DataObject) -> None:
    drawn: dict[str, Any] = {field.name: data.draw(VALUES[str(field.type)], field.name) for field in fields(kind)}
    event = kind(**drawn)
    line = encode(event)
    assert decode(line) == event
    assert "\n" not in line
    assert line.isascii()


def test_what_has_its_default_is_left_out() -> None:
    assert encode(Release(t_ns=7, cookie=9)) == '{"kind":"release","t_ns":7,"cookie":9}'


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"kind":"release","t_ns":7', id="torn"),
        pytest.param("7", id="not an object"),
        pytest.param('{"kind":"gossip","t_ns":7}', id="unknown kind"),
        pytest.param('{"kind":"release"}', id="a field missing"),
        pytest.param('{"kind":"release","t_ns":7,"colour":1}', id="a field too many"),
        pytest.param('{"kind":"connect","t_ns":7,"destination":5}', id="no endpoint"),
        pytest.param('{"kind":"release","t_ns":"7"}', id="a time that is text"),
        pytest.param('{"kind":"release","t_ns":null}', id="no time"),
        pytest.param('{"kind":"release","t_ns":1' + "0" * 40 + "}", id="a time of more than 64 bits"),
        pytest.param('{"kind":"sensor","t_ns":1,"sensor":[],"state":"up"}', id="a name that is a list"),
        pytest.param('{"kind":"copy","t_ns":1,"state":5,"copy":0}', id="a state that is a number"),
        pytest.param('{"kind":"copy","t_ns":1,"state":"gone","copy":true}', id="a copy that is true"),
        pytest.param('{"kind":"bind","t_ns":5,"asked":["tcp","x","notaport",0,null]}', id="a port that is text"),
        pytest.param('{"kind":"bind","t_ns":5,"asked":["tcp","x",1,0,null],"holders":[[]]}', id="an empty holder"),
        pytest.param(
            '{"kind":"bind","t_ns":5,"asked":["tcp","x",1,0,null],"holders":[[null,0,"listen",0,"","",{"age":5}]]}',
            id="an unknown detail of a holder",
        ),
        pytest.param(
            '{"kind":"bind","t_ns":5,"asked":["tcp","x",1,0,null],"holders":[[null,0,"listen",0,"","",{"run":["r",0]}]]}',
            id="half of another run",
        ),
        pytest.param('{"kind":"release","t_ns":7,"process_start":NaN}', id="a time that is no number"),
        pytest.param("[" * 200_000, id="nested deeper than Python recurses"),
    ],
)
def test_a_line_that_is_no_event_is_told(line: str) -> None:
    with pytest.raises(EventError):
        decode(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@given(data=st.data())
def test_a_field_of_any_value_is_of_its_type_or_an_event_error(kind: type[events.Event], data: st.DataObject) -> None:
    drawn: dict[str, Any] = {field.name: data.draw(VALUES[str(field.type)], field.name) for field in fields(kind)}
    line = json.loads(encode(kind(**drawn)))
    line[data.draw(st.sampled_from([*line, *(field.name for field in fields(kind))]))] = data.draw(json_values)
    try:
        event = decode(json.dumps(line))
    except EventError:
        return
    assert decode(encode(event)) == event


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event_or_an_event_error(line: bytes) -> None:
    try:
        decode(line)
    except EventError:
        return


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint(Protocol.TCP, "127.0.0.1", 80), "127.0.0.1:80"),
        (Endpoint(Protocol.UDP, "::1", 53), "[::1]:53/udp"),
        (Endpoint(Protocol.UNIX, "/tmp/x"), "unix:/tmp/x"),
        (Endpoint(Protocol.VSOCK, "1", 1234), "vsock:1:1234"),
    ],
)
def test_an_endpoint_reads_as_people_write_it(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text


HOLDER = Holder(Party(1), 2, SocketState.LISTEN)


def test_a_bind_carries_its_holders() -> None:
    bind = Bind(t_ns=1, asked=Endpoint(Protocol.TCP, "127.0.0.1", 80), errno="EADDRINUSE", holders=(HOLDER,))
    assert decode(encode(bind)) == bind
    assert RunStarted(t_ns=1, wall_ns=2).kind == "run"
