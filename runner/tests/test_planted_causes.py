"""One finding is one fix, whatever was planted, and each failed test is linked to the finding that explains it."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from parasuite.sensors.seccomp.filter import ARCHITECTURE

from netsupport import reserve_port
from runner.tests.conftest import Finished, Parasuite, clean_environment, planted

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("the exact sensors are Linux's", allow_module_level=True)

COPIES = 4
RESERVED = [
    *("many", "fixture_first", "fixture_second", "mail", "web", "both", "reuse", "provoked", "probed", "library"),
    *("api", "module", "program", "alone", "foreign", "stranger"),
    *(f"list_{number}" for number in range(6)),
]


@dataclass(frozen=True)
class Fix:
    """A finding that is expected. *place*: a part of its title. *failed*: the tests whose failure it explains."""

    cause: str
    severity: str
    effects: frozenset[str] = frozenset()
    place: str = ""
    failed: frozenset[str] = frozenset()


def fix(cause: str, severity: str, *effects: str, place: str = "", failed: tuple[str, ...] = ()) -> Fix:
    return Fix(cause, severity, frozenset(effects), place, frozenset(failed))


MANY = tuple(f"test_with_a_server[{number}]" for number in range(40))
OF_THE_MODULE = tuple(f"test_{number}_with_the_service" for number in ("first", "second", "third"))
REFUSED = fix("hard-coded", "error", "refused")
# By planted file.
FIXES = {
    "one_port_of_many_tests": [fix("hard-coded", "error", "refused", failed=MANY)],
    "one_helper_of_many_tests": [fix("lost-port", "warning", place="helpers.py:free_port")],
    "two_helpers_that_draw": [
        fix("lost-port", "warning", place="helpers.py:unused_port"),
        fix("lost-port", "warning", place=":own_draw"),
    ],
    "two_ports_in_one_fixture": [REFUSED, fix("hard-coded", "error", "refused", failed=("test_with_two_services",))],
    "two_fixtures_of_one_port_each": [fix("hard-coded", "warning")] * 2,
    "one_port_of_two_protocols": [
        fix("hard-coded", "error", "refused", place="TCP port"),
        fix("hard-coded", "error", "refused", place="UDP port"),
    ],
    "reuse_and_refusals": [fix("hard-coded", "error", "refused", "shared")],
    "a_list_that_all_walk": [fix("hard-coded", "warning", "refused", place=":first_free")],
    "a_tested_refusal": [],
    "a_provoked_refusal": [REFUSED],
    "a_lost_port_that_was_taken": [
        fix("lost-port", "error", "refused", place=":draw", failed=("test_a_server_on_a_drawn_port",))
    ],
    "a_closed_port": [fix("closed-port", "note")],
    "a_closed_port_that_answers": [
        fix("closed-port", "error", "crosstalk", failed=("test_a_client_that_is_answered",))
    ],
    "a_leaked_listener": [
        fix("leaked", "error", "refused", place=":left_open", failed=("test_that_wants_the_port",))
    ],
    "an_orphan": [fix("orphan", "error")],
    "an_exposed_listener": [fix("exposed", "warning", place=":anywhere")],
    "a_reused_datagram_port": [fix("reuse", "warning")],
    "a_stranger": [fix("stranger", "warning", "crosstalk")],
    "a_port_beside_a_stranger": [fix("stranger", "warning", "shared"), fix("hard-coded", "note")],
    "a_port_that_a_stranger_has": [
        fix("hard-coded", "warning", "foreign", failed=("test_a_server_in_the_strangers_way",))
    ],
    "a_unix_path": [fix("hard-coded", "warning", place="the path")],
    "an_abstract_name": [fix("hard-coded", "warning", place="the path @")],
    "a_port_in_the_ephemeral_range": [fix("hard-coded", "warning", place="any outgoing connection may take it")],
    "a_prober_that_waits": [REFUSED],
    "a_default_of_a_library": [fix("hard-coded", "warning")],
    "a_helper_for_two_services": [REFUSED],
    "a_fixture_of_the_module": [fix("hard-coded", "error", "refused", failed=OF_THE_MODULE)],
    "a_server_program": [fix("hard-coded", "error", "refused", failed=("test_that_needs_its_server",))],
    "a_port_of_one_copy": [fix("hard-coded", "note")],
    "an_address_that_was_told": [fix("unknown", "error", "crosstalk")],
}


@pytest.fixture(scope="module", params=["auto", "recorder,sampler"])
def sensors(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["exec", "fork"])
def start(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, sensors: str, start: str) -> Iterator[Finished]:
    """One run of all planted causes."""
    folder = tmp_path_factory.mktemp("causes")
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(reserve_port(child_reuses_address=False)).port for name in RESERVED}
        for name in ("stranger", "foreign"):
            stack.enter_context(socket.create_server(("127.0.0.1", ports[name])))
        # Not the holds of a lease, which keep this out: they do not have SO_REUSEPORT.
        beside = stack.enter_context(socket.create_server(("127.0.0.1", 0), reuse_port=True))
        ports["beside"] = beside.getsockname()[1]
        drawn = stack.enter_context(socket.socket())
        drawn.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        drawn.bind(("127.0.0.1", 0))
        ports["ephemeral"] = drawn.getsockname()[1]
        environ = {
            "PLANTED_PORTS": ",".join(f"{name}={port}" for name, port in ports.items()),
            "PLANTED_NAME": f"planted-{secrets.token_hex(8)}",
            "PLANTED_PATH": str(folder / "planted.sock"),
            "PYTEST_ADDOPTS": "-p no:randomly",
        }
        made = Parasuite(folder, clean_environment())
        arguments = ("--start", start, "--sensors", sensors, planted("causes"))
        finished = made.run_pytest("-j", str(COPIES), *arguments, environ=environ)
        assert "not forked" not in finished.stdout
        yield finished


def file_of(finding: dict[str, Any]) -> str:
    """The planted file that *finding* is about."""
    files = {Path(test.partition("::")[0]).stem.removeprefix("test_") for test in finding["tests"]}
    assert len(files) == 1, finding
    return files.pop()


def as_fix(finding: dict[str, Any], expected: list[Fix]) -> Fix:
    """*finding* as an expectation, with the place of the one of *expected* that its title has."""
    places = [each.place for each in expected if each.place and each.place in finding["title"]]
    return Fix(
        cause=finding["cause"],
        severity=finding["severity"],
        effects=frozenset(effect["kind"] for effect in finding["effects"]),
        place=places[0] if places else "",
        failed=frozenset(test.partition("::")[2] for test in finding["failed_tests"]),
    )


@pytest.mark.usefixtures("ample_network")
@pytest.mark.parametrize("name", FIXES)
def test_the_number_of_findings_equals_the_number_of_fixes(finished: Finished, name: str) -> None:
    found = [as_fix(finding, FIXES[name]) for finding in finished.findings if file_of(finding) == name]
    key: Callable[[Fix], str] = repr
    assert sorted(found, key=key) == sorted(FIXES[name], key=key)


@pytest.mark.usefixtures("ample_network")
def test_there_is_no_other_finding(finished: Finished) -> None:
    assert {file_of(finding) for finding in finished.findings} <= set(FIXES)
    assert finished.code == 1
