"""An event survives its line, and a line that is none is told."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model import events
from parasuite.model.events import Bind, Endpoint, EventError, Holder, Release, RunStarted, decode, encode

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and kind.kind and kind is not events.Event
]
endpoints = st.builds(
    Endpoint,
    protocol=st.sampled_from(["tcp", "udp", "unix"]),
    address=st.text(max_size=20),
    port=st.integers(0, 65535),
    netns=st.integers(0, 2**32),
    v6only=st.sampled_from([None, True, False]),
)
holders = st.builds(Holder, copy=st.one_of(st.none(), st.integers(0, 9)), pid=st.integers(0, 9), state=st.text())
VALUES = {
    "int": st.integers(-(2**63), 2**63),
    "str": st.text(max_size=20),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "int | None": st.one_of(st.none(), st.integers(0, 2**63)),
    "tuple[str, ...]": st.lists(st.text(max_size=5), max_size=3).map(tuple),
    "tuple[Holder, ...]": st.lists(holders, max_size=2).map(tuple),
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
    line[data.draw(st.sampled_from([field.name for field in fields(kind)]))] = data.draw(json_values)
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
        (Endpoint("tcp", "127.0.0.1", 80), "127.0.0.1:80"),
        (Endpoint("udp", "::1", 53), "[::1]:53/udp"),
        (Endpoint("unix", "/tmp/x"), "unix:/tmp/x"),
        (Endpoint("vsock", "1", 1234), "vsock:1:1234"),
    ],
)
def test_an_endpoint_reads_as_people_write_it(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text


def test_a_bind_carries_its_holders() -> None:
    bind = Bind(t_ns=1, asked=Endpoint("tcp", "127.0.0.1", 80), errno="EADDRINUSE", holders=(Holder(1, 2, "listen"),))
    assert decode(encode(bind)) == bind
    assert RunStarted(t_ns=1, wall_ns=2).kind == "run"
