"""Findings about Unix sockets: a path that was taken over, a name that was refused, and what is innocent."""

from __future__ import annotations

import pytest
from parasuite.judge.findings import Judgement, find
from parasuite.judge.findings.find import BY_FILE
from parasuite.judge.findings.hard_coded import NAME_HINT
from parasuite.model.events import ATTEMPTED, FAILED, Bind, Endpoint, Event, Holder, Release, RunStarted
from parasuite.model.network import Network
from parasuite.model.party import Party
from parasuite.model.sensors import SensorName
from parasuite.model.words import Protocol, SocketState

from runner.tests.building import by

PATH, NAME = "/run/it.sock", "@it"
SUITE = "suite/it.py:9:serve"


def judged(*events: Event) -> Judgement:
    return find(sorted(events, key=lambda event: event.t_ns))


def reported(*events: Event) -> list[tuple[str, str, list[str]]]:
    """(cause, severity, effects) of every finding."""
    return [
        (finding.cause, finding.severity, [effect.kind for effect in finding.effects])
        for finding in judged(*events).findings
    ]


def bind(
    t_ns: int,
    copy: int,
    name: str = PATH,
    *,
    errno: str = "",
    holders: tuple[Holder, ...] = (),
    worker: str = "",
    source: str = SensorName.SECCOMP,
    network: Network | None = None,
    test: str = "",
) -> Bind:
    asked = Endpoint(Protocol.UNIX, name)
    if network is not None:
        asked = asked._replace(network=network)
    return Bind(
        t_ns=t_ns,
        source=source,
        caller=by(copy, pid=copy + 1, worker=worker, line=SUITE, test=test),
        cookie=t_ns,
        network=asked.network,
        asked=asked,
        got=None if errno else asked,
        errno=errno,
        holders=holders,
    )


def released(t_ns: int, bound: Bind) -> Release:
    return Release(t_ns=t_ns, cookie=bound.cookie, network=bound.network, is_timed=False)


def holder(bound: Bind) -> Holder:
    return Holder(bound.party, bound.caller.process.pid, SocketState.BOUND, bound.cookie)


def test_a_path_that_is_taken_over_while_its_socket_is_open_was_shared() -> None:
    (finding,) = judged(bind(1, 0), bind(2, 1)).findings
    (effect,) = finding.effects
    assert (finding.cause, finding.severity, finding.evidence, effect.kind) == (
        "hard-coded",
        "error",
        "exact",
        "shared",
    )
    assert [side.party for side in effect.sides] == [Party(0), Party(1)]


def test_workers_of_one_copy_that_take_a_path_from_each_other_shared_it() -> None:
    assert reported(bind(1, 0, worker="gw0"), bind(2, 0, worker="gw1")) == [("hard-coded", "error", ["shared"])]


def test_a_path_that_its_own_party_binds_again_was_not_shared() -> None:
    assert reported(bind(1, 0), bind(2, 0)) == [("hard-coded", "note", [])]


def test_a_path_whose_socket_had_ended_was_not_shared() -> None:
    first = bind(1, 0)
    assert reported(first, released(2, first), bind(3, 1)) == [("hard-coded", "warning", [])]


def test_a_socket_that_has_lost_its_path_does_not_lose_it_again() -> None:
    (finding,) = judged(bind(1, 1), bind(2, 0), bind(3, 0)).findings
    assert [(effect.kind, effect.count) for effect in finding.effects] == [("shared", 1)]


def test_a_recorder_that_hears_of_no_killed_process_does_not_say_that_a_path_was_shared() -> None:
    recorded = (bind(1, 0, source=SensorName.RECORDER), bind(2, 1, source=SensorName.RECORDER))
    assert reported(*recorded) == [("hard-coded", "warning", [])]


def test_paths_are_shared_between_networks_and_abstract_names_are_not() -> None:
    elsewhere = Network(7)
    assert reported(bind(1, 0), bind(2, 1, network=elsewhere)) == [("hard-coded", "error", ["shared"])]
    assert reported(bind(1, 0, NAME), bind(2, 1, NAME, network=elsewhere)) == []


@pytest.mark.parametrize(("name", "errno"), [(NAME, "EADDRINUSE"), (PATH, "EADDRINUSE"), (PATH, ATTEMPTED)])
def test_a_name_that_another_partys_open_socket_has_is_refused(name: str, errno: str) -> None:
    first = bind(1, 0, name)
    (finding,) = judged(first, bind(2, 1, name, errno=errno, holders=(holder(first),))).findings
    (effect,) = finding.effects
    assert (effect.kind, effect.severity) == ("refused", "error")
    assert effect.evidence == ("attempted" if errno == ATTEMPTED else "exact")
    assert [(side.role, side.party) for side in effect.sides] == [("wanted", Party(1)), ("held", Party(0))]


def test_a_refusal_that_the_recorder_saw_is_one_while_the_other_socket_is_open() -> None:
    first = bind(1, 0, source=SensorName.RECORDER)
    refused = bind(3, 1, errno="EADDRINUSE", source=SensorName.RECORDER)
    assert reported(first, refused) == [("hard-coded", "error", ["refused"])]
    assert reported(first, released(2, first), refused) == [("hard-coded", "note", [])]


def test_a_name_that_a_process_outside_the_run_has_is_foreign() -> None:
    stranger = Holder(None, 99, SocketState.LISTEN, 7, command="redis-server", name="redis-server")
    (finding,) = judged(bind(1, 0, errno="EADDRINUSE", holders=(stranger,))).findings
    assert [(effect.kind, effect.severity) for effect in finding.effects] == [("foreign", "warning")]
    assert finding.hint == NAME_HINT


def test_a_name_that_a_party_refuses_itself_is_innocent() -> None:
    first = bind(1, 0, test="t")
    assert reported(first, bind(2, 0, errno="EADDRINUSE", holders=(holder(first),), test="t")) == [
        ("hard-coded", "note", [])
    ]


def test_a_program_that_goes_on_with_another_name_has_recovered() -> None:
    first = bind(1, 0, test="t")
    refused = bind(2, 1, errno="EADDRINUSE", holders=(holder(first),), test="t")
    (hard_coded, *_) = judged(first, refused, bind(3, 1, PATH + ".1", test="t")).findings
    assert [(effect.severity, effect.recovered) for effect in hard_coded.effects] == [("warning", True)]


@pytest.mark.parametrize("errno", [FAILED, ATTEMPTED, "ENOENT", "EINVAL"])
def test_a_bind_that_failed_for_another_reason_is_no_use_of_its_path(errno: str) -> None:
    assert reported(bind(1, 0, errno=errno), bind(2, 1, errno=errno)) == []


def test_a_bind_that_met_only_a_file_is_counted() -> None:
    judgement = judged(bind(1, 0, errno="EADDRINUSE"), bind(2, 1, errno="EADDRINUSE"))
    assert judgement.findings == ()
    assert judgement.notes == (BY_FILE.format(binds="2 binds were"),)


def test_a_path_in_a_copys_own_temporary_folder_is_not_fixed() -> None:
    start = RunStarted(t_ns=0, wall_ns=0, scratch="/tmp/p")
    assert reported(start, bind(1, 0, "/tmp/p/0/b/it.sock"), bind(2, 1, "/tmp/p/1/b/it.sock")) == []


def test_names_that_the_kernel_chose_are_not_fixed() -> None:
    def chosen(t_ns: int, copy: int) -> Bind:
        made = bind(t_ns, copy, "@00001")
        made.asked = made.asked._replace(address="")
        return made

    first = chosen(1, 0)
    assert reported(first, released(2, first), chosen(3, 1)) == []
