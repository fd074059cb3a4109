"""Findings about what is outside the run, or was left by the party itself: strangers, other hosts, connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from parasuite.judge.findings import Finding, find
from parasuite.judge.findings.find import WITHOUT_HOLDER
from parasuite.model.ambient import AmbientService
from parasuite.model.causes import Cause, EffectKind
from parasuite.model.events import (
    Bind,
    Connect,
    Endpoint,
    Event,
    Holder,
    OtherRun,
    PortTaken,
    ProcessSeen,
    Release,
    RunStarted,
    StrangerSeen,
)
from parasuite.model.sensors import SensorName
from parasuite.model.words import Evidence, Role, Severity, SocketOption, SocketState

from runner.tests.building import by, connects, draws, refused, serves, tcp, udp

HERE = tcp(6379)
CLIENT = by(0, 1, tid=1, test="t.py::a", line="conftest.py:8:client")
REDIS = Holder(None, 812, SocketState.LISTEN, 5, command="redis-server *:6379", name="redis-server")
RUN = RunStarted(t_ns=0, wall_ns=1, ephemeral_first=32768, ephemeral_last=60999, addresses=("192.0.2.7",))


def sampled_stranger(t_ns: int, at: Endpoint = HERE, *, is_gone: bool = False) -> StrangerSeen:
    """The sampler sees redis-server, or misses it."""
    return StrangerSeen(
        t_ns=t_ns, endpoint=at, socket="inode:7", holders=() if is_gone else (REDIS,), is_gone=is_gone
    )


def found(
    *events: Event | Sequence[Event], ambient: tuple[AmbientService, ...] = (), run: RunStarted = RUN
) -> list[Finding]:
    flat = [event for each in events for event in ([each] if isinstance(each, Event) else each)]
    return list(find(sorted([run, *flat], key=lambda event: event.t_ns), ambient).findings)


def one(*events: Event | Sequence[Event]) -> Finding:
    (finding,) = found(*events)
    return finding


# --- reached --------------------------------------------------------------------------------------------------------


def test_a_client_that_reaches_a_process_outside_the_run_depends_on_it() -> None:
    finding = one(connects(5, CLIENT, HERE, REDIS))
    (effect,) = finding.effects
    assert (finding.cause, finding.severity, effect.kind) == (Cause.STRANGER, "warning", EffectKind.CROSSTALK)
    assert [(side.role, side.process, side.command) for side in effect.sides][1] == (
        Role.SERVER,
        "redis-server",
        "redis-server *:6379",
    )
    assert finding.title == "the suite depends on a process outside the run, at 127.0.0.1:6379"


def test_many_clients_of_one_stranger_are_one_finding() -> None:
    others = [replace(connects(5 + copy, by(copy, copy, test=f"t{copy}"), HERE, REDIS)) for copy in range(4)]
    assert one(*others).cause == Cause.STRANGER


def test_two_strangers_are_two_findings() -> None:
    other = Holder(None, 813, SocketState.LISTEN, 6)
    assert [
        finding.cause for finding in found(connects(5, CLIENT, HERE, REDIS), connects(6, CLIENT, tcp(5432), other))
    ] == [Cause.STRANGER] * 2


def test_a_stranger_is_known_by_its_fixed_port() -> None:
    assert one(connects(5, CLIENT, HERE, REDIS)).port == HERE.port


def test_a_stranger_on_a_port_that_the_kernel_may_have_assigned_is_known_by_its_program() -> None:
    this_run, another_run = (one(connects(5, CLIENT, tcp(port), REDIS)) for port in (40001, 50001))
    assert (this_run.id, this_run.title) == (another_run.id, another_run.title)
    assert this_run.title == "the suite depends on a process outside the run, redis-server"


def test_the_resolver_of_names_is_a_note() -> None:
    resolver = Holder(None, 53, SocketState.UNCONNECTED, 6)
    assert one(connects(5, CLIENT, udp(53, "127.0.0.53"), resolver)).severity == "note"


def test_the_proxy_that_the_environment_names_is_a_note() -> None:
    (finding,) = found(connects(5, CLIENT, tcp(3128), REDIS), run=replace(RUN, proxies=(3128,)))
    assert finding.severity == "note"


@pytest.mark.parametrize(("started_s", "severity"), [(10.0, "note"), (2.0, "warning")])
def test_a_container_whose_port_was_published_during_the_run_is_a_note(started_s: float, severity: str) -> None:
    container = Holder(None, 9, SocketState.LISTEN, 7, name="docker-proxy", start_s=started_s)
    (finding,) = found(connects(5, CLIENT, HERE, container), run=replace(RUN, wall_ns=5_000_000_000))
    assert finding.severity == severity


def test_a_stranger_that_the_suite_is_meant_to_use_is_not_reported() -> None:
    ambient = AmbientService(reason="the machine's redis", port=6379)
    assert found(connects(5, CLIENT, HERE, REDIS), ambient=(ambient,)) == []
    assert len(found(connects(5, CLIENT, tcp(6380), REDIS), ambient=(ambient,))) == 1


def test_another_parasuite_is_named_with_its_run_copy_and_test() -> None:
    job = replace(REDIS, other_run=OtherRun("20261122T095746Z-k3f9", 3, "/ci/b/.parasuite", "t.py::test_b"))
    (effect,) = one(connects(5, CLIENT, HERE, job)).effects
    assert effect.sides[1].stranger == (
        "t.py::test_b, copy 3 of parasuite run 20261122T095746Z-k3f9 in /ci/b/.parasuite"
    )


# --- shared ---------------------------------------------------------------------------------------------------------

LETS_IN = (SocketOption.REUSEADDR, SocketOption.REUSEPORT)


@pytest.mark.parametrize(
    "events",
    [
        serves(5, CLIENT, HERE, holders=(REDIS,), options=LETS_IN),
        [sampled_stranger(2), *serves(5, CLIENT, HERE, options=LETS_IN)],
        [*serves(5, CLIENT, HERE, options=LETS_IN), sampled_stranger(9)],
    ],
    ids=["the kernel's table shows it", "it was sampled before", "it is sampled later"],
)
def test_a_port_that_is_shared_with_a_process_outside_the_run_is_a_stranger(events: list[Event]) -> None:
    finding = next(finding for finding in found(*events) if finding.cause == Cause.STRANGER)
    (effect,) = finding.effects
    assert (finding.severity, effect.kind) == (Severity.WARNING, EffectKind.SHARED)
    assert [(side.role, side.process) for side in effect.sides][1] == (Role.HELD, "redis-server")


@pytest.mark.parametrize(
    "events",
    [
        [sampled_stranger(2), *serves(5, CLIENT, HERE, options=(SocketOption.REUSEADDR,))],
        [sampled_stranger(2), sampled_stranger(3, is_gone=True), *serves(5, CLIENT, HERE, options=LETS_IN)],
        [*serves(5, CLIENT, HERE, options=LETS_IN), Release(t_ns=8, cookie=5), sampled_stranger(9)],
        [sampled_stranger(2), *serves(5, CLIENT, tcp(6379, "127.0.0.2"), options=LETS_IN)],
    ],
    ids=["it must have ended, or the bind would have failed", "it has ended", "it came later", "elsewhere"],
)
def test_a_stranger_that_was_not_there_at_the_same_time_shares_no_port(events: list[Event]) -> None:
    assert [finding.cause for finding in found(*events) if finding.cause == Cause.STRANGER] == []


def test_a_port_that_parasuite_itself_has_taken_is_not_shared_with_a_stranger() -> None:
    taken = PortTaken(t_ns=1, caller=CLIENT, endpoint=HERE)
    bound = serves(5, CLIENT, HERE, holders=(REDIS,), options=LETS_IN)
    assert not any(finding.effects for finding in found(taken, *bound))


# --- as the sampler sees them ---------------------------------------------------------------------------------------


def connects_as_recorded(t_ns: int, to: Endpoint) -> Connect:
    """A connect that only the recorder saw: it does not look for holders."""
    return replace(connects(t_ns, CLIENT, to), source=SensorName.RECORDER)


def test_a_recorded_client_of_a_sampled_stranger_depends_on_it() -> None:
    finding = one(sampled_stranger(2), connects_as_recorded(5, HERE))
    assert (finding.cause, finding.severity, finding.evidence) == (Cause.STRANGER, "warning", Evidence.SAMPLED)
    assert [effect.kind for effect in finding.effects] == [EffectKind.CROSSTALK]


def test_a_recorded_client_of_its_own_server_depends_on_no_sampled_stranger() -> None:
    own = serves(3, CLIENT, HERE, source=SensorName.RECORDER, options=(SocketOption.REUSEADDR,))
    assert found(sampled_stranger(2), *own, connects_as_recorded(6, HERE)) == found(*own)


@pytest.mark.parametrize("at", [tcp(6380), tcp(6379, "127.0.0.2"), udp(6379)], ids=["port", "address", "protocol"])
def test_a_recorded_client_elsewhere_depends_on_no_sampled_stranger(at: Endpoint) -> None:
    assert found(sampled_stranger(2, at), connects_as_recorded(5, HERE)) == []


def test_a_client_of_its_own_server_beside_a_strangers_is_innocent() -> None:
    own = serves(1, by(0, 2), tcp(41000), cookie=9, asked_port=0)
    assert found(own, connects(5, CLIENT, tcp(41000))) == []


# --- refused --------------------------------------------------------------------------------------------------------


def test_a_fixed_port_that_a_stranger_has_is_charged_to_the_port() -> None:
    finding = one(refused(5, CLIENT, HERE, None, 5, name="redis-server", command="redis-server *:6379"))
    (effect,) = finding.effects
    assert (finding.cause, finding.severity, effect.kind) == (Cause.HARD_CODED, "warning", EffectKind.FOREIGN)
    assert [side.process for side in effect.sides][1] == "redis-server"
    assert "a process outside the run has this port" in finding.hint


def test_a_lost_port_that_a_stranger_took_is_charged_to_its_loss() -> None:
    finding = one(draws(1, CLIENT, tcp(41000)), refused(5, CLIENT, tcp(41000), None, 5))
    assert (finding.cause, [effect.kind for effect in finding.effects]) == (Cause.LOST_PORT, [EffectKind.FOREIGN])


def test_a_stranger_that_the_suite_is_meant_to_use_may_refuse_it_the_port() -> None:
    ambient = AmbientService(reason="the machine's redis", port=6379)
    findings = found(refused(5, CLIENT, HERE, None, 5), ambient=(ambient,))
    assert [(finding.severity, finding.effects) for finding in findings] == [("note", ())]


def sampled(t_ns: int, at: Endpoint, *, is_gone: bool = False) -> StrangerSeen:
    """A stranger's listener as the sampler sees it, where no exact sensor runs."""
    holders = () if is_gone else (REDIS,)
    return StrangerSeen(t_ns=t_ns, endpoint=at, socket="inode:7", holders=holders, is_gone=is_gone)


def told_by_the_recorder(t_ns: int, asked: Endpoint) -> Bind:
    """A refusal without its holder."""
    return Bind(t_ns=t_ns, caller=CLIENT, asked=asked, errno="EADDRINUSE", source="recorder")


@pytest.mark.parametrize("there", [HERE, tcp(6379, "0.0.0.0"), tcp(6379, "::")])
def test_a_refusal_without_a_holder_is_a_sampled_strangers_that_has_the_port(there: Endpoint) -> None:
    finding = one(sampled(1, there), told_by_the_recorder(5, HERE), sampled(9, there, is_gone=True))
    (effect,) = finding.effects
    assert (finding.cause, effect.kind, effect.evidence) == (Cause.HARD_CODED, EffectKind.FOREIGN, Evidence.SAMPLED)
    assert (effect.sides[1].process, effect.sides[1].pid) == ("redis-server", 812)


@pytest.mark.parametrize(
    "strangers",
    [
        [sampled(1, HERE), sampled(4, HERE, is_gone=True)],
        [sampled(6, HERE)],
        [sampled(1, tcp(6379, "127.0.0.2"))],
        [sampled(1, tcp(6380))],
        [sampled(1, udp(6379))],
    ],
    ids=["gone", "later", "elsewhere", "other port", "other protocol"],
)
def test_no_stranger_that_did_not_have_the_port_is_named_for_a_refusal(strangers: list[Event]) -> None:
    judged = find(sorted([RUN, told_by_the_recorder(5, HERE), *strangers], key=lambda event: event.t_ns))
    assert [finding.effects for finding in judged.findings] == [()]
    assert judged.notes == (WITHOUT_HOLDER.format(binds="1 bind was"),)


def test_a_party_that_holds_the_port_comes_before_a_sampled_stranger() -> None:
    events = (sampled(1, HERE), serves(2, by(1, 2), HERE, cookie=9), told_by_the_recorder(5, HERE))
    assert [effect.kind for effect in one(*events).effects] == [EffectKind.REFUSED]


def test_a_strangers_connection_that_has_the_port_is_said_to_be_one() -> None:
    finding = one(refused(5, CLIENT, tcp(40123), None, 5, SocketState.ESTABLISHED))
    assert finding.effects[0].sides[1].state == SocketState.ESTABLISHED
    assert "an outgoing connection was given this port" in finding.hint


# --- in its own way -------------------------------------------------------------------------------------------------


def own_connection(state: SocketState) -> Finding:
    """Copy 0 has served on the port, and wants it again while a connection of its own is left there."""
    (finding,) = found(serves(1, CLIENT, tcp(8025)), refused(9, CLIENT, tcp(8025), CLIENT.process.party, 77, state))
    return finding


def test_an_own_closed_connection_in_the_way_is_a_note_with_the_option_that_helps() -> None:
    finding = own_connection(SocketState.TIME_WAIT)
    assert (finding.severity, [effect.severity for effect in finding.effects]) == ("note", ["note"])
    assert "SO_REUSEADDR" in finding.hint


def test_an_own_connection_that_was_given_the_fixed_port_is_an_error() -> None:
    finding = own_connection(SocketState.ESTABLISHED)
    assert (finding.cause, finding.severity) == (Cause.HARD_CODED, "error")
    assert "outside the ephemeral range" in finding.hint


def test_an_own_listener_in_the_way_is_innocent() -> None:
    findings = found(serves(1, CLIENT, tcp(8025), cookie=77), refused(9, CLIENT, tcp(8025), CLIENT.process.party, 77))
    assert [finding.effects for finding in findings] == [()]


# --- reached from outside -------------------------------------------------------------------------------------------


def anywhere(addresses: tuple[str, ...]) -> list[str]:
    run = replace(RUN, addresses=addresses)
    return [finding.cause for finding in found(serves(5, CLIENT, tcp(41000, "0.0.0.0"), asked_port=0), run=run)]


@pytest.mark.parametrize("addresses", [("127.0.0.1", "192.0.2.7"), ("::1", "fe80::1"), ()])
def test_a_wildcard_is_exposed_where_another_host_may_come(addresses: tuple[str, ...]) -> None:
    assert anywhere(addresses) == ["exposed"]


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("127.0.0.1", "::1")])
def test_a_wildcard_is_not_exposed_on_a_host_with_loopback_addresses_alone(addresses: tuple[str, ...]) -> None:
    assert anywhere(addresses) == []


def test_an_address_that_only_this_host_reaches_is_not_exposed() -> None:
    assert found(serves(5, CLIENT, tcp(41000), asked_port=0)) == []


def test_a_process_of_the_run_is_never_called_a_stranger() -> None:
    described = ProcessSeen(t_ns=1, caller=by(1, 9), name="python")
    holder: Endpoint = tcp(41000)
    events = [described, *serves(2, by(1, 9), holder, asked_port=0), connects(5, CLIENT, holder)]
    assert [finding.cause for finding in found(*events)] == [Cause.UNKNOWN]
