"""Short ways to write the callers of events, findings and reports down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parasuite.judge.findings.finding import Effect, Finding, Side
from parasuite.judge.health import Health
from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode, Verdict
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.copy_life import CopyEnd
from parasuite.model.events import Bind, Connect, Endpoint, Event, Holder, Listen, Release
from parasuite.model.location import Location
from parasuite.model.party import Caller, Party, Process
from parasuite.model.words import (
    AttributedBy,
    CopyPhase,
    Evidence,
    FailOn,
    Protocol,
    Role,
    SensorStatus,
    SocketState,
)


def by(
    copy: int | None = None,
    pid: int = 0,
    *,
    worker: str = "",
    start_s: float = 0.0,
    tid: int = 0,
    test: str = "",
    line: str = "",
    attribution: AttributedBy = AttributedBy.NONE,
) -> Caller:
    """A process of *copy* (None: outside the run) that is in *test*, at *line* ("file:line:function")."""
    party = None if copy is None else Party(copy, worker)
    return Caller(Process(party, pid, start_s), tid, test, at(line), attribution)


def at(line: str) -> tuple[Location, ...]:
    """The frames of a call, innermost first: "file:line:function", several of them separated by spaces."""
    return tuple(place for text in line.split() if (place := Location.parse(text)))


def tcp(port: int, address: str = "127.0.0.1") -> Endpoint:
    """A TCP endpoint."""
    return Endpoint(Protocol.TCP, address, port)


def udp(port: int, address: str = "127.0.0.1") -> Endpoint:
    """A UDP endpoint."""
    return Endpoint(Protocol.UDP, address, port)


def serves(
    t_ns: int, caller: Caller, got: Endpoint, *, cookie: int = 0, asked_port: int | None = None, **more: Any
) -> list[Event]:
    """*caller* binds *got* and listens there; it asked for that port, or for *asked_port*. *cookie*: of the socket;
    else *t_ns* is.
    """
    cookie = cookie or t_ns
    asked = got if asked_port is None else got._replace(port=asked_port)
    bind = Bind(t_ns=t_ns, caller=caller, cookie=cookie, network=got.network, asked=asked, got=got, **more)
    if got.protocol is not Protocol.TCP:
        return [bind]
    return [bind, Listen(t_ns=t_ns + 1, caller=caller, cookie=cookie, network=got.network, got=got, **more)]


def draws(t_ns: int, caller: Caller, got: Endpoint, *, released_ns: int = 0, **more: Any) -> list[Event]:
    """*caller* is assigned *got* at *t_ns*, and has released it at *released_ns*, else one nanosecond later."""
    drawn = Bind(t_ns=t_ns, caller=caller, cookie=t_ns, asked=got._replace(port=0), got=got, **more)
    return [drawn, Release(t_ns=released_ns or t_ns + 1, cookie=t_ns)]


def refused(
    t_ns: int,
    caller: Caller,
    asked: Endpoint,
    by_party: Party | None = None,
    cookie: int = 0,
    state: SocketState = SocketState.LISTEN,
    **holder: Any,
) -> Bind:
    """*caller* is refused *asked*, which a socket of *by_party* has."""
    holders = (Holder(party=by_party, pid=0, state=state, cookie=cookie, **holder),)
    return Bind(t_ns=t_ns, caller=caller, asked=asked, errno="EADDRINUSE", holders=holders)


def connects(t_ns: int, caller: Caller, destination: Endpoint, *holders: Holder) -> Connect:
    """*caller* connects to *destination*; *holders*: who listened there, as far as the sensor asked."""
    return Connect(t_ns=t_ns, caller=caller, cookie=t_ns, destination=destination, holders=holders)


def a_side(copy: int | None = 0, role: Role = Role.HOLDER, *, worker: str = "", line: str = "", **more: Any) -> Side:
    """What a process of *copy* (None: outside the run) did, at *line* as in `at`."""
    party = None if copy is None else Party(copy, worker)
    return replace(Side(role=role, party=party, frames=at(line)), **more)


_TCP_8025 = Endpoint(Protocol.TCP, "127.0.0.1", 8025)


def an_effect(kind: EffectKind = EffectKind.REFUSED, *sides: Side, **more: Any) -> Effect:
    """An effect on port 8025; copy 1 wanted what copy 0 held unless *sides* say who did what."""
    made = Effect(
        kind=kind,
        severity=kind.info.severity,
        evidence=Evidence.EXACT,
        endpoint=_TCP_8025,
        sides=sides or (a_side(1, Role.WANTED), a_side(0, Role.HELD)),
    )
    return replace(made, **more)


def a_finding(cause: Cause = Cause.HARD_CODED, **changes: Any) -> Finding:
    """A finding of two copies about port 8025, with no effect yet, with *changes*."""
    made = Finding(
        id="0123456789",
        cause=cause,
        severity=cause.info.severity,
        evidence=Evidence.EXACT,
        title=cause.info.title,
        hint=cause.info.hint,
        endpoint=_TCP_8025,
        parties=(Party(0), Party(1)),
        sides=(a_side(0), a_side(1)),
        port=8025 if cause is Cause.HARD_CODED else 0,
    )
    return replace(made, **changes)


def a_report(**changes: Any) -> Report:
    """A run of two copies that passed, with *changes*."""
    made = Report(
        run_id="20261122T095746Z-k3f9",
        folder=".parasuite/runs/20261122T095746Z-k3f9",
        target="pytest tests/",
        wall="2026-11-22T09:57:46",
        host="host",
        duration_s=12.3456,
        start_ns=0,
        fail_on=FailOn.ERROR,
        copy_ends=[CopyEnd(copy=number, how=CopyPhase.EXITED, status=0) for number in range(2)],
        results=[[], []],
        findings=(),
        health=Health(sensors={"sampler": SensorStatus.DOWN}, samples=3, listeners=2),
        verdict=Verdict(code=ExitCode.PASSED, reason="passed"),
        cannot_see=("a listener that lives for a moment",),
    )
    return replace(made, **changes)
